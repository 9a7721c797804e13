//! The plain packet, which nearly all are: TCP or UDP over IPv4 without options, whole, with nothing wrong in a header.
//!
//! What forwarding must know of it fits in half a cache line, and is read with a few wide loads and hardly a branch. All
//! other packets are read by [`crate::parse`], which also says what is wrong with them; a plain packet is the same to both.

use crate::checksum::Sum;
use crate::key::{Addr, Endpoint, FlowKey, Protocol};
use crate::packet::ChecksumStatus;
use crate::parse::{Content, Parsed, is_sent_by_someone};
use crate::snapshot::MacAddress;
use crate::wire::{ethernet, ipv4, tcp, udp};

/// The octets of Ethernet, IPv4 and TCP without options. No Ethernet frame is shorter, UDP's neither (60, IEEE 802.3).
pub const PLAIN: usize = ethernet::LEN + ipv4::LEN + tcp::LEN;

const L4: usize = ethernet::LEN + ipv4::LEN;

/// How an IPv4 header without options begins, with the type of the frame before it.
const KIND: u32 = u32::from_ne_bytes([ethernet::IPV4[0], ethernet::IPV4[1], 0x45, 0]);
const KIND_MASK: u32 = u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
/// Flags and offset of a fragment, which must be zero: all but "don't fragment".
const FRAGMENT_MASK: u16 = u16::from_ne_bytes([0x3f, 0xff]);

/// One end of a conversation over IPv4, the octets of the wire read in native order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct End {
    address: u32,
    port: u16,
}

impl End {
    /// The end with this address and port.
    #[must_use]
    #[inline(always)]
    pub const fn new(address: u32, port: u16) -> Self {
        Self { address, port }
    }

    /// The same as an endpoint; `None` for IPv6.
    #[must_use]
    pub const fn of(endpoint: &Endpoint) -> Option<Self> {
        if !endpoint.addr.is_v4() {
            return None;
        }
        Some(Self::new(endpoint.addr.v4_word(), endpoint.port.to_be()))
    }

    /// Its address.
    #[must_use]
    #[inline(always)]
    pub const fn address(self) -> u32 {
        self.address
    }

    /// Its port.
    #[must_use]
    #[inline(always)]
    pub const fn port(self) -> u16 {
        self.port
    }

    /// The same in the form of both families.
    #[must_use]
    #[inline(always)]
    pub const fn endpoint(self) -> Endpoint {
        Endpoint { addr: Addr::from_v4_word(self.address), port: u16::from_be(self.port) }
    }
}

/// Both ends and the protocol of a conversation over IPv4 in two words, as a packet has them: to be compared, hashed, summed and
/// stored whole. Everything is octets of the wire read in native order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tuple {
    /// Source and destination address.
    addresses: u64,
    /// Source and destination port, and in the fifth octet the protocol.
    ports: u64,
}

impl Tuple {
    /// The tuple of packets between these ends.
    #[must_use]
    #[inline(always)]
    pub const fn new(source: End, destination: End, protocol: Protocol) -> Self {
        let [a, b, c, d] = source.address().to_ne_bytes();
        let [e, f, g, h] = destination.address().to_ne_bytes();
        let addresses = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        let ([a, b], [c, d]) = (source.port().to_ne_bytes(), destination.port().to_ne_bytes());
        Self { addresses, ports: Self::ports_of(u32::from_ne_bytes([a, b, c, d]), protocol as u8) }
    }

    /// Ports and protocol in one word.
    #[inline(always)]
    const fn ports_of(ports: u32, protocol: u8) -> u64 {
        if cfg!(target_endian = "little") {
            ports as u64 | (protocol as u64) << 32
        } else {
            (ports as u64) << 32 | (protocol as u64) << 24
        }
    }

    /// The same as `key`; `None` for IPv6.
    #[must_use]
    #[inline]
    pub const fn of(key: &FlowKey) -> Option<Self> {
        match (End::of(&key.source), End::of(&key.destination)) {
            (Some(source), Some(destination)) => Some(Self::new(source, destination, key.protocol)),
            _ => None,
        }
    }

    /// The same from `source`, where so far it is from nobody: all zero.
    #[must_use]
    #[inline(always)]
    pub const fn from(self, source: End) -> Self {
        const PLACE: (u32, u32) = if cfg!(target_endian = "little") { (0, 0) } else { (32, 48) };
        Self {
            addresses: self.addresses | (source.address as u64) << PLACE.0,
            ports: self.ports | (source.port as u64) << PLACE.1,
        }
    }

