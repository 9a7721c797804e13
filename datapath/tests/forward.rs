//! What the pipeline does with packets, mode by mode: a specification.

mod support;

use evenkeel_datapath::counters::{BackendCounter, DropReason, ServiceCounter, WorkerCounter};
use evenkeel_datapath::key::Protocol;
use evenkeel_datapath::packet::{ChecksumStatus, HeapPacket, Packet, Received};
use evenkeel_datapath::pipeline::Verdict;
use evenkeel_datapath::snapshot::{BackendState, Mode};

use support::frames::{ACK, FIN, Frame, PSH, RST, SYN};
use support::*;

const VIP: &str = "192.0.2.10:80";
const VIP6: &str = "[2001:db8::10]:80";
const CLIENT: &str = "198.51.100.7:40000";
const CLIENT6: &str = "[2001:db8:ff::7]:40000";

fn rig(mode: Mode) -> Rig {
    let mut snapshot = network();
    let port = if mode == Mode::DsrMac { 80 } else { 8080 };
    let v4 = [format!("10.0.0.1:{port}"), format!("10.0.0.2:{port}"), format!("10.0.0.3:{port}")];
    let v6 = [format!("[fd00::1]:{port}"), format!("[fd00::2]:{port}"), format!("[fd00::3]:{port}")];
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        add_service(&mut snapshot, mode, protocol, VIP, &v4.each_ref().map(String::as_str));
        add_service(&mut snapshot, mode, protocol, VIP6, &v6.each_ref().map(String::as_str));
    }
    Rig::new(snapshot)
}

#[test]
fn full_nat_replaces_both_ends_and_translates_answers_back() {
    for (client, vip, local) in [(CLIENT, VIP, "10.0.0.200"), (CLIENT6, VIP6, "fd00::200")] {
        let mut rig = rig(Mode::FullNat);
        let syn = rig.to_backend(&Frame::tcp(client, vip, SYN));
        assert_eq!(syn.source.ip().to_string(), local);
        assert!((1024..=32767).contains(&syn.source.port()));
        assert_eq!((syn.destination.port(), syn.flags, syn.ttl), (8080, SYN, 63));
        assert_eq!(syn.link_source, mac(0x0b));

        let answer = rig.to_client(&answer_to(&syn, SYN | ACK).payload(b"hello"));
        assert_eq!(answer.line(), format!("tcp {vip} > {client} S."));
        assert_eq!((answer.payload.as_slice(), answer.ttl), (&b"hello"[..], 63));
        assert_eq!((answer.link_destination, answer.link_source), (mac(0xc1), mac(0x0a)));

        let data = rig.to_backend(&Frame::tcp(client, vip, ACK | PSH).payload(b"GET / HTTP/1.1\r\n"));
        assert_eq!((data.source, data.destination), (syn.source, syn.destination), "the same flow");
    }
}

#[test]
fn nat_keeps_the_client() {
    for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
        let mut rig = rig(Mode::Nat);
        let syn = rig.to_backend(&Frame::tcp(client, vip, SYN));
        assert_eq!((syn.source.to_string().as_str(), syn.destination.port()), (client, 8080));
        let answer = rig.to_client(&answer_to(&syn, SYN | ACK));
        assert_eq!(answer.line(), format!("tcp {vip} > {client} S."));
    }
}

#[test]
fn dsr_changes_link_addresses_and_ttl_only() {
    for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
        let mut rig = rig(Mode::DsrMac);
        let syn = rig.to_backend(&Frame::tcp(client, vip, SYN));
        assert_eq!(syn.line(), format!("tcp {client} > {vip} S"));
        assert_eq!((syn.ttl, syn.link_source), (63, mac(0x0b)));
        let data = rig.to_backend(&Frame::tcp(client, vip, ACK).payload(b"x"));
        assert_eq!(data.link_destination, syn.link_destination, "the same backend");
    }
}

