//! Bad packets, each with the reason that it is dropped for. A packet that once did harm gets a line here and keeps it.

mod support;

use evenkeel_datapath::counters::DropReason;
use evenkeel_datapath::key::Protocol;
use evenkeel_datapath::packet::{ChecksumStatus, HeapPacket, Received};
use evenkeel_datapath::snapshot::Mode;

use support::frames::{ACK, FIN, Frame, RST, SYN, checksum};
use support::*;

const VIP: &str = "192.0.2.10:80";
const VIP6: &str = "[2001:db8::10]:80";
const CLIENT: &str = "198.51.100.7:40000";
const CLIENT6: &str = "[2001:db8:ff::7]:40000";

fn v4() -> Vec<u8> {
    Frame { link_destination: mac(0x0a), ..Frame::tcp(CLIENT, VIP, SYN) }.bytes()
}

fn v6() -> Vec<u8> {
    Frame { link_destination: mac(0x0a), ..Frame::tcp(CLIENT6, VIP6, SYN) }.bytes()
}

/// With one octet of the frame set, and the IPv4 header checksum right again.
fn with(mut frame: Vec<u8>, octets: &[(usize, u8)]) -> Vec<u8> {
    for &(at, value) in octets {
        frame[at] = value;
    }
    if frame[12..14] == [0x08, 0x00] {
        frame[24..26].copy_from_slice(&[0, 0]);
        let end = (14 + usize::from(frame[14] & 15) * 4).min(frame.len());
        let sum = checksum(&[&frame[14..end]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

fn between(source: &str, destination: &str) -> Vec<u8> {
    Frame { link_destination: mac(0x0a), ..Frame::tcp(source, destination, SYN) }.bytes()
}

fn flags(flags: u8) -> Vec<u8> {
    Frame { link_destination: mac(0x0a), ..Frame::tcp(CLIENT, VIP, flags) }.bytes()
}

fn udp(octets: &[(usize, u8)]) -> Vec<u8> {
    with(Frame { link_destination: mac(0x0a), ..Frame::udp(CLIENT, VIP).payload(b"abcd") }.bytes(), octets)
}

/// An IPv6 packet whose extension headers are `options`, the first of them of kind `first`.
fn extended(first: u8, options: &[u8]) -> Vec<u8> {
    let frame =
        Frame { options: options.to_vec(), link_destination: mac(0x0a), ..Frame::tcp(CLIENT6, VIP6, SYN) };
    let mut bytes = frame.bytes();
    bytes[20] = first;
    bytes
}

fn icmp(message: &[u8]) -> Vec<u8> {
    Frame { link_destination: mac(0x0a), ..Frame::icmp("203.0.113.1", "192.0.2.10", message.to_vec()) }
        .bytes()
}

#[test]
fn every_malformed_packet_has_one_reason() {
    use DropReason as R;
    let cases: Vec<(&str, Vec<u8>, DropReason)> = vec![
        ("an empty frame", vec![], R::Truncated),
        ("13 octets", v4()[..13].to_vec(), R::Truncated),
        ("an Ethernet header alone", v4()[..14].to_vec(), R::Truncated),
        ("half an IPv4 header", v4()[..24].to_vec(), R::Truncated),
        ("an IPv4 header alone", v4()[..34].to_vec(), R::Truncated),
        ("half a TCP header", v4()[..44].to_vec(), R::Truncated),
        ("half an IPv6 header", v6()[..40].to_vec(), R::Truncated),
        ("an IPv6 header alone", v6()[..54].to_vec(), R::Truncated),
        ("another host's frame", with(v4(), &[(5, 0x77)]), R::NotForUs),
        ("IP version 5 as IPv4", with(v4(), &[(14, 0x55)]), R::BadIpHeader),
        ("IP version 4 as IPv6", with(v6(), &[(14, 0x40)]), R::BadIpHeader),
        ("IPv4 header of 16 octets", with(v4(), &[(14, 0x44)]), R::BadIpHeader),
        ("IPv4 total length below the header", with(v4(), &[(16, 0), (17, 19)]), R::BadIpHeader),
        ("IPv4 total length past the frame", with(v4(), &[(16, 0), (17, 41)]), R::Truncated),
        ("IPv4 total length that cuts the TCP header", with(v4(), &[(16, 0), (17, 30)]), R::BadL4Header),
        ("IPv4 options past the frame", with(v4(), &[(14, 0x4f), (16, 0), (17, 40)]), R::BadIpHeader),
        ("IPv6 payload length past the frame", with(v6(), &[(18, 0), (19, 21)]), R::Truncated),
        ("IPv6 payload length that cuts the TCP header", with(v6(), &[(18, 0), (19, 12)]), R::BadL4Header),
        (
            "a wrong IPv4 checksum",
            {
                let mut f = v4();
                f[24] ^= 1;
                f
            },
            R::BadIpChecksum,
        ),
        ("a first fragment", with(v4(), &[(20, 0x20)]), R::Fragment),
        ("a later fragment", with(v4(), &[(20, 0x00), (21, 0x08)]), R::Fragment),
        ("from loopback", between("127.0.0.1:9", VIP), R::Martian),
        ("to loopback", between(CLIENT, "127.0.0.1:80"), R::Martian),
        ("from multicast", between("224.0.0.1:9", VIP), R::Martian),
        ("from broadcast", between("255.255.255.255:9", VIP), R::Martian),
        ("from nowhere", between("0.0.0.0:9", VIP), R::Martian),
        ("LAND", between("192.0.2.10:80", VIP), R::Martian),
        ("IPv6 LAND", between("[2001:db8::10]:80", VIP6), R::Martian),
        ("from IPv6 loopback", between("[::1]:9", VIP6), R::Martian),
        ("from IPv6 multicast", between("[ff02::1]:9", VIP6), R::Martian),
        ("from a mapped address", between("[::ffff:198.51.100.7]:9", VIP6), R::Martian),
        ("to a mapped address", between(CLIENT6, "[::ffff:192.0.2.10]:80"), R::Martian),
        ("TCP data offset of 16", with(v4(), &[(46, 0x40)]), R::BadL4Header),
        ("TCP data offset past the packet", with(v4(), &[(46, 0x60)]), R::BadL4Header),
        ("no TCP flag", flags(0), R::BadTcpFlags),
        ("SYN and FIN", flags(SYN | FIN), R::BadTcpFlags),
        ("SYN and RST", flags(SYN | RST), R::BadTcpFlags),
        ("all flags", flags(0x3f), R::BadTcpFlags),
        ("UDP length below its header", udp(&[(38, 0), (39, 7)]), R::BadL4Header),
        ("UDP length past the packet", udp(&[(38, 0), (39, 13)]), R::BadL4Header),
        (
            "a later hop-by-hop header",
            extended(60, &[0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0]),
            R::BadExtensionHeader,
        ),
        ("routing header type 0", extended(43, &[6, 0, 0, 0, 0, 0, 0, 0]), R::BadExtensionHeader),
        ("segments left", extended(43, &[6, 0, 4, 1, 0, 0, 0, 0]), R::BadExtensionHeader),
        ("an IPv6 fragment", extended(44, &[6, 0, 0, 1, 0, 0, 0, 1]), R::Fragment),
        (
            "an extension header past the packet",
            extended(60, &[6, 9, 1, 4, 0, 0, 0, 0]),
            R::BadExtensionHeader,
        ),
        (
            "nine extension headers",
            extended(60, &[[60, 0, 1, 4, 0, 0, 0, 0]; 9].concat()),
            R::BadExtensionHeader,
        ),
        (
            "a wrong ICMP checksum",
            {
                let mut f = icmp(&[[3, 4, 0, 0, 0, 0, 5, 0].as_slice(), &v4()[14..42]].concat());
                f[40] ^= 1;
                f
            },
            R::BadIcmp,
        ),
        ("ICMP that quotes nothing", icmp(&[3, 4, 0, 0, 0, 0, 5, 0]), R::BadIcmp),
        (
            "ICMP that quotes an IP header only",
            icmp(&[[3, 4, 0, 0, 0, 0, 5, 0].as_slice(), &v4()[14..34]].concat()),
            R::BadIcmp,
        ),
        (
            "ICMP that quotes 7 octets of TCP",
            icmp(&[[3, 4, 0, 0, 0, 0, 5, 0].as_slice(), &v4()[14..41]].concat()),
            R::BadIcmp,
        ),
        (
            "ICMP that quotes a header of 16 octets",
            icmp(&[[3, 4, 0, 0, 0, 0, 5, 0].as_slice(), &with(v4(), &[(14, 0x44)])[14..42]].concat()),
            R::BadIcmp,
        ),
        ("ICMP of 4 octets", icmp(&[3, 4, 0, 0]), R::BadIcmp),
        (
            "ICMP about a flow that nobody knows",
            icmp(&[[3, 4, 0, 0, 0, 0, 5, 0].as_slice(), &between(VIP, CLIENT)[14..42]].concat()),
            R::NoFlow,
        ),
    ];
    let mut snapshot = network();
    add_service(&mut snapshot, Mode::FullNat, Protocol::Tcp, VIP, &["10.0.0.1:8080"]);
    add_service(&mut snapshot, Mode::FullNat, Protocol::Tcp, VIP6, &["[fd00::1]:8080"]);
    let mut rig = Rig::new(snapshot);
    for (name, frame, reason) in cases {
        assert_eq!(rig.put(CLIENT_SIDE, &frame).expect_dropped(), reason, "{name}");
    }
    assert!(rig.pipeline.table().is_empty(), "none of them left a trace");
}

#[test]
fn what_the_port_says_of_checksums_counts() {
    let mut snapshot = network();
    add_service(&mut snapshot, Mode::FullNat, Protocol::Tcp, VIP, &["10.0.0.1:8080"]);
    let mut rig = Rig::new(snapshot);
    let bad = Received { ip_checksum: ChecksumStatus::Bad, ..Received::default() };
    let packet = HeapPacket::new(&v4(), CLIENT_SIDE).with_received(bad);
    assert_eq!(rig.put_packet(packet).expect_dropped(), DropReason::BadIpChecksum);
    let bad = Received { l4_checksum: ChecksumStatus::Bad, ..Received::default() };
    for frame in [v4(), v6()] {
        let packet = HeapPacket::new(&frame, CLIENT_SIDE).with_received(bad);
        assert_eq!(rig.put_packet(packet).expect_dropped(), DropReason::BadL4Checksum);
    }
    // A port that is not to be trusted is not believed either, and UDP without a checksum has no wrong one.
    rig.snapshot.ports[0].recompute_checksums = true;
    let sent = rig.put_packet(HeapPacket::new(&v4(), CLIENT_SIDE).with_received(bad));
    assert_eq!(sent.expect_on(BACKEND_SIDE).flags, SYN);
    rig.snapshot.ports[0].recompute_checksums = false;
    add_service(&mut rig.snapshot, Mode::FullNat, Protocol::Udp, VIP, &["10.0.0.1:8080"]);
    let without = HeapPacket::new(&udp(&[(40, 0), (41, 0)]), CLIENT_SIDE).with_received(bad);
    rig.put_packet(without).expect_on(BACKEND_SIDE);
}

#[test]
fn an_atomic_fragment_and_padding_are_no_harm() {
    let mut snapshot = network();
    add_service(&mut snapshot, Mode::FullNat, Protocol::Tcp, VIP, &["10.0.0.1:8080"]);
    add_service(&mut snapshot, Mode::FullNat, Protocol::Tcp, VIP6, &["[fd00::1]:8080"]);
    let mut rig = Rig::new(snapshot);
    let sent = rig.put(CLIENT_SIDE, &extended(44, &[6, 0, 0, 0, 0, 0, 0, 1]));
    assert!(matches!(sent.verdict, evenkeel_datapath::pipeline::Verdict::Transmit(BACKEND_SIDE)));
    let padded = [v4(), vec![0xaa; 6]].concat();
    rig.put(CLIENT_SIDE, &padded).expect_on(BACKEND_SIDE);
    // Padding is not payload: a reset that answers the packet acknowledges the SYN alone.
    let stray = [flags(ACK), vec![0xaa; 6]].concat();
    let mut rig = Rig::new(rig.snapshot);
    assert_eq!(rig.put(CLIENT_SIDE, &stray).expect_on(CLIENT_SIDE).flags, RST);
}
