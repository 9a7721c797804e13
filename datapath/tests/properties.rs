//! What holds for every packet, table and order of events.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use proptest::prelude::*;

use evenkeel_datapath::command::Command;
use evenkeel_datapath::counters::WorkerCounter;
use evenkeel_datapath::flow::FlowState;
use evenkeel_datapath::flow_table::{Entry, FlowId, FlowTable};
use evenkeel_datapath::key::{Endpoint, FlowKey, Protocol};
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig, Verdict};
use evenkeel_datapath::port::{MemoryQueue, Rss};
use evenkeel_datapath::snapshot::{BackendState, Mode, PortId, Snapshot, SnapshotParts, WorkerId};
use evenkeel_datapath::steering::Steering;
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::{Handle, Links, Worker};

use support::frames::{ACK, FIN, Frame, RST, SYN};
use support::*;

const MODES: [Mode; 3] = [Mode::FullNat, Mode::Nat, Mode::DsrMac];

fn vip(service: u8, v4: bool) -> String {
    if v4 { format!("192.0.2.{}:80", 10 + service) } else { format!("[2001:db8::{}]:80", 10 + service) }
}

/// A service of each mode, family and protocol, each with four backends of its own, and number 3 of each family at layer 7.
fn snapshot() -> SnapshotParts {
    let mut snapshot = network();
    for (index, mode) in (0..).zip(MODES) {
        for v4 in [true, false] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let backends: Vec<String> = (1..=4)
                    .map(|n| {
                        let host = index * 4 + n;
                        if v4 { format!("10.0.0.{host}:80") } else { format!("[fd00::{host}]:80") }
                    })
                    .collect();
                let backends: Vec<&str> = backends.iter().map(String::as_str).collect();
                add_service(&mut snapshot, mode, protocol, &vip(index, v4), &backends);
            }
        }
    }
    for v4 in [true, false] {
        add_service(&mut snapshot, Mode::L7, Protocol::Tcp, &vip(3, v4), &[]);
    }
    snapshot
}

fn client(number: u16, v4: bool) -> String {
    if v4 {
        format!("198.51.100.{}:{}", number % 200, 1024 + number)
    } else {
        format!("[2001:db8:c::{number:x}]:{}", 1024 + number)
    }
}