#[test]
fn udp_goes_both_ways_and_a_missing_checksum_stays_missing() {
    let mut rig = rig(Mode::FullNat);
    let query = rig.to_backend(&Frame::udp(CLIENT, VIP).payload(b"query"));
    let answer = rig.to_client(&answer_to(&query, 0).payload(b"answer"));
    assert_eq!((answer.line(), answer.payload), (format!("udp {VIP} > {CLIENT}"), b"answer".to_vec()));

    let mut bytes = Frame { link_destination: mac(0x0a), ..Frame::udp(CLIENT, VIP) }.bytes();
    bytes[40..42].copy_from_slice(&[0, 0]);
    let sent = rig.put(CLIENT_SIDE, &bytes);
    assert_eq!(sent.packet.bytes()[40..42], [0, 0]);
}

#[test]
fn ipv4_options_and_ipv6_extension_headers_are_skipped() {
    let mut rig = rig(Mode::FullNat);
    let with_options = Frame { options: vec![1, 1, 1, 0], ..Frame::tcp(CLIENT, VIP, SYN) };
    let syn = rig.to_backend(&with_options);
    assert_eq!((syn.destination.port(), syn.options.as_slice()), (8080, &[1, 1, 1, 0][..]));

    let destination_options = vec![6, 0, 1, 4, 0, 0, 0, 0];
    let with_header = Frame { options: destination_options, ..Frame::tcp(CLIENT6, VIP6, SYN) };
    let sent = rig.send(CLIENT_SIDE, &with_header);
    assert_eq!(sent.verdict, Verdict::Transmit(BACKEND_SIDE));
    assert_eq!(sent.packet.bytes()[14 + 48 + 2..14 + 48 + 4], 8080_u16.to_be_bytes());
}

#[test]
fn flows_stay_with_their_backend_when_others_come_and_go() {
    for mode in [Mode::FullNat, Mode::Nat, Mode::DsrMac] {
        let mut rig = rig(mode);
        let clients: Vec<String> = (0..60).map(|n| format!("198.51.100.7:{}", 40_000 + n)).collect();
        let before: Vec<Frame> =
            clients.iter().map(|client| rig.to_backend(&Frame::tcp(client, VIP, SYN))).collect();
        assert_eq!(
            before
                .iter()
                .map(|frame| frame.link_destination)
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            3
        );
        set_state(&mut rig.snapshot, 0, BackendState::Draining { until: None });
        for (client, before) in clients.iter().zip(&before) {
            let after = rig.to_backend(&Frame::tcp(client, VIP, ACK));
            assert_eq!((after.source, after.link_destination), (before.source, before.link_destination));
        }
        let fresh =
            (0..60).map(|n| rig.to_backend(&Frame::tcp(&format!("198.51.100.8:{}", 5000 + n), VIP, SYN)));
        assert!(
            fresh.collect::<Vec<_>>().iter().all(|frame| frame.link_destination != mac(1)),
            "none for the draining one"
        );
    }
}

#[test]
fn nat_resets_both_sides_when_the_backend_is_down_or_its_drain_is_over() {
    for mode in [Mode::FullNat, Mode::Nat] {
        for by_deadline in [false, true] {
            let mut rig = rig(mode);
            let syn = rig.connect(CLIENT, VIP);
            let slot = u16::from(syn.link_destination.0[5]) - 1;
            let until = Some(evenkeel_datapath::time::Time(rig.now.0 + 5_000_000_000));
            let state = if by_deadline { BackendState::Draining { until } } else { BackendState::Down };
            set_state(&mut rig.snapshot, slot, state);
            let data = Frame::tcp(CLIENT, VIP, ACK | PSH).payload(b"more");
            if by_deadline {
                rig.to_backend(&data);
                rig.pass_seconds(6);
            }
            let sent = rig.send(CLIENT_SIDE, &data);
            let (onward, port) = &sent.originated[0];
            let onward = Frame::read(onward.bytes());
            assert_eq!((*port, onward.flags & RST, onward.sequence), (BACKEND_SIDE, RST, 1000));
            assert_eq!((onward.source, onward.destination), (syn.source, syn.destination));
            let back = sent.expect_on(CLIENT_SIDE);
            assert_eq!(back.line(), format!("tcp {VIP} > {CLIENT} R"));
            assert_eq!(back.sequence, 2000, "at exactly what the client expects");
            // The next connection goes elsewhere.
            let again = rig.connect(CLIENT, VIP);
            assert_ne!(again.destination, syn.destination);
            assert_eq!(rig.pipeline.table().len(), 1);
        }
    }
}

