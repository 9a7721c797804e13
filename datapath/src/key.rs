//! Addresses, protocols and the flow key: one shape for both families.

use core::cmp::Ordering;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An IPv6 address, or an IPv4 address mapped into it (`::ffff:a.b.c.d`, RFC 4291, section 2.5.5.2).
///
/// It is kept as two words, each the octets of the wire in native order: what is compared, hashed and summed on the hot
/// path is loaded and stored in one piece.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C)]
pub struct Addr {
    high: u64,
    low: u64,
}

/// The octets `00 00 ff ff` that precede a mapped IPv4 address, in the low word.
const MAPPED: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);
const MAPPED_MASK: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

impl Addr {
    /// The address with these octets, in network byte order.
    #[must_use]
    #[inline]
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        let high = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        Self { high, low: u64::from_ne_bytes([i, j, k, l, m, n, o, p]) }
    }

    /// Its octets, in network byte order.
    #[must_use]
    #[inline]
    pub const fn octets(&self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.high.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.low.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// The mapped form of four octets in network byte order.
    #[must_use]
    #[inline]
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        let [a, b, c, d] = octets;
        Self { high: 0, low: MAPPED | u64::from_ne_bytes([0, 0, 0, 0, a, b, c, d]) }
    }

    /// The mapped form of an IPv4 address whose four octets, read in native order, are `word`.
    #[must_use]
    #[inline(always)]
    pub const fn from_v4_word(word: u32) -> Self {
        let shift = if cfg!(target_endian = "little") { 32 } else { 0 };
        Self { high: 0, low: MAPPED | (word as u64) << shift }
    }

    /// The octets of [`Addr::v4_octets`], read in native order.
    #[must_use]
    #[inline(always)]
    pub const fn v4_word(&self) -> u32 {
        if cfg!(target_endian = "little") { (self.low >> 32) as u32 } else { self.low as u32 }
    }

    /// True for a mapped IPv4 address.
    #[must_use]
    #[inline]
    pub const fn is_v4(&self) -> bool {
        self.high == 0 && self.low & MAPPED_MASK == MAPPED
    }

    /// The last four octets: the IPv4 address where [`Addr::is_v4`] holds.
    #[must_use]
    #[inline]
    pub const fn v4_octets(&self) -> [u8; 4] {
        let [_, _, _, _, a, b, c, d] = self.low.to_ne_bytes();
        [a, b, c, d]
    }

    /// The address as two words in native byte order, for comparing and hashing.
    #[must_use]
    #[inline]
    pub const fn words(&self) -> [u64; 2] {
        [self.high, self.low]
    }
}

impl Ord for Addr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.octets().cmp(&other.octets())
    }
}

impl PartialOrd for Addr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<IpAddr> for Addr {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::from_v4(v4.octets()),
            IpAddr::V6(v6) => Self::from_octets(v6.octets()),
        }
    }
}

impl From<Addr> for IpAddr {
    fn from(address: Addr) -> Self {
        if address.is_v4() {
            Self::V4(Ipv4Addr::from(address.v4_octets()))
        } else {
            Self::V6(Ipv6Addr::from(address.octets()))
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

/// The transport protocols that services are offered on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum Protocol {
    /// RFC 9293.
    #[default]
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
}

/// One end of a transport conversation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Endpoint {
    /// The network address.
    pub addr: Addr,
    /// The transport port, in host byte order.
    pub port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { addr: address.ip().into(), port: address.port() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.addr.into(), endpoint.port)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

/// The tuple of a packet as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FlowKey {
    /// Who sent it.
    pub source: Endpoint,
    /// Whom it is for.
    pub destination: Endpoint,
    /// The transport protocol.
    pub protocol: Protocol,
}

impl FlowKey {
    /// The key of a packet the other way.
    #[must_use]
    #[inline]
    pub const fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source, protocol: self.protocol }
    }
}
