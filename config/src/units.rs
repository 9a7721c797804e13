//! Values that are written as text: durations, sizes, addresses, prefixes, ranges, names.
//!
//! Invariants: no input panics; each refusal says what was expected, with an example; whatever [`duration_text`] and
//! [`size_text`] write, [`duration`] and [`size`] read back unchanged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits;
use crate::model::{MacAddress, PortRange, Prefix};

/// A value, or what was expected in its place.
pub type Parsed<T> = Result<T, String>;

/// Milliseconds of each unit of a duration, the longest first.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Octets of each unit of a size, the largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];

/// A duration: whole numbers with units, the longest unit first and each at most once, as in `250ms`, `10s`, `1h30m`.
///
/// # Errors
/// What was expected, when it is not one or is 2^64 ms or longer.
pub fn duration(text: &str) -> Parsed<Duration> {
    let mut total: u64 = 0;
    let mut units = DURATION_UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, after) =
            rest.split_at(rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len());
        let (unit, after) =
            after.split_at(after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len());
        if !digits.is_empty() && unit.is_empty() && after.is_empty() {
            return Err(format!("a duration needs a unit: {}", suggested_units(digits)));
        }
        let millis = units.find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
        let (Some(millis), Ok(number)) = (millis, digits.parse::<u64>()) else {
            return Err(EXPECTED_DURATION.to_owned());
        };
        total = number
            .checked_mul(millis)
            .and_then(|part| total.checked_add(part))
            .ok_or("this duration is too long to count in milliseconds")?;
        rest = after;
    }
    if text.is_empty() { Err(EXPECTED_DURATION.to_owned()) } else { Ok(Duration::from_millis(total)) }
}

const EXPECTED_DURATION: &str = r#"expected a duration, such as "250ms", "10s", "5m", "1h" or "1h30m""#;

fn suggested_units(digits: &str) -> String {
    if digits.len() > 6 {
        return r#"for example "10s" or "5m""#.to_owned();
    }
    format!(r#""{digits}s" for seconds, "{digits}ms" for milliseconds"#)
}

/// A duration as [`duration`] reads it; what is less than a millisecond is left out.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in DURATION_UNITS {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A size in octets: a whole number with a binary unit, as in `64K`, `512M`, `1G`.
///
/// # Errors
/// What was expected, when it is not one or is 2^64 octets or more.
pub fn size(text: &str) -> Parsed<u64> {
    let expected = || r#"expected a size, such as "64K", "512M" or "1G" (powers of 1024)"#.to_owned();
    let (number, unit) = SIZE_UNITS
        .iter()
        .find_map(|(unit, octets)| text.strip_suffix(unit).map(|number| (number, *octets)))
        .unwrap_or((text, 1));
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(expected());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "this size is too large".into())
}