#[test]
fn a_backend_past_its_deadline_is_cut_off_when_it_speaks() {
    let mut rig = rig(Mode::FullNat);
    let syn = rig.connect(CLIENT, VIP);
    set_state(&mut rig.snapshot, u16::from(syn.link_destination.0[5]) - 1, BackendState::Down);
    let sent = rig.send(BACKEND_SIDE, &answer_to(&syn, ACK).payload(b"late"));
    let (onward, port) = &sent.originated[0];
    assert_eq!(
        (*port, Frame::read(onward.bytes()).line()),
        (CLIENT_SIDE, format!("tcp {VIP} > {CLIENT} R."))
    );
    assert_eq!(sent.expect_on(BACKEND_SIDE).flags, RST);
}

#[test]
fn dsr_picks_anew_when_the_backend_is_down() {
    let mut rig = rig(Mode::DsrMac);
    let syn = rig.to_backend(&Frame::tcp(CLIENT, VIP, SYN));
    set_state(&mut rig.snapshot, u16::from(syn.link_destination.0[5]) - 1, BackendState::Down);
    let data = rig.to_backend(&Frame::tcp(CLIENT, VIP, ACK));
    assert_ne!(data.link_destination, syn.link_destination);
}

#[test]
fn a_packet_amid_a_nat_connection_without_a_flow_is_reset_at_a_limited_rate() {
    let mut rig = rig(Mode::FullNat);
    rig.snapshot.limits.resets = 3;
    let data = Frame::tcp(CLIENT, VIP, ACK).payload(b"who are you");
    for _ in 0..3 {
        let reset = rig.send(CLIENT_SIDE, &data).expect_on(CLIENT_SIDE);
        assert_eq!((reset.line(), reset.sequence), (format!("tcp {VIP} > {CLIENT} R"), 2000));
        assert_eq!(reset.link_destination, data.link_source);
    }
    assert_eq!(rig.drops(CLIENT_SIDE, &data), DropReason::NoFlow);
    assert_eq!(rig.drops(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, RST)), DropReason::NoFlow);
    assert_eq!(rig.pipeline.counters.value(WorkerCounter::ResetsLimited), 1);
}

#[test]
fn a_stray_answer_of_a_backend_is_reset() {
    let mut rig = rig(Mode::FullNat);
    let stray = Frame::tcp("10.0.0.1:8080", "10.0.0.200:2000", ACK);
    assert_eq!(
        rig.send(BACKEND_SIDE, &stray).expect_on(BACKEND_SIDE).line(),
        "tcp 10.0.0.200:2000 > 10.0.0.1:8080 R"
    );
    let udp = Frame::udp("10.0.0.1:8080", "10.0.0.200:2000");
    assert_eq!(rig.drops(BACKEND_SIDE, &udp), DropReason::NoFlow);
}

#[test]
fn what_the_datapath_does_not_own_goes_to_the_kernel() {
    let mut rig = rig(Mode::Nat);
    let arp = [&[0xff; 6][..], &mac(0xc1).0, &[0x08, 0x06], &[0; 28]].concat();
    assert_eq!(rig.put(CLIENT_SIDE, &arp).verdict, Verdict::Kernel(CLIENT_SIDE));
    for (name, frame) in [
        ("ssh to the balancer", Frame::tcp("198.51.100.9:5555", "192.0.2.1:22", SYN)),
        ("the answer to the kernel's own probe", Frame::tcp("10.0.0.1:8080", "10.0.0.254:45000", SYN | ACK)),
        ("a backend's own traffic", Frame::udp("10.0.0.1:5353", "9.9.9.9:53")),
        ("OSPF", Frame::new(89, "192.0.2.2", "224.0.0.5")),
        ("neighbour discovery", Frame::icmp("fe80::1", "ff02::1:ff00:1", vec![135, 0, 0, 0, 0, 0, 0, 0])),
        ("ping of the twin", Frame::icmp("198.51.100.9", "192.0.2.1", vec![8, 0, 0, 0, 0, 1, 0, 1])),
    ] {
        assert_eq!(rig.send(CLIENT_SIDE, &frame).verdict, Verdict::Kernel(CLIENT_SIDE), "{name}");
    }
    rig.snapshot.limits.to_kernel = 0;
    assert_eq!(rig.put(CLIENT_SIDE, &arp).expect_dropped(), DropReason::KernelLimit);
}

