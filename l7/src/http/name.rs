//! Names of fields that the proxy knows: those that decide something, and those whose usual spelling no rule gives.

/// What becomes of a field on its way through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// It is for whoever gets the message at last.
    EndToEnd,
    /// As that, but it means nothing in a trailer, or harm (RFC 9110, section 6.5.1).
    HeadOnly,
    /// It is for the next hop only, and is not forwarded (RFC 9110, section 7.6.1).
    Hop,
    /// It frames or routes the message: it is read here and written anew.
    Message,
}

macro_rules! names {
    ($($variant:ident $text:literal $scope:ident)*) => {
        /// A field's name, if the proxy knows it.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
        }

        const KNOWN: &[(Name, &str, Scope)] = &[$((Name::$variant, $text, Scope::$scope)),*];
    };
}

names! {
    Authorization "Authorization" HeadOnly
    CacheControl "Cache-Control" HeadOnly
    Connection "Connection" Hop
    ContentEncoding "Content-Encoding" HeadOnly
    ContentLength "Content-Length" Message
    ContentRange "Content-Range" HeadOnly
    ContentType "Content-Type" HeadOnly
    Cookie "Cookie" HeadOnly
    Date "Date" HeadOnly
    ETag "ETag" EndToEnd
    Expect "Expect" Message
    Forwarded "Forwarded" HeadOnly
    Host "Host" Message
    KeepAlive "Keep-Alive" Hop
    Location "Location" HeadOnly
    MaxForwards "Max-Forwards" HeadOnly
    ProxyAuthorization "Proxy-Authorization" HeadOnly
    ProxyConnection "Proxy-Connection" Hop
    RetryAfter "Retry-After" HeadOnly
    SecWebSocketAccept "Sec-WebSocket-Accept" HeadOnly
    SecWebSocketExtensions "Sec-WebSocket-Extensions" HeadOnly
    SecWebSocketKey "Sec-WebSocket-Key" HeadOnly
    SecWebSocketProtocol "Sec-WebSocket-Protocol" HeadOnly
    SecWebSocketVersion "Sec-WebSocket-Version" HeadOnly
    Server "Server" EndToEnd
    SetCookie "Set-Cookie" HeadOnly
    Te "TE" Hop
    Trailer "Trailer" HeadOnly
    TransferEncoding "Transfer-Encoding" Message
    Upgrade "Upgrade" Hop
    Via "Via" HeadOnly
    WwwAuthenticate "WWW-Authenticate" HeadOnly
    XClientCertNames "X-Client-Cert-Names" HeadOnly
    XClientCertSha256 "X-Client-Cert-Sha256" HeadOnly
    XClientCertSubject "X-Client-Cert-Subject" HeadOnly
    XForwardedFor "X-Forwarded-For" HeadOnly
    XForwardedHost "X-Forwarded-Host" HeadOnly
    XForwardedPort "X-Forwarded-Port" HeadOnly
    XForwardedProto "X-Forwarded-Proto" HeadOnly
    XRequestId "X-Request-Id" HeadOnly
}

/// Which lengths known names have, a bit for each.
const LENGTHS: u64 = {
    let (mut lengths, mut at) = (0, 0);
    while at < KNOWN.len() {
        lengths |= 1 << KNOWN[at].1.len();
        at += 1;
    }
    lengths
};

impl Name {
    /// The name that `text` is, in any case.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        if text.len() >= 64 || LENGTHS >> text.len() & 1 == 0 {
            return None;
        }
        KNOWN.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(text)).map(|(name, ..)| *name)
    }

    /// As it is written.
    #[must_use]
    pub fn text(self) -> &'static str {
        KNOWN[self as usize].1
    }

    /// True if `text` is a token, as every name of a field is (RFC 9110, section 5.6.2).
    #[must_use]
    pub fn is_token(text: &str) -> bool {
        let is_known = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
        !text.is_empty() && text.bytes().all(is_known)
    }

    /// True if a field of this name is for whoever gets the message at last: it neither frames nor routes the message, nor is it for the next
    /// hop only.
    #[must_use]
    pub fn is_forwarded(text: &str) -> bool {
        !matches!(Self::of(text).map(Self::scope), Some(Scope::Hop | Scope::Message))
    }

    pub(super) fn scope(self) -> Scope {
        KNOWN[self as usize].2
    }
}

/// Writes a name as it usually is: capitals at the beginning and after each hyphen.
pub(super) fn write_canonical(name: &str, out: &mut Vec<u8>) {
    let mut at_start = true;
    out.extend(name.bytes().map(|octet| {
        let cased = if at_start { octet.to_ascii_uppercase() } else { octet.to_ascii_lowercase() };
        at_start = octet == b'-';
        cased
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        for (name, text, _) in KNOWN {
            assert_eq!(Name::of(text), Some(*name));
            assert_eq!(Name::of(&text.to_ascii_uppercase()), Some(*name));
            assert_eq!(name.text(), *text);
        }
        for text in ["", "X-Other", "Hos", "Host ", &"x".repeat(64), &"x".repeat(200)] {
            assert_eq!(Name::of(text), None, "{text}");
        }
    }

    #[test]
    fn other_names_get_capitals() {
        let canonical = |name: &str| {
            let mut out = Vec::new();
            write_canonical(name, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(canonical("x-api-KEY"), "X-Api-Key");
        assert_eq!(canonical("_a--b"), "_a--B");
    }
}
