//! TCP resets that the balancer sends (RFC 9293, section 3.5.2), and the segments that prompt for them.

use crate::checksum::Sum;
use crate::key::FlowKey;
use crate::packet::Packet;
use crate::parse::Parsed;
use crate::rewrite::{link_addresses, write_ip_header, write_link_header};
use crate::snapshot::MacAddress;
use crate::wire::{ethernet, ipv4, ipv6, tcp};

/// A reset, ready to be written into a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reset {
    link_destination: MacAddress,
    link_source: MacAddress,
    key: FlowKey,
    v6: bool,
    sequence: u32,
    acknowledgment: u32,
    flags: u8,
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    let octets = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    octets.map_or(0, |octets| u32::from_be_bytes(*octets))
}

impl Reset {
    /// The reset that answers the TCP segment `bytes`, back to the neighbour that it came from: its sender takes it for
    /// its peer's, since it acknowledges exactly what was sent, or stands at exactly what is expected.
    #[must_use]
    pub fn answer(bytes: &[u8], parsed: &Parsed) -> Self {
        let l4 = usize::from(parsed.l4);
        let (link_source, link_destination) = link_addresses(bytes);
        let header_len = bytes.get(l4 + tcp::DATA_OFFSET).map_or(0, |octet| u32::from(octet >> 4) * 4);
        let occupies =
            u32::from(parsed.tcp_flags & tcp::SYN != 0) + u32::from(parsed.tcp_flags & tcp::FIN != 0);
        let segment_len = u32::from(parsed.l4_length()).saturating_sub(header_len) + occupies;
        let (sequence, acknowledgment, flags) = if parsed.tcp_flags & tcp::ACK != 0 {
            (word(bytes, l4 + tcp::ACKNOWLEDGMENT), 0, tcp::RST)
        } else {
            (0, word(bytes, l4 + tcp::SEQUENCE).wrapping_add(segment_len), tcp::RST | tcp::ACK)
        };
        Self {
            link_destination: link_source,
            link_source: link_destination,
            key: parsed.key.reversed(),
            v6: parsed.v6,
            sequence,
            acknowledgment,
            flags,
        }
    }

    /// The reset that goes on in place of the TCP segment `bytes`, under the tuple `to`, from its sender to its receiver:
    /// it stands where the segment stood, which is what the receiver expects unless something was lost.
    #[must_use]
    pub fn onward(
        bytes: &[u8],
        parsed: &Parsed,
        to: FlowKey,
        link_destination: MacAddress,
        link_source: MacAddress,
    ) -> Self {
        let l4 = usize::from(parsed.l4);
        Self {
            link_destination,
            link_source,
            key: to,
            v6: parsed.v6,
            sequence: word(bytes, l4 + tcp::SEQUENCE),
            acknowledgment: word(bytes, l4 + tcp::ACKNOWLEDGMENT),
            flags: tcp::RST | (parsed.tcp_flags & tcp::ACK),
        }
    }

    /// Not a reset yet, but what makes one possible: an ACK from `to.source` that stands anywhere. Whoever has the
    /// connection cannot accept it, and answers with an ACK that tells where it stands (RFC 9293, section 3.10.7.4).
    #[must_use]
    pub fn prompt(
        to: FlowKey,
        link_destination: MacAddress,
        link_source: MacAddress,
        sequence: u32,
        acknowledgment: u32,
    ) -> Self {
        let v6 = !to.destination.addr.is_v4();
        Self { link_destination, link_source, key: to, v6, sequence, acknowledgment, flags: tcp::ACK }
    }

    /// Makes `packet` this reset; false if it has no room for it.
    #[must_use]
    pub fn write<P: Packet>(&self, packet: &mut P) -> bool {
        let l3_len = if self.v6 { ipv6::LEN } else { ipv4::LEN };
        if !packet.resize(ethernet::LEN + l3_len + tcp::LEN) {
            return false;
        }
        let bytes = packet.bytes_mut();
        write_link_header(bytes, self.link_destination, self.link_source, self.v6);
        let (source, destination) = (self.key.source, self.key.destination);
        let Some(ip) = bytes.get_mut(ethernet::LEN..) else { return false };
        write_ip_header(ip, self.v6, &source.addr, &destination.addr, self.key.protocol as u8, tcp::LEN, 0);
        let Some(segment) = ip.get_mut(l3_len..).and_then(|rest| rest.first_chunk_mut::<{ tcp::LEN }>())
        else {
            return false;
        };
        *segment = [0; tcp::LEN];
        segment[..2].copy_from_slice(&source.port.to_be_bytes());
        segment[2..tcp::SEQUENCE].copy_from_slice(&destination.port.to_be_bytes());
        segment[tcp::SEQUENCE..tcp::ACKNOWLEDGMENT].copy_from_slice(&self.sequence.to_be_bytes());
        segment[tcp::ACKNOWLEDGMENT..tcp::DATA_OFFSET].copy_from_slice(&self.acknowledgment.to_be_bytes());
        segment[tcp::DATA_OFFSET] = ((tcp::LEN / 4) << 4) as u8;
        segment[tcp::FLAGS] = self.flags;
        let pseudo = Sum::default().pseudo_header(
            &source.addr,
            &destination.addr,
            self.key.protocol as u8,
            tcp::LEN as u32,
        );
        let checksum = pseudo.octets(segment).checksum();
        segment[tcp::CHECKSUM..tcp::CHECKSUM + 2].copy_from_slice(&checksum);
        true
    }
}
