//! Invariant 2: a worker's turn neither takes memory nor gives any back, whatever comes along.
//!
//! The wires, the pool and the packets of this test are its own, since they must not allocate either: all buffers are
//! made at first and go around.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use evenkeel_datapath::command::{Command, FlowQuery, FlowQuestion, Reply};
use evenkeel_datapath::counters::{DropReason, WorkerCounter};
use evenkeel_datapath::key::{FlowKey, Protocol};
use evenkeel_datapath::packet::{Packet, PacketPool, Received, TransmitOffload};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::port::{BURST, Queue};
use evenkeel_datapath::snapshot::{BackendState, Mode, PortId, Snapshot, SnapshotParts, WorkerId};
use evenkeel_datapath::steering::Steering;
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::{Handle, Links, Worker};

use support::frames::{ACK, FIN, Frame, RST, SYN};
use support::*;

const ROOM: usize = 2048;
const HEADROOM: usize = 128;

#[derive(Debug)]
struct Buffer {
    octets: [u8; ROOM],
    start: usize,
    end: usize,
    port: PortId,
}

/// A packet in a buffer of the pool, to which it goes back.
#[derive(Debug)]
struct Pooled {
    buffer: Option<Box<Buffer>>,
    pool: Pool,
}

#[derive(Clone, Debug)]
struct Pool(Arc<ArrayQueue<Box<Buffer>>>);

impl Pool {
    fn new(count: usize) -> Self {
        let pool = ArrayQueue::new(count);
        for _ in 0..count {
            let buffer = Buffer { octets: [0; ROOM], start: 0, end: 0, port: PortId(0) };
            pool.push(Box::new(buffer)).unwrap();
        }
        Self(Arc::new(pool))
    }

    fn packet(&mut self, bytes: &[u8], port: PortId) -> Pooled {
        let mut packet = self.allocate().expect("the pool is large enough");
        assert!(packet.resize(bytes.len()));
        packet.bytes_mut().copy_from_slice(bytes);
        packet.set_port(port);
        packet
    }
}

impl PacketPool for Pool {
    type Packet = Pooled;

    fn allocate(&mut self) -> Option<Pooled> {
        let mut buffer = self.0.pop()?;
        (buffer.start, buffer.end, buffer.port) = (HEADROOM, HEADROOM, PortId(0));
        Some(Pooled { buffer: Some(buffer), pool: self.clone() })
    }
}

impl Pooled {
    fn buffer(&self) -> &Buffer {
        self.buffer.as_ref().expect("until it is dropped")
    }

    fn buffer_mut(&mut self) -> &mut Buffer {
        self.buffer.as_mut().expect("until it is dropped")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.pool.0.push(buffer).expect("room for every buffer of the pool");
        }
    }
}

impl Packet for Pooled {
    type Shared = Rc<Self>;

    fn into_shared(self) -> Rc<Self> {
        Rc::new(self)
    }

    fn bytes(&self) -> &[u8] {
        let buffer = self.buffer();
        &buffer.octets[buffer.start..buffer.end]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let buffer = self.buffer_mut();
        &mut buffer.octets[buffer.start..buffer.end]
    }

    fn total_len(&self) -> usize {
        self.bytes().len()
    }

    fn truncate(&mut self, len: usize) {
        let buffer = self.buffer_mut();
        buffer.end = buffer.start + len;
    }

    fn prepend(&mut self, octets: usize) -> bool {
        let buffer = self.buffer_mut();
        let start = buffer.start.checked_sub(octets);
        buffer.start = start.unwrap_or(buffer.start);
        start.is_some()
    }

    fn resize(&mut self, len: usize) -> bool {
        let buffer = self.buffer_mut();
        let has_room = buffer.start + len <= ROOM;
        if has_room {
            buffer.end = buffer.start + len;
        }
        has_room
    }

    fn port(&self) -> PortId {
        self.buffer().port
    }

    fn set_port(&mut self, port: PortId) {
        self.buffer_mut().port = port;
    }

    fn received(&self) -> Received {
        Received::default()
    }

    fn set_offload(&mut self, _: TransmitOffload) {}
}

#[derive(Debug)]
struct Wire {
    incoming: VecDeque<Pooled>,
    outgoing: Vec<Pooled>,
}

impl Wire {
    const ROOM: usize = 256;

    fn new() -> Self {
        Self { incoming: VecDeque::with_capacity(Self::ROOM), outgoing: Vec::with_capacity(Self::ROOM) }
    }
}

impl Queue for Wire {
    type Packet = Pooled;

    fn receive(&mut self, burst: &mut Vec<Pooled>) -> usize {
        let count = self.incoming.len().min(BURST).min(burst.capacity() - burst.len());
        burst.extend(self.incoming.drain(..count));
        count
    }

    fn transmit(&mut self, packets: &mut Vec<Pooled>) -> usize {
        let count = packets.len().min(Self::ROOM - self.outgoing.len());
        self.outgoing.extend(packets.drain(..count));
        count
    }
}

