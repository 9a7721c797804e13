//! Sets of addresses.

use std::net::IpAddr;

use evenkeel_datapath::fib::Prefix;

/// All addresses in any of some prefixes; none if there are none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Prefixes(Vec<Prefix>);

impl Prefixes {
    /// These.
    #[must_use]
    pub const fn new(prefixes: Vec<Prefix>) -> Self {
        Self(prefixes)
    }

    /// True if an address lies in one of them; an IPv4 address is the same as one of IPv6 that stands for it.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|prefix| prefix.contains(address.to_canonical().into()))
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_datapath::key::Addr;

    use super::*;

    #[test]
    fn addresses_lie_in_prefixes_of_their_family() {
        let prefixes = Prefixes::new(vec![
            Prefix::new(Addr::from_v4([10, 0, 0, 0]), 96 + 8),
            Prefix::new("2001:db8::".parse::<IpAddr>().unwrap().into(), 32),
        ]);
        for (address, is_in) in [
            ("10.1.2.3", true),
            ("11.0.0.0", false),
            ("::ffff:10.1.2.3", true),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(prefixes.contain(address.parse().unwrap()), is_in, "{address}");
        }
        assert!(!Prefixes::default().contain("10.1.2.3".parse().unwrap()));
    }
}
