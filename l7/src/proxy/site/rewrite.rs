//! What backends see other than clients asked for it, and where clients are sent instead.

use super::Edits;
use crate::http::Authority;

/// The beginning of a path, up to a slash or its end, and what stands in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prefix {
    /// What the path begins with, without a slash at the end.
    from: String,
    /// What it begins with then, likewise.
    to: String,
}

impl Prefix {
    /// Puts one prefix in the place of another. Both begin with a slash; `/` is the beginning of every path.
    ///
    /// # Errors
    /// Says what is wrong with one of them.
    pub fn new(from: &str, to: &str) -> Result<Self, String> {
        for prefix in [from, to] {
            let is_plain = |octet: u8| octet.is_ascii_graphic() && !b"?#\"<>\\^`{}".contains(&octet);
            if !prefix.starts_with('/') || !prefix.bytes().all(is_plain) {
                return Err(format!("{prefix:?} is not the beginning of a path"));
            }
        }
        let without_slash = |prefix: &str| prefix.strip_suffix('/').unwrap_or(prefix).to_owned();
        Ok(Self { from: without_slash(from), to: without_slash(to) })
    }

    /// A path's new beginning and the rest of it; nothing and the path, if it does not begin so.
    fn apply<'p>(&'p self, path: &'p str) -> [&'p str; 2] {
        match path.strip_prefix(&*self.from) {
            Some("") if self.to.is_empty() => ["", "/"],
            Some(rest) if rest.is_empty() || rest.starts_with('/') => [&self.to, rest],
            _ => ["", path],
        }
    }
}

/// What backends see other than clients asked for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rewrite {
    /// Of the path.
    pub prefix: Option<Prefix>,
    /// The host, and a port if it is named: `example.com:8080`. What the client asked for is told in `X-Forwarded-Host`.
    pub host: Option<String>,
}

impl Rewrite {
    /// The path that a backend sees, in two parts.
    pub(in crate::proxy) fn path<'p>(&'p self, path: &'p str) -> [&'p str; 2] {
        self.prefix.as_ref().map_or(["", path], |prefix| prefix.apply(path))
    }
}

/// The scheme of a URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it is written.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Where a client is sent instead. What is not said stays as it asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Another scheme. The port is then that scheme's usual one, unless the host names one.
    pub scheme: Option<Scheme>,
    /// Another host, and a port if it is named.
    pub host: Option<String>,
    /// Another path, and a query if it has one: the client's is then left out.
    pub path: Option<String>,
    /// Or another beginning of it.
    pub prefix: Option<Prefix>,
    /// Fields of the answer.
    pub fields: Edits,
}

impl Redirect {
    /// To where it was asked for already, until something else is said.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, scheme: None, host: None, path: None, prefix: None, fields: Edits::default() }
    }

    /// Writes where to. It always names a scheme and a host: a path alone could be taken for a host by how it begins.
    pub(in crate::proxy) fn write(
        &self,
        asked: Scheme,
        authority: Authority<'_>,
        (path, query): (&str, Option<&str>),
        out: &mut String,
    ) {
        out.clear();
        out.push_str(self.scheme.unwrap_or(asked).text());
        out.push_str("://");
        match (&self.host, authority.port) {
            (Some(host), _) => out.push_str(host),
            (None, Some(port)) if self.scheme.is_none_or(|scheme| scheme == asked) => {
                out.extend([authority.host, ":", &port.to_string()]);
            }
            (None, _) => out.push_str(authority.host),
        }
        if let Some(path) = &self.path {
            return out.push_str(path);
        }
        out.extend(self.prefix.as_ref().map_or(["", path], |prefix| prefix.apply(path)));
        out.extend(query.into_iter().flat_map(|query| ["?", query]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_slashes() {
        let apply = |from, to, path| Prefix::new(from, to).unwrap().apply(path).concat();
        for (from, to, path, expected) in [
            ("/api", "/", "/api/users", "/users"),
            ("/api", "/", "/api", "/"),
            ("/api/", "/v2/", "/api", "/v2"),
            ("/api", "/v2", "/apical", "/apical"),
            ("/", "/v2", "/a", "/v2/a"),
            ("/", "/", "/", "/"),
            ("/a", "/b", "/c", "/c"),
        ] {
            assert_eq!(apply(from, to, path), expected, "{from} {to} {path}");
        }
        for bad in ["", "a", "/a?b", "/a b", "/\r\n", "/ä"] {
            assert!(Prefix::new(bad, "/").is_err() && Prefix::new("/", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn redirects_keep_what_they_do_not_change() {
        let plain = Redirect::new(308);
        let cases = [
            (plain.clone(), "http://a.example:81/p/q?x=1"),
            (Redirect { scheme: Some(Scheme::Https), ..plain.clone() }, "https://a.example/p/q?x=1"),
            (Redirect { scheme: Some(Scheme::Http), ..plain.clone() }, "http://a.example:81/p/q?x=1"),
            (Redirect { host: Some("b:8443".to_owned()), ..plain.clone() }, "http://b:8443/p/q?x=1"),
            (Redirect { path: Some("/new".to_owned()), ..plain.clone() }, "http://a.example:81/new"),
            (
                Redirect { prefix: Some(Prefix::new("/p", "/r").unwrap()), ..plain },
                "http://a.example:81/r/q?x=1",
            ),
        ];
        let authority = Authority { host: "a.example", port: Some(81) };
        let mut out = "left over".to_owned();
        for (redirect, expected) in cases {
            redirect.write(Scheme::Http, authority, ("/p/q", Some("x=1")), &mut out);
            assert_eq!(out, expected);
        }
    }
}
