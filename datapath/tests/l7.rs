//! What goes to the layer 7 stage, and what a worker does with it.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

mod support;

use std::any::Any;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use evenkeel_datapath::command::{Command, Reply};
use evenkeel_datapath::counters::{BackendCounter, DropReason, WorkerCounter};
use evenkeel_datapath::key::{Endpoint, FlowKey, Protocol};
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::parse::{Content, Parsed};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig, Verdict};
use evenkeel_datapath::port::MemoryQueue;
use evenkeel_datapath::snapshot::{
    BackendId, BackendState, LocalAddresses, Mode, PortId, Snapshot, SnapshotParts, WorkerId,
};
use evenkeel_datapath::stage::{Stage, Turn};
use evenkeel_datapath::steering::Steering;
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

/// A service at layer 7 with two backends of each family, and what full NAT sends from.
fn proxied() -> SnapshotParts {
    let mut snapshot = network();
    add_service(&mut snapshot, Mode::L7, Protocol::Tcp, VIP, &["10.0.0.1:8080", "10.0.0.2:8080"]);
    add_service(&mut snapshot, Mode::L7, Protocol::Tcp, VIP6, &["[fd00::1]:8080"]);
    snapshot
}

fn text(end: Endpoint) -> String {
    std::net::SocketAddr::from(end).to_string()
}

fn backend_row(rig: &mut Rig, slot: u16, counter: BackendCounter) -> u64 {
    rig.pipeline.counters.backend(slot).unwrap()[counter as usize]
}

#[test]
fn a_connection_of_the_stages_own_gets_its_answers() {
    for (slot, backend, router) in
        [(0, "10.0.0.1:8080", "203.0.113.1"), (2, "[fd00::1]:8080", "2001:db8:aa::1")]
    {
        let mut rig = Rig::new(proxied());
        let id = BackendId { slot, epoch: 1 };
        let snapshot = rig.snapshot.clone().into();
        let (flow, local) = rig.pipeline.open_upstream(&snapshot, rig.now, id).unwrap();
        assert!(rig.snapshot.local.contains(local));
        let to = text(local);
        for flags in [SYN | ACK, ACK, ACK | PSH, ACK | FIN, RST] {
            // It is the last hop here too.
            let answer = Frame::tcp(backend, &to, flags).payload(b"octets").ttl(1);
            let bytes = Frame { link_destination: mac(0x0b), ..answer }.bytes();
            let sent = rig.put(BACKEND_SIDE, &bytes);
            assert_eq!(sent.verdict, Verdict::L7, "{flags:#x}");
            assert_eq!(sent.packet.bytes(), bytes, "untouched");
            assert_eq!(sent.parsed.unwrap().tcp_flags, flags);
        }
        // Errors about what was sent to the backend.
        let quoted = Frame::tcp(&to, backend, ACK).packet();
        let (kind, headers) = if slot == 0 { (3, 28) } else { (1, 48) };
        let message = [&[kind, 4, 0, 0, 0, 0, 0, 0], &quoted[..headers]].concat();
        let error = Frame::icmp(router, &std::net::IpAddr::from(local.addr).to_string(), message).ttl(1);
        assert_eq!(rig.send(BACKEND_SIDE, &error).verdict, Verdict::L7);

        assert_eq!(backend_row(&mut rig, slot, BackendCounter::PacketsOut), 6);
        assert_eq!(backend_row(&mut rig, slot, BackendCounter::Resets), 1);
        rig.pipeline.count_sent(&snapshot, local, endpoint(backend), 100);
        assert_eq!(backend_row(&mut rig, slot, BackendCounter::BytesIn), 100);
        assert_eq!(backend_row(&mut rig, slot, BackendCounter::FlowsActive), 1);
        let of_service = *rig.pipeline.counters.service(slot / 2).unwrap();
        assert_eq!(of_service, [0; 8], "clients' connections alone are counted there");

        // Another end of the backend is not its.
        let other = backend.replace("8080", "8081");
        let stray = rig.send(BACKEND_SIDE, &Frame::tcp(&other, &to, ACK));
        assert_ne!(stray.expect_on(BACKEND_SIDE).flags & RST, 0);
        rig.pipeline.close_upstream(flow);
        let late = rig.send(BACKEND_SIDE, &Frame::tcp(backend, &to, ACK));
        assert_ne!(late.expect_on(BACKEND_SIDE).flags & RST, 0);
        assert!(rig.pipeline.table().is_empty());
        assert_eq!(backend_row(&mut rig, slot, BackendCounter::FlowsActive), 0);
    }
}