#[test]
fn a_vip_answers_ping_and_nothing_else_at_ports_without_a_service() {
    let mut rig = rig(Mode::FullNat);
    let ping = Frame::icmp("198.51.100.9", "192.0.2.10", vec![8, 0, 0, 0, 0, 9, 0, 1, b'x', b'y']);
    let pong = rig.send(CLIENT_SIDE, &ping).expect_on(CLIENT_SIDE);
    assert_eq!((pong.line().as_str(), pong.ttl), ("icmp 192.0.2.10 > 198.51.100.9 0/0", 64));
    assert_eq!(pong.payload[4..], ping.payload[4..]);
    let ping = Frame::icmp("2001:db8:ff::7", "2001:db8::10", vec![128, 0, 0, 0, 0, 9, 0, 1, 7]);
    let pong = rig.send(CLIENT_SIDE, &ping).expect_on(CLIENT_SIDE);
    assert_eq!(pong.line(), "icmp 2001:db8::10 > 2001:db8:ff::7 129/0");
    assert_eq!(rig.drops(CLIENT_SIDE, &Frame::tcp(CLIENT, "192.0.2.10:81", SYN)), DropReason::NoService);
}

/// An ICMP error from `router` to the sender of `about`, which quotes its IP header and 8 octets.
fn error(router: &str, about: &Frame, kind: [u8; 8]) -> Frame {
    let packet = about.packet();
    let header_len = if about.source.is_ipv4() { 20 } else { 40 };
    let message = [&kind[..], &packet[..header_len + 8]].concat();
    Frame::icmp(router, &about.source.ip().to_string(), message)
}

const FRAG_NEEDED: [u8; 8] = [3, 4, 0, 0, 0, 0, 0x05, 0x00];
const TOO_BIG_V6: [u8; 8] = [2, 0, 0, 0, 0, 0, 0x05, 0x00];

#[test]
fn icmp_errors_about_nated_flows_reach_the_sender_of_what_they_quote() {
    for (mode, client, vip, router, kind) in [
        (Mode::FullNat, CLIENT, VIP, "203.0.113.1", FRAG_NEEDED),
        (Mode::Nat, CLIENT, VIP, "203.0.113.1", FRAG_NEEDED),
        (Mode::FullNat, CLIENT6, VIP6, "2001:db8:aa::1", TOO_BIG_V6),
        (Mode::Nat, CLIENT6, VIP6, "2001:db8:aa::1", TOO_BIG_V6),
    ] {
        let mut rig = rig(mode);
        let header_len = if router.contains(':') { 40 } else { 20 };
        let sent = Frame::tcp(client, vip, ACK).payload(b"some request");
        let syn = rig.connect(client, vip);

        // About an answer, from a router on the client's side: to the backend, about what the backend sent.
        let answer = rig.to_client(&answer_to(&syn, ACK).payload(&[7; 900]));
        let translated = rig.send(CLIENT_SIDE, &error(router, &answer, kind)).expect_on(BACKEND_SIDE);
        assert_eq!(translated.destination.ip(), syn.destination.ip());
        let quoted = &translated.payload[8..];
        let expected = answer_to(&syn, ACK).payload(&[7; 900]).packet();
        assert_eq!(quoted[header_len - 8..header_len + 8], expected[header_len - 8..header_len + 8]);
        assert_eq!(translated.payload[..2], kind[..2]);
        assert_eq!(translated.payload[4..8], kind[4..]);

        // About a request, from a router on the backend's side: to the client, about what the client sent.
        let request = rig.to_backend(&sent);
        let translated = rig.send(BACKEND_SIDE, &error(router, &request, kind)).expect_on(CLIENT_SIDE);
        assert_eq!(translated.destination.ip(), sent.source.ip());
        assert_eq!(translated.source.ip().to_string(), router, "a router keeps its name");
        let quoted = &translated.payload[8..];
        assert_eq!(quoted[header_len - 8..header_len + 8], sent.packet()[header_len - 8..header_len + 8]);
        assert_eq!(rig.pipeline.counters.value(WorkerCounter::IcmpTranslated), 2);

        // What the backend itself complains of, the client hears from the VIP.
        let translated = rig
            .send(BACKEND_SIDE, &error(&request.destination.ip().to_string(), &request, kind))
            .expect_on(CLIENT_SIDE);
        assert_eq!(translated.source.ip(), vip.parse::<std::net::SocketAddr>().unwrap().ip());
    }
}

