//! A balancer without packets: the control thread's state and workers that only take commands and count.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use evenkeel_config::Config;
use evenkeel_datapath::command::{Command, FlowQuestion, Reply};
use evenkeel_datapath::counters::{BackendCounter, Bounds, Counters, ServiceCounter, WorkerCounter};
use evenkeel_datapath::fib::{Fib, NextHop, Prefix};
use evenkeel_datapath::flow::{FlowState, FlowView};
use evenkeel_datapath::key::{Endpoint, Protocol};
use evenkeel_datapath::port::PortCapabilities;
use evenkeel_datapath::snapshot::{BackendId, ChecksumOffload, MacAddress, PortId, Snapshot, WorkerId};
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::Handle;

use crate::control::{Control, Peer, Submitted, Ticket};
use crate::next_hops::NextHops;
use crate::protocol::{Answer, parse_line};
use crate::setup::Setup;

/// Two ports, both families, room for 8 services and 16 backends; one service `web` of two backends.
pub(crate) const CONFIG: &str = r#"
[balancer]
workers = [0, 1]
max_services = 8
max_backends = 16
drain_timeout = "5m"

[full_nat]
local_addresses = ["10.0.1.10"]

[[port]]
name = "wan"
device = "net_null0"
mtu = 1500
kernel = "ek-wan0"
addresses = ["192.0.2.1/24"]

[[port]]
name = "lan"
device = "net_null1"
mtu = 1500
kernel = "ek-lan0"
addresses = ["10.0.0.1/24", "10.0.1.1/24", "fd00::1/64"]

[[service]]
name = "web"
vip = "192.0.2.10:80"
protocol = "tcp"
mode = "nat"
maglev_table = 251
[[service.backend]]
address = "10.0.0.3:8080"
[[service.backend]]
address = "10.0.0.30:8080"
weight = 2
"#;

pub(crate) fn config(text: &str) -> Config {
    match Config::parse(text, "test.toml") {
        Ok(parsed) => parsed.config,
        Err(errors) => panic!("{errors}"),
    }
}

/// Next hops by which these addresses can be reached, and no others.
pub(crate) fn next_hops(resolved: impl IntoIterator<Item = IpAddr>) -> NextHops {
    let hop = NextHop { port: PortId(1), mac: MacAddress([2, 0, 0, 0, 0, 3]), mtu: 1500 };
    let routes = resolved.into_iter().map(|address| (Prefix::new(address.into(), 128), Some(hop)));
    NextHops { fib: Arc::new(Fib::new(routes)), neighbors: Vec::new() }
}

/// Everything is on-link and answers.
pub(crate) fn everywhere() -> NextHops {
    let hop = NextHop { port: PortId(1), mac: MacAddress([2, 0, 0, 0, 0, 3]), mtu: 1500 };
    let prefix = |address: &str, length| Prefix::new(address.parse::<IpAddr>().unwrap().into(), length);
    let routes = [(prefix("10.0.0.0", 104), Some(hop)), (prefix("fd00::", 16), Some(hop))];
    NextHops { fib: Arc::new(Fib::new(routes)), neighbors: Vec::new() }
}

/// A worker without packets. Flows are opened and closed by the test.
#[derive(Debug)]
pub(crate) struct SimWorker {
    pub(crate) handle: Handle,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) flows: BTreeMap<BackendId, u64>,
    /// It turns; otherwise it is stuck.
    pub(crate) alive: bool,
    pub(crate) stopped: bool,
    counters: Counters,
    /// A reply that the ring had no room for.
    unanswered: Option<Reply>,
}

impl SimWorker {
    pub(crate) fn new(id: u8, bounds: Bounds) -> Self {
        let handle = Handle {
            replies: Arc::new(ArrayQueue::new(8)),
            ..Handle::new(WorkerId(id), Some(usize::from(id)), 4, bounds)
        };
        Self {
            handle,
            snapshot: Arc::default(),
            flows: BTreeMap::new(),
            alive: true,
            stopped: false,
            counters: Counters::new(bounds),
            unanswered: None,
        }
    }

