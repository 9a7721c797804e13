//! Rewriting of parsed packets in place: link addresses, TTL, the transport tuple, checksums.

use crate::checksum::Sum;
use crate::key::{FlowKey, Protocol};
use crate::packet::{ChecksumStatus, Packet, TransmitOffload};
use crate::parse::{Content, Parsed};
use crate::plain::{PLAIN, Tuple};
use crate::snapshot::{ChecksumOffload, MacAddress};
use crate::wire::{ethernet, ipv4, ipv6, tcp, udp};

/// How the checksum of TCP or UDP is kept right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum L4Checksum {
    /// By what changed: a wrong checksum stays wrong, as it should.
    Update,
    /// By software, over everything: for wires that hand over packets whose checksum nobody has computed.
    Whole,
    /// By the sending device. Only where the receiving one has found it good, lest damage be covered up, or where it is
    /// to be computed whole anyway.
    Offload,
}

/// Writes destination and source of the Ethernet header.
#[inline]
pub fn set_link_addresses(bytes: &mut [u8], destination: MacAddress, source: MacAddress) {
    if let Some(header) = bytes.first_chunk_mut::<12>() {
        header[..6].copy_from_slice(&destination.0);
        header[6..].copy_from_slice(&source.0);
    }
}

/// Destination and source as they stand in the Ethernet header.
#[must_use]
pub fn link_octets(destination: MacAddress, source: MacAddress) -> [u8; 12] {
    let mut octets = [0; 12];
    set_link_addresses(&mut octets, destination, source);
    octets
}

/// Source and destination of the Ethernet header.
#[must_use]
pub fn link_addresses(bytes: &[u8]) -> (MacAddress, MacAddress) {
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = *bytes.first_chunk().unwrap_or(&[0; 12]);
    (MacAddress([s0, s1, s2, s3, s4, s5]), MacAddress([d0, d1, d2, d3, d4, d5]))
}

/// Makes a plain packet one more router hop (its TTL is greater than 1), to the addresses and ports `to` (see [`Tuple`])
/// and the Ethernet addresses `link`; both checksums are updated.
#[inline(always)]
pub fn translate_plain(frame: &mut [u8; PLAIN], from: Tuple, to: (u64, u32), link: &[u8; 12]) {
    const IP: usize = ethernet::LEN;
    const L4: usize = ethernet::LEN + ipv4::LEN;
    let moved = Sum::ZERO.replace_words(from.addresses(), to.0);
    let ip_checksum = moved.plus(ONE_HOP).update(octets(frame, IP + ipv4::CHECKSUM));
    let l4 = moved.replace_double(from.ports().to_ne_bytes(), to.1.to_ne_bytes());
    if from.is_tcp() {
        let checksum = l4.update(octets(frame, L4 + tcp::CHECKSUM));
        frame[L4 + tcp::CHECKSUM..][..2].copy_from_slice(&checksum);
    } else {
        let checksum = updated_udp(l4, octets(frame, L4 + udp::CHECKSUM));
        frame[L4 + udp::CHECKSUM..][..2].copy_from_slice(&checksum);
    }
    frame[..12].copy_from_slice(link);
    frame[IP + ipv4::TTL] = frame[IP + ipv4::TTL].wrapping_sub(1);
    frame[IP + ipv4::CHECKSUM..IP + ipv4::SOURCE].copy_from_slice(&ip_checksum);
    frame[IP + ipv4::SOURCE..][..8].copy_from_slice(&to.0.to_ne_bytes());
    frame[L4..][..4].copy_from_slice(&to.1.to_ne_bytes());
}

/// Makes a plain packet one more router hop and leaves its tuple as it is.
#[inline(always)]
pub fn pass_on_plain(frame: &mut [u8; PLAIN], link: &[u8; 12]) {
    const IP: usize = ethernet::LEN;
    let checksum = ONE_HOP.update(octets(frame, IP + ipv4::CHECKSUM));
    frame[..12].copy_from_slice(link);
    frame[IP + ipv4::TTL] = frame[IP + ipv4::TTL].wrapping_sub(1);
    frame[IP + ipv4::CHECKSUM..IP + ipv4::SOURCE].copy_from_slice(&checksum);
}

