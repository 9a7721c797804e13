//! What is particular to IPv6: extension headers, and addresses that are the kernel's or nobody's.

use super::at;
use crate::counters::DropReason;
use crate::key::Addr;
use crate::wire::ipv6;

/// Extension headers that are followed before a packet is refused (RFC 8504, section 5.3, lets a node set a limit).
const MAX_EXTENSION_HEADERS: usize = 8;

/// True for `fe80::/10`.
pub(super) const fn is_link_local(address: Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 0xfe && second & 0xc0 == 0x80
}

/// Addresses that no packet on a wire may have, as for IPv4, and IPv4-mapped ones (RFC 4291, section 2.5.5.2): they
/// never occur on a wire, and here they mean IPv4.
#[inline]
pub(super) fn is_martian_v6(source: Addr, destination: Addr) -> bool {
    const LOOPBACK: Addr = Addr::from_octets([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    source.is_v4()
        || destination.is_v4()
        || source.octets()[0] == 0xff
        || source == LOOPBACK
        || destination == LOOPBACK
        || destination == Addr::default()
        || source == destination
}

/// Where the transport header begins, and its protocol (RFC 8200, section 4).
pub(super) fn skip_extension_headers(
    bytes: &[u8],
    l3: usize,
    length: usize,
    first: u8,
) -> Result<(usize, u8), DropReason> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION_OPTIONS: u8 = 60;
    let end = l3 + length;
    let mut offset = l3 + ipv6::LEN;
    let mut next = first;
    for index in 0..=MAX_EXTENSION_HEADERS {
        let header_len = |units: u8| (usize::from(units) + 1) * 8;
        match next {
            HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS => {}
            protocol => return Ok((offset, protocol)),
        }
        if index == MAX_EXTENSION_HEADERS || (next == HOP_BY_HOP && index != 0) {
            return Err(DropReason::BadExtensionHeader);
        }
        let header: &[u8; 8] = at(bytes, offset).ok_or(DropReason::Truncated)?;
        let len = match next {
            // An atomic fragment (RFC 6946) is a whole packet.
            FRAGMENT if u16::from_be_bytes([header[2], header[3]]) & 0xfff9 == 0 => 8,
            FRAGMENT => return Err(DropReason::Fragment),
            // Segments left: the destination is not the last one, and type 0 is not to be honoured (RFC 5095).
            ROUTING if header[2] == 0 || header[3] != 0 => return Err(DropReason::BadExtensionHeader),
            _ => header_len(header[1]),
        };
        if offset + len > end {
            return Err(DropReason::BadExtensionHeader);
        }
        next = header[0];
        offset += len;
    }
    Err(DropReason::BadExtensionHeader)
}
