//! From octets to what forwarding needs to know, once: nothing behind it looks at a header's validity again.
//!
//! Everything named in [`Parsed`] lies within the first segment of the packet that it was parsed from: `l3`, `l4`, and
//! from `l4` on 20 octets of TCP, 8 of UDP or ICMP, and what an ICMP error quotes.

mod v6;

use crate::checksum::Sum;
use crate::counters::DropReason;
use crate::key::{Addr, Endpoint, FlowKey, Protocol};
use crate::packet::{ChecksumStatus, Received};
use crate::snapshot::MacAddress;
use crate::wire::{ethernet, icmp, ipv4, ipv6, tcp, udp};

use v6::{is_link_local, is_martian_v6, skip_extension_headers};

/// A parsed packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Parsed {
    /// What it carries.
    pub content: Content,
    /// The flow that it belongs to: its own tuple, or for an ICMP error the tuple of a packet that would answer the
    /// quoted one. Ports are zero where there are none.
    pub key: FlowKey,
    /// Offset of the IP header.
    pub l3: u16,
    /// Offset of the transport header.
    pub l4: u16,
    /// Length of the IP packet, headers included, in octets. The frame may have padding after it.
    pub length: u16,
    /// TCP control bits; zero for others.
    pub tcp_flags: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// True for IPv6.
    pub v6: bool,
}

/// What a packet carries, as far as forwarding distinguishes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Content {
    /// Nothing that the datapath owns: ARP, neighbour discovery, multicast, other protocols.
    #[default]
    Other,
    /// TCP or UDP, `key` tells which.
    Transport,
    /// An ICMP echo request.
    EchoRequest,
    /// An ICMP error about a TCP or UDP packet.
    IcmpError {
        /// Offset of the quoted IP header.
        l3: u16,
        /// Offset of the quoted transport header, of which 8 octets at least are there.
        l4: u16,
    },
}

impl Parsed {
    /// Octets of transport header and payload.
    #[must_use]
    pub const fn l4_length(&self) -> u16 {
        self.length - (self.l4 - self.l3)
    }
}

const TCP: u8 = Protocol::Tcp as u8;
const UDP: u8 = Protocol::Udp as u8;

/// Parses the frame whose first segment is `bytes` and whose length is `total_len`, received by a port with address `own`.
///
/// # Errors
/// The reason to drop it.
pub fn parse(
    bytes: &[u8],
    total_len: usize,
    received: Received,
    own: MacAddress,
) -> Result<Parsed, DropReason> {
    let mut parsed = Parsed::default();
    parsed.read(bytes, total_len, received, &own)?;
    Ok(parsed)
}