/// The `N` octets at `offset`, which is a constant and lies within.
#[inline(always)]
fn octets<const N: usize>(frame: &[u8; PLAIN], offset: usize) -> [u8; N] {
    core::array::from_fn(|index| frame[offset + index])
}

/// UDP's checksum after the changes in `sum`. Zero means "none" and stays (RFC 768, IPv4 alone); a checksum that comes
/// out as zero is sent as its other representation.
#[inline]
const fn updated_udp(sum: Sum, checksum: [u8; 2]) -> [u8; 2] {
    if let [0, 0] = checksum {
        return checksum;
    }
    match sum.update(checksum) {
        [0, 0] => [0xff, 0xff],
        checksum => checksum,
    }
}

/// Makes `packet` one more router hop: TTL decremented (it is greater than 1), and its tuple become `to`, of the same
/// family. `offload` is what the port that it leaves by can complete; `recompute` says that its checksum is not to be
/// trusted.
pub fn translate<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    to: &FlowKey,
    offload: ChecksumOffload,
    recompute: bool,
) {
    let from = &parsed.key;
    let l4_offload = match from.protocol {
        Protocol::Tcp => offload.tcp,
        Protocol::Udp => offload.udp,
    };
    let way = if l4_offload && (recompute || packet.received().l4_checksum == ChecksumStatus::Good) {
        L4Checksum::Offload
    } else if recompute {
        L4Checksum::Whole
    } else {
        L4Checksum::Update
    };
    let bytes = packet.bytes_mut();
    let addresses = if parsed.v6 {
        write_addresses_v6(bytes, parsed, to)
    } else {
        write_addresses_v4(bytes, parsed, to, offload.ipv4)
    };
    let asked_l4 = write_transport(bytes, parsed, to, addresses, way).then_some(from.protocol);
    let ip_checksum = offload.ipv4 && !parsed.v6;
    if ip_checksum || asked_l4.is_some() {
        // Without the padding of a short frame: some devices take all that follows the headers for the packet.
        let end = usize::from(parsed.l3) + usize::from(parsed.length);
        if bytes.len() > end {
            packet.truncate(end);
        }
        packet.set_offload(TransmitOffload {
            l2_len: parsed.l3 as u8,
            l3_len: parsed.l4 - parsed.l3,
            is_v6: parsed.v6,
            ip_checksum,
            l4_checksum: asked_l4,
        });
    }
}

/// Makes `packet` one more router hop and leaves its tuple as it is.
#[inline]
pub fn pass_on<P: Packet>(packet: &mut P, parsed: &Parsed, recompute: bool) {
    let bytes = packet.bytes_mut();
    decrement_ttl(bytes, parsed);
    if recompute {
        write_transport(bytes, parsed, &parsed.key, Sum::ZERO, L4Checksum::Whole);
    }
}

/// What a hop changes in a sum over TTL and protocol: the complement of a word plus the word with an octet less by one.
const ONE_HOP: Sum = Sum::ZERO.word([0xfe, 0xff]);

/// Decrements the TTL or hop limit, which is greater than 1.
#[inline]
pub fn decrement_ttl(bytes: &mut [u8], parsed: &Parsed) {
    let Some(header) = bytes.get_mut(usize::from(parsed.l3)..) else { return };
    if parsed.v6 {
        if let Some(hop_limit) = header.get_mut(ipv6::HOP_LIMIT) {
            *hop_limit = parsed.ttl - 1;
        }
    } else if let Some(ip) = header.first_chunk_mut::<{ ipv4::LEN }>() {
        let checksum = ONE_HOP.update([ip[ipv4::CHECKSUM], ip[ipv4::CHECKSUM + 1]]);
        ip[ipv4::TTL] = parsed.ttl - 1;
        ip[ipv4::CHECKSUM..ipv4::SOURCE].copy_from_slice(&checksum);
    }
}