/// Neither silence, nor the state of its backend, nor that it is gone ends it: the stage does.
#[test]
fn only_the_stage_ends_a_connection_of_its_own() {
    let mut rig = Rig::new(proxied());
    let snapshot = rig.snapshot.clone().into();
    let id = BackendId { slot: 0, epoch: 1 };
    let (flow, local) = rig.pipeline.open_upstream(&snapshot, rig.now, id).unwrap();
    let answer = Frame::tcp("10.0.0.1:8080", &text(local), ACK);
    for state in [BackendState::Draining { until: Some(rig.now) }, BackendState::Down] {
        set_state(&mut rig.snapshot, 0, state);
        assert!(rig.sweep_for_seconds(20).is_empty());
        assert_eq!(rig.send(BACKEND_SIDE, &answer).verdict, Verdict::L7, "{state:?}");
    }
    rig.pass_seconds(30 * 24 * 3600);
    assert!(rig.sweep_for_seconds(8).is_empty());
    assert_eq!(rig.send(BACKEND_SIDE, &answer).verdict, Verdict::L7);
    rig.snapshot.backends[0] = None;
    rig.sweep_for_seconds(8);
    assert_eq!(rig.pipeline.table().len(), 1);
    assert!(rig.pipeline.open_upstream(&rig.snapshot.clone().into(), rig.now, id).is_err());
    rig.pipeline.close_upstream(flow);
    rig.pipeline.close_upstream(flow);
    assert!(rig.pipeline.table().is_empty());
}

#[test]
fn answers_come_to_the_worker_that_opened_and_ports_are_nobody_elses() {
    let rss = Steering::Rss {
        key: (0..40).map(|at: u8| at.wrapping_mul(37) ^ 0x6d).collect(),
        reta: vec![0, 1, 2, 1],
        workers: 3,
    };
    for steering in [Steering::Software { workers: 3 }, rss] {
        let mut parts = proxied();
        // A service of layer 4 with the same backend draws from the same ports.
        add_service(&mut parts, Mode::FullNat, Protocol::Tcp, "192.0.2.11:80", &["10.0.0.1:8080"]);
        parts.local = LocalAddresses::new(&[addr("10.0.0.200")], 1024, 1024 + 899);
        parts.steering = Arc::new(steering);
        let mut rig = Rig::new(parts);
        let snapshot = rig.snapshot.clone().into();
        let mut ends = std::collections::BTreeSet::new();
        for number in 0..60_u16 {
            let id = BackendId { slot: 0, epoch: 1 };
            let (_, local) = rig.pipeline.open_upstream(&snapshot, rig.now, id).unwrap();
            assert!(ends.insert(text(local)), "{local:?} twice");
            let answer =
                FlowKey { source: endpoint("10.0.0.1:8080"), destination: local, protocol: Protocol::Tcp };
            assert_eq!(rig.snapshot.steering.owner(&rig.snapshot, &answer, None), Some(WorkerId(0)));
            let client = format!("198.51.100.7:{}", 40_000 + number);
            let syn = rig.send(CLIENT_SIDE, &Frame::tcp(&client, "192.0.2.11:80", SYN));
            if syn.verdict == Verdict::Transmit(BACKEND_SIDE) {
                let local = syn.expect_on(BACKEND_SIDE).source;
                assert!(ends.insert(local.to_string()), "{local} twice");
            }
        }
        assert!(ends.len() > 70, "flows of layer 4 were opened too");
        let open = usize::try_from(rig.pipeline.table().len()).unwrap();
        assert_eq!(open, ends.len());
        // When none is left, that is said.
        let id = BackendId { slot: 0, epoch: 1 };
        let full = (0..900).find_map(|_| rig.pipeline.open_upstream(&snapshot, rig.now, id).err());
        assert_eq!(full, Some(DropReason::NoLocalPort));
    }
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
