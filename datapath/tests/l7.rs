//! What goes to the layer 7 stage, and what a worker does with it.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

mod support;

use std::any::Any;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use evenkeel_datapath::command::{Command, Reply};
use evenkeel_datapath::counters::{DropReason, WorkerCounter};
use evenkeel_datapath::key::Protocol;
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::parse::{Content, Parsed};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig, Verdict};
use evenkeel_datapath::port::MemoryQueue;
use evenkeel_datapath::snapshot::{Mode, PortId, Snapshot, SnapshotParts, WorkerId};
use evenkeel_datapath::stage::{Stage, Turn};
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::{Handle, Links, Worker};

use support::frames::{ACK, FIN, Frame, PSH, RST, SYN};
use support::*;

const VIP: &str = "192.0.2.10:80";
const VIP6: &str = "[2001:db8::10]:80";
const CLIENT: &str = "198.51.100.7:40000";
const CLIENT6: &str = "[2001:db8:ff::7]:40000";

fn l7_network() -> SnapshotParts {
    let mut snapshot = network();
    add_service(&mut snapshot, Mode::L7, Protocol::Tcp, VIP, &[]);
    add_service(&mut snapshot, Mode::L7, Protocol::Tcp, VIP6, &[]);
    snapshot
}

#[test]
fn every_segment_to_an_l7_service_goes_to_its_stage_untouched() {
    let mut rig = Rig::new(l7_network());
    for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
        for flags in [SYN, ACK, ACK | PSH, ACK | FIN, RST, SYN | ACK] {
            // It is the last hop: a TTL of 1 has not run out.
            let frame = Frame::tcp(client, vip, flags).payload(b"octets").ttl(1);
            let bytes = Frame { link_destination: mac(0x0a), ..frame }.bytes();
            let sent = rig.put(CLIENT_SIDE, &bytes);
            assert_eq!(sent.verdict, Verdict::L7, "{client} {flags:#x}");
            assert_eq!(sent.packet.bytes(), bytes);
            let parsed = sent.parsed.expect("what was read of it");
            assert_eq!((parsed.key.source, parsed.key.destination), (endpoint(client), endpoint(vip)));
            assert_eq!((parsed.tcp_flags, parsed.l4_length()), (flags, 26));
        }
    }
    assert!(rig.pipeline.table().is_empty(), "no flow is needed");
}

#[test]
fn nothing_else_to_its_address_does() {
    let mut rig = Rig::new(l7_network());
    assert_eq!(rig.drops(CLIENT_SIDE, &Frame::udp(CLIENT, VIP)), DropReason::NoService);
    assert_eq!(rig.drops(CLIENT_SIDE, &Frame::tcp(CLIENT, "192.0.2.10:81", SYN)), DropReason::NoService);
    let ping = Frame::icmp("198.51.100.9", "192.0.2.10", vec![8, 0, 0, 0, 0, 9, 0, 1]);
    let pong = rig.send(CLIENT_SIDE, &ping);
    assert!(pong.parsed.is_none());
    assert_eq!(pong.expect_on(CLIENT_SIDE).payload[..2], [0, 0]);
}

#[test]
fn icmp_errors_about_what_its_stage_sent_go_to_it() {
    for (vip, client, router, kind) in [
        (VIP, CLIENT, "203.0.113.1", [3, 4, 0, 0, 0, 0, 0x05, 0x00]),
        (VIP6, CLIENT6, "2001:db8:aa::1", [2, 0, 0, 0, 0, 0, 0x05, 0x00]),
    ] {
        let mut rig = Rig::new(l7_network());
        let quoted = Frame::tcp(vip, client, ACK).packet();
        let headers = if vip == VIP { 28 } else { 48 };
        let message = [&kind[..], &quoted[..headers]].concat();
        let to = vip.parse::<std::net::SocketAddr>().unwrap().ip().to_string();
        let sent = rig.send(CLIENT_SIDE, &Frame::icmp(router, &to, message).ttl(1));
        assert_eq!(sent.verdict, Verdict::L7, "{vip}");
        let parsed = sent.parsed.unwrap();
        assert!(matches!(parsed.content, Content::IcmpError { .. }));
        assert_eq!((parsed.key.source, parsed.key.destination), (endpoint(client), endpoint(vip)));
    }
}

/// A service that becomes one of layer 7 while it has flows: they are over, and what a client begins anew is its stage's.
#[test]
fn a_service_that_turns_to_layer_7_has_its_new_connections_there() {
    let mut snapshot = network();
    let slot = add_service(&mut snapshot, Mode::Nat, Protocol::Tcp, VIP, &["10.0.0.1:8080"]);
    let mut rig = Rig::new(snapshot);
    rig.connect(CLIENT, VIP);
    rig.snapshot.services[usize::from(slot.0)].as_mut().unwrap().mode = Mode::L7;
    rig.snapshot.backends[0] = None;
    let stray = rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, ACK));
    assert_ne!(stray.expect_on(CLIENT_SIDE).flags & RST, 0);
    assert_eq!(rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, SYN)).verdict, Verdict::L7);
    assert!(rig.pipeline.table().is_empty());
}

