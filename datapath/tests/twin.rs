//! A twin against the real kernel: each test runs as root in a network namespace of its own, and says so loudly where
//! it cannot.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

mod namespace;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet, PacketPool};
use evenkeel_datapath::snapshot::{MacAddress, PortId};
use evenkeel_datapath::twin::{RunningTwin, Twin, TwinCounter, TwinError, TwinRings};

use namespace::{inside_namespace, ip};

const PORT: PortId = PortId(3);
const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn started(rings: &TwinRings<HeapPacket>) -> RunningTwin<String> {
    let twin = Twin::new("ek-t0", PORT, OURS, 1400).unwrap();
    let running = twin.start(rings.clone(), HeapPool, || Ok::<_, String>(())).unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/ek-t0/accept_dad", "0").unwrap();
    ip("address add 10.9.0.1/24 dev ek-t0");
    ip("-6 address add fd09::1/64 dev ek-t0 nodad");
    ip("link set ek-t0 up");
    running
}

/// The next frame from the kernel that `wanted` likes; others (multicast reports and the like) are dropped.
fn frame(rings: &TwinRings<HeapPacket>, wanted: impl Fn(&[u8]) -> bool) -> HeapPacket {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        match rings.from_kernel.pop() {
            Some(packet) if wanted(packet.bytes()) => return packet,
            Some(_) => {}
            None => std::thread::yield_now(),
        }
    }
    panic!("the kernel sent no such frame within 10 s");
}

/// The kernel's answer to `question`, which is asked again until there is one: the kernel joins the group that
/// neighbour solicitations are sent to some time after the address is there.
fn answer(rings: &TwinRings<HeapPacket>, question: &[u8], wanted: impl Fn(&[u8]) -> bool) -> HeapPacket {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        rings.to_kernel.push(HeapPacket::new(question, PORT)).unwrap();
        let again = Instant::now() + Duration::from_millis(200);
        while Instant::now() < again {
            match rings.from_kernel.pop() {
                Some(packet) if wanted(packet.bytes()) => return packet,
                Some(_) => {}
                None => std::thread::yield_now(),
            }
        }
    }
    panic!("the kernel did not answer within 10 s");
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within 10 s");
        std::thread::yield_now();
    }
}

fn arp_request(target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend_from_slice(&PEER);
    frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&PEER);
    frame.extend_from_slice(&[10, 9, 0, 2, 0, 0, 0, 0, 0, 0]);
    frame.extend_from_slice(&target.octets());
    frame
}

fn ones_complement(parts: &[&[u8]]) -> u16 {
    let octets: Vec<u8> = parts.concat();
    let words = octets.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

fn neighbour_solicitation(target: Ipv6Addr) -> Vec<u8> {
    let source: Ipv6Addr = "fd09::2".parse().unwrap();
    let tail = &target.octets()[13..];
    let group: Ipv6Addr = "ff02::1:ff00:0".parse().unwrap();
    let mut group = group.octets();
    group[13..].copy_from_slice(tail);
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&target.octets());
    message.extend_from_slice(&[1, 1]);
    message.extend_from_slice(&PEER);
    let pseudo_header = [&source.octets()[..], &group, &[0, 0, 0, 32, 0, 0, 0, 58]].concat();
    let checksum = !ones_complement(&[&pseudo_header, &message]);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());

    let mut frame = vec![0x33, 0x33, 0xff, tail[0], tail[1], tail[2]];
    frame.extend_from_slice(&PEER);
    frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    frame.extend_from_slice(&source.octets());
    frame.extend_from_slice(&group);
    frame.extend_from_slice(&message);
    frame
}

#[test]
fn the_kernel_answers_arp_through_the_rings() {
    if !inside_namespace("the_kernel_answers_arp_through_the_rings") {
        return;
    }
    let rings = TwinRings::new(256);
    let twin = started(&rings);
    let question = arp_request([10, 9, 0, 1].into());
    let reply = answer(&rings, &question, |frame| frame[12..14] == [8, 6] && frame[20..22] == [0, 2]);
    assert_eq!(reply.port(), PORT);
    assert_eq!(reply.bytes()[..6], PEER, "to the asker");
    assert_eq!(reply.bytes()[22..28], OURS.0, "the port's address is the answer");
    assert!(twin.counters().value(TwinCounter::ToKernel) >= 1);
    wait_for("counted", || twin.counters().value(TwinCounter::FromKernel) >= 1);
    twin.stop().unwrap();
    let listed = Command::new("ip").args(["link", "show", "ek-t0"]).output().unwrap();
    assert!(!listed.status.success(), "the interface went with the twin");
}

