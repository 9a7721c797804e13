//! A balancer of some workers whose wire is memory, as an end of the link.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use evenkeel_datapath::command::Command;
use evenkeel_datapath::counters::{BackendCounter, Bounds, DropReason, ServiceCounter, WorkerCounter};
use evenkeel_datapath::fib::{Fib, NextHop, Prefix};
use evenkeel_datapath::key::{Addr, Endpoint, Protocol};
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::port::MemoryQueue;
use evenkeel_datapath::snapshot::{
    self, BackendState, LocalAddresses, MacAddress, Mode, PortId, PortInfo, Service, ServiceSlot, Snapshot,
    SnapshotParts, WorkerId,
};
use evenkeel_datapath::steering::Steering;
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::{Handle, Links, Worker};
use evenkeel_l7::balance::{Candidate, Group, Policy};
use evenkeel_l7::proxy::Site;
use evenkeel_l7::proxy::site::{Action, Backend, Cluster, Forward};
use evenkeel_l7::{Config, L7, Page, Services};

use crate::network;

/// Where backends are, the first three for the first address and the others for the other one.
pub(crate) const BACKENDS: [&str; 6] = [
    "10.0.1.1:8080",
    "10.0.1.2:8080",
    "10.0.1.3:8080",
    "[fd00:1::1]:8080",
    "[fd00:1::2]:8080",
    "[fd00:1::3]:8080",
];

/// Where the page is.
pub(crate) const VIP: &str = "192.0.2.10:80";
/// The same in the other family.
pub(crate) const VIP6: &str = "[2001:db8::10]:80";

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const GATEWAY: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const BOUNDS: Bounds = Bounds { services: 4, backends: 8 };

/// How requests are answered.
enum Answers<'a> {
    By(&'a Arc<Page>),
    /// By the backends of each family, which are in these states.
    Backends([BackendState; 3]),
}

type TestWorker = Worker<MemoryQueue<HeapPacket>, HeapPool, L7<HeapPacket>>;

/// See the module.
pub(crate) struct Balancer {
    workers: Vec<TestWorker>,
    handles: Vec<Handle>,
    generation: u64,
    /// The worker that the next packet comes to.
    next: usize,
    received: u64,
    sent: u64,
}

fn snapshot(workers: u8, answers: &Answers<'_>, mtu: u16, generation: u64) -> Snapshot {
    let gateway = NextHop { port: PortId(0), mac: GATEWAY, mtu };
    let everywhere = [(Addr::from_v4([0; 4]), 96), (Addr::default(), 0)];
    let routes = everywhere.map(|(addr, length)| (Prefix::new(addr, length), Some(gateway)));
    let mut parts = SnapshotParts {
        generation,
        fib: Arc::new(Fib::new(routes)),
        ports: vec![PortInfo { mac: OWN, mtu: 1500, ..PortInfo::default() }],
        steering: Arc::new(if workers == 1 { Steering::Single } else { Steering::Software { workers } }),
        local: LocalAddresses::new(&["10.0.0.1", "fd00::1"].map(address), 20_000, 20_999),
        ..SnapshotParts::default()
    };
    let mut services = Services::default();
    for (slot, text) in (0..).zip([VIP, VIP6]) {
        let vip: std::net::SocketAddr = text.parse().unwrap();
        let slot = ServiceSlot(slot);
        let end = Endpoint::from(vip);
        parts.services.push(Some(Service {
            vip: end,
            protocol: Protocol::Tcp,
            mode: Mode::L7,
            maglev: Arc::default(),
        }));
        parts.vips.insert((end, Protocol::Tcp), slot);
        parts.vip_addresses.insert(end.addr);
        let site = Arc::new(match answers {
            Answers::By(page) => Site::always(Action::Page(Arc::clone(page)), vec![]),
            Answers::Backends(states) => leading(&mut parts, slot, states),
        });
        services.0.push(evenkeel_l7::Service { slot, vip: vip.into(), site });
    }
    parts.l7 = services.sealed();
    parts.into()
}