/// A stage that sends everything back to where it came from, and remembers what it was called for.
struct Mirror {
    generation: u64,
    held: Vec<(HeapPacket, PortId)>,
    published: Arc<ArrayQueue<usize>>,
}

impl Stage<HeapPool> for Mirror {
    fn adopt(&mut self, _: Time, snapshot: &Snapshot) {
        self.generation = snapshot.generation;
    }

    fn receive(&mut self, turn: &mut Turn<'_, HeapPool>, packets: &mut Vec<HeapPacket>, parsed: &[Parsed]) {
        assert_eq!(packets.len(), parsed.len());
        assert_eq!(turn.snapshot.generation, self.generation);
        for (packet, parsed) in packets.drain(..).zip(parsed) {
            let frame = Frame::read(packet.bytes());
            assert_eq!(endpoint(&frame.source.to_string()), parsed.key.source);
            let port = packet.port();
            self.held.push((packet, port));
        }
    }

    fn turn(&mut self, turn: &mut Turn<'_, HeapPool>) -> bool {
        let any = !self.held.is_empty();
        let room = turn.out.capacity() - turn.out.len();
        turn.out.extend(self.held.drain(..room.min(self.held.len())));
        turn.unresolved = any.then(|| addr("198.51.100.7"));
        any
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn answer(&mut self, _: Time, question: &mut (dyn Any + Send)) {
        if let Some(held) = question.downcast_mut::<u64>() {
            *held = self.generation;
        }
    }

    fn publish(&mut self) {
        self.published.force_push(self.held.len());
    }
}

#[test]
fn a_worker_feeds_its_stage_and_sends_for_it() {
    let handle = Handle::new(WorkerId(0), None, 8, BOUNDS);
    let config = PipelineConfig { worker: WorkerId(0), flows: 64, bounds: BOUNDS, seed: 3 };
    let published = Arc::new(ArrayQueue::new(1));
    let stage = Mirror { generation: 0, held: Vec::new(), published: Arc::clone(&published) };
    let links = Links { inboxes: vec![], to_kernel: vec![], from_kernel: vec![] };
    let queues = vec![MemoryQueue::default(), MemoryQueue::default()];
    let pipeline = Pipeline::new(&config).unwrap();
    let mut worker = Worker::new(handle.clone(), pipeline, queues, HeapPool, links, Arc::default())
        .with_stage(stage, Time(0));
    let snapshot = Arc::new(Snapshot::from(l7_network()));
    handle.commands.push(Command::Adopt(snapshot)).unwrap();
    handle.commands.push(Command::Ask(Box::new(0_u64))).unwrap();

    for (port, client) in [(0, CLIENT), (1, CLIENT6)] {
        let vip = if port == 0 { VIP } else { VIP6 };
        let own = mac(if port == 0 { 0x0a } else { 0x0b });
        let queue = worker.queue_mut(PortId(port)).unwrap();
        for flags in [SYN, ACK] {
            let bytes = Frame { link_destination: own, ..Frame::tcp(client, vip, flags) }.bytes();
            queue.incoming.push_back(HeapPacket::new(&bytes, PortId(port)));
        }
    }
    assert!(worker.turn(Time(1_000_000_000)));
    for port in 0..2 {
        assert_eq!(worker.queue_mut(PortId(port)).unwrap().outgoing.len(), 2);
    }
    let counters = &worker.pipeline().counters;
    assert_eq!(
        [WorkerCounter::ToL7, WorkerCounter::Originated].map(|counter| counters.value(counter)),
        [4, 4]
    );
    assert_eq!(counters.imbalance(), 0);
    assert!(!worker.turn(Time(1_000_000_000)), "nothing is left to do");

    let mut replies = std::iter::from_fn(|| handle.replies.pop());
    assert!(matches!(replies.next(), Some(Reply::Returned(_))));
    match replies.next() {
        Some(Reply::Answered(answer)) => assert_eq!(answer.downcast_ref::<u64>(), Some(&1)),
        other => panic!("{other:?}"),
    }
    match replies.next() {
        Some(Reply::Unresolved(wanted)) => assert_eq!(wanted, addr("198.51.100.7")),
        other => panic!("{other:?}"),
    }
    for _ in 0..64 {
        worker.turn(Time(1_000_000_000));
    }
    assert_eq!(published.pop(), Some(0));
}
