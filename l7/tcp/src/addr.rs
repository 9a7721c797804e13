//! Addresses and the two ends of a connection: one shape for both families, without padding.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An IPv6 address, or an IPv4 address mapped into it (`::ffff:a.b.c.d`, RFC 4291, section 2.5.5.2), in network order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Addr(pub [u8; 16]);

impl Addr {
    /// `::`, which as a listener's address stands for any.
    pub const UNSPECIFIED: Self = Self([0; 16]);

    /// The mapped form of an IPv4 address.
    #[must_use]
    #[inline]
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        let [a, b, c, d] = octets;
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    /// True for a mapped IPv4 address.
    #[must_use]
    #[inline]
    pub const fn is_v4(&self) -> bool {
        let [high, low] = self.words();
        high == 0 && low >> 32 == 0xffff
    }

    /// The last four octets: the IPv4 address where [`Addr::is_v4`] holds.
    #[must_use]
    #[inline]
    pub const fn v4_octets(&self) -> [u8; 4] {
        let [_, _, _, _, _, _, _, _, _, _, _, _, a, b, c, d] = self.0;
        [a, b, c, d]
    }

    /// The address as two big-endian words, for hashing.
    #[must_use]
    #[inline]
    pub const fn words(&self) -> [u64; 2] {
        let whole = u128::from_be_bytes(self.0);
        [(whole >> 64) as u64, whole as u64]
    }

    /// True if a TCP segment can come from or go to it: neither unspecified, multicast nor broadcast (RFC 9293, section 3.9.2.3).
    #[must_use]
    #[inline]
    pub const fn is_unicast(&self) -> bool {
        if self.is_v4() {
            let [first, rest @ ..] = self.v4_octets();
            !(first >= 224 || first == 0 && matches!(rest, [0, 0, 0]))
        } else {
            let [high, low] = self.words();
            self.0[0] != 0xff && !(high == 0 && low == 0)
        }
    }
}

impl From<IpAddr> for Addr {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::from_v4(v4.octets()),
            IpAddr::V6(v6) => Self(v6.octets()),
        }
    }
}

impl From<Addr> for IpAddr {
    fn from(address: Addr) -> Self {
        if address.is_v4() {
            Self::V4(Ipv4Addr::from(address.v4_octets()))
        } else {
            Self::V6(Ipv6Addr::from(address.0))
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Endpoint {
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: u16,
}

impl Endpoint {
    /// An IPv4 endpoint.
    #[must_use]
    pub const fn v4(octets: [u8; 4], port: u16) -> Self {
        Self { addr: Addr::from_v4(octets), port }
    }
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

/// Both ends of a connection, seen from one of them: its name (RFC 9293, section 3.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct Tuple {
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
}

impl Tuple {
    /// The same connection, seen from the other end.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }

    /// Octets of the IP header without options that segments of this connection travel under.
    #[must_use]
    #[inline]
    pub const fn ip_header_length(&self) -> u16 {
        if self.remote.addr.is_v4() { 20 } else { 40 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_keep_apart_and_convert_back() {
        let v4 = Addr::from("192.0.2.1".parse::<IpAddr>().unwrap());
        let v6 = Addr::from("2001:db8::1".parse::<IpAddr>().unwrap());
        assert!(v4.is_v4() && !v6.is_v4());
        assert_eq!(IpAddr::from(v4).to_string(), "192.0.2.1");
        assert_eq!(format!("{v6:?}"), "2001:db8::1");
        assert_eq!(core::mem::size_of::<Tuple>(), 36);
    }

    #[test]
    fn nobody_answers_to_everyone() {
        for (text, unicast) in [
            ("192.0.2.1", true),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("0.0.0.0", false),
            ("::", false),
            ("ff02::1", false),
            ("fe80::1", true),
        ] {
            assert_eq!(Addr::from(text.parse::<IpAddr>().unwrap()).is_unicast(), unicast, "{text}");
        }
    }
}
