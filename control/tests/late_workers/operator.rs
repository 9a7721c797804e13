//! Who asks for changes, and holds every answer against what the workers really do.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use evenkeel_config::Config;
use evenkeel_control::next_hops::NextHops;
use evenkeel_control::protocol::{Answer, Report, ServiceReport, parse_line};
use evenkeel_control::{Control, Peer, Setup, Submitted, Ticket};
use evenkeel_datapath::time::Time;

use super::network::{HOSTS, Network, SERVICES};
use super::world::{History, World};

/// Room for so many backends, of the 32 that all services might have.
const MAX_BACKENDS: usize = 14;

pub(crate) struct Operator {
    control: Control,
    pub(crate) history: History,
    config_file: PathBuf,
    waiting: HashMap<Ticket, (u64, Time)>,
    pub(crate) done: u64,
    pub(crate) pending: u64,
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.config_file);
    }
}

/// A configuration in which every service has the backends that `has` says.
fn config_text(network: &Network, services: usize, mut has: impl FnMut(usize, u8) -> Option<u32>) -> String {
    let mut text = format!(
        r#"
[balancer]
workers = {:?}
max_services = 5
max_backends = {MAX_BACKENDS}
flows = 48

[full_nat]
local_addresses = ["10.0.1.10"]
ports = "1024-2047"

[[port]]
name = "wan"
device = "net_null0"
mtu = 1500
kernel = "ek-wan0"
addresses = ["198.51.100.1/24"]

[[port]]
name = "lan"
device = "net_null1"
mtu = 1500
kernel = "ek-lan0"
addresses = ["10.0.0.254/24", "10.0.1.1/24"]
"#,
        (0..network.workers()).collect::<Vec<_>>()
    );
    for (index, (name, vip, mode)) in SERVICES.iter().enumerate().take(services) {
        let head = format!(
            "name = \"{name}\"\nvip = \"{vip}\"\nprotocol = \"tcp\"\nmode = \"{mode}\"\nmaglev_table = 251"
        );
        write!(text, "\n[[service]]\n{head}\n").unwrap();
        for host in HOSTS {
            if let Some(weight) = has(index, host) {
                write!(text, "[[service.backend]]\naddress = \"10.0.0.{host}:80\"\nweight = {weight}\n")
                    .unwrap();
            }
        }
    }
    text
}

fn peer() -> Peer {
    Peer { uid: Some(0), pid: None }
}

impl Operator {
    pub(crate) fn new(seed: u64, network: &Network) -> Self {
        let text = config_text(network, 3, |_, host| (host <= 3).then_some(1));
        let config =
            Config::parse(&text, "late-workers.toml").unwrap_or_else(|errors| panic!("{errors}")).config;
        let config_file =
            std::env::temp_dir().join(format!("evenkeel-late-workers-{}-{seed}.toml", std::process::id()));
        let setup = Setup {
            config,
            config_file: config_file.clone(),
            workers: network.handles.clone(),
            ports: network.capabilities(),
            clock: || Time(0),
            version: "0.0.0".into(),
        };
        let next_hops = NextHops { fib: network.fib(), neighbors: Vec::new() };
        let control = Control::new(setup, next_hops, network.now).expect("a valid configuration");
        let (waiting, history) = (HashMap::new(), History::default());
        let mut operator = Self { control, history, config_file, waiting, done: 0, pending: 0 };
        let (generation, reports) = operator.services(network.now);
        operator.history.record(generation, &reports, network.now);
        // Workers that have no snapshot yet are in no world; those of these tests begin with an empty one.
        operator.history.record(0, &[], network.now);
        operator
    }

