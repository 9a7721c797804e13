//! Values of routes and pools: hosts, paths, names and what is hashed.
//!
//! Invariant: what is accepted here, the layer 7 stage accepts too.

use std::net::{IpAddr, Ipv6Addr};

use crate::limits;
use crate::site::By;
use crate::units::Parsed;

/// Whether it may stand in a token (RFC 9110, section 5.6.2).
fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

/// The hosts of a route: `example.com`, `*.example.com`, an address, in small letters.
pub(crate) fn host_pattern(text: &str) -> Parsed<String> {
    let domain = text.strip_prefix("*.").unwrap_or(text);
    if domain.contains('*') {
        return Err("an asterisk stands for whole labels at the front, as in \"*.example.com\"".to_owned());
    }
    // The dot that ends an absolute name changes nothing.
    host(domain).map(|_| text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase())
}

/// A host: a name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn host(text: &str) -> Parsed<String> {
    let in_brackets = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if in_brackets.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()) {
        return Ok(text.to_owned());
    }
    if let Ok(IpAddr::V6(address)) = text.parse::<IpAddr>() {
        return Err(format!(r#"an IPv6 address needs brackets here: "[{address}]""#));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let known = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(known)
    };
    if name.len() <= limits::HOST_OCTETS && name.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && port.bytes().all(|octet| octet.is_ascii_digit())
    {
        return Err(format!("a host has no port here: \"{}\"", shortened(host)));
    }
    Err(r#"expected the name of a host, such as "example.com", or an address"#.to_owned())
}

/// A host, and a port if it is named.
pub(crate) fn authority(text: &str) -> Parsed<String> {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|number| number != 0) && !port.starts_with('+');
    match text.rsplit_once(':') {
        Some((name, port)) if is_port(port) && host(name).is_ok() => Ok(text.to_owned()),
        _ => host(text),
    }
}

/// The name of a field that may be changed: none that frames or routes a message, or is for one hop only.
pub(crate) fn changeable(text: &str) -> Parsed<String> {
    let name = token(text)?;
    match OWN.iter().find(|own| own.eq_ignore_ascii_case(text)) {
        Some(own) => Err(format!("{own} is the proxy's own: it frames or routes messages")),
        None => Ok(name),
    }
}

/// Fields that the proxy reads and writes anew, or that are for one hop only.
const OWN: [&str; 9] = [
    "Connection",
    "Content-Length",
    "Expect",
    "Host",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Transfer-Encoding",
    "Upgrade",
];

/// A line of text.
pub(crate) fn line(text: &str) -> Parsed<String> {
    if text.len() <= limits::PATTERN_OCTETS && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("expected one line of at most {} octets", limits::PATTERN_OCTETS))
}

/// A token, or nothing.
pub(crate) fn token_or_nothing(text: &str) -> Parsed<String> {
    if text.is_empty() { Ok(String::new()) } else { token(text) }
}

/// A path, from its first slash on.
pub(crate) fn path(text: &str) -> Parsed<String> {
    let known = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~%:/[]@!$&'()*+,;=|".contains(&octet);
    if text.contains(['?', '#']) {
        return Err("a path ends before the query; conditions on that stand under `query`".to_owned());
    }
    if text.starts_with('/') && text.len() <= limits::PATTERN_OCTETS && text.bytes().all(known) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected a path such as \"/api\", of at most {} of the characters that a path may have",
        limits::PATTERN_OCTETS
    ))
}

/// A path with parameters.
pub(crate) fn path_template(text: &str) -> Parsed<String> {
    let expected = || r#"expected a path such as "/users/{id}" or "/files/{*rest}""#.to_owned();
    if !text.starts_with('/') || text.len() > limits::PATTERN_OCTETS || !text.is_ascii() {
        return Err(expected());
    }
    if text.bytes().any(|octet| octet.is_ascii_control() || octet == b' ') {
        return Err(expected());
    }
    match matchit::Router::new().insert(text, ()) {
        Ok(()) if text.contains('{') => Ok(text.to_owned()),
        Ok(()) => {
            Err(format!("it has no parameter, such as {{id}}: that is `path = \"{}\"`", shortened(text)))
        }
        Err(error) => Err(format!("{}; {}", expected(), one_line(&error.to_string()))),
    }
}

