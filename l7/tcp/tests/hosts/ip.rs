//! IP headers without options around TCP segments (RFC 791, RFC 8200).

use evenkeel_tcp::Addr;

const TCP: u8 = 6;
const HOPS: u8 = 64;

/// What an IP packet with TCP in it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Packet<'a> {
    pub(super) source: Addr,
    pub(super) destination: Addr,
    pub(super) ecn: u8,
    pub(super) segment: &'a [u8],
}

/// The header of a packet for `length` octets of TCP.
pub(super) fn header(source: Addr, destination: Addr, ecn: u8, length: usize) -> Vec<u8> {
    if !destination.is_v4() {
        let mut header = vec![0x60, ecn << 4, 0, 0];
        header.extend_from_slice(&(length as u16).to_be_bytes());
        header.extend_from_slice(&[TCP, HOPS]);
        header.extend_from_slice(&source.0);
        header.extend_from_slice(&destination.0);
        return header;
    }
    let mut header = vec![0x45, ecn];
    header.extend_from_slice(&(length as u16 + 20).to_be_bytes());
    // Not to be fragmented, and so without a need for an identification (RFC 6864, section 4.1).
    header.extend_from_slice(&[0, 0, 0x40, 0, HOPS, TCP, 0, 0]);
    header.extend_from_slice(&source.v4_octets());
    header.extend_from_slice(&destination.v4_octets());
    let checksum = !sum(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// Reads a packet; `None` for anything that is not a whole, undamaged one with TCP in it.
pub(super) fn parse(packet: &[u8]) -> Option<Packet<'_>> {
    let v4 = |at: usize| Some(Addr::from_v4(*packet.get(at..)?.first_chunk()?));
    let v6 = |at: usize| Some(Addr(*packet.get(at..)?.first_chunk()?));
    let number = |at: usize| Some(usize::from(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?)));
    if packet.first()? >> 4 == 6 {
        let (length, protocol) = (number(4)?, *packet.get(6)?);
        let segment = packet.get(40..40 + length)?;
        let ecn = packet[1] >> 4 & 3;
        return (protocol == TCP).then_some(Packet { source: v6(8)?, destination: v6(24)?, ecn, segment });
    }
    let header_length = usize::from(packet[0] & 15) * 4;
    let header = packet.get(..header_length)?;
    let is_good = packet[0] >> 4 == 4 && header_length >= 20 && sum(header) == 0xffff && header[9] == TCP;
    let segment = packet.get(header_length..number(2)?)?;
    is_good.then_some(Packet { source: v4(12)?, destination: v4(16)?, ecn: packet[1] & 3, segment })
}

/// The sum of RFC 1071, of an even number of octets.
fn sum(octets: &[u8]) -> u16 {
    let words = octets.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