    /// That of packets the other way.
    #[must_use]
    #[inline(always)]
    pub const fn reversed(self) -> Self {
        let ports = Self::ports_of(self.ports(), 0);
        let reversed = Self::ports_of(self.ports().rotate_left(16), 0);
        Self { addresses: self.addresses.rotate_left(32), ports: self.ports ^ ports | reversed }
    }

    /// Both addresses.
    #[must_use]
    #[inline(always)]
    pub const fn addresses(self) -> u64 {
        self.addresses
    }

    /// Both ports.
    #[must_use]
    #[inline(always)]
    pub const fn ports(self) -> u32 {
        if cfg!(target_endian = "little") { self.ports as u32 } else { (self.ports >> 32) as u32 }
    }

    /// Ports and protocol.
    #[must_use]
    #[inline(always)]
    pub const fn ports_and_protocol(self) -> u64 {
        self.ports
    }

    /// The sender.
    #[must_use]
    #[inline(always)]
    pub const fn source(self) -> End {
        let [a, b, c, d, ..] = self.addresses.to_ne_bytes();
        let [e, f, ..] = self.ports.to_ne_bytes();
        End::new(u32::from_ne_bytes([a, b, c, d]), u16::from_ne_bytes([e, f]))
    }

    /// The receiver.
    #[must_use]
    #[inline(always)]
    pub const fn destination(self) -> End {
        let [.., a, b, c, d] = self.addresses.to_ne_bytes();
        let [_, _, e, f, ..] = self.ports.to_ne_bytes();
        End::new(u32::from_ne_bytes([a, b, c, d]), u16::from_ne_bytes([e, f]))
    }

    /// The protocol.
    #[must_use]
    #[inline(always)]
    pub const fn protocol(self) -> Protocol {
        if self.is_tcp() { Protocol::Tcp } else { Protocol::Udp }
    }

    /// True for TCP.
    #[must_use]
    #[inline(always)]
    pub const fn is_tcp(self) -> bool {
        // One bit tells them apart.
        const UDP: u64 = Tuple::ports_of(0, Protocol::Udp as u8 & !(Protocol::Tcp as u8) & 0x10);
        self.ports & UDP == 0
    }

    /// The same in the form of both families.
    #[must_use]
    #[inline(always)]
    pub const fn key(self) -> FlowKey {
        FlowKey {
            source: self.source().endpoint(),
            destination: self.destination().endpoint(),
            protocol: self.protocol(),
        }
    }
}

/// What forwarding must know of a plain packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Plain {
    /// Who sent it, whom it is for, and the protocol.
    pub tuple: Tuple,
    /// Length of the IP packet, in octets.
    pub length: u16,
    /// TCP control bits; zero for UDP.
    pub tcp_flags: u8,
    /// TTL.
    pub ttl: u8,
}

impl Plain {
    /// What is in the frame that begins with `frame` and is `total_len` octets long, received by a port whose address in a
    /// word (see [`MacAddress::word`]) is `own`; `None` where it is not plain.
    #[must_use]
    #[inline(always)]
    pub fn read(
        frame: &[u8; PLAIN],
        total_len: usize,
        ip_checksum: ChecksumStatus,
        own: u64,
    ) -> Option<Self> {
        let ip: &[u8; ipv4::LEN] = part(frame, ethernet::LEN);
        let kind = u32::from_ne_bytes(*part(frame, ethernet::LEN - 2)) & KIND_MASK ^ KIND;
        let fragment = u16::from_ne_bytes(*part(ip, ipv4::FRAGMENT)) & FRAGMENT_MASK;
        let is_ours = MacAddress::is_in_word(u64::from_ne_bytes(*part(frame, 0)), own);
        let length = u16::from_be_bytes(*part(ip, ipv4::TOTAL_LENGTH));
        let is_whole = ethernet::LEN + usize::from(length) <= total_len;
        if !is_ours || kind | u32::from(fragment) != 0 || !is_whole {
            return None;
        }
        match ip_checksum {
            ChecksumStatus::Good => {}
            ChecksumStatus::Unknown if Sum::is_right_ipv4_header(ip) => {}
            _ => return None,
        }
        let is_usual =
            UNUSUAL[usize::from(ip[ipv4::SOURCE])] | UNUSUAL[usize::from(ip[ipv4::DESTINATION])] == 0;
        let addresses = u64::from_ne_bytes(*part(ip, ipv4::SOURCE));
        if !is_usual || addresses == addresses.rotate_left(32) {
            return None;
        }
        let protocol = ip[ipv4::PROTOCOL];
        let l4: &[u8; tcp::LEN] = part(frame, L4);
        let (tcp_flags, needed) = match protocol {
            6 => {
                let offset = l4[tcp::DATA_OFFSET];
                let flags = l4[tcp::FLAGS];
                if offset < (tcp::LEN as u8 / 4) << 4 || SENT_BY_SOMEONE >> (flags & FLAGS) & 1 == 0 {
                    return None;
                }
                (flags, u32::from(offset >> 4) * 4)
            }
            17 => {
                let datagram_len = u16::from_be_bytes(*part(l4, 4));
                if datagram_len < udp::LEN as u16 {
                    return None;
                }
                (0, u32::from(datagram_len))
            }
            _ => return None,
        };
        if u32::from(length) < needed + ipv4::LEN as u32 {
            return None;
        }
        let ports = Tuple::ports_of(u32::from_ne_bytes(*part(l4, 0)), protocol);
        Some(Self { tuple: Tuple { addresses, ports }, length, tcp_flags, ttl: ip[ipv4::TTL] })
    }