/// A regular expression in the syntax of the `regex` crate.
pub(crate) fn regex(text: &str) -> Parsed<String> {
    if text.is_empty() || text.len() > limits::PATTERN_OCTETS {
        return Err(format!(
            "expected a regular expression of 1 to {} octets, such as \"/v[0-9]+/.*\"",
            limits::PATTERN_OCTETS
        ));
    }
    let whole = format!("^(?:{text})$");
    match regex::RegexBuilder::new(&whole).size_limit(limits::REGEX_OCTETS).build() {
        // By itself it has to be whole too: the brackets around it are not to close what it opens.
        Ok(_) => match regex::RegexBuilder::new(text).size_limit(limits::REGEX_OCTETS).build() {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(refused(&error)),
        },
        Err(error) => Err(refused(&error)),
    }
}

/// What a regular expression lacks: the last line of what the library says, which shows the text before.
fn refused(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "this regular expression is too large when it is compiled".to_owned()
        }
        other => {
            let said = other.to_string();
            let last = said.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", one_line(last.trim_start_matches("error: ")))
        }
    }
}

/// A method, which is in capitals (RFC 9110, section 9.1: they are case-sensitive).
pub(crate) fn method(text: &str) -> Parsed<String> {
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(is_token);
    if fits && !text.bytes().any(|octet| octet.is_ascii_lowercase()) {
        return Ok(text.to_owned());
    }
    match text.to_ascii_uppercase() {
        capitals if fits => Err(format!("methods are in capitals: \"{capitals}\"")),
        _ => Err(r#"expected a method, such as "GET""#.to_owned()),
    }
}

/// The name of a field or a cookie.
pub(crate) fn token(text: &str) -> Parsed<String> {
    if (1..=limits::PATTERN_OCTETS).contains(&text.len()) && text.bytes().all(is_token) {
        return Ok(text.to_owned());
    }
    Err(r#"expected a name without spaces, such as "X-Env""#.to_owned())
}

/// A protocol that a connection is upgraded to, in small letters.
pub(crate) fn protocol(text: &str) -> Parsed<String> {
    let is_known = |octet: u8| is_token(octet) || octet == b'/';
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(is_known);
    match text.to_ascii_lowercase() {
        small if fits && small == "h2c" => {
            Err("requests over h2c would not take routes: it is never passed on".to_owned())
        }
        small if fits && small == text => Ok(small),
        small if fits => Err(format!("expected small letters: \"{small}\"")),
        _ => Err(r#"expected a protocol, such as "websocket""#.to_owned()),
    }
}

/// The name of a parameter as it stands in a query, or a value of anything.
pub(crate) fn value(text: &str) -> Parsed<String> {
    let fits = (1..=limits::PATTERN_OCTETS).contains(&text.len());
    if fits && text.bytes().all(|octet| matches!(octet, b' '..=b'~')) && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to {} printable ASCII characters, no spaces around them", limits::PATTERN_OCTETS))
}

/// What is hashed of a request.
pub(crate) fn by(text: &str) -> Parsed<By> {
    let named = |name: &str, of: fn(String) -> By| token(name).map(of).ok();
    let by = match text.split_once(' ') {
        None if text == "source" => Some(By::Source),
        Some(("header", name)) => named(name, By::Header),
        Some(("cookie", name)) => named(name, By::Cookie),
        _ => None,
    };
    by.ok_or_else(|| r#"expected "source", "header NAME" or "cookie NAME""#.to_owned())
}

fn shortened(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in ["example.com", "*.example.com", "localhost", "192.0.2.1", "[2001:db8::1]", "a_b.c."] {
            assert!(host_pattern(good).is_ok(), "{good}");
        }
        assert_eq!(host_pattern("WWW.Example.com").as_deref(), Ok("www.example.com"));
        for bad in
            ["", "*", "*.", "a.*.b", "*a.b", "a:80", "a b", "*.*.a", "2001:db8::1", "a..b", ".a", "ä.de"]
        {
            assert!(host_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn regular_expressions_are_whole() {
        assert!(regex("/v[0-9]+/.*").is_ok());
        for bad in ["", "(", "a)|(b", "[", "a{1000}{1000}{1000}", "(?P<n"] {
            let said = regex(bad).unwrap_err();
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn what_is_hashed() {
        for good in ["source", "header X-User", "cookie session"] {
            assert_eq!(by(good).map(|by| by.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "header", "header ", "cookie a b", "source x", "Header x"] {
            assert!(by(bad).is_err(), "{bad}");
        }
    }
}