/// Two workers, and everything that can be done to them.
struct Bench {
    workers: Vec<Worker<Wire, Pool>>,
    handles: Vec<Handle>,
    pool: Pool,
    to_kernel: Arc<ArrayQueue<Pooled>>,
    from_kernel: Arc<ArrayQueue<Pooled>>,
    now: Time,
    turns: u64,
}

impl Bench {
    fn new(snapshot: &Arc<Snapshot>) -> Self {
        let pool = Pool::new(1024);
        let inboxes: Vec<_> = (0..2).map(|_| Arc::new(ArrayQueue::new(128))).collect();
        let (to_kernel, from_kernel) = (Arc::new(ArrayQueue::new(64)), Arc::new(ArrayQueue::new(64)));
        let handle = |id| Handle::new(WorkerId(id), None, 8, BOUNDS);
        let handles: Vec<Handle> = (0..2).map(handle).collect();
        let worker = |handle: &Handle| {
            let config = PipelineConfig { worker: handle.id, flows: 96, bounds: BOUNDS, seed: 3 };
            let links = Links {
                inboxes: inboxes.clone(),
                to_kernel: vec![Some(Arc::clone(&to_kernel)), None],
                from_kernel: vec![Arc::clone(&from_kernel)],
            };
            let pipeline = Pipeline::new(&config).unwrap();
            let queues = vec![Wire::new(), Wire::new()];
            Worker::new(handle.clone(), pipeline, queues, pool.clone(), links, Arc::clone(snapshot))
        };
        let workers = handles.iter().map(worker).collect();
        Self { workers, handles, pool, to_kernel, from_kernel, now: Time(1_000_000_000_000), turns: 0 }
    }

    fn put(&mut self, port: PortId, frame: &Frame) {
        let own = [mac(0x0a), mac(0x0b)][usize::from(port.0)];
        let bytes = Frame { link_destination: own, ..frame.clone() }.bytes();
        let packet = self.pool.packet(&bytes, port);
        let at = usize::from(frame.source.port() / 2 % 2);
        self.workers[at].queue_mut(port).unwrap().incoming.push_back(packet);
    }

    /// Turns until everything is through, measured; returns the frames that were sent to backends.
    fn turn(&mut self) -> Vec<Frame> {
        for _ in 0..4 {
            self.turn_once();
        }
        let mut to_backends = Vec::new();
        for worker in &mut self.workers {
            worker.queue_mut(CLIENT_SIDE).unwrap().outgoing.clear();
            let sent = worker.queue_mut(BACKEND_SIDE).unwrap().outgoing.drain(..);
            to_backends.extend(sent.map(|packet| Frame::read(packet.bytes())));
        }
        while self.to_kernel.pop().is_some() {}
        for handle in &self.handles {
            while handle.replies.pop().is_some() {}
        }
        to_backends
    }

    fn turn_once(&mut self) {
        for worker in &mut self.workers {
            self.now = Time(self.now.0 + 10_000);
            let now = self.now;
            let measured = allocation_counter::measure(|| {
                worker.turn(now);
            });
            assert_eq!(
                (measured.count_total, measured.count_current),
                (0, 0),
                "allocations, and allocations less deallocations, in turn {} of {:?}",
                self.turns,
                worker.id(),
            );
            self.turns += 1;
        }
    }

    fn command(&self, command: impl Fn() -> Command) {
        for handle in &self.handles {
            assert!(handle.commands.push(command()).is_ok());
        }
    }

    fn total(&self, counter: WorkerCounter) -> u64 {
        self.workers.iter().map(|worker| worker.pipeline().counters.value(counter)).sum()
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.workers.iter().map(|worker| worker.pipeline().counters.drops(reason)).sum()
    }
}

const VIPS: [&str; 3] = ["192.0.2.10:80", "192.0.2.11:80", "[2001:db8::12]:80"];

fn snapshot() -> SnapshotParts {
    let mut snapshot = network();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        add_service(&mut snapshot, Mode::FullNat, protocol, VIPS[0], &["10.0.0.1:80", "10.0.0.2:80"]);
        add_service(&mut snapshot, Mode::Nat, protocol, VIPS[1], &["10.0.0.3:80", "10.0.0.4:80"]);
        add_service(&mut snapshot, Mode::DsrMac, protocol, VIPS[2], &["[fd00::5]:80", "[fd00::6]:80"]);
    }
    snapshot.steering = Arc::new(Steering::Software { workers: 2 });
    snapshot.timeouts.udp_one_way_ms = 1_000;
    snapshot
}

fn client(vip: &str, number: u16) -> String {
    let port = 10_000 + number;
    if vip.starts_with('[') { format!("[2001:db8:c::7]:{port}") } else { format!("198.51.100.7:{port}") }
}

/// An ICMP error (port unreachable) to the sender of `about`, from its receiver.
fn unreachable(about: &Frame) -> Frame {
    let (source, destination) = (about.destination.ip().to_string(), about.source.ip().to_string());
    let kind = if about.source.is_ipv4() { [3, 3] } else { [1, 4] };
    let message = [&kind[..], &[0; 6], &about.packet()].concat();
    Frame::icmp(&source, &destination, message)
}

