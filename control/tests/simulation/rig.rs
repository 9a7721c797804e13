//! Workers, network and connections of the simulation, and what it believes of the backends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use evenkeel_config::{BackendState, Config};
use evenkeel_control::netlink::{Link, fixed};
use evenkeel_control::next_hops::Wanted;
use evenkeel_control::protocol::{Answer, Report, parse_line};
use evenkeel_control::{Control, Peer, Setup, Submitted};
use evenkeel_datapath::counters::{Bounds, WorkerCounter};
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet as _};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::port::{MemoryQueue, PortCapabilities};
use evenkeel_datapath::snapshot::{ChecksumOffload, MacAddress, PortId, Snapshot, WorkerId};
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::{Handle, Links, Worker};
use proptest::prelude::*;

use crate::frames::{ACK, Frame, RST, SYN};

/// Backends are 10.0.0.1 to 10.0.0.HOSTS, at 02:00:00:00:00:01 and so on.
pub(crate) const HOSTS: u8 = 5;
const GATEWAY: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xc1]);
const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xaa]);
const BOUNDS: Bounds = Bounds { services: 6, backends: 12 };

/// A service as it is added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) vip: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) backend_port: u16,
}

pub(crate) const SERVICES: [Service; 3] = [
    Service { name: "full", vip: "198.51.100.1:80", mode: "full-nat", backend_port: 8080 },
    Service { name: "nat", vip: "198.51.100.2:80", mode: "nat", backend_port: 8081 },
    Service { name: "dsr", vip: "198.51.100.3:80", mode: "dsr-mac", backend_port: 80 },
];

fn config() -> Config {
    let neighbors: String = (1..=HOSTS)
        .map(|host| {
            format!("[[neighbor]]\naddress = \"10.0.0.{host}\"\nmac = \"02:00:00:00:00:{host:02x}\"\nport = \"wan\"\n")
        })
        .collect();
    let services: String = SERVICES
        .iter()
        .map(|Service { name, vip, mode, backend_port }| {
            let backend = |host| format!("[[service.backend]]\naddress = \"10.0.0.{host}:{backend_port}\"\n");
            format!(
                "[[service]]\nname = \"{name}\"\nvip = \"{vip}\"\nprotocol = \"tcp\"\nmode = \"{mode}\"\nmaglev_table = 31\n{}{}",
                backend(1),
                backend(2)
            )
        })
        .collect();
    let text = format!(
        "[balancer]\nworkers = [0, 1]\nmax_services = 6\nmax_backends = 12\nflows = 1000\n\
         [timeouts]\ntcp_handshake = \"1h\"\ntcp_established = \"1h\"\ntcp_closed = \"1h\"\n\
         [full_nat]\nlocal_addresses = [\"10.0.0.200\"]\n\
         [[port]]\nname = \"wan\"\ndevice = \"memory\"\nmac = \"{OURS}\"\naddresses = [\"192.0.2.1/24\", \"10.0.0.254/24\"]\n\
         [[route]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.254\"\n\
         [[neighbor]]\naddress = \"192.0.2.254\"\nmac = \"{GATEWAY}\"\nport = \"wan\"\n{neighbors}{services}"
    );
    match Config::parse(&text, "simulation.toml") {
        Ok(parsed) => parsed.config,
        Err(errors) => panic!("{errors}"),
    }
}

#[derive(Clone, Debug)]
struct Connection {
    service: usize,
    client: SocketAddr,
    /// The backend that it was opened with, and which one of this address it was.
    backend: Option<(SocketAddr, u32)>,
    /// The last frame that reached the backend.
    seen: Option<Frame>,
    /// A reset has been seen: it may be opened anew by whatever comes.
    over: bool,
}

/// What is believed of a backend.
#[derive(Clone, Copy, Debug)]
struct Belief {
    incarnation: u32,
    state: BackendState,
    weight: u32,
    until: Option<Time>,
}

impl Belief {
    fn keeps_flows(&self, now: Time) -> bool {
        self.state != BackendState::Down && self.until.is_none_or(|until| now < until)
    }
}

