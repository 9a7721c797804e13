//! ICMP that the balancer answers, translates and generates (RFC 792, RFC 4443, RFC 5508).

use crate::checksum::Sum;
use crate::key::{Addr, FlowKey, Protocol};
use crate::packet::Packet;
use crate::parse::Parsed;
use crate::rewrite::{link_addresses, set_link_addresses, write_ip_header, write_link_header};
use crate::wire::{ethernet, icmp, ipv4, ipv6, tcp, udp};

/// An error to send about a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpError {
    /// The TTL or hop limit ran out on the way.
    TimeExceeded,
    /// The way on takes packets of at most this many octets.
    TooBig(u16),
}

impl IcmpError {
    const fn header(self, v6: bool) -> [u8; icmp::LEN] {
        match (self, v6) {
            (Self::TimeExceeded, false) => [11, 0, 0, 0, 0, 0, 0, 0],
            (Self::TimeExceeded, true) => [3, 0, 0, 0, 0, 0, 0, 0],
            (Self::TooBig(mtu), v6) => {
                let [high, low] = mtu.to_be_bytes();
                if v6 { [2, 0, 0, 0, 0, 0, high, low] } else { [3, 4, 0, 0, 0, 0, high, low] }
            }
        }
    }
}

/// Octets that an error has at most: RFC 1812, section 4.3.2.3; RFC 4443, section 2.4.
const MAX_ERROR_V4: usize = 576;
const MAX_ERROR_V6: usize = 1280;

/// Makes an echo request to a VIP the reply, back to the neighbour that it came from.
pub fn answer_echo<P: Packet>(packet: &mut P, parsed: &Parsed) {
    let bytes = packet.bytes_mut();
    let (source, destination) = link_addresses(bytes);
    set_link_addresses(bytes, source, destination);
    let Some(ip) = bytes.get_mut(usize::from(parsed.l3)..) else { return };
    // Swapping addresses leaves every checksum as it is; the TTL starts anew.
    if parsed.v6 {
        let Some(ip) = ip.first_chunk_mut::<{ ipv6::LEN }>() else { return };
        ip[ipv6::HOP_LIMIT] = 64;
        ip[ipv6::SOURCE..ipv6::DESTINATION].copy_from_slice(&parsed.key.destination.addr.octets());
        ip[ipv6::DESTINATION..].copy_from_slice(&parsed.key.source.addr.octets());
    } else {
        let Some(ip) = ip.first_chunk_mut::<{ ipv4::LEN }>() else { return };
        let checksum = Sum::default()
            .replace_word([parsed.ttl, icmp::PROTOCOL_V4], [64, icmp::PROTOCOL_V4])
            .update([ip[ipv4::CHECKSUM], ip[ipv4::CHECKSUM + 1]]);
        ip[ipv4::TTL] = 64;
        ip[ipv4::CHECKSUM..ipv4::SOURCE].copy_from_slice(&checksum);
        ip[ipv4::SOURCE..ipv4::DESTINATION].copy_from_slice(&parsed.key.destination.addr.v4_octets());
        ip[ipv4::DESTINATION..].copy_from_slice(&parsed.key.source.addr.v4_octets());
    }
    let (request, reply) = if parsed.v6 { icmp::ECHO_V6 } else { icmp::ECHO_V4 };
    let message =
        bytes.get_mut(usize::from(parsed.l4)..).and_then(|rest| rest.first_chunk_mut::<{ icmp::LEN }>());
    if let Some(header) = message {
        let checksum = Sum::default().replace_word([request, header[1]], [reply, header[1]]);
        let checksum = checksum.update([header[2], header[3]]);
        header[0] = reply;
        header[icmp::CHECKSUM..icmp::CHECKSUM + 2].copy_from_slice(&checksum);
    }
}

/// Translates an ICMP error about a NATed flow: the quoted packet's tuple becomes `quoted` (as its sender sent it), the
/// outer addresses become `source` (unless `None`: it stays the router's that complains) and `destination`. Quoted
/// octets past the first eight of the transport header are used where they are there and not relied on.
pub fn translate_error<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    (quoted_l3, quoted_l4): (u16, u16),
    quoted: &FlowKey,
    source: Option<Addr>,
    destination: Addr,
) {
    let end = usize::from(parsed.l3) + usize::from(parsed.length);
    let bytes = packet.bytes_mut();
    let end = end.min(bytes.len());
    let (l3, l4) = (usize::from(parsed.l3), usize::from(parsed.l4));
    let (quoted_l3, quoted_l4) = (usize::from(quoted_l3), usize::from(quoted_l4));
    let was = parsed.key.reversed();
    if let Some(packet) = bytes.get_mut(quoted_l3..end) {
        rewrite_quoted(packet, parsed.v6, quoted_l4 - quoted_l3, &was, quoted);
    }

    let Some(ip) = bytes.get_mut(l3..l4) else { return };
    let source = match source {
        Some(source) => source,
        None => source_address(ip, parsed.v6),
    };
    if parsed.v6 {
        if let Some(ip) = ip.first_chunk_mut::<{ ipv6::LEN }>() {
            ip[ipv6::HOP_LIMIT] = parsed.ttl - 1;
            ip[ipv6::SOURCE..ipv6::DESTINATION].copy_from_slice(&source.octets());
            ip[ipv6::DESTINATION..].copy_from_slice(&destination.octets());
        }
    } else if ip.len() >= ipv4::LEN {
        ip[ipv4::TTL] = parsed.ttl - 1;
        ip[ipv4::SOURCE..ipv4::DESTINATION].copy_from_slice(&source.v4_octets());
        ip[ipv4::DESTINATION..ipv4::LEN].copy_from_slice(&destination.v4_octets());
        ip[ipv4::CHECKSUM..ipv4::SOURCE].copy_from_slice(&[0, 0]);
        let checksum = Sum::default().octets(ip).checksum();
        ip[ipv4::CHECKSUM..ipv4::SOURCE].copy_from_slice(&checksum);
    }
    let Some(message) = bytes.get_mut(l4..end) else { return };
    write_checksum(message, parsed.v6, &source, &destination);
}

