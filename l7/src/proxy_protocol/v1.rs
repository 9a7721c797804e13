//! Version 1, a line of text (section 2.1 of the specification).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Addresses, Header, HeaderError};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Octets of the longest line, its end included.
const MOST: usize = 107;

pub(super) fn parse(octets: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let Some(feed) = memchr::memchr(b'\n', octets.get(..octets.len().min(MOST)).unwrap_or_default()) else {
        return if octets.len() < MOST { Ok(None) } else { Err(HeaderError::TooLong) };
    };
    let line = octets.get(..feed).and_then(|line| line.strip_suffix(b"\r")).ok_or(HeaderError::Malformed)?;
    let text = std::str::from_utf8(line).map_err(|_| HeaderError::Malformed)?;
    Ok(Some((header(text).ok_or(HeaderError::Malformed)?, feed + 1)))
}

/// Reads a line without its end.
fn header(line: &str) -> Option<Header> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Some(Header::Local);
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, destination) = (address(words.next()?)?, address(words.next()?)?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some(Header::Proxied(Addresses {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    }))
}

/// A number without sign and leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_plain)
}

pub(super) fn write(header: Header, out: &mut Vec<u8>) {
    let line = match header {
        Header::Local => "PROXY UNKNOWN\r\n".to_owned(),
        Header::Proxied(Addresses { source, destination }) => {
            // Addresses of two families are written in the larger one.
            let (family, [from, to]) = match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => ("TCP4", [IpAddr::V4(from), IpAddr::V4(to)]),
                (from, to) => ("TCP6", [from, to].map(|ip| IpAddr::V6(six(ip)))),
            };
            format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
        }
    };
    out.extend_from_slice(line.as_bytes());
}

/// An address as one of IPv6.
pub(super) const fn six(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn unknown_origins_are_local() {
        for line in [
            "PROXY UNKNOWN\r\n",
            "PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n",
            "PROXY UNKNOWN what ever\r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(Some((Header::Local, line.len()))), "{line}");
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
            "PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
            "PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n",
            "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP6 1.2.3.4 ::1 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
            "PROXY TCP4 \u{e9} 1.2.3.4 1 1\r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(HeaderError::Malformed), "{line}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        assert_eq!(parse(long.as_bytes()), Err(HeaderError::TooLong));
        assert_eq!(parse(&long.as_bytes()[..106]), Ok(None));
    }
}