fn address(text: &str) -> Addr {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

/// A site that leads to the three backends of a service, which are in these states.
fn leading(parts: &mut SnapshotParts, service: ServiceSlot, states: &[BackendState; 3]) -> Site {
    let mut backends = Vec::new();
    for (text, state) in BACKENDS.iter().skip(3 * usize::from(service.0)).zip(states) {
        let address: std::net::SocketAddr = text.parse().unwrap();
        let (slot, endpoint) = (parts.backends.len() as u16, Endpoint::from(address));
        let next_hop = parts.fib.lookup(endpoint.addr);
        parts.backends.push(Some(snapshot::Backend { epoch: 3, service, endpoint, state: *state, next_hop }));
        backends.push((Backend { slot, epoch: 3, address, identity: u64::from(slot) }, *state));
    }
    let active = backends.iter().filter(|(_, state)| *state == BackendState::Active);
    let candidates: Vec<_> = active.map(|(backend, _)| Candidate { slot: backend.slot, weight: 1 }).collect();
    let group = Group::new(Policy::PowerOfTwo, &candidates, Arc::default(), Duration::ZERO);
    let backends = backends.into_iter().map(|(backend, _)| backend).collect();
    let cluster = Cluster::new("all", group, backends);
    Site::always(Action::Forward(Box::new(Forward::to(0))), vec![cluster])
}

impl Balancer {
    /// One that leads to backends.
    pub(crate) fn leading(count: u8, seed: u64) -> Self {
        Self::answering(count, &Answers::Backends([BackendState::Active; 3]), seed, 1500)
    }

    /// The backends of each family are in these states from now on.
    pub(crate) fn change(&mut self, now: u64, states: [BackendState; 3]) {
        self.generation += 1;
        let workers = self.workers.len() as u8;
        let snapshot = snapshot(workers, &Answers::Backends(states), 1500, self.generation);
        let snapshot = Arc::new(snapshot);
        for (handle, worker) in self.handles.iter().zip(&mut self.workers) {
            handle.commands.push(Command::Adopt(Arc::clone(&snapshot))).unwrap();
            worker.turn(Time(now));
            while handle.replies.pop().is_some() {}
        }
    }

    pub(crate) fn new(count: u8, page: &Arc<Page>, seed: u64) -> Self {
        Self::with_way(count, page, seed, 1500)
    }

    /// One whose way to clients takes packets of `mtu` octets at most, which its port does not know.
    pub(crate) fn with_way(count: u8, page: &Arc<Page>, seed: u64, mtu: u16) -> Self {
        Self::answering(count, &Answers::By(page), seed, mtu)
    }

    fn answering(count: u8, answers: &Answers<'_>, seed: u64, mtu: u16) -> Self {
        let snapshot = Arc::new(snapshot(count, answers, mtu, 1));
        let inboxes: Vec<_> = (0..count).map(|_| Arc::new(ArrayQueue::new(1024))).collect();
        let handles: Vec<_> = (0..count).map(|id| Handle::new(WorkerId(id), None, 8, BOUNDS)).collect();
        let worker = |handle: &Handle| {
            let (handle, WorkerId(id)) = (handle.clone(), handle.id);
            let config = PipelineConfig { worker: handle.id, flows: 64, bounds: BOUNDS, seed };
            let links = Links { inboxes: inboxes.clone(), to_kernel: vec![], from_kernel: vec![] };
            let pipeline = Pipeline::new(&config).unwrap();
            let queues = vec![MemoryQueue::default()];
            let config = Config { connections: 64, memory: 1 << 20, seed: seed + u64::from(id) };
            Worker::new(handle, pipeline, queues, HeapPool, links, Arc::clone(&snapshot))
                .with_stage(L7::new(config), Time(1_000_000_000))
        };
        let workers = handles.iter().map(worker).collect();
        Self { workers, handles, generation: 1, next: 0, received: 0, sent: 0 }
    }

    fn total(&self, counter: WorkerCounter) -> u64 {
        self.workers.iter().map(|worker| worker.pipeline().counters.value(counter)).sum()
    }

    pub(crate) fn handed_over(&self) -> u64 {
        self.total(WorkerCounter::HandedIn)
    }

    /// Segments that the way out was too narrow for.
    pub(crate) fn too_big(&self) -> u64 {
        self.workers.iter().map(|worker| worker.pipeline().counters.drops(DropReason::TooBig)).sum()
    }

    /// Connections to both services so far, and those that are there now.
    pub(crate) fn connections(&self) -> [u64; 2] {
        let of = |counter: ServiceCounter| {
            let rows = self.workers.iter().flat_map(|worker| {
                let mut counters = worker.pipeline().counters.clone();
                [0, 1].map(|slot| counters.service(slot).unwrap()[counter as usize])
            });
            rows.sum()
        };
        [of(ServiceCounter::FlowsOpened), of(ServiceCounter::FlowsActive)]
    }

    /// True if no connection has anything to wait for but the end of TIME-WAIT.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.workers.iter().all(|worker| worker.deadline().is_none())
    }

    /// Invariant 6, and nothing went to anybody else than the stage.
    pub(crate) fn check_books(&self) {
        for worker in &self.workers {
            assert_eq!(worker.pipeline().counters.imbalance(), 0);
        }
        assert_eq!(self.total(WorkerCounter::Received), self.received);
        assert_eq!(self.total(WorkerCounter::Sent), self.sent);
        assert_eq!(self.total(WorkerCounter::Sent) + self.too_big(), self.total(WorkerCounter::Originated));
        assert_eq!(self.total(WorkerCounter::FlowsOpened), 0);
    }

    /// The same where connections to backends have flows: all of these are gone.
    pub(crate) fn check_led_books(&self) {
        for worker in &self.workers {
            let pipeline = worker.pipeline();
            assert_eq!(pipeline.counters.imbalance(), 0);
            assert!(pipeline.table().is_empty(), "{} flows are left", pipeline.table().len());
        }
        let of_backend = |slot: u16, counter: BackendCounter| {
            let row = |worker: &TestWorker| *worker.pipeline().counters.clone().backend(slot).unwrap();
            self.workers.iter().map(|worker| row(worker)[counter as usize]).sum::<u64>()
        };
        for slot in 0..BACKENDS.len() as u16 {
            assert_eq!(of_backend(slot, BackendCounter::FlowsActive), 0, "of backend {slot}");
            assert_ne!(of_backend(slot, BackendCounter::PacketsIn), 0, "to backend {slot}");
            assert_ne!(of_backend(slot, BackendCounter::PacketsOut), 0, "from backend {slot}");
        }
        assert_eq!(self.total(WorkerCounter::Received), self.received);
        assert_eq!(self.total(WorkerCounter::Sent), self.sent);
        let [opened, closed] = [WorkerCounter::FlowsOpened, WorkerCounter::FlowsClosed];
        assert_ne!(self.total(opened), 0);
        assert_eq!(self.total(opened), self.total(closed));
    }
}