#[test]
fn icmp_errors_about_dsr_flows_go_to_the_flows_backend_as_they_are() {
    let mut rig = rig(Mode::DsrMac);
    for n in 0..20 {
        let client = format!("198.51.100.7:{}", 40_000 + n);
        let syn = rig.to_backend(&Frame::tcp(&client, VIP, SYN));
        if n % 2 == 0 {
            // Half of them are unknown here, as if another balancer had opened them: Maglev agrees.
            rig.to_backend(&Frame::tcp(&client, VIP, RST));
        }
        let complaint = error("203.0.113.1", &answer_to(&syn, ACK).payload(&[0; 1400]), FRAG_NEEDED);
        let passed = rig.to_backend(&complaint);
        assert_eq!(passed.link_destination, syn.link_destination);
        assert_eq!((passed.payload, passed.destination), (complaint.payload, complaint.destination));
    }
}

#[test]
fn ttl_and_mtu_are_answered_like_a_router_would() {
    let mut rig = rig(Mode::FullNat);
    let dying = Frame::tcp(CLIENT, VIP, SYN).ttl(1);
    let exceeded = rig.send(CLIENT_SIDE, &dying).expect_on(CLIENT_SIDE);
    assert_eq!(exceeded.line(), "icmp 192.0.2.10 > 198.51.100.7 11/0");
    assert_eq!(exceeded.payload[8..], Frame { link_destination: mac(0x0a), ..dying }.packet()[..]);

    rig.connect(CLIENT6, VIP6);
    let large = Frame::tcp(CLIENT6, VIP6, ACK).payload(&[1; 1600]);
    let too_big = rig.send(CLIENT_SIDE, &large).expect_on(CLIENT_SIDE);
    assert_eq!(too_big.line(), "icmp 2001:db8::10 > 2001:db8:ff::7 2/0");
    assert_eq!(too_big.payload[4..8], 1500_u32.to_be_bytes());
    assert_eq!(too_big.payload.len(), 1280 - 40, "as much as fits the minimum MTU");

    rig.snapshot.limits.icmp = 0;
    assert_eq!(rig.drops(CLIENT_SIDE, &large), DropReason::TooBig);
}

#[test]
fn checksums_are_offloaded_only_where_the_receiver_found_them_good() {
    for (found, expected) in [(ChecksumStatus::Good, true), (ChecksumStatus::Unknown, false)] {
        let mut rig = rig(Mode::FullNat);
        rig.snapshot.ports[1].offload = offload_all();
        let frame = Frame { link_destination: mac(0x0a), ..Frame::tcp(CLIENT, VIP, SYN) };
        let received = Received { ip_checksum: found, l4_checksum: found, rss_hash: None };
        let sent = rig.put_packet(HeapPacket::new(&frame.bytes(), CLIENT_SIDE).with_received(received));
        let offload = sent.packet.offload.unwrap();
        assert!(offload.ip_checksum);
        assert_eq!(offload.l4_checksum.is_some(), expected);
        assert_eq!((offload.l2_len, offload.l3_len), (14, 20));
        let bytes = sent.packet.bytes();
        assert_eq!(bytes[24..26], [0, 0], "the device wants zero there");
        if expected {
            // The pseudo-header's sum, which the device goes on from, gives the right checksum.
            let mut finished = bytes.to_vec();
            let sum = support::frames::checksum(&[&bytes[34..]]);
            finished[50..52].copy_from_slice(&sum.to_be_bytes());
            let sum = support::frames::checksum(&[&bytes[14..34]]);
            finished[24..26].copy_from_slice(&sum.to_be_bytes());
            Frame::read(&finished);
        }
    }
}

