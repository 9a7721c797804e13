//! Hosts of routes.

/// Which hosts a route is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// This one.
    Name(String),
    /// All that are below this domain, by one label or more.
    Below(String),
}

impl Host {
    /// Reads `example.com` or `*.example.com`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (domain, of): (&str, fn(String) -> Self) = match text.strip_prefix("*.") {
            Some(domain) => (domain, Self::Below),
            None => (text, Self::Name),
        };
        if domain.contains('*') {
            return Err(format!("{text:?}: an asterisk stands for the first labels, as in *.example.com"));
        }
        let mut room = String::new();
        let normal = normal_host(domain, &mut room);
        match crate::http::Authority::parse(normal) {
            Ok(authority) if authority.port.is_none() => Ok(of(normal.to_owned())),
            Ok(_) => Err(format!("{text:?}: a host has no port here")),
            Err(_) => Err(format!("{text:?} is not a host name or address")),
        }
    }

    /// The name, or the domain.
    pub(super) fn text(&self) -> &str {
        let (Self::Name(text) | Self::Below(text)) = self;
        text
    }

    /// True if it is for this host.
    pub(super) fn fits(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name == host,
            Self::Below(domain) => suffixes(host).any(|suffix| suffix == domain),
        }
    }
}

/// A host in the form that routes are found by: in small letters, and without the dot that ends an absolute name. It is `host` itself where it
/// is that already, else written to `room`.
pub fn normal_host<'h>(host: &'h str, room: &'h mut String) -> &'h str {
    let host = host.strip_suffix('.').unwrap_or(host);
    if !host.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return host;
    }
    room.clear();
    room.push_str(host);
    room.make_ascii_lowercase();
    room
}

/// The domains that a host is below, the longest first. An address in brackets is below none.
pub(super) fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    let mut rest = if host.starts_with('[') { None } else { Some(host) };
    std::iter::from_fn(move || {
        rest = rest?.split_once('.').map(|(_, suffix)| suffix);
        rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(Host::parse("Example.COM."), Ok(Host::Name("example.com".to_owned())));
        assert_eq!(Host::parse("*.Example.com"), Ok(Host::Below("example.com".to_owned())));
        assert_eq!(Host::parse("[2001:DB8::1]"), Ok(Host::Name("[2001:db8::1]".to_owned())));
        for bad in ["", "*", "*.", "a.*.b", "*a.b", "a:80", "a b", "*.*.a"] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn suffixes_are_whole_labels() {
        assert_eq!(suffixes("a.b.example.com").collect::<Vec<_>>(), ["b.example.com", "example.com", "com"]);
        assert_eq!(suffixes("localhost").count(), 0);
        assert_eq!(suffixes("[::1.2.3.4]").count(), 0);
    }
}