impl network::Endpoint for Balancer {
    fn receive(&mut self, _: u64, packet: Vec<u8>) {
        let kind: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
        let frame = [&OWN.0[..], &GATEWAY.0, &kind, &packet].concat();
        self.received += 1;
        self.next = (self.next + 1) % self.workers.len();
        let queue = self.workers[self.next].queue_mut(PortId(0)).unwrap();
        queue.incoming.push_back(HeapPacket::new(&frame, PortId(0)));
    }

    fn transmit(&mut self, now: u64) -> Option<Vec<u8>> {
        for _ in 0..100 {
            for worker in &mut self.workers {
                let queue = worker.queue_mut(PortId(0)).unwrap();
                if !queue.outgoing.is_empty() {
                    let packet = queue.outgoing.remove(0);
                    self.sent += 1;
                    assert_eq!(packet.bytes()[..12], [GATEWAY.0, OWN.0].concat());
                    return Some(packet.bytes()[14..].to_vec());
                }
            }
            if !self.workers.iter_mut().fold(false, |moved, worker| worker.turn(Time(now)) | moved) {
                return None;
            }
        }
        panic!("the workers always have something to do");
    }

    fn deadline(&self) -> Option<u64> {
        self.workers.iter().filter_map(Worker::deadline).map(|deadline| deadline.0).min()
    }
}