#[test]
fn a_port_that_cannot_be_trusted_has_its_checksums_recomputed() {
    for mode in [Mode::FullNat, Mode::DsrMac] {
        let mut rig = rig(mode);
        rig.snapshot.ports[0].recompute_checksums = true;
        let mut bytes = Frame { link_destination: mac(0x0a), ..Frame::tcp(CLIENT, VIP, SYN) }.bytes();
        bytes[50..52].copy_from_slice(&[0xde, 0xad]);
        rig.put(CLIENT_SIDE, &bytes).expect_on(BACKEND_SIDE);
    }
}

#[test]
fn a_checksum_to_recompute_is_left_to_a_device_that_can() {
    let mut rig = rig(Mode::FullNat);
    rig.snapshot.ports[0].recompute_checksums = true;
    rig.snapshot.ports[1].offload = offload_all();
    let frame = Frame { link_destination: mac(0x0a), ..Frame::tcp(CLIENT, VIP, SYN) };
    let sent = rig.put(CLIENT_SIDE, &frame.bytes());
    assert_eq!(sent.packet.offload.unwrap().l4_checksum, Some(Protocol::Tcp));
}

#[test]
fn a_datagram_without_checksum_goes_on_without_one() {
    let mut rig = rig(Mode::FullNat);
    rig.snapshot.ports[1].offload = offload_all();
    let mut bytes = Frame { link_destination: mac(0x0a), ..Frame::udp(CLIENT, VIP) }.bytes();
    bytes[40..42].copy_from_slice(&[0, 0]);
    let received = Received { l4_checksum: ChecksumStatus::Good, ..Received::default() };
    let sent = rig.put_packet(HeapPacket::new(&bytes, CLIENT_SIDE).with_received(received));
    assert_eq!(sent.verdict, Verdict::Transmit(BACKEND_SIDE));
    assert_eq!(sent.packet.offload.unwrap().l4_checksum, None);
    assert_eq!(sent.packet.bytes()[40..42], [0, 0]);
}

#[test]
fn padding_is_not_left_to_a_device_that_completes_checksums() {
    // qemu's e1000e counts it into the IP length when asked for that header's checksum.
    let mut rig = rig(Mode::FullNat);
    rig.snapshot.ports[1].offload = offload_all();
    let mut bytes = Frame { link_destination: mac(0x0a), ..Frame::tcp(CLIENT, VIP, SYN) }.bytes();
    let unpadded = bytes.len();
    bytes.resize(60, 0);
    assert!(unpadded < 60);
    assert_eq!(rig.put(CLIENT_SIDE, &bytes).packet.bytes().len(), unpadded);
}

#[test]
fn a_wrong_l4_checksum_stays_wrong() {
    let mut rig = rig(Mode::FullNat);
    let mut bytes = Frame { link_destination: mac(0x0a), ..Frame::tcp(CLIENT, VIP, SYN) }.bytes();
    bytes[50] ^= 0x55;
    let sent = rig.put(CLIENT_SIDE, &bytes);
    assert_eq!(sent.verdict, Verdict::Transmit(BACKEND_SIDE));
    let packet = sent.packet.bytes().to_vec();
    assert!(std::panic::catch_unwind(|| Frame::read(&packet)).is_err(), "the damage must not be covered up");
}

