//! Frames, built and checked by simple code of its own: what it computes is an oracle for what the datapath does.

use std::net::IpAddr;

use evenkeel_datapath::key::{Addr, Endpoint, FlowKey, Protocol};
use evenkeel_datapath::snapshot::MacAddress;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A TCP or UDP packet to build.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    pub(super) to: MacAddress,
    pub(super) key: FlowKey,
    pub(super) flags: u8,
    pub(super) ttl: u8,
    pub(super) payload: &'a [u8],
}

/// A frame that was sent, and is right in every length and checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) to: MacAddress,
    /// The tuple; of an ICMP error the one that it quotes.
    pub(super) key: FlowKey,
    pub(super) flags: u8,
    pub(super) is_icmp: bool,
}

/// RFC 1071, octet by octet.
fn checksum(parts: &[&[u8]]) -> u16 {
    let octets: Vec<u8> = parts.concat();
    let mut sum: u32 =
        octets.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(addr: Addr) -> Vec<u8> {
    match IpAddr::from(addr) {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

fn pseudo_header(source: Addr, destination: Addr, protocol: u8, length: usize) -> Vec<u8> {
    let mut header = [octets(source), octets(destination)].concat();
    header.extend((length as u32).to_be_bytes());
    header.extend([0, 0, 0, protocol]);
    header
}

fn ip_packet(source: Addr, destination: Addr, protocol: u8, ttl: u8, transport: &[u8]) -> Vec<u8> {
    let mut packet;
    if source.is_v4() {
        packet = vec![0x45, 0];
        packet.extend(((20 + transport.len()) as u16).to_be_bytes());
        packet.extend([0x12, 0x34, 0x40, 0x00, ttl, protocol, 0, 0]);
        packet.extend(octets(source));
        packet.extend(octets(destination));
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet = vec![0x60, 0, 0, 0];
        packet.extend((transport.len() as u16).to_be_bytes());
        packet.extend([protocol, ttl]);
        packet.extend(octets(source));
        packet.extend(octets(destination));
    }
    packet.extend(transport);
    packet
}

fn link(to: MacAddress, v4: bool, packet: &[u8]) -> Vec<u8> {
    let kind: [u8; 2] = if v4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&to.0[..], &[2, 0, 0, 0, 0, 0xc1], &kind, packet].concat()
}

impl Frame<'_> {
    /// The IP packet.
    pub(super) fn packet(&self) -> Vec<u8> {
        let FlowKey { source, destination, protocol } = self.key;
        let mut segment = [source.port.to_be_bytes(), destination.port.to_be_bytes()].concat();
        let at = match protocol {
            Protocol::Tcp => {
                segment.extend([0, 0, 4, 1, 0, 0, 8, 2, 0x50, self.flags, 0x20, 0x00, 0, 0, 0, 0]);
                16
            }
            Protocol::Udp => {
                segment.extend(((8 + self.payload.len()) as u16).to_be_bytes());
                segment.extend([0, 0]);
                6
            }
        };
        segment.extend(self.payload);
        let pseudo = pseudo_header(source.addr, destination.addr, protocol as u8, segment.len());
        let sum = checksum(&[&pseudo, &segment]);
        let sum = if protocol == Protocol::Udp && sum == 0 { 0xffff } else { sum };
        segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        ip_packet(source.addr, destination.addr, protocol as u8, self.ttl, &segment)
    }

    /// The Ethernet frame.
    pub(super) fn bytes(&self) -> Vec<u8> {
        link(self.to, self.key.source.addr.is_v4(), &self.packet())
    }
}

/// An ICMP error from `source` to the sender of the IP packet `quoted`, of which it has the first `quote` octets.
pub(super) fn icmp_error(
    to: MacAddress,
    source: Addr,
    destination: Addr,
    quoted: &[u8],
    quote: usize,
) -> Vec<u8> {
    let v4 = source.is_v4();
    // Destination unreachable, port.
    let mut message = vec![if v4 { 3 } else { 1 }, if v4 { 3 } else { 4 }, 0, 0, 0, 0, 0, 0];
    message.extend(&quoted[..quote.min(quoted.len())]);
    let pseudo = if v4 { Vec::new() } else { pseudo_header(source, destination, 58, message.len()) };
    let sum = checksum(&[&pseudo, &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    link(to, v4, &ip_packet(source, destination, if v4 { 1 } else { 58 }, 64, &message))
}

/// Reads a TCP, UDP or ICMP frame without options and panics if any length or checksum in it is wrong; `None` for an
/// ICMP message that is no error.
pub(super) fn read(bytes: &[u8]) -> Option<Seen> {
    let to = MacAddress(*bytes.first_chunk().expect("a link header"));
    let (source, destination, protocol, segment) = read_ip(&bytes[14..], true);
    let is_v4 = source.is_v4();
    if matches!(protocol, TCP | UDP) {
        let key = tuple(source, destination, protocol, segment);
        let is_without = protocol == UDP && is_v4 && segment[6..8] == [0, 0];
        let pseudo = pseudo_header(source, destination, protocol, segment.len());
        assert!(is_without || checksum(&[&pseudo, segment]) == 0, "checksum of {key:?}: {bytes:02x?}");
        let flags = if protocol == TCP { segment[13] } else { 0 };
        return Some(Seen { to, key, flags, is_icmp: false });
    }
    assert_eq!(protocol, if is_v4 { 1 } else { 58 }, "{bytes:02x?}");
    let pseudo = if is_v4 { Vec::new() } else { pseudo_header(source, destination, 58, segment.len()) };
    assert_eq!(checksum(&[&pseudo, segment]), 0, "ICMP checksum: {bytes:02x?}");
    let is_error = if is_v4 { matches!(segment[0], 3 | 11) } else { segment[0] < 128 };
    if !is_error {
        return None;
    }
    let (source, destination, protocol, quoted) = read_ip(&segment[8..], false);
    Some(Seen { to, key: tuple(source, destination, protocol, quoted), flags: 0, is_icmp: true })
}

fn read_ip(ip: &[u8], is_whole: bool) -> (Addr, Addr, u8, &[u8]) {
    if ip[0] >> 4 == 4 {
        assert_eq!(checksum(&[&ip[..20]]), 0, "IPv4 header checksum: {ip:02x?}");
        let addr = |at: usize| Addr::from_v4([ip[at], ip[at + 1], ip[at + 2], ip[at + 3]]);
        let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let end = if is_whole { length } else { length.min(ip.len()) };
        (addr(12), addr(16), ip[9], &ip[20..end])
    } else {
        let addr = |at: usize| Addr::from_octets(*ip[at..].first_chunk().expect("an IPv6 address"));
        let length = 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
        let end = if is_whole { length } else { length.min(ip.len()) };
        (addr(8), addr(24), ip[6], &ip[40..end])
    }
}

fn tuple(source: Addr, destination: Addr, protocol: u8, segment: &[u8]) -> FlowKey {
    let port = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
    FlowKey {
        source: Endpoint { addr: source, port: port(0) },
        destination: Endpoint { addr: destination, port: port(2) },
        protocol: if protocol == UDP { Protocol::Udp } else { Protocol::Tcp },
    }
}