#[test]
fn the_kernel_answers_neighbour_solicitations_through_the_rings() {
    if !inside_namespace("the_kernel_answers_neighbour_solicitations_through_the_rings") {
        return;
    }
    let rings = TwinRings::new(256);
    let _twin = started(&rings);
    let target = "fd09::1".parse().unwrap();
    let question = neighbour_solicitation(target);
    let reply =
        answer(&rings, &question, |frame| frame[12..14] == [0x86, 0xdd] && frame.get(54) == Some(&136));
    assert_eq!(reply.bytes()[6..12], OURS.0);
    assert_eq!(reply.bytes()[62..78], target.octets());
}

#[test]
fn frames_from_the_kernel_carry_complete_checksums() {
    if !inside_namespace("frames_from_the_kernel_carry_complete_checksums") {
        return;
    }
    let rings = TwinRings::new(256);
    let _twin = started(&rings);
    ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev ek-t0");
    let socket = std::net::UdpSocket::bind("10.9.0.1:0").unwrap();
    socket.send_to(b"some payload, an odd number", "10.9.0.2:9").unwrap();
    let packet = frame(&rings, |frame| frame[12..14] == [8, 0] && frame[23] == 17);
    let (header, segment) = packet.bytes()[14..].split_at(20);
    let length = u16::try_from(segment.len()).unwrap().to_be_bytes();
    assert_eq!(ones_complement(&[&header[12..20], &[0, 17], &length, segment]), 0xffff);
}

struct EmptyPool;

impl PacketPool for EmptyPool {
    type Packet = HeapPacket;

    fn allocate(&mut self) -> Option<HeapPacket> {
        None
    }
}

#[test]
fn what_cannot_be_moved_is_counted() {
    if !inside_namespace("what_cannot_be_moved_is_counted") {
        return;
    }
    let rings = TwinRings::new(4);
    {
        // Down: the kernel refuses.
        let twin = Twin::new("ek-t0", PORT, OURS, 1400).unwrap();
        let twin = twin.start(rings.clone(), HeapPool, || Ok::<_, String>(())).unwrap();
        rings.to_kernel.push(HeapPacket::new(&arp_request([10, 9, 0, 1].into()), PORT)).unwrap();
        wait_for("write error", || twin.counters().value(TwinCounter::WriteErrors) == 1);
    }
    {
        // Nobody empties the ring.
        let twin = started(&rings);
        let socket = std::net::UdpSocket::bind("10.9.0.1:0").unwrap();
        ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev ek-t0");
        (0..10).for_each(|_| assert!(socket.send_to(b"x", "10.9.0.2:9").is_ok()));
        wait_for("ring full", || twin.counters().value(TwinCounter::RingFull) >= 6);
        assert_eq!(twin.counters().value(TwinCounter::FromKernel), 4);
    }
    let twin = Twin::new("ek-t0", PORT, OURS, 1400).unwrap();
    let twin = twin.start(rings, EmptyPool, || Ok::<_, String>(())).unwrap();
    ip("link set ek-t0 up");
    wait_for("pool empty", || twin.counters().value(TwinCounter::PoolEmpty) >= 1);
    assert!(!twin.is_finished());
}

#[test]
fn errors_say_what_is_wrong() {
    if !inside_namespace("errors_say_what_is_wrong") {
        return;
    }
    let first = Twin::new("ek-t0", PORT, OURS, 1400).unwrap();
    assert!(matches!(Twin::new("ek-t0", PORT, OURS, 1400), Err(TwinError::Taken { .. })));
    let rings = TwinRings::<HeapPacket>::new(4);
    let failing = first.start(rings, HeapPool, || Err::<(), _>("no more threads".to_owned())).unwrap();
    assert_eq!(failing.stop().unwrap_err(), "no more threads");
}

#[test]
fn an_idle_twin_sleeps() {
    if !inside_namespace("an_idle_twin_sleeps") {
        return;
    }
    let rings = TwinRings::new(256);
    let _twin = started(&rings);
    let named = |path: &PathBuf| std::fs::read_to_string(path.join("comm")).unwrap().trim() == "twin-ek-t0";
    let find = || {
        let mut tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
        tasks.find(named)
    };
    wait_for("its thread has a name", || find().is_some());
    let status = find().unwrap().join("status");
    let sleeps = || std::fs::read_to_string(&status).unwrap().contains("State:\tS");
    wait_for("it sleeps", sleeps);
}
