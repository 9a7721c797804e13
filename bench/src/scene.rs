//! What the suites in one process forward by: ten services of a hundred backends each, TCP and UDP, IPv4 and IPv6, in
//! one mode, and the frames of as many TCP flows over IPv4 as are wanted.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::Arc;

use evenkeel_datapath::fib::{Fib, NextHop, Prefix};
use evenkeel_datapath::hash::FlowHasher;
use evenkeel_datapath::key::{Addr, Endpoint, Protocol};
use evenkeel_datapath::maglev::{Candidate, DEFAULT_SIZE, Maglev};
use evenkeel_datapath::packet::{HeapPacket, Packet};
use evenkeel_datapath::snapshot::{
    Backend, BackendState, LocalAddresses, MacAddress, Mode, NextHopId, PortId, PortInfo, Service,
    ServiceSlot, SnapshotParts, Timeouts,
};

use crate::rig::frames::{FRAME_LEN, NEIGHBOUR, Pair, Segment, device_mac, frame};

const BACKENDS: u16 = 100;
/// The first six are TCP over IPv4; traffic goes to these.
const SERVED: u32 = 6;

/// A snapshot with every service in `mode`.
#[must_use]
pub fn snapshot(mode: Mode) -> SnapshotParts {
    let mut snapshot = SnapshotParts {
        generation: 1,
        local: LocalAddresses::new(&[Addr::from_v4([10, 255, 255, 1]), v6(0xffff)], 1_024, u16::MAX),
        ports: vec![PortInfo { mac: MacAddress(device_mac(0)), mtu: 1_500, ..PortInfo::default() }],
        fib: Arc::new(Fib::new([Addr::from_v4([0; 4]), Addr::default()].map(|addr| {
            let length = if addr.is_v4() { 96 } else { 0 };
            let next_hop = NextHop { port: PortId(0), mac: MacAddress(NEIGHBOUR), mtu: 1_500 };
            (Prefix::new(addr, length), Some(next_hop))
        }))),
        timeouts: Timeouts { tcp_handshake_ms: 3_600_000, ..Timeouts::default() },
        ..SnapshotParts::default()
    };
    for service in 0..10_u16 {
        let protocol = if matches!(service, 6 | 7 | 9) { Protocol::Udp } else { Protocol::Tcp };
        let vip = if service < 8 {
            Endpoint { addr: Addr::from_v4([192, 0, 2, service as u8 + 1]), port: 80 }
        } else {
            Endpoint { addr: v6(service), port: 80 }
        };
        let slots = service * BACKENDS..(service + 1) * BACKENDS;
        for slot in slots.clone() {
            let addr = if vip.addr.is_v4() {
                Addr::from_v4([10, 1, service as u8, (slot % BACKENDS) as u8 + 1])
            } else {
                v6(0x100 + slot)
            };
            let endpoint = Endpoint { addr, port: 80 };
            if mode == Mode::Nat {
                snapshot.nat_endpoints.insert((endpoint, protocol));
            }
            snapshot.backends.push(Some(Backend {
                epoch: 0,
                service: ServiceSlot(service),
                endpoint,
                state: BackendState::Active,
                next_hop: Some(NextHopId(0)),
            }));
        }
        let candidates: Vec<Candidate> = slots
            .filter_map(|slot| {
                let endpoint = snapshot.backends.get(usize::from(slot))?.as_ref()?.endpoint;
                let identity = FlowHasher::SHARED.hash_endpoint(endpoint);
                Some(Candidate { identity, weight: 1, slot })
            })
            .collect();
        let maglev = Arc::new(Maglev::build(DEFAULT_SIZE, &candidates));
        snapshot.vips.insert((vip, protocol), ServiceSlot(service));
        snapshot.vip_addresses.insert(vip.addr);
        snapshot.services.push(Some(Service { vip, protocol, mode, maglev }));
    }
    snapshot
}

fn v6(last: u16) -> Addr {
    Addr::from_octets(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).octets())
}

/// Client and VIP of flow `number`; different for numbers below 2^24, and in no order that a cache could use.
#[must_use]
pub fn flow(number: u32) -> Pair {
    let host = number.wrapping_mul(0x9e_3779 | 1) & 0xff_ffff;
    let port = 1_024 + (number.wrapping_mul(0x85eb_ca6b) >> 16) % 60_000;
    Pair {
        source: SocketAddrV4::new(Ipv4Addr::from_bits(11 << 24 | host), port as u16),
        destination: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, (number % SERVED) as u8 + 1), 80),
    }
}

/// A packet with room for any frame of the scene.
#[must_use]
pub fn blank() -> HeapPacket {
    HeapPacket::new(&[0; FRAME_LEN], PortId(0))
}

/// Makes `packet` the next one of flow `number` from its client, in memory that is there already.
pub fn fill(packet: &mut HeapPacket, number: u32, segment: Segment) {
    let frame = frame(device_mac(0), flow(number), segment);
    if let Some(bytes) = packet.bytes_mut().first_chunk_mut() {
        *bytes = frame;
    }
}

/// Makes `packet`, a SYN that was forwarded to a backend, that backend's answer. Its TCP checksum is left as it is, since
/// a wrong one is not the balancer's to find.
pub fn answer(packet: &mut HeapPacket) {
    let Some(bytes) = packet.bytes_mut().first_chunk_mut::<FRAME_LEN>() else { return };
    bytes[..6].copy_from_slice(&device_mac(0));
    for (left, right, len) in [(26, 30, 4), (34, 36, 2)] {
        for at in 0..len {
            bytes.swap(left + at, right + at);
        }
    }
    bytes[47] = 0x12;
}
