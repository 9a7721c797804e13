//! Cases at the edge of a rule: each fails if the rule is broken in one place, which other tests would not notice.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

mod support;

use std::collections::HashMap;

use evenkeel_datapath::counters::DropReason;
use evenkeel_datapath::hash::{FlowHasher, Random};
use evenkeel_datapath::key::{FlowKey, Protocol};
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::pipeline::{Origin, Outcome, Pipeline, PipelineConfig, Verdict, new_flow};
use evenkeel_datapath::snapshot::{BackendState, Mode};
use evenkeel_datapath::steering::Steering;

use support::frames::{ACK, Frame, PSH, RST, SYN};
use support::*;

const VIP: &str = "192.0.2.10:80";
const CLIENT: &str = "198.51.100.7:40000";

fn rig() -> Rig {
    let mut snapshot = network();
    add_service(&mut snapshot, Mode::Nat, Protocol::Udp, VIP, &["10.0.0.1:8080"]);
    Rig::new(snapshot)
}

/// Zero says that there is none (RFC 768).
#[test]
fn a_udp_checksum_that_comes_to_zero_is_sent_as_ones() {
    let field = |sent: &Sent| <[u8; 2]>::try_from(&sent.packet.bytes()[40..42]).unwrap();
    let of_zeros = rig().send(CLIENT_SIDE, &Frame::udp(CLIENT, VIP).payload(&[0, 0]));
    // What is added to its own complement makes all ones, whose complement is zero.
    let sent = rig().send(CLIENT_SIDE, &Frame::udp(CLIENT, VIP).payload(&field(&of_zeros)));
    assert_eq!(field(&sent), [0xff, 0xff]);
    sent.expect_on(BACKEND_SIDE);
}

/// Invariant 5: another backend in the slot, even one at the old address, has none of the flows.
#[test]
fn a_recycled_slot_is_never_mistaken_for_the_old_backend() {
    for mode in [Mode::FullNat, Mode::Nat] {
        for address in ["10.0.0.1:8080", "10.0.0.2:8080"] {
            let mut snapshot = network();
            let service = add_service(&mut snapshot, mode, Protocol::Tcp, VIP, &["10.0.0.1:8080"]);
            let mut rig = Rig::new(snapshot);
            let syn = rig.connect(CLIENT, VIP);
            let way = rig.snapshot.fib.lookup(addr("10.0.0.2"));
            let backend = rig.snapshot.backends[0].as_mut().unwrap();
            (backend.epoch, backend.endpoint) = (2, endpoint(address));
            if address != "10.0.0.1:8080" {
                backend.next_hop = way;
            }
            rebuild(&mut rig.snapshot, service);
            // Its answers first, which would be the new backend's; then the client, who is told.
            let answer =
                rig.send(BACKEND_SIDE, &Frame { source: address.parse().unwrap(), ..answer_to(&syn, ACK) });
            assert_ne!(answer.verdict, Verdict::Transmit(CLIENT_SIDE), "{mode:?} {address}");
            let reset = rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, ACK).payload(b"x"));
            assert!(reset.originated.is_empty());
            assert_ne!(reset.expect_on(CLIENT_SIDE).flags & RST, 0, "{mode:?} {address}");
            assert!(rig.pipeline.table().is_empty());
        }
    }
}

/// The table knows flows by 16 bits of a hash in a bucket: whoever shares them is still another flow, be it another
/// client's or the same client's of another protocol.
#[test]
fn flows_whose_hashes_collide_stay_apart() {
    let mut snapshot = network();
    add_service(&mut snapshot, Mode::DsrMac, Protocol::Tcp, VIP, &["10.0.0.1:80"]);
    add_service(&mut snapshot, Mode::DsrMac, Protocol::Udp, VIP, &["10.0.0.2:80"]);
    // As the pipeline of `Rig` is seeded.
    let hasher = FlowHasher::new(Random::new(7).next());
    let tag = |client: &str, protocol| {
        let key = FlowKey { source: endpoint(client), destination: endpoint(VIP), protocol };
        let hash = hasher.hash(&key);
        (hash ^ hash >> 32) as u16
    };
    let clients = |hosts| {
        (1..=hosts).flat_map(|host| (1024..9000).map(move |port| format!("198.51.100.{host}:{port}")))
    };
    let by_tag: HashMap<u16, String> =
        clients(1).map(|client| (tag(&client, Protocol::Tcp), client)).collect();
    let others = clients(1).filter_map(|udp| Some((by_tag.get(&tag(&udp, Protocol::Udp))?.clone(), udp)));
    let same = clients(200).filter(|client| tag(client, Protocol::Tcp) == tag(client, Protocol::Udp));
    let pairs: Vec<(String, String)> =
        others.take(12).chain(same.take(12).map(|client| (client.clone(), client))).collect();
    assert_eq!(pairs.len(), 24);
    for (tcp, udp) in pairs {
        // Four buckets: every other pair of flows meets in one.
        let mut rig = Rig::with_flows(snapshot.clone(), 4);
        rig.to_backend(&Frame::tcp(&tcp, VIP, ACK));
        let datagram = rig.to_backend(&Frame::udp(&udp, VIP));
        assert_eq!(datagram.link_destination, mac(2), "TCP of {tcp} and UDP of {udp}");
        assert_eq!(rig.to_backend(&Frame::tcp(&tcp, VIP, ACK)).link_destination, mac(1));
        assert_eq!(rig.pipeline.table().len(), 2);
    }
}