/// Writes TTL, checksum and the addresses of `to`; answers what the addresses change in a sum over them.
#[inline]
fn write_addresses_v4(bytes: &mut [u8], parsed: &Parsed, to: &FlowKey, offload: bool) -> Sum {
    let header = bytes.get_mut(usize::from(parsed.l3)..).unwrap_or_default();
    let Some(ip) = header.first_chunk_mut::<{ ipv4::LEN }>() else { return Sum::ZERO };
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *ip;
    let (source, destination) = (to.source.addr.v4_octets(), to.destination.addr.v4_octets());
    let addresses =
        Sum::ZERO.replace_double([s0, s1, s2, s3], source).replace_double([d0, d1, d2, d3], destination);
    let checksum = [ip[ipv4::CHECKSUM], ip[ipv4::CHECKSUM + 1]];
    let checksum = if offload { [0, 0] } else { addresses.plus(ONE_HOP).update(checksum) };
    ip[ipv4::TTL] = parsed.ttl - 1;
    ip[ipv4::CHECKSUM..ipv4::SOURCE].copy_from_slice(&checksum);
    ip[ipv4::SOURCE..ipv4::DESTINATION].copy_from_slice(&source);
    ip[ipv4::DESTINATION..].copy_from_slice(&destination);
    addresses
}

/// Writes the hop limit and the addresses of `to`; answers what the addresses change in a sum over them.
fn write_addresses_v6(bytes: &mut [u8], parsed: &Parsed, to: &FlowKey) -> Sum {
    let header = bytes.get_mut(usize::from(parsed.l3)..).unwrap_or_default();
    let Some(ip) = header.first_chunk_mut::<{ ipv6::LEN }>() else { return Sum::ZERO };
    ip[ipv6::HOP_LIMIT] = parsed.ttl - 1;
    ip[ipv6::SOURCE..ipv6::DESTINATION].copy_from_slice(&to.source.addr.octets());
    ip[ipv6::DESTINATION..].copy_from_slice(&to.destination.addr.octets());
    Sum::ZERO
        .replace_address(&parsed.key.source.addr, &to.source.addr)
        .replace_address(&parsed.key.destination.addr, &to.destination.addr)
}

/// True for TCP and UDP, except UDP whose sender chose to have no checksum (RFC 768, over IPv4 alone).
pub(crate) fn has_l4_checksum(bytes: &[u8], parsed: &Parsed) -> bool {
    let at = usize::from(parsed.l4) + udp::CHECKSUM;
    let is_none = || !parsed.v6 && bytes.get(at..at + 2) == Some(&[0, 0]);
    parsed.content == Content::Transport && !(parsed.key.protocol == Protocol::Udp && is_none())
}

/// Writes ports and checksum; true where the checksum is left for the device to complete.
#[inline]
fn write_transport(bytes: &mut [u8], parsed: &Parsed, to: &FlowKey, addresses: Sum, way: L4Checksum) -> bool {
    let is_udp = parsed.key.protocol == Protocol::Udp;
    let at = if is_udp { udp::CHECKSUM } else { tcp::CHECKSUM };
    let segment = bytes.get_mut(usize::from(parsed.l4)..).unwrap_or_default();
    let Some(&field) = segment.get(at..).and_then(|rest| rest.first_chunk::<2>()) else { return false };
    let Some(ports) = segment.first_chunk_mut::<4>() else { return false };
    let [s0, s1] = to.source.port.to_be_bytes();
    let [d0, d1] = to.destination.port.to_be_bytes();
    let old = std::mem::replace(ports, [s0, s1, d0, d1]);
    if is_udp && field == [0, 0] && !parsed.v6 {
        return false; // the sender chose to have none (RFC 768)
    }
    let updated = addresses.replace_double(old, [s0, s1, d0, d1]).update(field);
    let (checksum, is_left) = match way {
        L4Checksum::Update => (updated, false),
        L4Checksum::Offload => (pseudo_header(parsed, to).folded().to_ne_bytes(), true),
        // As far as further segments do not hold the rest of it.
        L4Checksum::Whole => (whole_checksum(segment, parsed, to, at).unwrap_or(updated), false),
    };
    // In UDP zero means "none", and its other representation is sent instead (RFC 768).
    let is_none = is_udp && !is_left && checksum == [0, 0];
    if let Some(field) = segment.get_mut(at..at + 2) {
        field.copy_from_slice(if is_none { &[0xff, 0xff] } else { &checksum });
    }
    is_left
}

