//! Version 2, binary (section 2.2 of the specification).

use std::net::{IpAddr, SocketAddr};

use super::v1::six;
use super::{Addresses, Header, HeaderError, MOST};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Octets before the addresses.
const FIXED: usize = 16;

/// Version 2, and the commands.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// Families and protocols of addresses.
const TCP_V4: u8 = 0x11;
const TCP_V6: u8 = 0x21;

pub(super) fn parse(octets: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let Some((fixed, rest)) = octets.split_first_chunk::<FIXED>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + length > MOST {
        return Err(HeaderError::TooLong);
    }
    if command != LOCAL && command != PROXY {
        return Err(HeaderError::Malformed);
    }
    let Some(addresses) = rest.get(..length) else { return Ok(None) };
    let header = match (command, family) {
        // What is told of a connection that is the sender's own is to be ignored.
        (LOCAL, _) => Header::Local,
        (_, TCP_V4) => Header::Proxied(read::<4>(addresses)?),
        (_, TCP_V6) => Header::Proxied(read::<16>(addresses)?),
        // UDP, Unix sockets, or unspecified: nothing that could be told of a connection over TCP.
        (_, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Header::Local,
        _ => return Err(HeaderError::Malformed),
    };
    Ok(Some((header, FIXED + length)))
}

/// Reads two addresses of `N` octets and their ports. What follows them (type-length-value triples) is not used.
fn read<const N: usize>(octets: &[u8]) -> Result<Addresses, HeaderError>
where
    IpAddr: From<[u8; N]>,
{
    let parts = || {
        let (source, rest) = octets.split_first_chunk::<N>()?;
        let (destination, rest) = rest.split_first_chunk::<N>()?;
        let [a, b, c, d] = *rest.first_chunk::<4>()?;
        Some(Addresses {
            source: SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes([a, b])),
            destination: SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes([c, d])),
        })
    };
    parts().ok_or(HeaderError::Malformed)
}

pub(super) fn write(header: Header, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    let Header::Proxied(Addresses { source, destination }) = header else {
        return out.extend_from_slice(&[LOCAL, 0, 0, 0]);
    };
    // Addresses of two families are written in the larger one.
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[PROXY, TCP_V4, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            out.extend_from_slice(&[PROXY, TCP_V6, 0, 36]);
            out.extend_from_slice(&six(from).octets());
            out.extend_from_slice(&six(to).octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn octets(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    #[test]
    fn what_follows_the_addresses_belongs_to_the_header() {
        let whole = octets(PROXY, TCP_V4, b"\xc0\0\x02\x01\xc0\0\x02\x02\0\x01\0\x02\x04\0\x01x");
        let addresses =
            Addresses { source: "192.0.2.1:1".parse().unwrap(), destination: "192.0.2.2:2".parse().unwrap() };
        assert_eq!(parse(&whole), Ok(Some((Header::Proxied(addresses), whole.len()))));
    }

    #[test]
    fn what_tells_of_no_tcp_connection_is_local() {
        for (command, family, rest) in
            [(LOCAL, 0, &b""[..]), (LOCAL, TCP_V4, b"x"), (PROXY, 0, b""), (PROXY, 0x31, &[0; 216])]
        {
            let whole = octets(command, family, rest);
            assert_eq!(parse(&whole), Ok(Some((Header::Local, whole.len()))), "{command:x} {family:x}");
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        for (command, family, rest) in [
            (0x22, TCP_V4, &[0; 12][..]),
            (0x11, TCP_V4, &[0; 12]),
            (PROXY, TCP_V4, &[0; 11]),
            (PROXY, TCP_V6, &[0; 35]),
            (PROXY, 0x41, &[0; 12]),
        ] {
            assert_eq!(
                parse(&octets(command, family, rest)),
                Err(HeaderError::Malformed),
                "{command:x} {family:x}"
            );
        }
        assert_eq!(parse(&octets(PROXY, TCP_V4, &[0; 521])), Err(HeaderError::TooLong));
        assert_eq!(
            parse(&octets(PROXY, TCP_V4, &[0; 521])[..16]),
            Err(HeaderError::TooLong),
            "without waiting for it"
        );
    }
}