prop_compose! {
    fn a_client_packet(clients: u16, services: u8)(
        service in 0..services,
        v4 in any::<bool>(),
        udp in any::<bool>(),
        number in 0..clients,
        flags in prop::sample::select(vec![SYN, ACK, ACK | FIN, RST, SYN | ACK]),
        payload in prop::collection::vec(any::<u8>(), 0..64),
        ttl in 1_u8..=255,
    ) -> Frame {
        let (client, vip) = (client(number, v4), vip(service, v4));
        let frame = if udp { Frame::udp(&client, &vip) } else { Frame::tcp(&client, &vip, flags) };
        frame.payload(&payload).ttl(ttl)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// NAT and its reversal are the identity, on everything but the TTL and the link.
    #[test]
    fn a_translated_packet_that_is_echoed_comes_back_as_its_own_answer(frame in a_client_packet(50, 3)) {
        prop_assume!(frame.ttl > 1 && (frame.protocol == support::frames::UDP || frame.flags == SYN));
        let mut rig = Rig::new(snapshot());
        let sent = rig.send(CLIENT_SIDE, &frame).expect_on(BACKEND_SIDE);
        prop_assert_eq!(&sent.payload, &frame.payload);
        if sent.destination.ip() != frame.destination.ip() {
            let echoed = Frame { payload: frame.payload.clone(), ..answer_to(&sent, SYN | ACK) };
            let back = rig.send(BACKEND_SIDE, &echoed).expect_on(CLIENT_SIDE);
            prop_assert_eq!(back.source, frame.destination);
            prop_assert_eq!(back.destination, frame.source);
            prop_assert_eq!(back.payload, frame.payload);
        }
    }

    /// The owner of a packet, of its answer and of the ICMP errors about either is one worker.
    #[test]
    fn the_owner_is_the_same_in_both_directions_and_for_icmp(
        frame in a_client_packet(50, 3),
        workers in 2_u8..=8,
        by_rss in any::<bool>(),
    ) {
        prop_assume!(frame.ttl > 1 && (frame.protocol == support::frames::UDP || frame.flags == SYN));
        let mut snapshot = snapshot();
        let rss = Rss { key: (1..=40).collect(), reta: (0..128).map(|n| n % u16::from(workers)).collect() };
        snapshot.steering = Arc::new(if by_rss {
            Steering::Rss { key: rss.key, reta: rss.reta.iter().map(|&n| n as u8).collect(), workers }
        } else {
            Steering::Software { workers }
        });
        let key = FlowKey {
            source: Endpoint::from(frame.source),
            destination: Endpoint::from(frame.destination),
            protocol: if frame.protocol == support::frames::UDP { Protocol::Udp } else { Protocol::Tcp },
        };
        let owner = snapshot.steering.owner(&snapshot, &key, None).expect("a service's packet has an owner");
        prop_assert!(owner.0 < workers);
        let config = PipelineConfig { worker: owner, flows: 64, bounds: BOUNDS, seed: 1 };
        let mut rig = Rig::new(snapshot);
        rig.pipeline = Pipeline::new(&config).unwrap();
        let sent = rig.send(CLIENT_SIDE, &frame).expect_on(BACKEND_SIDE);
        if sent.destination.ip() != frame.destination.ip() {
            let answer = FlowKey {
                source: Endpoint::from(sent.destination),
                destination: Endpoint::from(sent.source),
                protocol: key.protocol,
            };
            // An ICMP error about the packet has the key of an answer to it: the same.
            prop_assert_eq!(rig.snapshot.steering.owner(&rig.snapshot, &answer, None), Some(owner));
        }
    }

    /// Random octets behind a right link address: a verdict, no panic, and the books balance.
    #[test]
    fn random_octets_get_a_verdict(octets in prop::collection::vec(any::<u8>(), 0..200), v6 in any::<bool>()) {
        let kind: [u8; 2] = if v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
        let mut rig = Rig::new(snapshot());
        rig.put(CLIENT_SIDE, &[&mac(0x0a).0[..], &mac(0xc1).0, &kind, &octets].concat());
    }

    /// Mutations of good packets reach further than random octets do.
    #[test]
    fn damaged_packets_get_a_verdict(
        frames in prop::collection::vec((a_client_packet(50, 4), prop::collection::vec((0_usize..90, any::<u8>()), 0..4), 0_usize..120), 1..20),
    ) {
        let mut rig = Rig::new(snapshot());
        for (frame, damage, cut) in frames {
            let mut bytes = Frame { link_destination: mac(0x0a), ..frame }.bytes();
            for (at, value) in damage {
                if let Some(octet) = bytes.get_mut(at) {
                    *octet = value;
                }
            }
            bytes.truncate(bytes.len().saturating_sub(cut / 2));
            rig.put(CLIENT_SIDE, &bytes);
        }
    }
}

/// What may happen to a balancer.
#[derive(Clone, Debug)]
enum Event {
    FromClient(Frame),
    /// The backend answers the latest packet that it was sent by the flow with this number, if any.
    FromBackend(u8, u8),
    State(u16, BackendState),
    /// The slot gets another backend, with a new epoch.
    Recycle(u16, u8),
    Pass(u64),
}

fn an_event() -> impl Strategy<Value = Event> {
    let state = prop_oneof![
        3 => Just(BackendState::Active),
        1 => Just(BackendState::Draining { until: None }),
        1 => Just(BackendState::Draining { until: Some(Time(1_000_030_000_000_000)) }),
        1 => Just(BackendState::Down),
    ];
    prop_oneof![
        20 => a_client_packet(3, 4).prop_map(|frame| Event::FromClient(frame.ttl(64))),
        8 => (any::<u8>(), prop::sample::select(vec![SYN | ACK, ACK, FIN | ACK, RST])).prop_map(|(flow, flags)| Event::FromBackend(flow, flags)),
        3 => (0_u16..48, state).prop_map(|(slot, state)| Event::State(slot, state)),
        1 => (0_u16..48, 20_u8..40).prop_map(|(slot, host)| Event::Recycle(slot, host)),
        2 => (1_u64..40).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Invariant 5: a flow in the table never reaches a backend that it was not assigned to, whatever is done to
    /// backends and slots meanwhile; and a backend's packet reaches only the client whose flow it has.
    #[test]
    fn a_flow_never_reaches_a_backend_that_it_was_not_assigned_to(
        events in prop::collection::vec(an_event(), 1..300),
        flows in prop::sample::select(vec![4_u32, 64, 1024]),
    ) {
        let mut rig = Rig::with_flows(snapshot(), flows);
        // By client packet's tuple: what the flow's packets look like on the backends' side, while the flow is known.
        let mut assigned: HashMap<(u8, std::net::SocketAddr, std::net::SocketAddr), Frame> = HashMap::new();
        for event in events {
            match event {
                Event::FromClient(frame) => {
                    let (opened_before, closed_before) = opened_and_closed(&rig);
                    let sent = rig.send(CLIENT_SIDE, &frame);
                    let (opened, closed) = opened_and_closed(&rig);
                    if sent.verdict == Verdict::Transmit(BACKEND_SIDE) {
                        let out = Frame::read(sent.packet.bytes());
                        let key = (frame.protocol, frame.source, frame.destination);
                        if opened == opened_before && closed == closed_before
                            && let Some(before) = assigned.get(&key)
                            && out.flags & RST == 0
                            && rig.pipeline.counters.value(WorkerCounter::Stateless) == 0
                        {
                            prop_assert_eq!((out.source, out.destination, out.link_destination), (before.source, before.destination, before.link_destination));
                        }
                        assigned.insert(key, out);
                    }
                }
                Event::FromBackend(which, flags) => {
                    let mut known: Vec<_> = assigned.iter().collect();
                    known.sort_by_key(|(key, _)| **key);
                    if known.is_empty() { continue; }
                    let ((_, client, vip), out) = known[usize::from(which) % known.len()];
                    if out.destination == *vip { continue; } // DSR
                    let answer = answer_to(out, flags);
                    let sent = rig.send(BACKEND_SIDE, &answer);
                    if sent.verdict == Verdict::Transmit(CLIENT_SIDE) {
                        let back = Frame::read(sent.packet.bytes());
                        prop_assert_eq!((back.source, back.destination), (*vip, *client));
                    }
                }
                Event::State(slot, state) => set_state(&mut rig.snapshot, slot, state),
                Event::Recycle(slot, host) => {
                    let backend = rig.snapshot.backends[usize::from(slot)].as_mut().unwrap();
                    let was_v4 = backend.endpoint.addr.is_v4();
                    let (service, protocol) = (backend.service, rig.snapshot.services[usize::from(backend.service.0)].as_ref().unwrap().protocol);
                    backend.epoch += 1;
                    backend.state = BackendState::Active;
                    backend.endpoint = endpoint(&if was_v4 { format!("10.0.0.{host}:80") } else { format!("[fd00::{host}]:80") });
                    backend.next_hop = rig.snapshot.fib.lookup(backend.endpoint.addr);
                    let endpoint = backend.endpoint;
                    if rig.snapshot.services[usize::from(service.0)].as_ref().unwrap().mode == Mode::Nat {
                        rig.snapshot.nat_endpoints.insert((endpoint, protocol));
                    }
                    rebuild(&mut rig.snapshot, service);
                }
                Event::Pass(seconds) => {
                    rig.pass_seconds(seconds);
                    rig.sweep_for_seconds(1);
                }
            }
            let (opened, closed) = opened_and_closed(&rig);
            prop_assert_eq!(opened - closed, u64::from(rig.pipeline.table().len()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Plain packets go a shorter way than others, to the same end. A port whose checksums are to be recomputed has none
    /// that are plain, and what is right comes out the same.
    #[test]
    fn the_shorter_way_leads_to_the_same_end(
        events in prop::collection::vec(an_event(), 1..200),
        flows in prop::sample::select(vec![4_u32, 1024]),
    ) {
        let mut rigs = [snapshot(), snapshot()].map(|snapshot| Rig::with_flows(snapshot, flows));
        for port in &mut rigs[1].snapshot.ports {
            port.recompute_checksums = true;
        }
        let mut forwarded: Vec<Frame> = Vec::new();
        for event in events {
            match event {
                Event::FromClient(frame) => {
                    let [plain, other] = rigs.each_mut().map(|rig| rig.send(CLIENT_SIDE, &frame));
                    prop_assert_eq!(plain.verdict, other.verdict);
                    prop_assert_eq!(plain.packet.bytes(), other.packet.bytes());
                    prop_assert_eq!(plain.parsed, other.parsed);
                    if plain.verdict == Verdict::Transmit(BACKEND_SIDE) {
                        forwarded.push(Frame::read(plain.packet.bytes()));
                    }
                }
                Event::FromBackend(which, flags) => {
                    let Some(out) = forwarded.get(usize::from(which) % forwarded.len().max(1)) else { continue };
                    let answer = answer_to(out, flags);
                    let [plain, other] = rigs.each_mut().map(|rig| rig.send(BACKEND_SIDE, &answer));
                    prop_assert_eq!(plain.verdict, other.verdict);
                    prop_assert_eq!(plain.packet.bytes(), other.packet.bytes());
                }
                Event::State(slot, state) => rigs.iter_mut().for_each(|rig| set_state(&mut rig.snapshot, slot, state)),
                Event::Recycle(..) => {}
                Event::Pass(seconds) => rigs.iter_mut().for_each(|rig| {
                    rig.pass_seconds(seconds);
                    rig.sweep_for_seconds(1);
                }),
            }
        }
        let [plain, other] = rigs.map(|rig| format!("{:?}", rig.pipeline.counters));
        prop_assert_eq!(plain, other);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Packets of a burst become what they would one by one, whatever they have to do with each other. Only which local
    /// port full NAT draws depends on what is drawn for others before.
    #[test]
    fn a_burst_comes_to_what_its_packets_come_to_alone(
        bursts in prop::collection::vec((prop::collection::vec(an_event(), 1..64), 0_u64..15), 1..12),
        flows in prop::sample::select(vec![4_u32, 1024]),
    ) {
        let mut rigs = [snapshot(), snapshot()].map(|snapshot| Rig::with_flows(snapshot, flows));
        // Of each rig: what backends got.
        let mut forwarded: [Vec<Frame>; 2] = Default::default();
        for (events, seconds) in bursts {
            let mut frames: [Vec<(PortId, Frame)>; 2] = Default::default();
            for event in events {
                match event {
                    Event::FromClient(frame) => {
                        frames.iter_mut().for_each(|frames| frames.push((CLIENT_SIDE, frame.clone())));
                    }
                    Event::FromBackend(which, flags) => {
                        for (frames, forwarded) in frames.iter_mut().zip(&forwarded) {
                            let out = forwarded.get(usize::from(which) % forwarded.len().max(1));
                            frames.extend(out.map(|out| (BACKEND_SIDE, answer_to(out, flags))));
                        }
                    }
                    Event::State(slot, state) => {
                        rigs.iter_mut().for_each(|rig| set_state(&mut rig.snapshot, slot, state));
                    }
                    Event::Recycle(..) | Event::Pass(_) => {}
                }
            }
            let together = rigs[0].send_together(&frames[0]);
            let alone: Vec<_> = frames[1].iter().map(|(port, frame)| rigs[1].send(*port, frame)).collect();
            for ((verdict, packet), sent) in together.iter().zip(&alone) {
                prop_assert_eq!(*verdict, sent.verdict);
                let read = [packet, &sent.packet].map(|packet| Frame::read(packet.bytes()));
                if *verdict == Verdict::Transmit(BACKEND_SIDE) {
                    for (forwarded, frame) in forwarded.iter_mut().zip(&read) {
                        forwarded.push(frame.clone());
                    }
                }
                let [left, right] = read.map(without_local_port);
                prop_assert_eq!(left, right);
            }
            rigs.iter_mut().for_each(|rig| {
                rig.pass_seconds(seconds);
                rig.sweep_for_seconds(u64::from(seconds > 7));
            });
        }
        let [together, alone] = rigs.map(|rig| format!("{:?}", rig.pipeline.counters));
        prop_assert_eq!(together, alone);
    }
}

/// The frame with port 0 where it has one of full NAT's.
fn without_local_port(mut frame: Frame) -> Frame {
    for end in [&mut frame.source, &mut frame.destination] {
        if ["10.0.0.200", "fd00::200"].iter().any(|local| end.ip().to_string() == *local) {
            end.set_port(0);
        }
    }
    frame
}

fn opened_and_closed(rig: &Rig) -> (u64, u64) {
    let counters = &rig.pipeline.counters;
    (counters.value(WorkerCounter::FlowsOpened), counters.value(WorkerCounter::FlowsClosed))
}

type TestWorker = Worker<MemoryQueue<HeapPacket>, HeapPool>;

/// Workers over memory queues, with every ring between them.
fn workers(
    count: u8,
    snapshot: &Arc<Snapshot>,
    ring: usize,
) -> (Vec<TestWorker>, Vec<Handle>, Vec<Arc<ArrayQueue<HeapPacket>>>) {
    let inboxes: Vec<_> = (0..count).map(|_| Arc::new(ArrayQueue::new(ring))).collect();
    let kernel: Vec<_> = (0..2).map(|_| Arc::new(ArrayQueue::new(ring))).collect();
    let handle = |id| Handle::new(WorkerId(id), None, 8, BOUNDS);
    let handles: Vec<Handle> = (0..count).map(handle).collect();
    let workers = handles.iter().map(|handle| {
        let config = PipelineConfig { worker: handle.id, flows: 64, bounds: BOUNDS, seed: 3 };
        let links = Links {
            inboxes: inboxes.clone(),
            to_kernel: vec![Some(Arc::clone(&kernel[0])), None],
            from_kernel: vec![],
        };
        let queues = vec![MemoryQueue::default(), MemoryQueue { room: Some(5), ..MemoryQueue::default() }];
        Worker::new(
            handle.clone(),
            Pipeline::new(&config).expect("memory for the flow table"),
            queues,
            HeapPool,
            links,
            Arc::clone(snapshot),
        )
    });
    (workers.collect(), handles, inboxes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Invariant 6: what came in is sent, passed on, dropped for one reason, or waits in a ring; and every flow's
    /// packets are forwarded by one worker, wherever they arrive.
    #[test]
    fn packets_are_conserved_across_workers(
        packets in prop::collection::vec((a_client_packet(50, 4), 0_usize..3, any::<bool>()), 1..400),
        ring in prop::sample::select(vec![1_usize, 16, 512]),
    ) {
        let mut snapshot = snapshot();
        snapshot.steering = Arc::new(Steering::Software { workers: 3 });
        let snapshot = Arc::new(Snapshot::from(snapshot));
        let (mut workers, handles, inboxes) = workers(3, &snapshot, ring);
        let mut now = Time(1_000_000_000_000);
        let mut put = 0_u64;
        for chunk in packets.chunks(40) {
            for (frame, arrives_at, damaged) in chunk {
                let mut bytes = Frame { link_destination: mac(0x0a), ..frame.clone() }.bytes();
                if *damaged {
                    bytes.truncate(30);
                }
                let queue = workers[*arrives_at].queue_mut(PortId(0)).unwrap();
                queue.incoming.push_back(HeapPacket::new(&bytes, PortId(0)));
                put += 1;
            }
            for worker in &mut workers {
                now = Time(now.0 + 1_000_000);
                worker.turn(now);
            }
        }
        let mut turns = 0;
        while inboxes.iter().any(|inbox| !inbox.is_empty()) || turns < 5 {
            for worker in &mut workers {
                worker.turn(now);
            }
            turns += 1;
        }
        let total = |counter| workers.iter().map(|worker| worker.pipeline().counters.value(counter)).sum::<u64>();
        prop_assert_eq!(total(WorkerCounter::Received), put);
        prop_assert_eq!(total(WorkerCounter::HandedIn), total(WorkerCounter::HandedOut));
        for worker in &workers {
            prop_assert_eq!(worker.pipeline().counters.imbalance(), 0, "{:?}", worker.id());
        }
        let sent: usize = workers.iter_mut().map(|worker| {
            (0..2).map(|port| worker.queue_mut(PortId(port)).unwrap().outgoing.len()).sum::<usize>()
        }).sum();
        let total = |counter| workers.iter().map(|worker| worker.pipeline().counters.value(counter)).sum::<u64>();
        prop_assert_eq!(total(WorkerCounter::Sent), sent as u64);
        for handle in &handles {
            prop_assert!(handle.commands.push(Command::Stop).is_ok());
        }
    }

    /// The table against a map: what was entered is found under its hashes and nothing else is; a full table refuses.
    #[test]
    fn the_flow_table_behaves_like_a_map(
        operations in prop::collection::vec((any::<bool>(), 0_u16..200, any::<bool>()), 1..600),
        capacity in 1_u32..120,
    ) {
        let mut table = FlowTable::new(capacity).unwrap();
        let mut model: HashMap<u16, FlowId> = HashMap::new();
        // Few distinct hashes: buckets fill up and tags collide.
        let hash = |port: u16, reverse: bool| u64::from(port % 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(reverse);
        for (is_insert, port, with_reverse) in operations {
            if is_insert && !model.contains_key(&port) {
                let entry = Entry { client_port: port.to_be_bytes(), state: FlowState::Established, ..Entry::default() };
                let reverse = with_reverse.then(|| hash(port, true));
                match table.insert(entry, hash(port, false), reverse) {
                    Ok(id) => { model.insert(port, id); }
                    Err(_) => prop_assert!(table.len() == capacity || table.len() >= 10),
                }
            } else if let Some(id) = model.remove(&port) {
                prop_assert_eq!(table.remove(id).map(|entry| entry.client_port), Some(port.to_be_bytes()));
                prop_assert!(table.remove(id).is_none());
            }
            prop_assert_eq!(table.len() as usize, model.len());
        }
        for port in 0..200 {
            let found = table.find(hash(port, false), |entry, _| entry.client_port == port.to_be_bytes()).map(|(id, _)| id);
            prop_assert_eq!(found, model.get(&port).copied());
        }
    }
}

#[test]
fn a_table_holds_as_many_flows_as_it_says() {
    for capacity in [1, 2, 10, 1000, 100_000] {
        let mut table = FlowTable::new(capacity).unwrap();
        let mut random = evenkeel_datapath::hash::Random::new(u64::from(capacity));
        let entry = Entry { state: FlowState::Established, ..Entry::default() };
        for _ in 0..capacity {
            assert!(
                table.insert(entry, random.next(), Some(random.next())).is_ok(),
                "{} of {capacity}",
                table.len()
            );
        }
        assert!(table.insert(entry, 1, Some(2)).is_err());
        // Churn at the brim: places, and room in buckets, come back.
        for id in table.places(0, capacity).collect::<Vec<_>>().into_iter().take(50_000) {
            table.remove(id).unwrap();
            assert!(table.insert(entry, random.next(), Some(random.next())).is_ok());
        }
        if capacity >= 1000 {
            assert!(
                table.octets() / capacity as usize <= 64,
                "{} octets a flow",
                table.octets() / capacity as usize
            );
        }
    }
}
