//! What requests have in common that are to go the same way.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::route::{Facts, Source};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Key {
    /// The client's address.
    Client,
    /// The first value of a header, a parameter or a cookie.
    Of(Source),
}

/// What a hash is for: two choices by one key are independent of each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Salt {
    /// The part of a split.
    Split = 1,
    /// The backend.
    Backend = 2,
}

impl Key {
    /// The hash of what a request has of it, the same on every worker and balancer; `None` if it lacks it.
    #[must_use]
    pub fn hash(&self, salt: Salt, facts: &Facts<'_>, client: Option<IpAddr>) -> Option<u64> {
        let of = |octets: &[u8]| {
            let mut hasher = SipHasher13::new_with_keys(0x6576_656e_6b65_656c, salt as u64);
            hasher.write(octets);
            hasher.finish()
        };
        match self {
            Self::Client => client.map(|client| match client.to_canonical() {
                IpAddr::V4(address) => of(&address.octets()),
                IpAddr::V6(address) => of(&address.octets()),
            }),
            Self::Of(source) => source.first(facts, of),
        }
    }
}
