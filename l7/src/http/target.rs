//! What a request is about: the four forms of its target (RFC 9112, section 3.2), and host and port (RFC 3986, section 3.2).

use std::fmt;
use std::net::Ipv6Addr;

use super::{Method, Refusal};

/// A host, and a port if one is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Authority<'b> {
    /// A name, an IPv4 address, or an IPv6 address in its brackets; never empty.
    pub host: &'b str,
    /// Its port.
    pub port: Option<u16>,
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(formatter, "{}:{port}", self.host),
            None => formatter.write_str(self.host),
        }
    }
}

/// A host name has 253 characters at most.
const LONGEST_HOST: usize = 253;

impl<'b> Authority<'b> {
    /// Reads `host[:port]`. There is no user information in it (RFC 9110, section 4.2.4).
    ///
    /// # Errors
    /// [`Refusal::Host`] for anything else.
    pub fn parse(text: &'b str) -> Result<Self, Refusal> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.find(']')) {
            // The brackets stay with the address.
            Some(length) => text.split_at(length + 2),
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return Err(Refusal::Host),
            Some("") => None,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                Some(digits.parse().ok().filter(|port| *port != 0).ok_or(Refusal::Host)?)
            }
            Some(_) => return Err(Refusal::Host),
        };
        let is_address = |host: &str| {
            let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            inside.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        };
        let is_name = |host: &str| {
            let known = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
            (1..=LONGEST_HOST).contains(&host.len()) && host.bytes().all(known)
        };
        if is_name(host) || is_address(host) { Ok(Self { host, port }) } else { Err(Refusal::Host) }
    }
}

/// The target of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target<'b> {
    /// The authority, where the target itself has one: in absolute and in authority form.
    pub authority: Option<Authority<'b>>,
    /// The path, from its first slash on and as it came; `*` for the server as a whole, empty in authority form.
    pub path: &'b str,
    /// What stands behind the first question mark.
    pub query: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// Reads the form that `method` takes.
    pub(super) fn parse(text: &'b str, method: Method<'_>) -> Result<Self, Refusal> {
        if !text.bytes().all(is_uri_character) {
            return Err(Refusal::Target);
        }
        if method == Method::Connect {
            let authority = Authority::parse(text)?;
            authority.port.ok_or(Refusal::Target)?;
            return Ok(Self { authority: Some(authority), path: "", query: None });
        }
        if text.starts_with('/') {
            return Ok(Self::of_path(text, None));
        }
        if text == "*" && method == Method::Options {
            return Ok(Self { authority: None, path: "*", query: None });
        }
        let rest = without_scheme(text).ok_or(Refusal::Target)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = Some(Authority::parse(authority)?);
        Ok(match path {
            // RFC 9112, section 3.2.4.
            "" if method == Method::Options => Self { authority, path: "*", query: None },
            _ => Self::of_path(path, authority),
        })
    }

    fn of_path(text: &'b str, authority: Option<Authority<'b>>) -> Self {
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        Self { authority, path: if path.is_empty() { "/" } else { path }, query }
    }
}

fn without_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(rest)
}

/// What may stand in a URI (RFC 3986, section 2), without the hash sign, which begins what is never sent; and the vertical bar, which
/// browsers leave as it is.
const fn is_uri_character(octet: u8) -> bool {
    matches!(octet,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b':' | b'/' | b'?' | b'[' | b']' | b'@'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b'|')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let good = [
            ("a", "a", None),
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("[2001:db8::1]:443", "[2001:db8::1]", Some(443)),
            ("under_score.example.", "under_score.example.", None),
        ];
        for (text, host, port) in good {
            assert_eq!(Authority::parse(text), Ok(Authority { host, port }), "{text}");
        }
        let long = "a".repeat(254);
        let bad = [
            "",
            ":80",
            "a:b",
            "a:0",
            "a:65536",
            "a:+1",
            "a:80:80",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[a]",
            "::1",
            "user@a",
            "a b",
            "a/b",
            "ä",
            "a%41",
            "a,b",
            "[::1%eth0]",
            &long,
        ];
        for text in bad {
            assert_eq!(Authority::parse(text), Err(Refusal::Host), "{text}");
        }
    }

    #[test]
    fn forms() {
        let authority = Some(Authority { host: "a", port: Some(81) });
        let good = [
            ("/", Method::Get, None, "/", None),
            ("/p?q?r", Method::Get, None, "/p", Some("q?r")),
            ("/p?", Method::Get, None, "/p", Some("")),
            ("//p", Method::Get, None, "//p", None),
            ("*", Method::Options, None, "*", None),
            ("http://a:81/p?q", Method::Get, authority, "/p", Some("q")),
            ("HTTPS://a:81", Method::Get, authority, "/", None),
            ("http://a:81?q", Method::Get, authority, "/", Some("q")),
            ("http://a:81", Method::Options, authority, "*", None),
            ("a:81", Method::Connect, authority, "", None),
        ];
        for (text, method, authority, path, query) in good {
            assert_eq!(Target::parse(text, method), Ok(Target { authority, path, query }), "{text}");
        }
        for (text, method) in [
            ("*", Method::Get),
            ("p", Method::Get),
            ("a:81", Method::Get),
            ("ftp://a/", Method::Get),
            ("/#f", Method::Get),
            ("/\"", Method::Get),
            ("/\\", Method::Get),
            ("/ä", Method::Get),
            ("/<", Method::Get),
            ("/{", Method::Get),
            ("a", Method::Connect),
            ("http:/a/", Method::Get),
        ] {
            assert_eq!(Target::parse(text, method), Err(Refusal::Target), "{text}");
        }
        for (text, method) in
            [("http:///p", Method::Get), ("http://u@a/", Method::Get), ("/", Method::Connect)]
        {
            assert_eq!(Target::parse(text, method), Err(Refusal::Host), "{text}");
        }
    }
}