/// A size within a range.
pub(crate) fn size_within(text: &str, range: &RangeInclusive<u64>) -> Parsed<u64> {
    let octets = size(text)?;
    if range.contains(&octets) {
        return Ok(octets);
    }
    let [least, most] = [range.start(), range.end()].map(|end| size_text(*end));
    Err(format!(r#"expected a size from "{least}" to "{most}""#))
}

/// A size as [`size`] reads it, in the largest unit that it is a whole number of.
#[must_use]
pub fn size_text(octets: u64) -> String {
    SIZE_UNITS
        .iter()
        .find(|(_, unit)| octets != 0 && octets.is_multiple_of(*unit))
        .map_or_else(|| octets.to_string(), |(name, unit)| format!("{}{name}", octets / unit))
}

/// An address of one host that packets on a wire may carry: no zone, not unspecified, loopback, multicast, broadcast,
/// nor IPv4 in IPv6's clothes.
///
/// # Errors
/// What was expected.
pub fn host(text: &str) -> Parsed<IpAddr> {
    let addr = text
        .parse::<IpAddr>()
        .map_err(|_| r#"expected an IP address, such as "10.0.0.1" or "fd00::1""#.to_owned())?;
    unicast(addr).map(|()| addr)
}

fn unicast(addr: IpAddr) -> Parsed<()> {
    let what = match addr {
        _ if addr.is_unspecified() => "the unspecified address",
        _ if addr.is_loopback() => "a loopback address, which is never on a wire",
        _ if addr.is_multicast() => "a multicast address",
        IpAddr::V4(Ipv4Addr::BROADCAST) => "the broadcast address",
        IpAddr::V6(addr) if addr.is_unicast_link_local() => {
            "a link-local address, which does not say on which link"
        }
        IpAddr::V6(addr) => match addr.to_ipv4_mapped() {
            Some(v4) => return Err(format!(r#"an IPv4 address is written as one: "{v4}""#)),
            None => return Ok(()),
        },
        IpAddr::V4(_) => return Ok(()),
    };
    Err(format!("expected the address of one host; this is {what}"))
}

/// The unspecified address of the family of `addr`.
pub(crate) fn unspecified(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// An address and port, as in `192.0.2.10:80` and `[2001:db8::1]:443`; the port is not 0.
///
/// # Errors
/// What was expected.
pub fn endpoint(text: &str) -> Parsed<SocketAddr> {
    let expected =
        || r#"expected an address and port, such as "192.0.2.10:80" or "[2001:db8::1]:443""#.to_owned();
    let endpoint = match text.parse::<SocketAddr>() {
        Ok(endpoint) => endpoint,
        Err(_) => {
            return Err(match text.parse::<IpAddr>() {
                Ok(IpAddr::V4(addr)) => format!(r#"expected a port after the address, such as "{addr}:80""#),
                Ok(IpAddr::V6(addr)) => {
                    format!(r#"expected a port after the address, such as "[{addr}]:80""#)
                }
                Err(_) => match text.rsplit_once(':') {
                    Some((addr, port)) if addr.parse::<Ipv6Addr>().is_ok() => {
                        format!(r#"an IPv6 address with a port needs brackets: "[{addr}]:{port}""#)
                    }
                    _ => expected(),
                },
            });
        }
    };
    if let SocketAddr::V6(v6) = endpoint
        && v6.scope_id() != 0
    {
        return Err("an address with a zone is not allowed here".to_owned());
    }
    unicast(endpoint.ip())?;
    if endpoint.port() == 0 {
        return Err("port 0 cannot be listened on; expected 1 to 65535".to_owned());
    }
    Ok(endpoint)
}

/// An address with the length of its subnet's prefix, as in `10.0.0.1/24`.
///
/// # Errors
/// What was expected.
pub fn interface_address(text: &str) -> Parsed<Prefix> {
    let expected =
        || r#"expected an address with a prefix length, such as "10.0.0.1/24" or "fd00::1/64""#.to_owned();
    let Some((addr, length)) = text.split_once('/') else {
        return Err(match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(addr)) => {
                format!(r#"expected a prefix length after the address, such as "{addr}/24""#)
            }
            Ok(IpAddr::V6(addr)) => {
                format!(r#"expected a prefix length after the address, such as "{addr}/64""#)
            }
            Err(_) => expected(),
        });
    };
    let addr = addr.parse::<IpAddr>().map_err(|_| expected())?;
    let bits = if addr.is_ipv4() { 32 } else { 128 };
    let digits = !length.is_empty() && length.len() <= 3 && length.bytes().all(|b| b.is_ascii_digit());
    let length = length.parse::<u8>().ok().filter(|length| digits && *length <= bits);
    let Some(length) = length else {
        return Err(format!("expected a prefix length of 0 to {bits} after the slash"));
    };
    Ok(Prefix { addr, length })
}

/// The address of one host in a subnet, as in `10.0.0.1/24`: what a port may carry.
///
/// # Errors
/// What was expected.
pub fn port_address(text: &str) -> Parsed<Prefix> {
    let prefix = interface_address(text)?;
    unicast(prefix.addr)?;
    let IpAddr::V4(addr) = prefix.addr else { return not_everywhere(prefix) };
    // In a subnet of two hosts (RFC 3021) and of one, no address is the subnet's own.
    let hosts = u32::MAX.checked_shr(u32::from(prefix.length)).unwrap_or(0);
    match addr.to_bits() & hosts {
        0 if prefix.length < 31 => Err(format!("{addr} is the subnet's own address; expected a host's")),
        bits if bits == hosts && prefix.length < 31 => {
            Err(format!("{addr} is the subnet's broadcast address; expected a host's"))
        }
        _ => not_everywhere(prefix),
    }
}

fn not_everywhere(prefix: Prefix) -> Parsed<Prefix> {
    match prefix.length {
        0 => Err("expected a prefix length of at least 1: this subnet would hold every address".to_owned()),
        _ => Ok(prefix),
    }
}

/// Where a route leads: a prefix without host bits. `default` stands for both families' and gives `None`.
///
/// # Errors
/// What was expected.
pub fn destination(text: &str) -> Parsed<Option<Prefix>> {
    if text == "default" {
        return Ok(None);
    }
    let prefix = interface_address(text)
        .map_err(|expected| if text.contains('/') { expected } else { EXPECTED_DESTINATION.to_owned() })?;
    match prefix.network() {
        Some(network) if network != prefix.addr => {
            Err(format!(r#"the bits past the prefix must be zero: "{network}/{}""#, prefix.length))
        }
        _ => Ok(Some(prefix)),
    }
}

/// A prefix without host bits.
///
/// # Errors
/// What was expected.
pub fn prefix(text: &str) -> Parsed<Prefix> {
    match destination(text) {
        Ok(Some(prefix)) => Ok(prefix),
        Ok(None) => Err(EXPECTED_PREFIX.to_owned()),
        Err(_) if !text.contains('/') => Err(EXPECTED_PREFIX.to_owned()),
        Err(expected) => Err(expected),
    }
}

const EXPECTED_PREFIX: &str = r#"expected a prefix, such as "10.0.0.0/8" or "192.0.2.1/32""#;

const EXPECTED_DESTINATION: &str =
    r#"expected a prefix, such as "10.1.0.0/16" or "2001:db8::/32", or "default""#;

/// An Ethernet address of one station, as in `02:00:00:00:00:01`.
///
/// # Errors
/// What was expected.
pub fn mac(text: &str) -> Parsed<MacAddress> {
    let mut octets = [0; 6];
    let mut parts = text.split(':');
    for octet in &mut octets {
        *octet = parts
            .next()
            .filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|part| u8::from_str_radix(part, 16).ok())
            .ok_or_else(|| r#"expected an Ethernet address, such as "02:00:00:00:00:01""#.to_owned())?;
    }
    if parts.next().is_some() {
        return Err(r#"expected an Ethernet address of six octets, such as "02:00:00:00:00:01""#.to_owned());
    }
    if octets[0] & 1 != 0 {
        return Err("expected the address of one station; this is a group address (its first octet is odd)"
            .to_owned());
    }
    if octets == [0; 6] {
        return Err("expected the address of one station; this is all zero".to_owned());
    }
    Ok(MacAddress(octets))
}

/// A range of transport ports, both ends included, as in `1024-32767`; port 0 is in none.
///
/// # Errors
/// What was expected.
pub fn port_range(text: &str) -> Parsed<PortRange> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let ends = text.split_once('-').and_then(|(first, last)| Some((number(first)?, number(last)?)));
    let Some((first, last)) = ends else {
        return Err(r#"expected a range of ports, such as "1024-32767""#.to_owned());
    };
    match (first, last) {
        (0, _) => Err("port 0 cannot be used; the range starts at 1 or above".to_owned()),
        _ if first > last => Err(format!(r#"the range is empty; did you mean "{last}-{first}"?"#)),
        _ => Ok(PortRange { first, last }),
    }
}

/// A port's name: `[a-z0-9-]{1,15}`.
///
/// # Errors
/// What was expected.
pub fn port_name(text: &str) -> Parsed<String> {
    name(text, limits::INTERFACE_NAME, "wan")
}

/// A service's name: `[a-z0-9-]{1,63}`.
///
/// # Errors
/// What was expected.
pub fn service_name(text: &str) -> Parsed<String> {
    name(text, limits::SERVICE_NAME, "web")
}

/// The name of a pool: `[a-z0-9-]{1,63}`.
///
/// # Errors
/// What was expected.
pub fn pool_name(text: &str) -> Parsed<String> {
    name(text, limits::SERVICE_NAME, "canary")
}

pub(crate) fn name(text: &str, most: usize, example: &str) -> Parsed<String> {
    let fits = (1..=most).contains(&text.len());
    if fits && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        return Ok(text.to_owned());
    }
    Err(format!(r#"expected a name of 1 to {most} of the characters a-z, 0-9 and -, such as "{example}""#))
}

/// A network interface's name as Linux takes it: 1 to 15 printable characters without `/` and `:`, not `.` or `..`.
///
/// # Errors
/// What was expected.
pub fn interface_name(text: &str) -> Parsed<String> {
    let fits = (1..=limits::INTERFACE_NAME).contains(&text.len());
    let dots = text == "." || text == "..";
    // Linux replaces % by a number when it makes an interface, so the name would be another.
    if fits && !dots && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%')) {
        return Ok(text.to_owned());
    }
    Err(r#"expected an interface name of 1 to 15 characters, without spaces, "/", ":" and "%", such as "ek-wan0""#.into())
}

/// The prefix of DPDK's own files: 1 to 32 of the characters a-z, A-Z, 0-9, `-` and `_`.
///
/// # Errors
/// What was expected.
pub fn file_prefix(text: &str) -> Parsed<String> {
    let fits = (1..=32).contains(&text.len());
    if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return Ok(text.to_owned());
    }
    Err(r#"expected 1 to 32 of the characters a-z, A-Z, 0-9, - and _, such as "evenkeel""#.to_owned())
}

/// An argument to EAL or a device string: printable, 1 to 1024 octets.
///
/// # Errors
/// What was expected.
pub fn argument(text: &str) -> Parsed<String> {
    let fits = (1..=limits::ARGUMENT_OCTETS).contains(&text.len());
    if fits && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to {} octets of printable text", limits::ARGUMENT_OCTETS))
}

/// A device: a PCI address or a DPDK device string.
///
/// # Errors
/// What was expected.
pub fn device(text: &str) -> Parsed<String> {
    if text.is_empty() || text.chars().any(char::is_whitespace) {
        return Err(r#"expected a PCI address such as "0000:03:00.0" or a device string such as "net_tap0,iface=ek0""#.into());
    }
    argument(text)
}

/// The absolute path of a file.
///
/// # Errors
/// What was expected.
pub fn file_path(text: &str) -> Parsed<PathBuf> {
    let is_long = text.len() > limits::FILE_PATH;
    if is_long || !text.starts_with('/') || text.ends_with('/') || text.chars().any(char::is_control) {
        return Err(r#"expected the absolute path of a file, such as "/etc/evenkeel/shop.pem""#.to_owned());
    }
    Ok(PathBuf::from(text))
}

/// The absolute path of a unix socket.
///
/// # Errors
/// What was expected.
pub fn socket_path(text: &str) -> Parsed<PathBuf> {
    if text.len() > limits::SOCKET_PATH {
        return Err(format!("the path of a unix socket has at most {} octets", limits::SOCKET_PATH));
    }
    if !text.starts_with('/') || text.ends_with('/') || text.chars().any(char::is_control) {
        return Err(
            r#"expected the absolute path of a socket, such as "/run/evenkeel/control.sock""#.to_owned()
        );
    }
    Ok(PathBuf::from(text))
}