    /// Takes every command, unless it is stuck.
    pub(crate) fn turn(&mut self) {
        while self.alive {
            if let Some(reply) = self.unanswered.take() {
                self.unanswered = self.handle.replies.push(reply).err();
                if self.unanswered.is_some() {
                    return;
                }
            }
            let Some(command) = self.handle.commands.pop() else { return };
            let reply = match command {
                Command::Adopt(snapshot) => {
                    let generation = snapshot.generation;
                    let old = std::mem::replace(&mut self.snapshot, snapshot);
                    self.handle.generation.store(generation, Release);
                    self.counters.add(WorkerCounter::SnapshotSwaps, 1);
                    Reply::Returned(old)
                }
                Command::Flows(mut query) => {
                    let all: Vec<FlowView> = self.flows().collect();
                    let from = match query.question {
                        FlowQuestion::List { from } => from as usize,
                        FlowQuestion::Lookup(_) => 0,
                    };
                    let page = query.flows.capacity().min(3);
                    query.flows.extend(all.iter().skip(from).take(page));
                    query.next = (from + page < all.len()).then_some((from + page) as u32);
                    Reply::Flows(query)
                }
                Command::Ask(question) => Reply::Answered(question),
                Command::Stop => {
                    self.stopped = true;
                    return;
                }
            };
            self.unanswered = Some(reply);
        }
    }

    fn flows(&self) -> impl Iterator<Item = FlowView> {
        self.flows.iter().flat_map(|(&backend, &count)| {
            let service = self.snapshot.backend(backend).map(|backend| backend.service).unwrap_or_default();
            (0..count).map(move |port| FlowView {
                client: Endpoint::from(SocketAddr::from(([192, 0, 2, 200], port as u16))),
                protocol: Protocol::Tcp,
                service,
                backend,
                local: None,
                state: FlowState::Established,
                idle_ms: 0,
            })
        })
    }

    /// Opens a flow to a backend as a packet would, if the snapshot lets it. True if there is a flow more.
    pub(crate) fn open(&mut self, slot: u16) -> bool {
        let Some(Some(backend)) = self.snapshot.backends.get(usize::from(slot)) else { return false };
        if self.snapshot.service(backend.service).is_none_or(|service| service.maglev.pick(0).is_none()) {
            return false;
        }
        let picked = self.snapshot.service(backend.service).unwrap().maglev.shares();
        if !picked.iter().any(|&(of, _)| of == slot) {
            return false;
        }
        let (id, service) = (BackendId { slot, epoch: backend.epoch }, backend.service);
        *self.flows.entry(id).or_default() += 1;
        self.counters.backend(slot).unwrap()[BackendCounter::FlowsActive as usize] += 1;
        self.counters.backend(slot).unwrap()[BackendCounter::FlowsOpened as usize] += 1;
        self.counters.service(service.0).unwrap()[ServiceCounter::FlowsActive as usize] += 1;
        true
    }

    /// Ends a flow of the backend with this id.
    pub(crate) fn close(&mut self, id: BackendId) {
        let Some(count) = self.flows.get_mut(&id) else { return };
        *count -= 1;
        if *count == 0 {
            self.flows.remove(&id);
        }
        let service = self.snapshot.backend(id).expect("a backend with flows is in the snapshot").service;
        self.counters.backend(id.slot).unwrap()[BackendCounter::FlowsActive as usize] -= 1;
        self.counters.service(service.0).unwrap()[ServiceCounter::FlowsActive as usize] -= 1;
    }

    /// Publishes all counters once.
    pub(crate) fn publish(&mut self) {
        self.counters.publish_all(&self.handle.published);
    }
}

/// The control thread's state with its workers, in the test's time.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) control: Control,
    pub(crate) workers: Vec<SimWorker>,
    pub(crate) now: Time,
    answers: BTreeMap<u64, Answer>,
    config_file: PathBuf,
}