#[test]
fn a_full_table_refuses_nat_and_serves_dsr_without_state() {
    for mode in [Mode::FullNat, Mode::Nat, Mode::DsrMac] {
        let snapshot = rig(mode).snapshot;
        let mut rig = Rig::with_flows(snapshot, 8);
        let client = |n: u16| format!("198.51.100.7:{}", 40_000 + n);
        let first: Vec<Frame> = (0..8).map(|n| rig.to_backend(&Frame::tcp(&client(n), VIP, SYN))).collect();
        let ninth = Frame::tcp(&client(9), VIP, SYN);
        if mode == Mode::DsrMac {
            let sent = rig.to_backend(&ninth);
            assert_eq!(rig.to_backend(&ninth).link_destination, sent.link_destination);
            assert_eq!(rig.pipeline.counters.value(WorkerCounter::Stateless), 2);
        } else {
            assert_eq!(rig.drops(CLIENT_SIDE, &ninth), DropReason::FlowTableFull);
        }
        for (n, first) in (0..8).zip(first) {
            let again = rig.to_backend(&Frame::tcp(&client(n), VIP, ACK));
            assert_eq!((again.source, again.link_destination), (first.source, first.link_destination));
        }
    }
}

#[test]
fn full_nat_local_ports_are_unique_for_each_backend_and_run_out() {
    let mut snapshot = network();
    snapshot.local = evenkeel_datapath::snapshot::LocalAddresses::new(&[addr("10.0.0.200")], 2000, 2009);
    add_service(&mut snapshot, Mode::FullNat, Protocol::Tcp, VIP, &["10.0.0.1:80"]);
    // The same endpoint again, in another service: its flows must not share a tuple either.
    add_service(&mut snapshot, Mode::FullNat, Protocol::Tcp, "192.0.2.11:80", &["10.0.0.1:80"]);
    let mut rig = Rig::new(snapshot);
    let mut ports = std::collections::BTreeSet::new();
    let mut refused = 0;
    for n in 0..40 {
        let vip = if n % 2 == 0 { VIP } else { "192.0.2.11:80" };
        let sent = rig.send(CLIENT_SIDE, &Frame::tcp(&format!("198.51.100.7:{}", 40_000 + n), vip, SYN));
        if sent.verdict == Verdict::Transmit(BACKEND_SIDE) {
            assert!(ports.insert(Frame::read(sent.packet.bytes()).source.port()), "a port was given twice");
        } else {
            assert_eq!(sent.expect_dropped(), DropReason::NoLocalPort);
            refused += 1;
        }
    }
    assert!(ports.len() >= 9, "{} of 10 ports found", ports.len());
    assert!(refused > 0);
}

#[test]
fn nat_refuses_flows_whose_answers_would_be_ambiguous() {
    let mut snapshot = network();
    add_service(&mut snapshot, Mode::Nat, Protocol::Tcp, VIP, &["10.0.0.1:80"]);
    add_service(&mut snapshot, Mode::Nat, Protocol::Tcp, "192.0.2.11:80", &["10.0.0.1:80"]);
    let mut rig = Rig::new(snapshot);
    let syn = rig.connect(CLIENT, VIP);
    assert_eq!(rig.drops(CLIENT_SIDE, &Frame::tcp(CLIENT, "192.0.2.11:80", SYN)), DropReason::NatAmbiguous);
    // Once the first is over, the port is free for the other.
    rig.to_backend(&Frame::tcp(CLIENT, VIP, FIN | ACK));
    rig.to_client(&answer_to(&syn, FIN | ACK));
    rig.to_backend(&Frame::tcp(CLIENT, "192.0.2.11:80", SYN));
}

