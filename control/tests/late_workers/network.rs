//! Clients, workers and backends, and what each must see.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use crossbeam::queue::ArrayQueue;

use evenkeel_datapath::counters::{Bounds, WorkerCounter};
use evenkeel_datapath::fib::{Fib, NextHop, Prefix};
use evenkeel_datapath::hash::Random;
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::port::{MemoryQueue, PortCapabilities, Rss};
use evenkeel_datapath::snapshot::{ChecksumOffload, MacAddress, PortId, Snapshot, WorkerId};
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::{Handle, Links, Worker};

use super::frames::{ACK, FIN, Frame, RST, SYN};
use super::world::History;

/// Name, VIP and mode. The last one comes and goes.
pub(crate) const SERVICES: [(&str, &str, &str); 4] = [
    ("full", "192.0.2.10:80", "full-nat"),
    ("keep", "192.0.2.11:80", "nat"),
    ("dsr", "192.0.2.12:80", "dsr-mac"),
    ("extra", "192.0.2.13:80", "nat"),
];

/// Backends are 10.0.0.N:80, of whatever service, with Ethernet address ..:N.
pub(crate) const HOSTS: RangeInclusive<u8> = 1..=8;

const CLIENT_SIDE: PortId = PortId(0);
const BACKEND_SIDE: PortId = PortId(1);
const FLOWS: u32 = 48;
/// Of every backend's segments.
const SEQUENCE: u32 = 7_000_000;
const BOUNDS: Bounds = Bounds { services: 5, backends: 14 };