    /// Asks at once, which is possible for queries only.
    fn query(&mut self, line: &str, now: Time) -> (u64, Option<Report>) {
        let request = parse_line(line.as_bytes()).expect("a query");
        match self.control.submit(request, peer(), now) {
            Submitted::Answered(Answer::Done { generation, report }) => (generation, report),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn services(&mut self, now: Time) -> (u64, Vec<ServiceReport>) {
        match self.query(r#"{"command":"service list"}"#, now) {
            (generation, Some(Report::Services(services))) => (generation, services),
            other => panic!("{other:?}"),
        }
    }

    /// A request, which may make sense.
    pub(crate) fn asks_for_something(&mut self, network: &mut Network) {
        let index = network.random.below(SERVICES.len() as u32) as usize;
        let (name, vip, mode) = SERVICES[index];
        let host = 1 + network.random.below(HOSTS.end().to_owned().into()) as u8;
        let number = network.random.below(4);
        let backend = format!(r#""service":"{name}","backend":"10.0.0.{host}:80""#);
        let line = match network.random.below(16) {
            0..=3 => format!(r#"{{"command":"backend add",{backend},"weight":{number}}}"#),
            4 | 5 => format!(r#"{{"command":"backend remove",{backend}}}"#),
            6 => format!(r#"{{"command":"backend drain",{backend},"deadline":"{}s"}}"#, number * 4),
            7 => format!(r#"{{"command":"backend drain",{backend},"deadline":"{}00ms"}}"#, number + 1),
            8 | 9 => format!(r#"{{"command":"backend down",{backend}}}"#),
            10 | 11 => format!(r#"{{"command":"backend activate",{backend}}}"#),
            12 => format!(r#"{{"command":"backend weight",{backend},"weight":{number}}}"#),
            13 => format!(
                r#"{{"command":"service add","service":"{name}","vip":"{vip}","protocol":"tcp","mode":"{mode}","maglev_table":251,"backends":[{{"address":"10.0.0.{host}:80"}}]}}"#
            ),
            14 if index == 3 => format!(r#"{{"command":"service remove","service":"{name}"}}"#),
            _ => {
                let services = if host.is_multiple_of(2) { 3 } else { 4 };
                let wanted: Vec<u32> = (0..64).map(|_| network.random.below(5)).collect();
                let has = |service: usize, host: u8| {
                    wanted.get(service * 8 + usize::from(host)).copied().filter(|&weight| weight < 3)
                };
                std::fs::write(&self.config_file, config_text(network, services, has)).unwrap();
                r#"{"command":"reload"}"#.into()
            }
        };
        self.ask(&line, network.now);
    }

    fn ask(&mut self, line: &str, now: Time) {
        let (before, reports) = self.services(now);
        let request = parse_line(line.as_bytes()).unwrap_or_else(|refusal| panic!("{line}: {refusal}"));
        match self.control.submit(request, peer(), now) {
            Submitted::Waiting(ticket) => {
                let (generation, reports) = self.services(now);
                if generation != before {
                    self.history.record(generation, &reports, now);
                }
                assert!(reports.iter().map(|service| service.backends.len()).sum::<usize>() <= MAX_BACKENDS);
                self.waiting.insert(ticket, (generation, now));
            }
            Submitted::Answered(Answer::Refused(refusal)) => {
                let (generation, after) = self.services(now);
                assert_eq!((generation, after), (before, reports), "{line} was refused: {refusal}");
            }
            Submitted::Answered(other) => panic!("{line}: {other:?}"),
        }
    }

    /// Lets the control thread work, and checks its answers.
    pub(crate) fn polls(&mut self, network: &Network) {
        let running = |worker: usize| network.handles[worker].generation.load(Acquire);
        for (ticket, answer) in self.control.poll(network.now) {
            let (wanted, _) = self.waiting.remove(&ticket).expect("one answer for each request");
            match answer {
                Answer::Done { generation, .. } => {
                    assert!(generation >= wanted);
                    let all = (0..network.handles.len()).all(|worker| running(worker) >= wanted);
                    assert!(all, "ok, and not every worker runs generation {wanted}");
                    self.done += 1;
                }
                Answer::Pending { late_workers, .. } => {
                    let late = (0_u8..).take(network.handles.len());
                    let late: Vec<u8> = late.filter(|&worker| running(worker.into()) < wanted).collect();
                    assert!(
                        !late.is_empty() && late == late_workers,
                        "{late:?} are late, named {late_workers:?}"
                    );
                    self.pending += 1;
                }
                Answer::Refused(refusal) => panic!("refused after it was taken: {refusal}"),
            }
        }
        let patience = Duration::from_secs(1);
        for (generation, asked) in self.waiting.values() {
            assert!(network.now <= *asked + patience, "no answer about generation {generation}");
        }
    }

    /// Every change is in force, and nothing that was removed holds a slot.
    pub(crate) fn is_at_rest(&mut self, network: &Network) {
        assert!(self.waiting.is_empty());
        let (generation, report) = self.query(r#"{"command":"status"}"#, network.now);
        let Some(Report::Status(status)) = report else { panic!("no status") };
        assert!(status.in_force && status.late_workers.is_empty());
        assert_eq!((status.backends.leaving, status.imbalance, status.flows_active), (0, 0, 0));
        for handle in &network.handles {
            assert_eq!(handle.generation.load(Acquire), generation);
            assert!(handle.commands.is_empty());
        }
        // Backends can be added up to the bound, whatever was here before.
        let world: &World = self.history.latest();
        let room = MAX_BACKENDS - world.len();
        let free: Vec<SocketAddr> = (20..20 + room as u8).map(|host| ([10, 0, 0, host], 80).into()).collect();
        for address in free {
            let line = format!(r#"{{"command":"backend add","service":"keep","backend":"{address}"}}"#);
            let before = self.waiting.len();
            self.ask(&line, network.now);
            assert_eq!(self.waiting.len(), before + 1, "no slot for {address}");
        }
    }
}