#[test]
fn timeouts_follow_the_state_of_the_connection() {
    // (what happened, flow still there after so many seconds, gone after so many more)
    type Story = fn(&mut Rig);
    let stories: [(&str, Story, u64, u64); 6] = [
        ("a SYN alone", |rig| drop(rig.to_backend(&Frame::tcp(CLIENT, VIP, SYN))), 9, 2),
        ("an open connection", |rig| drop(rig.connect(CLIENT, VIP)), 890, 20),
        (
            "one side closed",
            |rig| {
                rig.connect(CLIENT, VIP);
                rig.to_backend(&Frame::tcp(CLIENT, VIP, FIN | ACK));
            },
            115,
            10,
        ),
        (
            "both sides closed",
            |rig| {
                let syn = rig.connect(CLIENT, VIP);
                rig.to_backend(&Frame::tcp(CLIENT, VIP, FIN | ACK));
                rig.to_client(&answer_to(&syn, FIN | ACK));
                rig.to_backend(&Frame::tcp(CLIENT, VIP, ACK));
            },
            9,
            2,
        ),
        (
            "a reset",
            |rig| {
                rig.connect(CLIENT, VIP);
                rig.to_backend(&Frame::tcp(CLIENT, VIP, RST));
            },
            9,
            2,
        ),
        (
            "a reset that was not the client's",
            |rig| {
                rig.connect(CLIENT, VIP);
                rig.to_backend(&Frame::tcp(CLIENT, VIP, RST));
                rig.to_backend(&Frame::tcp(CLIENT, VIP, ACK).payload(b"still here"));
            },
            890,
            20,
        ),
    ];
    for (name, story, there, gone) in stories {
        let mut rig = rig(Mode::FullNat);
        story(&mut rig);
        rig.pass_seconds(there - 5);
        rig.sweep_for_seconds(5);
        assert_eq!(rig.pipeline.table().len(), 1, "{name}: still there");
        rig.pass_seconds(gone);
        rig.sweep_for_seconds(5);
        assert_eq!(rig.pipeline.table().len(), 0, "{name}: gone");
        assert_eq!(rig.pipeline.counters.value(WorkerCounter::FlowsExpired), 1, "{name}");
    }
}

#[test]
fn a_reset_of_a_handshake_frees_the_flow_at_once() {
    let mut rig = rig(Mode::FullNat);
    rig.to_backend(&Frame::tcp(CLIENT, VIP, SYN));
    rig.to_backend(&Frame::tcp(CLIENT, VIP, RST));
    assert!(rig.pipeline.table().is_empty());
}

#[test]
fn a_syn_on_a_finished_connection_opens_a_new_one() {
    let mut rig = rig(Mode::FullNat);
    let first = rig.connect(CLIENT, VIP);
    rig.to_client(&answer_to(&first, RST));
    rig.to_backend(&Frame::tcp(CLIENT, VIP, SYN));
    assert_eq!(rig.pipeline.counters.value(WorkerCounter::FlowsOpened), 2);
    assert_eq!(rig.pipeline.table().len(), 1);
}

#[test]
fn services_and_backends_are_counted() {
    let mut rig = rig(Mode::FullNat);
    let syn = rig.to_backend(&Frame::tcp(CLIENT, VIP, SYN));
    let slot = u16::from(syn.link_destination.0[5]) - 1;
    rig.to_client(&answer_to(&syn, RST | ACK));
    let service = *rig.pipeline.counters.service(0).unwrap();
    assert_eq!(service[ServiceCounter::PacketsIn as usize], 1);
    assert_eq!(service[ServiceCounter::BytesIn as usize], 40);
    assert_eq!(service[ServiceCounter::PacketsOut as usize], 1);
    assert_eq!(service[ServiceCounter::FlowsActive as usize], 0);
    let backend = *rig.pipeline.counters.backend(slot).unwrap();
    assert_eq!(backend[BackendCounter::Resets as usize], 1);
    assert_eq!(backend[BackendCounter::SynsUnanswered as usize], 1);
}

#[test]
fn without_a_backend_packets_are_counted_as_unserved() {
    let mut rig = rig(Mode::FullNat);
    for slot in 0..3 {
        set_state(&mut rig.snapshot, slot, BackendState::Down);
    }
    assert_eq!(rig.drops(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, SYN)), DropReason::NoBackend);
    assert_eq!(rig.pipeline.counters.service(0).unwrap()[ServiceCounter::Unserved as usize], 1);
}

#[test]
fn a_client_without_a_neighbour_is_asked_for() {
    let mut rig = rig(Mode::FullNat);
    // On the backends' link, but not among the neighbours there.
    let syn = rig.to_backend(&Frame::tcp("10.0.0.99:4000", VIP, SYN));
    assert_eq!(rig.drops(BACKEND_SIDE, &answer_to(&syn, SYN | ACK)), DropReason::NoNextHop);
    assert_eq!(rig.pipeline.take_unresolved(), Some(addr("10.0.0.99")));
    assert_eq!(rig.pipeline.take_unresolved(), None);
}