/// A TCP connection of a client; no two have the same tuple. Its number is the sequence number of the client's segments,
/// and what the backend acknowledges.
#[derive(Clone, Debug)]
struct Connection {
    client: SocketAddr,
    service: usize,
    /// The backend that its first segment went to, which of those that had the address, and the segment's tuple.
    assigned: Option<Assigned>,
    last_seen: Time,
    /// A reset of the client, which ends a handshake at once: what follows is a new flow.
    was_reset: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Assigned {
    backend: SocketAddr,
    incarnation: u32,
    tuple: (SocketAddr, SocketAddr),
}

pub(crate) struct Network {
    pub(crate) random: Random,
    pub(crate) now: Time,
    pub(crate) handles: Vec<Handle>,
    workers: Vec<Worker<MemoryQueue<HeapPacket>, HeapPool>>,
    hangs: Vec<bool>,
    inboxes: Vec<Arc<ArrayQueue<HeapPacket>>>,
    to_kernel: Arc<ArrayQueue<HeapPacket>>,
    connections: Vec<Connection>,
    /// Segments that backends have not answered yet.
    unanswered: VecDeque<Frame>,
    received: u64,
    has_rss: bool,
}

fn mac(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, last])
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 1 + random.below(3) as u8;
        let ring = if random.below(4) == 0 { 2 } else { 64 };
        let inboxes: Vec<_> = (0..count).map(|_| Arc::new(ArrayQueue::new(ring))).collect();
        let to_kernel = Arc::new(ArrayQueue::new(8));
        let handle = |id: u8| Handle::new(WorkerId(id), Some(id.into()), 2, BOUNDS);
        let handles: Vec<Handle> = (0..count).map(handle).collect();
        let worker = |handle: &Handle| {
            let config = PipelineConfig { worker: handle.id, flows: FLOWS, bounds: BOUNDS, seed };
            let links = Links {
                inboxes: inboxes.clone(),
                to_kernel: vec![Some(Arc::clone(&to_kernel)), None],
                from_kernel: Vec::new(),
            };
            let queues = vec![MemoryQueue::default(), MemoryQueue::default()];
            let pipeline = Pipeline::new(&config).expect("memory for a small table");
            Worker::new(handle.clone(), pipeline, queues, HeapPool, links, Arc::new(Snapshot::default()))
        };
        Self {
            workers: handles.iter().map(worker).collect(),
            hangs: vec![false; count.into()],
            has_rss: random.below(3) == 0,
            random,
            now: Time(1_000_000_000_000),
            handles,
            inboxes,
            to_kernel,
            connections: Vec::new(),
            unanswered: VecDeque::new(),
            received: 0,
        }
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn capabilities(&self) -> Vec<PortCapabilities> {
        let count = self.workers.len() as u16;
        let rss = Rss { key: (1..=40).collect(), reta: (0..16).map(|index| index % count).collect() };
        let rss = (self.has_rss && count > 1).then_some(rss);
        let port = |last| PortCapabilities {
            mac: mac(last),
            mtu: 1500,
            transmit_checksums: ChecksumOffload::default(),
            rss: rss.clone(),
            queues: count,
            numa_node: None,
        };
        vec![port(0x0a), port(0x0b)]
    }

    pub(crate) fn fib(&self) -> Arc<Fib> {
        let hop = |port, last| Some(NextHop { port, mac: mac(last), mtu: 1500 });
        let prefix = |octets: [u8; 4], length| Prefix::new(IpAddr::from(octets).into(), length);
        let everything = (prefix([0; 4], 96), hop(CLIENT_SIDE, 0xc1));
        let hosts = (1..=40).map(|host| (prefix([10, 0, 0, host], 128), hop(BACKEND_SIDE, host)));
        Arc::new(Fib::new(hosts.chain([everything])))
    }

    /// Of all workers: forwarded by flows, sent, handed over, resets.
    pub(crate) fn sums(&self) -> [u64; 4] {
        use WorkerCounter as C;
        [C::Hits, C::Sent, C::HandedIn, C::ResetsSent].map(|counter| self.total(counter))
    }

    fn total(&self, counter: WorkerCounter) -> u64 {
        self.workers.iter().map(|worker| worker.pipeline().counters.value(counter)).sum()
    }

    pub(crate) fn pass_millis(&mut self, millis: u64) {
        self.now = Time(self.now.0 + millis * 1_000_000);
    }

    pub(crate) fn pass_some_time(&mut self) {
        let millis = match self.random.below(64) {
            0 => 1_500,
            1 => 11_000,
            2 if self.random.below(4) == 0 => 130_000,
            _ => self.random.below(60).into(),
        };
        self.pass_millis(millis);
    }

    pub(crate) fn a_worker_hangs_or_goes_on(&mut self) {
        let worker = self.random.below(self.workers.len() as u32) as usize;
        self.hangs[worker] = !self.hangs[worker];
    }

    pub(crate) fn all_go_on(&mut self) {
        self.hangs.fill(false);
    }

    /// A new connection, or more of one that there is.
    pub(crate) fn a_client_sends(&mut self) {
        let count = self.connections.len() as u32;
        let is_new = count == 0 || self.random.below(3) == 0;
        let (number, flags) = if is_new {
            let client =
                SocketAddr::from((Ipv4Addr::new(203, 0, 113, (count % 50) as u8 + 1), 20_000 + count as u16));
            let service = self.random.below(SERVICES.len() as u32) as usize;
            self.connections.push(Connection {
                client,
                service,
                assigned: None,
                last_seen: self.now,
                was_reset: false,
            });
            (count, SYN)
        } else {
            // The latest ones most of the time.
            let any = self.random.below(4) == 0;
            let back = self.random.below(if any { count } else { count.min(6) });
            (count - 1 - back, [ACK, ACK, ACK, ACK, FIN | ACK, RST | ACK][self.random.below(6) as usize])
        };
        let Connection { client, service, .. } = self.connections[number as usize];
        let frame = Frame {
            sequence: number,
            link_destination: mac(0x0a),
            ..Frame::tcp("0.0.0.0:0", "0.0.0.0:0", flags)
        };
        let frame = Frame { source: client, destination: SERVICES[service].1.parse().unwrap(), ..frame };
        self.put(CLIENT_SIDE, &frame);
    }

    /// An answer to the oldest segment that has none, or to one that has been answered already.
    pub(crate) fn a_backend_answers(&mut self) {
        let Some(segment) = self.unanswered.pop_front() else { return };
        if self.random.below(4) == 0 {
            self.unanswered.push_back(segment.clone());
        }
        let flags = match segment.flags {
            SYN => SYN | ACK,
            _ => [ACK, ACK, ACK, FIN | ACK, RST][self.random.below(5) as usize],
        };
        let answer = Frame {
            link_destination: mac(0x0b),
            link_source: segment.link_destination,
            source: segment.destination,
            destination: segment.source,
            flags,
            sequence: SEQUENCE,
            acknowledgment: segment.sequence,
            ..segment
        };
        self.put(BACKEND_SIDE, &answer);
    }

    fn put(&mut self, port: PortId, frame: &Frame) {
        let worker = self.random.below(self.workers.len() as u32) as usize;
        let queue = self.workers[worker].queue_mut(port).unwrap();
        queue.incoming.push_back(HeapPacket::new(&frame.bytes(), port));
    }

    /// Every worker that does not hang turns, in some order.
    pub(crate) fn turn(&mut self, history: &History) {
        let count = self.workers.len();
        let first = self.random.below(count as u32) as usize;
        for worker in (first..first + count).map(|worker| worker % count) {
            if self.hangs[worker] {
                continue;
            }
            for port in [CLIENT_SIDE, BACKEND_SIDE] {
                self.received += self.workers[worker].queue_mut(port).unwrap().incoming.len() as u64;
            }
            self.workers[worker].turn(self.now);
            let generation = self.handles[worker].generation.load(Acquire);
            // Openings first: an answer in the same turn may be about one.
            for port in [BACKEND_SIDE, CLIENT_SIDE] {
                let sent: Vec<HeapPacket> =
                    self.workers[worker].queue_mut(port).unwrap().outgoing.drain(..).collect();
                for packet in sent {
                    let frame = Frame::read(packet.bytes());
                    if port == CLIENT_SIDE {
                        self.reaches_client(&frame);
                    } else {
                        self.reaches_backend(frame, generation, history);
                    }
                }
            }
            while self.to_kernel.pop().is_some() {}
            self.check(worker);
        }
        let waiting: usize = self.inboxes.iter().map(|inbox| inbox.len()).sum();
        let handed = self.total(WorkerCounter::HandedOut) - self.total(WorkerCounter::HandedIn);
        assert_eq!(handed, waiting as u64);
        assert_eq!(self.total(WorkerCounter::Received), self.received);
    }

    fn check(&self, worker: usize) {
        let pipeline = self.workers[worker].pipeline();
        let value = |counter| pipeline.counters.value(counter);
        let len = u64::from(pipeline.table().len());
        assert_eq!(pipeline.counters.imbalance(), 0, "the books of worker {worker}");
        assert!(len <= FLOWS.into());
        assert_eq!(value(WorkerCounter::FlowsOpened) - value(WorkerCounter::FlowsClosed), len);
        assert_eq!(value(WorkerCounter::FlowsActive), len);
    }

    fn reaches_client(&self, frame: &Frame) {
        let found = self.connections.iter().position(|connection| connection.client == frame.destination);
        let number = found.unwrap_or_else(|| panic!("to no client: {frame:?}"));
        let connection = &self.connections[number];
        let (_, vip, mode) = SERVICES[connection.service];
        assert_eq!(frame.source.to_string(), vip, "{frame:?}");
        if frame.flags == ACK && frame.sequence != SEQUENCE {
            // It is asked where it stands, by numbers at random.
            assert_ne!(mode, "dsr-mac", "{frame:?}");
            return;
        }
        if frame.flags & RST == 0 && frame.acknowledgment as usize != number {
            // A late answer to a connection whose local port another one has now: nobody can tell them apart.
            let tuple = |of: &Connection| of.assigned.map(|assigned| assigned.tuple);
            let answered = &self.connections[frame.acknowledgment as usize];
            let is_reused = connection.service == 0 && tuple(connection) == tuple(answered);
            assert!(is_reused, "an answer to {answered:?} reached {connection:?}: {frame:?}");
        }
    }

    fn reaches_backend(&mut self, frame: Frame, generation: u64, history: &History) {
        if frame.flags & (RST | ACK) == RST {
            return; // what answers a backend's own segment, back to where that came from
        }
        if frame.sequence as usize >= self.connections.len() {
            assert_eq!(frame.flags, ACK, "{frame:?}");
            let tuple = Some((frame.source, frame.destination));
            let mut tuples = self.connections.iter().map(|of| of.assigned.map(|assigned| assigned.tuple));
            assert!(tuples.any(|of| of == tuple), "a prompt to nobody's flow: {frame:?}");
            return;
        }
        let stateless = self.total(WorkerCounter::Stateless) > 0;
        let now = self.now;
        let connection = &mut self.connections[frame.sequence as usize];
        let (name, vip, mode) = SERVICES[connection.service];
        let is_dsr = mode == "dsr-mac";
        let backend = if is_dsr {
            assert_eq!((frame.source, frame.destination.to_string().as_str()), (connection.client, vip));
            SocketAddr::from(([10, 0, 0, frame.link_destination.0[5]], 80))
        } else {
            frame.destination
        };
        let tuple = (frame.source, frame.destination);
        let world = history.at(generation);
        let known = world.get(&(name.to_owned(), backend)).copied();
        let idle_ms = now.nanos_since(connection.last_seen) / 1_000_000;
        connection.last_seen = now;
        if frame.flags & RST != 0 {
            connection.was_reset = true;
            // The client's, or the balancer's own when it cuts a flow: to the address that the flow was at,
            // even if it has been removed and added again since.
            let assigned = connection.assigned.filter(|_| !is_dsr);
            if let Some(assigned) = assigned {
                assert_eq!((backend, tuple), (assigned.backend, assigned.tuple), "{frame:?}");
            }
            return;
        }
        let known = known.unwrap_or_else(|| panic!("generation {generation} has no such backend: {frame:?}"));
        assert!(known.keeps_flows(now), "generation {generation} has {known:?}: {frame:?}");
        let is_same = |assigned: &Assigned| {
            (assigned.backend, assigned.incarnation, assigned.tuple) == (backend, known.incarnation, tuple)
        };
        match connection.assigned {
            None => {
                assert!(known.takes_new, "generation {generation} has {known:?}: {frame:?}");
                assert!(is_dsr || frame.flags == SYN, "{frame:?} opened a flow");
            }
            Some(assigned) if is_same(&assigned) => {}
            Some(assigned) => {
                assert!(is_dsr, "{frame:?} left {assigned:?}");
                let old = world.get(&(name.to_owned(), assigned.backend));
                let could_stay = old.is_some_and(|old| {
                    old.incarnation == assigned.incarnation && old.keeps_flows(Time(now.0 + 4_000_000))
                });
                let ended = connection.was_reset || idle_ms > 9_000;
                assert!(!could_stay || stateless || ended, "{frame:?} left {assigned:?}");
            }
        }
        connection.assigned = Some(Assigned { backend, incarnation: known.incarnation, tuple });
        if !is_dsr {
            self.unanswered.push_back(frame);
            self.unanswered.truncate(16);
        }
    }

    /// No flow is left, and nothing waits anywhere.
    pub(crate) fn is_at_rest(&self) {
        for worker in &self.workers {
            assert!(worker.pipeline().table().is_empty(), "{:?} has flows", worker.id());
        }
        assert!(self.inboxes.iter().all(|inbox| inbox.is_empty()));
    }
}