#[cold]
fn whole_checksum(segment: &mut [u8], parsed: &Parsed, to: &FlowKey, at: usize) -> Option<[u8; 2]> {
    let whole = segment.get_mut(..usize::from(parsed.l4_length()))?;
    whole.get_mut(at..at + 2)?.copy_from_slice(&[0, 0]);
    Some(pseudo_header(parsed, to).octets(whole).checksum())
}

#[cold]
fn pseudo_header(parsed: &Parsed, to: &FlowKey) -> Sum {
    let (source, destination) = (to.source.addr, to.destination.addr);
    Sum::ZERO.pseudo_header(&source, &destination, parsed.key.protocol as u8, u32::from(parsed.l4_length()))
}

/// Writes an IP header without options in front of `length` octets of payload; `ecn` is its ECN field (RFC 3168, section 5).
pub fn write_ip_header(
    bytes: &mut [u8],
    v6: bool,
    source: &crate::key::Addr,
    destination: &crate::key::Addr,
    protocol: u8,
    length: usize,
    ecn: u8,
) {
    const HOPS: u8 = 64;
    let payload = (length as u16).to_be_bytes();
    if v6 {
        let Some(ip) = bytes.first_chunk_mut::<{ ipv6::LEN }>() else { return };
        *ip = [0; ipv6::LEN];
        (ip[0], ip[1]) = (0x60, ecn << 4);
        ip[ipv6::PAYLOAD_LENGTH..ipv6::NEXT_HEADER].copy_from_slice(&payload);
        ip[ipv6::NEXT_HEADER] = protocol;
        ip[ipv6::HOP_LIMIT] = HOPS;
        ip[ipv6::SOURCE..ipv6::DESTINATION].copy_from_slice(&source.octets());
        ip[ipv6::DESTINATION..].copy_from_slice(&destination.octets());
    } else {
        let Some(ip) = bytes.first_chunk_mut::<{ ipv4::LEN }>() else { return };
        let total = ((ipv4::LEN + length) as u16).to_be_bytes();
        *ip = [0; ipv4::LEN];
        (ip[0], ip[1]) = (0x45, ecn);
        ip[ipv4::TOTAL_LENGTH..ipv4::TOTAL_LENGTH + 2].copy_from_slice(&total);
        ip[ipv4::FRAGMENT] = 0x40; // don't fragment
        ip[ipv4::TTL] = HOPS;
        ip[ipv4::PROTOCOL] = protocol;
        ip[ipv4::SOURCE..ipv4::DESTINATION].copy_from_slice(&source.v4_octets());
        ip[ipv4::DESTINATION..].copy_from_slice(&destination.v4_octets());
        let checksum = Sum::ZERO.octets(ip).checksum();
        ip[ipv4::CHECKSUM..ipv4::SOURCE].copy_from_slice(&checksum);
    }
}

/// Writes an Ethernet header with the type of the IP version.
pub fn write_link_header(bytes: &mut [u8], destination: MacAddress, source: MacAddress, v6: bool) {
    set_link_addresses(bytes, destination, source);
    if let Some(kind) = bytes.get_mut(12..ethernet::LEN) {
        kind.copy_from_slice(if v6 { &ethernet::IPV6 } else { &ethernet::IPV4 });
    }
}