/// Everything.
pub(crate) struct Rig {
    control: Control,
    handles: Vec<Handle>,
    workers: Vec<Worker<MemoryQueue<HeapPacket>, HeapPool>>,
    now: Time,
    connections: Vec<Connection>,
    backends: BTreeMap<(usize, SocketAddr), Belief>,
    incarnations: u32,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let config = config();
        let handle = |id| Handle::new(WorkerId(id), None, 16, BOUNDS);
        let handles: Vec<Handle> = (0..2).map(handle).collect();
        let inboxes: Vec<_> = (0..2).map(|_| Arc::new(ArrayQueue::new(64))).collect();
        let worker = |handle: &Handle| {
            let pipeline =
                PipelineConfig { worker: handle.id, flows: config.balancer.flows, bounds: BOUNDS, seed: 7 };
            let links = Links { inboxes: inboxes.clone(), to_kernel: vec![None], from_kernel: Vec::new() };
            let pipeline = Pipeline::new(&pipeline).unwrap();
            let snapshot = Arc::new(Snapshot::default());
            Worker::new(handle.clone(), pipeline, vec![MemoryQueue::default()], HeapPool, links, snapshot)
        };
        let workers = handles.iter().map(worker).collect();
        let ports = vec![PortCapabilities {
            mac: OURS,
            mtu: 1500,
            transmit_checksums: ChecksumOffload::default(),
            rss: None,
            queues: 2,
            numa_node: None,
        }];
        let next_hops = fixed(Link::all(&config, &ports), Wanted::of(&config));
        let setup = Setup {
            config,
            config_file: PathBuf::from("/nonexistent"),
            workers: handles.clone(),
            ports,
            clock: || Time(0),
            version: String::new(),
        };
        let now = Time(1_000_000_000);
        let control = Control::new(setup, next_hops, now).unwrap();
        let mut rig = Self {
            control,
            handles,
            workers,
            now,
            connections: Vec::new(),
            backends: BTreeMap::new(),
            incarnations: 0,
        };
        rig.turn();
        rig.learn();
        rig
    }

    fn turn(&mut self) {
        self.control.poll(self.now);
        for worker in &mut self.workers {
            worker.turn(self.now);
        }
    }

    /// Asks, and believes the answer.
    pub(crate) fn change(&mut self, line: &str) {
        let request = parse_line(line.as_bytes()).unwrap();
        match self.control.submit(request, Peer { uid: None, pid: None }, self.now) {
            Submitted::Answered(Answer::Refused(_)) => {}
            Submitted::Answered(other) => panic!("{other:?}"),
            Submitted::Waiting(ticket) => {
                for worker in &mut self.workers {
                    worker.turn(self.now);
                }
                let answers = self.control.poll(self.now);
                let (_, answer) =
                    answers.iter().find(|(of, _)| *of == ticket).expect("an answer after one turn");
                assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
                self.learn();
            }
        }
    }

    /// Looks at what the control state says of its backends.
    fn learn(&mut self) {
        let request = parse_line(br#"{"command":"backend list"}"#).unwrap();
        let answer = self.control.submit(request, Peer { uid: None, pid: None }, self.now);
        let Submitted::Answered(Answer::Done { report: Some(Report::Backends(reports)), .. }) = answer else {
            panic!("{answer:?}")
        };
        let old = std::mem::take(&mut self.backends);
        for report in reports {
            let service = SERVICES.iter().position(|service| service.name == report.service).unwrap();
            let at = (service, report.backend);
            let known = old.get(&at);
            let incarnation = known.map_or_else(
                || {
                    self.incarnations += 1;
                    self.incarnations
                },
                |known| known.incarnation,
            );
            let until = report.deadline_ms.map(|millis| self.now + Duration::from_millis(millis));
            let belief = Belief { incarnation, state: report.state, weight: report.weight, until };
            self.backends.insert(at, belief);
        }
    }

    /// Time passes, in turns.
    pub(crate) fn wait(&mut self, millis: u16) {
        for _ in 0..200 {
            self.now = self.now + Duration::from_micros(u64::from(millis) * 5);
            self.turn();
        }
        self.learn();
    }

    pub(crate) fn open(&mut self, service: usize, worker: usize) -> Result<(), TestCaseError> {
        let number = u16::try_from(self.connections.len()).unwrap();
        let client = SocketAddr::from(([203, 0, 113, 7], 10_000 + number));
        self.connections.push(Connection { service, client, backend: None, seen: None, over: false });
        self.client_sends(usize::from(number), SYN, worker)
    }

    pub(crate) fn send(&mut self, connection: usize, worker: usize) -> Result<(), TestCaseError> {
        match connection.checked_rem(self.connections.len()) {
            Some(connection) => self.client_sends(connection, ACK, worker),
            None => Ok(()),
        }
    }

    pub(crate) fn reset(&mut self, connection: usize, worker: usize) -> Result<(), TestCaseError> {
        let Some(connection) = connection.checked_rem(self.connections.len()) else { return Ok(()) };
        self.client_sends(connection, RST, worker)?;
        self.connections[connection].over = true;
        Ok(())
    }

    fn client_sends(&mut self, connection: usize, flags: u8, worker: usize) -> Result<(), TestCaseError> {
        let Connection { service, client, .. } = self.connections[connection];
        let payload = u32::try_from(connection).unwrap().to_be_bytes();
        let frame = Frame::tcp(&client.to_string(), SERVICES[service].vip, flags).payload(&payload);
        self.deliver(&Frame { link_destination: OURS, link_source: GATEWAY, ..frame }, worker);
        // In DSR a flow is picked anew when its backend takes no more, though nobody else may be there to take it.
        if SERVICES[service].mode == "dsr-mac" && !self.is_alive(connection) {
            self.connections[connection].backend = None;
        }
        for frame in self.sent()? {
            if frame.link_destination == GATEWAY {
                // A reset, or the like, of our own making: it must be for this client.
                prop_assert_eq!(frame.destination, client);
                self.connections[connection].over |= frame.flags & RST != 0;
            } else if frame.payload == payload {
                self.reached(connection, frame, flags)?;
            } else {
                prop_assert!(frame.flags & RST != 0, "an unknown packet: {}", frame.line());
            }
        }
        Ok(())
    }

    /// True if the backend that a connection was opened with still takes its packets.
    fn is_alive(&self, connection: usize) -> bool {
        let Connection { service, backend, .. } = self.connections[connection];
        backend.is_some_and(|(address, incarnation)| {
            self.backends
                .get(&(service, address))
                .is_some_and(|belief| belief.incarnation == incarnation && belief.keeps_flows(self.now))
        })
    }

    /// A packet of a connection has reached a backend.
    fn reached(&mut self, number: usize, frame: Frame, flags: u8) -> Result<(), TestCaseError> {
        let now = self.now;
        let connection = &mut self.connections[number];
        let service = SERVICES[connection.service];
        let host = frame.link_destination.0[5];
        let address = SocketAddr::from(([10, 0, 0, host], service.backend_port));
        let told = format!("connection {number} of {}: {} to {host}", service.name, frame.line());
        let (destination, source) = (frame.destination, frame.source);
        let is_rewritten = match service.mode {
            "full-nat" => destination == address && source.ip().to_string() == "10.0.0.200",
            "nat" => destination == address && source == connection.client,
            _ => destination.to_string() == service.vip && source == connection.client,
        };
        prop_assert!(is_rewritten, "{}", told);
        let belief = self.backends.get(&(connection.service, address));
        let Some(belief) = belief.filter(|belief| belief.keeps_flows(now)) else {
            return Err(TestCaseError::fail(format!("{told}, which takes nothing")));
        };
        let at = (address, belief.incarnation);
        if connection.backend != Some(at) {
            let is_free = connection.over || connection.backend.is_none();
            prop_assert!(is_free, "{}, not {:?}", told, connection.backend);
            prop_assert!(
                belief.state == BackendState::Active && belief.weight > 0,
                "{}: it is {:?}",
                told,
                belief
            );
            connection.backend = Some(at);
        }
        connection.over &= flags != SYN;
        connection.seen = Some(frame);
        Ok(())
    }

    /// The backend of a connection answers the last packet that it has seen.
    pub(crate) fn answer(&mut self, connection: usize, worker: usize) -> Result<(), TestCaseError> {
        let Some(number) = connection.checked_rem(self.connections.len()) else { return Ok(()) };
        let Connection { service, client, ref seen, .. } = self.connections[number];
        let Some(seen) = seen.clone().filter(|_| SERVICES[service].mode != "dsr-mac") else { return Ok(()) };
        let flags = if seen.flags & SYN != 0 { SYN | ACK } else { ACK };
        let answer = Frame {
            link_destination: OURS,
            link_source: seen.link_destination,
            source: seen.destination,
            destination: seen.source,
            flags,
            ..seen
        };
        let payload = answer.payload.clone();
        self.deliver(&answer, worker);
        for frame in self.sent()? {
            if frame.link_destination == GATEWAY {
                prop_assert_eq!(frame.source.to_string(), SERVICES[service].vip);
                prop_assert_eq!(frame.destination, client, "the answer went to somebody else");
                prop_assert!(frame.payload == payload || frame.flags & RST != 0);
            } else {
                prop_assert!(frame.flags & RST != 0, "an unknown packet: {}", frame.line());
            }
            self.connections[number].over |= frame.flags & RST != 0;
        }
        Ok(())
    }

    fn deliver(&mut self, frame: &Frame, worker: usize) {
        let port = PortId(0);
        let queue = self.workers[worker].queue_mut(port).unwrap();
        queue.incoming.push_back(HeapPacket::new(&frame.bytes(), port));
        // Received, handed over, and once more for whoever comes first in the turn.
        for _ in 0..3 {
            self.turn();
        }
    }

    /// What has been sent since the last call, but for the prompts to the ends of flows that are to be cut.
    fn sent(&mut self) -> Result<Vec<Frame>, TestCaseError> {
        let queues = self.workers.iter_mut().filter_map(|worker| worker.queue_mut(PortId(0)));
        let sent = queues.flat_map(|queue| queue.outgoing.drain(..));
        let frames: Vec<Frame> = sent.map(|packet| Frame::read(packet.bytes())).collect();
        let (prompts, others) =
            frames.into_iter().partition(|frame| frame.flags == ACK && frame.payload.is_empty());
        let prompts: Vec<Frame> = prompts;
        for prompt in prompts {
            let is_flow = |connection: &Connection| {
                let Service { vip, mode, .. } = SERVICES[connection.service];
                let seen = connection.seen.as_ref().map(|seen| (seen.source, seen.destination));
                let to_client =
                    (prompt.destination, prompt.source.to_string()) == (connection.client, vip.to_owned());
                mode != "dsr-mac" && (to_client || seen == Some((prompt.source, prompt.destination)))
            };
            prop_assert!(self.connections.iter().any(is_flow), "nobody's flow: {}", prompt.line());
        }
        Ok(others)
    }

    /// Every packet and every flow is accounted for.
    pub(crate) fn check_accounts(&mut self) -> Result<(), TestCaseError> {
        self.wait(1);
        let mut flows = 0;
        for worker in &self.workers {
            prop_assert_eq!(worker.pipeline().counters.imbalance(), 0);
            flows += worker.pipeline().counters.value(WorkerCounter::FlowsActive);
        }
        prop_assert!(flows <= self.connections.len() as u64, "{} flows", flows);
        let request = parse_line(br#"{"command":"service list"}"#).unwrap();
        let answer = self.control.submit(request, Peer { uid: None, pid: None }, self.now);
        let Submitted::Answered(Answer::Done { report: Some(Report::Services(services)), .. }) = answer
        else {
            return Err(TestCaseError::fail(format!("{answer:?}")));
        };
        for service in services {
            let active: u64 =
                service.backends.iter().map(|backend| backend.counters.value("flows_active")).sum();
            prop_assert!(active <= service.counters.value("flows_active"), "{:?}", service);
        }
        prop_assert!(self.handles.iter().all(|handle| handle.replies.len() <= 1));
        Ok(())
    }
}
