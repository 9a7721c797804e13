//! Cookies that keep a client at one backend.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::http::{HeadWriter, Name};

/// The key that cookies are sealed with, the same on all workers and balancers.
#[derive(Clone)]
pub struct Seal(hmac::Key);

impl fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seal")
    }
}

impl Seal {
    /// A key of 32 random octets.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// What only the holder of the key can say of this backend of this cluster.
    fn of(&self, cluster: &str, identity: u64) -> u128 {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&identity.to_be_bytes());
        context.update(cluster.as_bytes());
        let tag = context.sign();
        tag.as_ref().first_chunk().map_or(0, |octets| u128::from_be_bytes(*octets))
    }
}

/// A cookie whose value names a backend, sealed, so that clients cannot choose one.
#[derive(Clone, Debug)]
pub struct Sticky {
    /// Its name, a token.
    pub cookie: String,
    /// How long it is kept; as long as the client runs, if it is not said.
    pub max_age: Option<Duration>,
    /// It is sent back over TLS alone.
    pub is_secure: bool,
    /// What it is sealed with.
    pub seal: Seal,
}

impl Sticky {
    /// The identity that a cookie names in a cluster, if its seal is right.
    pub(in crate::proxy) fn open(&self, cluster: &str, value: &[u8]) -> Option<u64> {
        let (identity, rest) = value.split_at_checked(16)?;
        let identity = u64::try_from(number(identity)?).ok()?;
        let given = number(rest.strip_prefix(b".").filter(|seal| seal.len() == 32)?)?.to_be_bytes();
        let right = self.seal.of(cluster, identity).to_be_bytes();
        verify_slices_are_equal(&given, &right).ok().map(|()| identity)
    }

    /// Writes the field that gives a client the cookie.
    pub(in crate::proxy) fn write(&self, cluster: &str, identity: u64, head: &mut HeadWriter<'_>) {
        let (name, seal) = (&self.cookie, self.seal.of(cluster, identity));
        let secure = if self.is_secure { "; Secure" } else { "" };
        let rest = format_args!("; Path=/; HttpOnly; SameSite=Lax{secure}");
        match self.max_age.map(|age| age.as_secs()) {
            None => head.formatted(Name::SetCookie, format_args!("{name}={identity:016x}.{seal:032x}{rest}")),
            Some(age) => head.formatted(
                Name::SetCookie,
                format_args!("{name}={identity:016x}.{seal:032x}; Max-Age={age}{rest}"),
            ),
        };
    }
}

/// A number in small hexadecimal digits.
fn number(digits: &[u8]) -> Option<u128> {
    if !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_opens_with_its_key_and_in_its_cluster_alone() {
        let sticky = |secret| Sticky {
            cookie: "at".to_owned(),
            max_age: Some(Duration::from_secs(3600)),
            is_secure: true,
            seal: Seal::new(&[secret; 32]),
        };
        let mut out = Vec::new();
        sticky(1).write(
            "shop",
            0x1234,
            &mut HeadWriter::response(&mut out, crate::http::Version::Http11, 200),
        );
        let text = String::from_utf8(out).unwrap();
        let (_, cookie) = text.split_once("\r\nSet-Cookie: at=").unwrap();
        let (value, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Max-Age=3600; Path=/; HttpOnly; SameSite=Lax; Secure\r\n");
        assert_eq!(sticky(1).open("shop", value.as_bytes()), Some(0x1234));
        assert_eq!(sticky(2).open("shop", value.as_bytes()), None);
        assert_eq!(sticky(1).open("other", value.as_bytes()), None);
        let other = value.replacen("1234", "1235", 1);
        for bad in ["", ".", &value[..48], &value[1..], &value.to_uppercase(), &other, &format!("{value}0")] {
            assert_eq!(sticky(1).open("shop", bad.as_bytes()), None, "{bad}");
        }
    }
}