#[test]
fn a_turn_allocates_nothing() {
    let up = Arc::new(Snapshot::from(snapshot()));
    let mut without = snapshot();
    for slot in [0, 2, 4] {
        set_state(&mut without, slot, BackendState::Down);
    }
    let without = Arc::new(Snapshot::from(SnapshotParts { generation: 2, ..without }));
    let mut bench = Bench::new(&up);
    for round in 0..60_u16 {
        for vip in VIPS {
            let number = |n: u16| round * 40 % 2000 + n;
            // Opens, hits, closes.
            for n in 0..24 {
                bench.put(CLIENT_SIDE, &Frame::tcp(&client(vip, number(n)), vip, SYN));
                bench.put(CLIENT_SIDE, &Frame::udp(&client(vip, number(n / 2)), vip).payload(b"?"));
            }
            let sent = bench.turn();
            for frame in sent.iter().filter(|frame| frame.source.port() != frame.destination.port()) {
                bench.put(BACKEND_SIDE, &answer_to(frame, SYN | ACK));
                bench.put(BACKEND_SIDE, &unreachable(frame));
            }
            bench.turn();
            for n in 0..24 {
                let data = Frame::tcp(&client(vip, number(n)), vip, ACK).payload(b"GET / HTTP/1.1\r\n");
                bench.put(CLIENT_SIDE, &data);
                bench.put(CLIENT_SIDE, &data.ttl(1));
            }
            bench.turn();
            // Backends go down and come back, and workers are asked about flows meanwhile.
            bench.command(|| Command::Adopt(Arc::clone(&without)));
            for n in 0..24 {
                let flags = [FIN | ACK, RST, ACK][usize::from(n % 3)];
                bench.put(CLIENT_SIDE, &Frame::tcp(&client(vip, number(n)), vip, flags));
            }
            let key = FlowKey {
                source: endpoint(&client(vip, number(1))),
                destination: endpoint(vip),
                protocol: Protocol::Tcp,
            };
            for question in [FlowQuestion::Lookup(key), FlowQuestion::List { from: 0 }] {
                bench.command(|| {
                    let flows = Vec::with_capacity(16);
                    Command::Flows(Box::new(FlowQuery { token: 0, question, flows, next: None }))
                });
            }
            bench.turn();
            bench.command(|| Command::Adopt(Arc::clone(&up)));
            // Strays, the kernel's, and what is for nobody.
            bench.put(CLIENT_SIDE, &Frame::tcp(&client(vip, 9_000), vip, ACK));
            bench.put(CLIENT_SIDE, &Frame::tcp(&client(vip, 9_001), vip, SYN | FIN));
            let address = vip.rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
            let from = client(vip, 0);
            let from = from.rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
            let echo = if address.contains(':') { 128 } else { 8 };
            bench.put(CLIENT_SIDE, &Frame::icmp(from, address, vec![echo, 0, 0, 0, 0, 1, 0, 1]));
            bench.put(CLIENT_SIDE, &Frame::udp("198.51.100.7:5353", "192.0.2.1:53"));
            let packet =
                bench.pool.packet(&Frame::udp("10.0.0.254:53", "10.0.0.1:999").bytes(), BACKEND_SIDE);
            assert!(bench.from_kernel.push(packet).is_ok());
            bench.turn();
        }
        // Now and then silence, in which flows expire.
        bench.now = Time(bench.now.0 + if round % 3 == 0 { 25_000_000_000 } else { 100_000_000 });
        bench.turn();
    }
    use WorkerCounter as C;
    for counter in [
        C::Received,
        C::FromKernel,
        C::HandedIn,
        C::Originated,
        C::Sent,
        C::ToKernel,
        C::HandedOut,
        C::Hits,
        C::Misses,
        C::FlowsOpened,
        C::FlowsClosed,
        C::FlowsExpired,
        C::Stateless,
        C::ResetsSent,
        C::EchoReplies,
        C::IcmpTranslated,
        C::IcmpGenerated,
        C::SnapshotSwaps,
    ] {
        assert!(bench.total(counter) > 20, "{} stands at {}", counter.name(), bench.total(counter));
    }
    for reason in [DropReason::FlowTableFull, DropReason::BadTcpFlags, DropReason::NoFlow] {
        assert!(bench.drops(reason) > 20, "{} stands at {}", reason.name(), bench.drops(reason));
    }
    assert!(bench.turns > 2_000);
    for worker in &bench.workers {
        assert_eq!(worker.pipeline().counters.imbalance(), 0);
    }
}

/// The measure itself: it sees an allocation, and a deallocation of what was there before.
#[test]
fn what_is_allocated_and_freed_is_seen() {
    let kept = vec![1_u8];
    let taken = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(taken.count_total, 1);
    let freed = allocation_counter::measure(move || drop(std::hint::black_box(kept)));
    assert_eq!((freed.count_total, freed.count_current), (0, -1));
    let handle = Reply::Returned(Arc::new(Snapshot::default()));
    let freed = allocation_counter::measure(move || drop(std::hint::black_box(handle)));
    assert!(freed.count_current < 0);
}