impl Parsed {
    /// As [`parse`], in place: on the hot path a parsed packet is never copied. After an error nothing in it counts.
    ///
    /// # Errors
    /// The reason to drop the packet.
    pub fn read(
        &mut self,
        bytes: &[u8],
        total_len: usize,
        received: Received,
        own: &MacAddress,
    ) -> Result<(), DropReason> {
        self.content = Content::Other;
        let header: &[u8; ethernet::LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
        let [d0, d1, d2, d3, d4, d5, _, _, _, _, _, _, t0, t1] = *header;
        if [d0, d1, d2, d3, d4, d5] != own.0 {
            // Frames to many are the kernel's, whatever is in them.
            return if d0 & 1 == 0 { Err(DropReason::NotForUs) } else { Ok(()) };
        }
        match [t0, t1] {
            ethernet::IPV4 => {
                let ip: &[u8; ipv4::LEN] = at(bytes, ethernet::LEN).ok_or(DropReason::Truncated)?;
                let header_len = usize::from(ip[0] & 0x0f) * 4;
                if ip[0] >> 4 != 4 || header_len < ipv4::LEN {
                    return Err(DropReason::BadIpHeader);
                }
                self.read_v4(bytes, header_len, total_len, received.ip_checksum)
            }
            ethernet::IPV6 => self.read_v6(bytes, total_len),
            _ => Ok(()),
        }
    }

    /// `header_len` is what the header says, and at least [`ipv4::LEN`].
    fn read_v4(
        &mut self,
        bytes: &[u8],
        header_len: usize,
        total_len: usize,
        ip_checksum: ChecksumStatus,
    ) -> Result<(), DropReason> {
        let l3 = ethernet::LEN;
        let ip: &[u8; ipv4::LEN] = at(bytes, l3).ok_or(DropReason::Truncated)?;
        let length = u16::from_be_bytes([ip[2], ip[3]]);
        if usize::from(length) < header_len {
            return Err(DropReason::BadIpHeader);
        }
        if l3 + usize::from(length) > total_len {
            return Err(DropReason::Truncated);
        }
        let is_right = match ip_checksum {
            ChecksumStatus::Good => true,
            ChecksumStatus::Bad => false,
            ChecksumStatus::Unknown => {
                let header = bytes.get(l3..l3 + header_len).ok_or(DropReason::Truncated)?;
                Sum::default().octets(header).is_right()
            }
        };
        if !is_right {
            return Err(DropReason::BadIpChecksum);
        }
        let source = [ip[12], ip[13], ip[14], ip[15]];
        let destination = [ip[16], ip[17], ip[18], ip[19]];
        if is_martian_v4(source, destination) {
            return Err(DropReason::Martian);
        }
        self.l3 = l3 as u16;
        self.l4 = (l3 + header_len) as u16;
        self.length = length;
        self.ttl = ip[ipv4::TTL];
        self.v6 = false;
        if destination[0] >= 224 {
            self.content = Content::Other;
            return Ok(()); // multicast and broadcast are the kernel's
        }
        let fragment = u16::from_be_bytes([ip[ipv4::FRAGMENT], ip[ipv4::FRAGMENT + 1]]);
        if fragment & 0x3fff != 0 {
            return Err(DropReason::Fragment);
        }
        let protocol = ip[ipv4::PROTOCOL];
        self.read_transport(bytes, protocol, Addr::from_v4(source), Addr::from_v4(destination))
    }

    fn read_v6(&mut self, bytes: &[u8], total_len: usize) -> Result<(), DropReason> {
        let l3 = ethernet::LEN;
        let ip: &[u8; ipv6::LEN] = at(bytes, l3).ok_or(DropReason::Truncated)?;
        if ip[0] >> 4 != 6 {
            return Err(DropReason::BadIpHeader);
        }
        let payload = u16::from_be_bytes([ip[4], ip[5]]);
        let length = ipv6::LEN + usize::from(payload);
        if l3 + length > total_len {
            return Err(DropReason::Truncated);
        }
        let source = Addr::from_octets(*at(ip, ipv6::SOURCE).ok_or(DropReason::Truncated)?);
        let destination = Addr::from_octets(*at(ip, ipv6::DESTINATION).ok_or(DropReason::Truncated)?);
        if is_martian_v6(source, destination) {
            return Err(DropReason::Martian);
        }
        self.l3 = l3 as u16;
        self.length = u16::try_from(length).map_err(|_| DropReason::BadIpHeader)?;
        self.ttl = ip[ipv6::HOP_LIMIT];
        self.v6 = true;
        let is_multicast = ip[ipv6::DESTINATION] == 0xff;
        if is_multicast || source == Addr::default() || is_link_local(destination) {
            return Ok(()); // multicast, duplicate address detection and link-local talk are the kernel's
        }
        let (l4, protocol) = skip_extension_headers(bytes, l3, length, ip[ipv6::NEXT_HEADER])?;
        self.l4 = u16::try_from(l4).map_err(|_| DropReason::BadExtensionHeader)?;
        self.read_transport(bytes, protocol, source, destination)
    }

    fn read_transport(
        &mut self,
        bytes: &[u8],
        protocol: u8,
        source: Addr,
        destination: Addr,
    ) -> Result<(), DropReason> {
        self.tcp_flags = 0;
        self.key.source.addr = source;
        self.key.destination.addr = destination;
        let l4 = usize::from(self.l4);
        let available = usize::from(self.l4_length());
        let ports;
        match protocol {
            TCP => {
                let header: &[u8; tcp::LEN] = at(bytes, l4).ok_or(DropReason::Truncated)?;
                let header_len = usize::from(header[tcp::DATA_OFFSET] >> 4) * 4;
                if header_len < tcp::LEN || header_len > available {
                    return Err(DropReason::BadL4Header);
                }
                let flags = header[tcp::FLAGS];
                if !is_sent_by_someone(flags) {
                    return Err(DropReason::BadTcpFlags);
                }
                self.tcp_flags = flags;
                self.key.protocol = Protocol::Tcp;
                ports = [header[0], header[1], header[2], header[3]];
            }
            UDP => {
                let header: &[u8; udp::LEN] = at(bytes, l4).ok_or(DropReason::Truncated)?;
                let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
                if length < udp::LEN || length > available {
                    return Err(DropReason::BadL4Header);
                }
                self.key.protocol = Protocol::Udp;
                ports = [header[0], header[1], header[2], header[3]];
            }
            icmp::PROTOCOL_V4 if !self.v6 => return self.read_icmp(bytes),
            icmp::PROTOCOL_V6 if self.v6 => return self.read_icmp(bytes),
            _ => {
                self.content = Content::Other;
                return Ok(());
            }
        }
        self.content = Content::Transport;
        self.key.source.port = u16::from_be_bytes([ports[0], ports[1]]);
        self.key.destination.port = u16::from_be_bytes([ports[2], ports[3]]);
        Ok(())
    }

    /// Errors and echo requests; every other ICMP message is the kernel's.
    #[cold]
    fn read_icmp(&mut self, bytes: &[u8]) -> Result<(), DropReason> {
        let l4 = usize::from(self.l4);
        let end = usize::from(self.l3) + usize::from(self.length);
        let message = bytes.get(l4..end).ok_or(DropReason::Truncated)?;
        let header: &[u8; icmp::LEN] = message.first_chunk().ok_or(DropReason::BadIcmp)?;
        self.content = Content::Other;
        let is_error = if self.v6 { matches!(header[0], 1..=4) } else { matches!(header[0], 3 | 11 | 12) };
        let echo = if self.v6 { icmp::ECHO_V6.0 } else { icmp::ECHO_V4.0 };
        if header[0] == echo {
            self.content = Content::EchoRequest;
        }
        if !is_error {
            return Ok(());
        }
        let mut sum = Sum::default().octets(message);
        if self.v6 {
            let (source, destination) = (self.key.source.addr, self.key.destination.addr);
            let length = u32::from(self.l4_length());
            sum = sum.pseudo_header(&source, &destination, icmp::PROTOCOL_V6, length);
        }
        if sum.folded() != 0xffff {
            return Err(DropReason::BadIcmp);
        }
        if let Some((quoted_l4, key)) = quoted(&message[icmp::LEN..], self.v6)? {
            self.content = Content::IcmpError {
                l3: self.l4 + icmp::LEN as u16,
                l4: self.l4 + (icmp::LEN + quoted_l4) as u16,
            };
            self.key = key.reversed();
        }
        Ok(())
    }
}

/// False for flags that no TCP sets together: SYN with FIN or RST, and none of those that a segment must have one of
/// (a null scan, or URG and PSH alone).
#[inline]
pub(crate) const fn is_sent_by_someone(flags: u8) -> bool {
    let has_purpose = flags & (tcp::FIN | tcp::SYN | tcp::RST | tcp::ACK) != 0;
    has_purpose && (flags & tcp::SYN == 0 || flags & (tcp::FIN | tcp::RST) == 0)
}

/// `N` octets at `offset`.
#[inline]
fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<&[u8; N]> {
    bytes.get(offset..)?.first_chunk()
}

/// Addresses that no packet on a wire may have (RFC 1122, section 3.2.1.3; RFC 6890), and a source equal to the
/// destination. Private addresses are a matter of configuration and pass.
fn is_martian_v4(source: [u8; 4], destination: [u8; 4]) -> bool {
    matches!(source[0], 0 | 127 | 224..) || matches!(destination[0], 0 | 127) || source == destination
}

/// The offset of the transport header in the packet that an ICMP error quotes, and its tuple. Eight octets of it are
/// always there (RFC 792), and no more is relied on. `None` for a packet that is neither TCP nor UDP, or a later fragment.
fn quoted(packet: &[u8], v6: bool) -> Result<Option<(usize, FlowKey)>, DropReason> {
    let bad = DropReason::BadIcmp;
    let (l4, protocol, source, destination) = if v6 {
        let ip: &[u8; ipv6::LEN] = packet.first_chunk().ok_or(bad)?;
        let source = Addr::from_octets(*at(ip, ipv6::SOURCE).ok_or(bad)?);
        let destination = Addr::from_octets(*at(ip, ipv6::DESTINATION).ok_or(bad)?);
        if ip[0] >> 4 != 6 || source.is_v4() || destination.is_v4() {
            return Err(bad);
        }
        match skip_extension_headers(packet, 0, packet.len(), ip[ipv6::NEXT_HEADER]) {
            Ok((l4, protocol)) => (l4, protocol, source, destination),
            Err(DropReason::Fragment) => return Ok(None),
            Err(_) => return Err(bad),
        }
    } else {
        let ip: &[u8; ipv4::LEN] = packet.first_chunk().ok_or(bad)?;
        let header_len = usize::from(ip[0] & 0x0f) * 4;
        if ip[0] >> 4 != 4 || header_len < ipv4::LEN {
            return Err(bad);
        }
        if u16::from_be_bytes([ip[ipv4::FRAGMENT], ip[ipv4::FRAGMENT + 1]]) & 0x1fff != 0 {
            return Ok(None);
        }
        let source = Addr::from_v4([ip[12], ip[13], ip[14], ip[15]]);
        let destination = Addr::from_v4([ip[16], ip[17], ip[18], ip[19]]);
        (header_len, ip[ipv4::PROTOCOL], source, destination)
    };
    let protocol = match protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return Ok(None),
    };
    let ports: &[u8; 8] = at(packet, l4).ok_or(bad)?;
    let source = Endpoint { addr: source, port: u16::from_be_bytes([ports[0], ports[1]]) };
    let destination = Endpoint { addr: destination, port: u16::from_be_bytes([ports[2], ports[3]]) };
    Ok(Some((l4, FlowKey { source, destination, protocol })))
}
