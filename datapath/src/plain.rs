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
/// The octets of an Ethernet address in a word of eight.
const MAC_MASK: u64 = MacAddress([0xff; 6]).word();

/// One end of a conversation over IPv4 in one word, to be compared, summed and stored whole: the address and above it the port,
/// each the octets of the wire read in native order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct End(u64);

impl End {
    /// The end with this address and port.
    #[must_use]
    #[inline(always)]
    pub const fn new(address: u32, port: u16) -> Self {
        Self(address as u64 | (port as u64) << 32)
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
        self.0 as u32
    }

    /// Its port.
    #[must_use]
    #[inline(always)]
    pub const fn port(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Both in one word, the upper 16 bits zero.
    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The same in the form of both families.
    #[must_use]
    #[inline(always)]
    pub const fn endpoint(self) -> Endpoint {
        Endpoint { addr: Addr::from_v4_word(self.address()), port: u16::from_be(self.port()) }
    }
}

/// What forwarding must know of a plain packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Plain {
    /// Who sent it.
    pub source: End,
    /// Whom it is for.
    pub destination: End,
    /// Length of the IP packet, in octets.
    pub length: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// TCP control bits; zero for UDP.
    pub tcp_flags: u8,
    /// TTL.
    pub ttl: u8,
}

impl Plain {
    /// What is in the frame that begins with `frame` and is `total_len` octets long, received by a port with address
    /// `own`; `None` where it is not plain.
    #[must_use]
    #[inline(always)]
    pub fn read(
        frame: &[u8; PLAIN],
        total_len: usize,
        ip_checksum: ChecksumStatus,
        own: &MacAddress,
    ) -> Option<Self> {
        let to = u64::from_ne_bytes(*part(frame, 0)) & MAC_MASK;
        let kind = u32::from_ne_bytes(*part(frame, ethernet::LEN - 2)) & KIND_MASK;
        let ip: &[u8; ipv4::LEN] = part(frame, ethernet::LEN);
        let length = u16::from_be_bytes(*part(ip, ipv4::TOTAL_LENGTH));
        let fragment = u16::from_ne_bytes(*part(ip, ipv4::FRAGMENT)) & u16::from_ne_bytes([0x3f, 0xff]);
        let is_right = match ip_checksum {
            ChecksumStatus::Good => true,
            ChecksumStatus::Bad => false,
            ChecksumStatus::Unknown => Sum::is_right_ipv4_header(ip),
        };
        let is_ours = (to ^ own.word()) | u64::from(kind ^ KIND) | u64::from(fragment) == 0;
        let is_whole = ethernet::LEN + usize::from(length) <= total_len;
        let is_usual = usual(ip[ipv4::SOURCE]) & usual(ip[ipv4::DESTINATION]);
        if !(is_ours & is_whole & is_right & is_usual) {
            return None;
        }
        let l4: &[u8; tcp::LEN] = part(frame, L4);
        let end = |address, port| {
            End::new(u32::from_ne_bytes(*part(ip, address)), u16::from_ne_bytes(*part(l4, port)))
        };
        let (source, destination) = (end(ipv4::SOURCE, 0), end(ipv4::DESTINATION, 2));
        if source.address() == destination.address() {
            return None;
        }
        let (protocol, tcp_flags, needed) = match ip[ipv4::PROTOCOL] {
            6 => {
                let header_len = u16::from(l4[tcp::DATA_OFFSET] >> 4) * 4;
                let flags = l4[tcp::FLAGS];
                if header_len < tcp::LEN as u16 || !is_sent_by_someone(flags) {
                    return None;
                }
                (Protocol::Tcp, flags, header_len)
            }
            17 => {
                let datagram_len = u16::from_be_bytes(*part(l4, 4));
                if datagram_len < udp::LEN as u16 {
                    return None;
                }
                (Protocol::Udp, 0, datagram_len)
            }
            _ => return None,
        };
        let is_long_enough = u32::from(length) >= u32::from(needed) + ipv4::LEN as u32;
        let plain = Self { source, destination, length, protocol, tcp_flags, ttl: ip[ipv4::TTL] };
        is_long_enough.then_some(plain)
    }

    /// True if it changes nothing about an open flow: it is no TCP segment with SYN, FIN or RST.
    #[must_use]
    #[inline]
    pub const fn is_quiet(&self) -> bool {
        self.tcp_flags & (tcp::SYN | tcp::FIN | tcp::RST) == 0
    }

    /// The tuple of the packet.
    #[must_use]
    #[inline(always)]
    pub const fn key(&self) -> FlowKey {
        FlowKey {
            source: self.source.endpoint(),
            destination: self.destination.endpoint(),
            protocol: self.protocol,
        }
    }

    /// As [`crate::parse::parse`] has it.
    #[must_use]
    pub const fn parsed(&self) -> Parsed {
        Parsed {
            content: Content::Transport,
            key: self.key(),
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

/// True for the first octet of an address that TCP or UDP may come from and go to: no martian's (see [`crate::parse`]), no
/// multicast's.
#[inline(always)]
fn usual(first: u8) -> bool {
    const USUAL: [bool; 256] = {
        let mut usual = [true; 256];
        let mut first = 0;
        while first < usual.len() {
            usual[first] = !matches!(first, 0 | 127 | 224..);
            first += 1;
        }
        usual
    };
    USUAL[usize::from(first)]
}

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
                    let plain = Plain::read(frame.first_chunk().unwrap(), total_len, ip_checksum, &own);
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