/// The source address in an IP header.
#[must_use]
pub fn source_address(ip: &[u8], v6: bool) -> Addr {
    let v6_source = ip.get(ipv6::SOURCE..).and_then(|rest| rest.first_chunk::<16>()).filter(|_| v6);
    let v4_source = ip.get(ipv4::SOURCE..).and_then(|rest| rest.first_chunk::<4>());
    v6_source.map_or_else(
        || Addr::from_v4(v4_source.copied().unwrap_or_default()),
        |octets| Addr::from_octets(*octets),
    )
}

fn rewrite_quoted(packet: &mut [u8], v6: bool, l4: usize, was: &FlowKey, now: &FlowKey) {
    let addresses = Sum::default()
        .replace_address(&was.source.addr, &now.source.addr)
        .replace_address(&was.destination.addr, &now.destination.addr);
    if v6 {
        let Some(ip) = packet.first_chunk_mut::<{ ipv6::LEN }>() else { return };
        ip[ipv6::SOURCE..ipv6::DESTINATION].copy_from_slice(&now.source.addr.octets());
        ip[ipv6::DESTINATION..].copy_from_slice(&now.destination.addr.octets());
    } else {
        let Some(ip) = packet.first_chunk_mut::<{ ipv4::LEN }>() else { return };
        let checksum = addresses.update([ip[ipv4::CHECKSUM], ip[ipv4::CHECKSUM + 1]]);
        ip[ipv4::CHECKSUM..ipv4::SOURCE].copy_from_slice(&checksum);
        ip[ipv4::SOURCE..ipv4::DESTINATION].copy_from_slice(&now.source.addr.v4_octets());
        ip[ipv4::DESTINATION..].copy_from_slice(&now.destination.addr.v4_octets());
    }
    let Some(segment) = packet.get_mut(l4..) else { return };
    let sum = addresses
        .replace_word(was.source.port.to_be_bytes(), now.source.port.to_be_bytes())
        .replace_word(was.destination.port.to_be_bytes(), now.destination.port.to_be_bytes());
    if let Some(ports) = segment.first_chunk_mut::<4>() {
        ports[..2].copy_from_slice(&now.source.port.to_be_bytes());
        ports[2..].copy_from_slice(&now.destination.port.to_be_bytes());
    }
    let at = match was.protocol {
        Protocol::Tcp => tcp::CHECKSUM,
        Protocol::Udp => udp::CHECKSUM,
    };
    let field = segment.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>());
    if let Some(field) = field.filter(|field| was.protocol == Protocol::Tcp || **field != [0, 0]) {
        *field = sum.update(*field);
    }
}

/// Makes a TCP or UDP packet the error about it, from `source` and back to the neighbour that it came from; false if
/// there is no room in front of it.
#[must_use]
pub fn generate_error<P: Packet>(packet: &mut P, parsed: &Parsed, error: IcmpError, source: Addr) -> bool {
    let (max, l3_len, protocol) = if parsed.v6 {
        (MAX_ERROR_V6, ipv6::LEN, icmp::PROTOCOL_V6)
    } else {
        (MAX_ERROR_V4, ipv4::LEN, icmp::PROTOCOL_V4)
    };
    let l3 = usize::from(parsed.l3);
    let (link_source, link_destination) = link_addresses(packet.bytes());
    let here = packet.bytes().len().saturating_sub(l3);
    let quote = usize::from(parsed.length).min(max - l3_len - icmp::LEN).min(here);
    packet.truncate(l3 + quote);
    // What was the link header makes room too: the new headers end where the quoted packet begins.
    if !packet.prepend(ethernet::LEN + l3_len + icmp::LEN - l3) {
        return false;
    }
    let bytes = packet.bytes_mut();
    write_link_header(bytes, link_source, link_destination, parsed.v6);
    let Some(ip) = bytes.get_mut(ethernet::LEN..) else { return false };
    let destination = parsed.key.source.addr;
    write_ip_header(ip, parsed.v6, &source, &destination, protocol, icmp::LEN + quote, 0);
    let Some(message) = ip.get_mut(l3_len..) else { return false };
    if let Some(header) = message.first_chunk_mut::<{ icmp::LEN }>() {
        *header = error.header(parsed.v6);
    }
    write_checksum(message, parsed.v6, &source, &destination);
    true
}

fn write_checksum(message: &mut [u8], v6: bool, source: &Addr, destination: &Addr) {
    let Some(field) = message.get_mut(icmp::CHECKSUM..icmp::CHECKSUM + 2) else { return };
    field.copy_from_slice(&[0, 0]);
    let mut sum = Sum::default().octets(message);
    if v6 {
        sum = sum.pseudo_header(source, destination, icmp::PROTOCOL_V6, message.len() as u32);
    }
    message[icmp::CHECKSUM..icmp::CHECKSUM + 2].copy_from_slice(&sum.checksum());
}