pub(crate) fn setup(config: Config, config_file: PathBuf, workers: Vec<Handle>) -> Setup {
    let capabilities = PortCapabilities {
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        transmit_checksums: ChecksumOffload { ipv4: true, tcp: false, udp: false },
        rss: None,
        queues: 2,
        numa_node: None,
    };
    let ports = vec![capabilities; config.ports.len()];
    let clock = || Time(0);
    Setup { config, config_file, workers, ports, clock, version: "0.0.0-test".into() }
}

impl Rig {
    pub(crate) fn new(text: &str) -> Self {
        let config = config(text);
        let bounds = Bounds {
            services: config.balancer.max_services as usize,
            backends: config.balancer.max_backends as usize,
        };
        let workers: Vec<SimWorker> = (0..2).map(|id| SimWorker::new(id, bounds)).collect();
        let handles = workers.iter().map(|worker| worker.handle.clone()).collect();
        let now = Time(1_000_000_000);
        let config_file =
            std::env::temp_dir().join(format!("evenkeel-{}-{:p}.toml", std::process::id(), &raw const *text));
        let control = Control::new(setup(config, config_file.clone(), handles), everywhere(), now)
            .expect("a valid configuration");
        let mut rig = Self { control, workers, now, answers: BTreeMap::new(), config_file };
        rig.settle();
        rig
    }

    /// Lets the workers turn and publish, and the control thread hear of it.
    pub(crate) fn settle(&mut self) {
        for _ in 0..3 {
            for worker in &mut self.workers {
                worker.turn();
                if worker.alive {
                    worker.publish();
                }
            }
            self.poll();
        }
    }

    pub(crate) fn poll(&mut self) {
        for (ticket, answer) in self.control.poll(self.now) {
            self.answers.insert(ticket.number(), answer);
        }
    }

    pub(crate) fn submit(&mut self, line: &str) -> Result<Ticket, Box<Answer>> {
        let request = match parse_line(line.as_bytes()) {
            Ok(request) => request,
            Err(refusal) => return Err(Box::new(refusal.into())),
        };
        match self.control.submit(request, Peer { uid: Some(0), pid: None }, self.now) {
            Submitted::Answered(answer) => Err(Box::new(answer)),
            Submitted::Waiting(ticket) => Ok(ticket),
        }
    }

    /// The answer to a request, after time for it. Workers that are stuck make it late.
    pub(crate) fn ask(&mut self, line: &str) -> Answer {
        let ticket = match self.submit(line) {
            Ok(ticket) => ticket,
            Err(answer) => return *answer,
        };
        for _ in 0..100 {
            self.settle();
            if let Some(answer) = self.answers.remove(&ticket.number()) {
                return answer;
            }
            self.now = self.now + Duration::from_millis(100);
        }
        panic!("no answer to {line}");
    }

    /// As [`Rig::ask`], for what must succeed.
    pub(crate) fn must(&mut self, line: &str) -> Answer {
        let answer = self.ask(line);
        assert!(matches!(answer, Answer::Done { .. }), "{line}: {answer:?}");
        answer
    }

    /// Writes the file and reloads it.
    pub(crate) fn reload(&mut self, text: &str) -> Answer {
        std::fs::write(&self.config_file, text).unwrap();
        let answer = self.ask(r#"{"command":"reload"}"#);
        std::fs::remove_file(&self.config_file).unwrap();
        answer
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.control.fleet.newest()
    }

    /// The slot and epoch of a backend in the newest snapshot, leaving ones last.
    pub(crate) fn id_of(&self, address: &str) -> Option<BackendId> {
        let endpoint = Endpoint::from(address.parse::<SocketAddr>().unwrap());
        let all = self.snapshot().backends.iter().enumerate();
        let found = all.filter_map(|(slot, backend)| {
            let backend = backend.as_ref().filter(|backend| backend.endpoint == endpoint)?;
            let down = backend.state == evenkeel_datapath::snapshot::BackendState::Down;
            Some((down, BackendId { slot: slot as u16, epoch: backend.epoch }))
        });
        found.min_by_key(|(down, id)| (*down, id.slot)).map(|(_, id)| id)
    }
}
