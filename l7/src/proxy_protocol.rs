//! The PROXY protocol, versions 1 and 2 (W. Tarreau, "The PROXY protocol", 2020): who a connection is really from, told by the balancer in front
//! of us, and by us to backends.
//!
//! Invariants: a header is read whole or not at all, and is at most [`MOST`] octets long; whoever may send one must, and what is not one is
//! refused and never taken for a request.

mod v1;
mod v2;

use std::net::SocketAddr;

/// Octets of a header at most: version 1 has 107, version 2 is given room for what is told beside the addresses.
pub const MOST: usize = 536;

/// Both ends of a connection, as the one in front saw them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// Who connected.
    pub source: SocketAddr,
    /// What was connected to.
    pub destination: SocketAddr,
}

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// The connection is made for somebody else.
    Proxied(Addresses),
    /// The connection is the sender's own, a health check perhaps, or its origin is not known: it is from whom it seems to be from.
    Local,
}

/// Why octets are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// They do not begin as one.
    #[error("the connection does not begin with a PROXY header")]
    NotAHeader,
    /// They do, and are malformed.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// They do, and are longer than is read.
    #[error("the PROXY header is too long")]
    TooLong,
}

/// Which version is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Reads the header that a connection begins with, and how many octets it has; `None` while it is not whole.
///
/// # Errors
/// As soon as it cannot become one.
pub fn parse(octets: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    if begins(octets, v2::SIGNATURE) {
        v2::parse(octets)
    } else if begins(octets, v1::SIGNATURE) {
        v1::parse(octets)
    } else {
        Err(HeaderError::NotAHeader)
    }
}

/// True if `octets` begin as `signature` does, as far as they go.
fn begins(octets: &[u8], signature: &[u8]) -> bool {
    let common = octets.len().min(signature.len());
    octets.get(..common) == signature.get(..common)
}

/// Appends a header.
pub fn write(version: Version, header: Header, out: &mut Vec<u8>) {
    match version {
        Version::V1 => v1::write(header, out),
        Version::V2 => v2::write(header, out),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(source: &str, destination: &str) -> Header {
        Header::Proxied(Addresses {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let headers = [
            addresses("192.0.2.1:65535", "198.51.100.2:443"),
            addresses("[2001:db8::1]:1", "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:443"),
            Header::Local,
        ];
        for version in [Version::V1, Version::V2] {
            for header in headers {
                let mut octets = Vec::new();
                write(version, header, &mut octets);
                let length = octets.len();
                assert!(length <= if version == Version::V1 { 107 } else { MOST });
                octets.extend(b"GET / HTTP/1.1");
                assert_eq!(parse(&octets), Ok(Some((header, length))), "{}", octets.escape_ascii());
                for some in 0..length {
                    assert_eq!(
                        parse(&octets[..some]),
                        Ok(None),
                        "{some} octets of {}",
                        octets.escape_ascii()
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_header_is_refused_at_once() {
        for other in
            [&b"G"[..], b"GET / HTTP/1.1\r\n", b"PROXI", b"\x16\x03\x01", b"\r\n\r\n\0\r\nQUIX", b"proxy "]
        {
            assert_eq!(parse(other), Err(HeaderError::NotAHeader), "{}", other.escape_ascii());
        }
    }

    const STARTS: &[&[u8]] = &[b"PROXY TCP4 ", b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", b""];

    proptest! {
        #[test]
        fn a_header_is_never_longer_than_its_octets(
            start in prop::sample::select(STARTS),
            rest in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let octets = [start, &rest[..]].concat();
            if let Ok(Some((_, length))) = parse(&octets) {
                prop_assert!(length <= octets.len() && length <= MOST);
            }
        }
    }
}