    /// True if it changes nothing about an open flow: it is no TCP segment with SYN, FIN or RST.
    #[must_use]
    #[inline]
    pub const fn is_quiet(&self) -> bool {
        self.tcp_flags & (tcp::SYN | tcp::FIN | tcp::RST) == 0
    }

    /// As [`crate::parse::parse`] has it.
    #[must_use]
    pub const fn parsed(&self) -> Parsed {
        Parsed {
            content: Content::Transport,
            key: self.tuple.key(),
            l3: ethernet::LEN as u16,
            l4: L4 as u16,
            length: self.length,
            tcp_flags: self.tcp_flags,
            ttl: self.ttl,
            v6: false,
        }
    }
}

/// The `N` octets at `offset`, a constant, of an array that holds them.
#[inline(always)]
fn part<const M: usize, const N: usize>(octets: &[u8; M], offset: usize) -> &[u8; N] {
    octets[offset..].first_chunk().unwrap_or_else(|| unreachable!("offsets are constants, within the array"))
}

/// Not zero for the first octet of an address that TCP or UDP may not come from or go to: a martian's (see [`crate::parse`]), a
/// multicast's.
static UNUSUAL: [u8; 256] = {
    let mut unusual = [0; 256];
    let mut first = 0;
    while first < unusual.len() {
        unusual[first] = matches!(first, 0 | 127 | 224..) as u8;
        first += 1;
    }
    unusual
};

/// The flags that [`is_sent_by_someone`] looks at are among the lowest five.
const FLAGS: u8 = 0x1f;

/// [`is_sent_by_someone`] of these, a bit for each.
const SENT_BY_SOMEONE: u32 = {
    let (mut sent, mut flags) = (0, 0);
    while flags <= FLAGS {
        sent |= (is_sent_by_someone(flags) as u32) << flags;
        flags += 1;
    }
    sent
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::Received;
    use crate::parse::parse;

    proptest! {
        /// Whatever octet of a plain packet is changed to what: if it is plain still, it is what `parse` reads, and if it
        /// is not, that is for a reason.
        #[test]
        fn a_plain_packet_is_what_parse_reads(udp: bool, at in 0_usize..60, octet: u8, right: bool) {
            let mut frame = [0; 60];
            frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
            let protocol = if udp { 17 } else { 6 };
            frame[12..34].copy_from_slice(&[
                8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
            ]);
            frame[38..40].copy_from_slice(&[0, 26]);
            frame[46..48].copy_from_slice(&[0x50, 0x10]);
            frame[at] = octet;
            if right {
                frame[24..26].fill(0);
                let checksum = Sum::ZERO.octets(&frame[14..34]).checksum();
                frame[24..26].copy_from_slice(&checksum);
            }
            let own = MacAddress([2, 0, 0, 0, 0, 1]);
            for ip_checksum in [ChecksumStatus::Good, ChecksumStatus::Unknown, ChecksumStatus::Bad] {
                for total_len in [60, 59] {
                    let received = Received { ip_checksum, ..Received::default() };
                    let parsed = parse(&frame, total_len, received, own);
                    let plain = Plain::read(frame.first_chunk().unwrap(), total_len, ip_checksum, own.word());
                    let is_transport = |parsed: &Parsed| parsed.content == Content::Transport && parsed.l4 == 34;
                    prop_assert_eq!(plain.map(|plain| plain.parsed()), parsed.ok().filter(is_transport));
                }
            }
        }

        #[test]
        fn an_end_is_its_endpoint(address: [u8; 4], port: u16) {
            let endpoint = Endpoint { addr: Addr::from_v4(address), port };
            prop_assert_eq!(End::of(&endpoint).map(End::endpoint), Some(endpoint));
        }
    }
}