#[test]
fn a_new_flow_goes_where_it_was_said_to_go() {
    for mode in [Mode::FullNat, Mode::Nat, Mode::DsrMac] {
        let mut snapshot = network();
        let backends = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
        let slot = add_service(&mut snapshot, mode, Protocol::Tcp, VIP, &backends);
        snapshot.steering = std::sync::Arc::new(Steering::Software { workers: 3 });
        let mut seen = HashMap::new();
        for port in 1024..1124 {
            let client = format!("198.51.100.7:{port}");
            let key =
                FlowKey { source: endpoint(&client), destination: endpoint(VIP), protocol: Protocol::Tcp };
            let new = new_flow(&snapshot, &key).unwrap();
            assert_eq!(new.service, slot);
            let mut rig = Rig::new(snapshot.clone());
            let config = PipelineConfig { worker: new.worker, flows: 4, bounds: BOUNDS, seed: 7 };
            rig.pipeline = Pipeline::new(&config).unwrap();
            let syn = rig.to_backend(&Frame::tcp(&client, VIP, SYN));
            let backend = new.backend.unwrap().unwrap().slot;
            assert_eq!(syn.link_destination, mac(backend as u8 + 1), "{mode:?} {client}");
            *seen.entry((new.worker, backend)).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 9);
    }
}

#[test]
fn a_packet_of_exactly_the_mtu_passes() {
    let datagram = |octets: usize| Frame::udp(CLIENT, VIP).payload(&vec![7; octets - 28]);
    rig().to_backend(&datagram(1500));
    let sent = rig().send(CLIENT_SIDE, &datagram(1501));
    assert_eq!(sent.verdict, Verdict::Transmit(CLIENT_SIDE), "an ICMP error");
}

#[test]
fn traffic_in_either_direction_keeps_a_flow_alive() {
    for by_client in [true, false] {
        let mut snapshot = network();
        add_service(&mut snapshot, Mode::Nat, Protocol::Tcp, VIP, &["10.0.0.1:8080"]);
        let mut rig = Rig::new(snapshot);
        let syn = rig.connect(CLIENT, VIP);
        for _ in 0..3 {
            rig.pass_seconds(600); // of 900 that it may be silent
            if by_client {
                rig.to_backend(&Frame::tcp(CLIENT, VIP, ACK | PSH));
            } else {
                rig.to_client(&answer_to(&syn, ACK | PSH));
            }
        }
        rig.pass_seconds(901);
        let late = rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, ACK)).expect_on(CLIENT_SIDE);
        assert_ne!(late.flags & RST, 0, "it was silent for too long");
    }
}

/// The builder of snapshots keeps such backends out of the table; nothing happens if it fails to.
#[test]
fn a_backend_that_takes_none_is_given_none_whatever_the_table_says() {
    for state in [BackendState::Draining { until: None }, BackendState::Down] {
        let mut rig = rig();
        rig.snapshot.backends[0].as_mut().unwrap().state = state;
        assert_eq!(rig.drops(CLIENT_SIDE, &Frame::udp(CLIENT, VIP)), DropReason::NoBackend);
    }
}

#[test]
fn a_packet_that_was_handed_over_is_not_handed_on() {
    let mut rig = rig();
    rig.snapshot.steering = std::sync::Arc::new(Steering::Software { workers: 8 });
    let mut seen = [0; 2];
    for port in 1024..1056 {
        let frame = Frame::udp(&format!("198.51.100.7:{port}"), VIP);
        let bytes = Frame { link_destination: mac(0x0a), ..frame }.bytes();
        let mut burst = [HeapPacket::new(&bytes, CLIENT_SIDE)];
        let mut outcome = Outcome::new();
        rig.pipeline.forward(
            &rig.snapshot.clone().into(),
            rig.now,
            Origin::Worker,
            &mut burst,
            &mut HeapPool,
            &mut outcome,
        );
        match outcome.verdicts[0] {
            Verdict::Transmit(BACKEND_SIDE) => seen[0] += 1,
            Verdict::Drop(DropReason::HandOverLoop) => seen[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

#[test]
fn flows_of_a_backend_that_is_gone_leave_without_a_packet() {
    let mut rig = rig();
    rig.to_backend(&Frame::udp(CLIENT, VIP));
    rig.snapshot.backends[0] = None;
    assert!(rig.sweep_for_seconds(5).is_empty());
    assert!(rig.pipeline.table().is_empty());
}

#[test]
fn a_flow_of_a_service_whose_vip_is_anothers_now_opens_nothing() {
    let mut rig = rig();
    rig.to_backend(&Frame::udp(CLIENT, VIP));
    set_state(&mut rig.snapshot, 0, BackendState::Down);
    add_service(&mut rig.snapshot, Mode::Nat, Protocol::Udp, VIP, &["10.0.0.2:8080"]);
    assert_eq!(rig.drops(CLIENT_SIDE, &Frame::udp(CLIENT, VIP)), DropReason::NoService);
    assert_eq!(rig.to_backend(&Frame::udp(CLIENT, VIP)).link_destination, mac(2));
}
