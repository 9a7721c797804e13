//! Routes and neighbours, as the kernel (or the configuration) has them: longest prefix match to a next hop.
//!
//! A balancer's table is small: its own subnets, their neighbours, a default route. It is kept as one hash map for each
//! prefix length in use, longest first, so a lookup costs one probe for each length.

use hashbrown::HashMap;

use crate::key::Addr;
use crate::snapshot::{MacAddress, NextHopId, PortId};

/// Where to send a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NextHop {
    /// The port to send it by.
    pub port: PortId,
    /// The neighbour's Ethernet address.
    pub mac: MacAddress,
    /// Largest network-layer packet that may go this way, in octets.
    pub mtu: u16,
}

/// A prefix: bits of an address. Lengths count from the start of the 128-bit form: an IPv4 `/24` is 96 + 24.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Prefix {
    /// The address, with the bits past `length` zero.
    pub addr: Addr,
    /// Bits that count, 0 to 128.
    pub length: u8,
}

impl Prefix {
    /// The prefix of `length` bits (of 128) that `addr` lies in.
    #[must_use]
    pub fn new(addr: Addr, length: u8) -> Self {
        let length = length.min(128);
        let mask = if length == 0 { 0 } else { u128::MAX << (128 - u32::from(length)) };
        Self { addr: Addr((u128::from_be_bytes(addr.0) & mask).to_be_bytes()), length }
    }

    /// True if `addr` lies in it.
    #[must_use]
    pub fn contains(&self, addr: Addr) -> bool {
        Self::new(addr, self.length) == *self
    }
}

type Routes = HashMap<u128, Option<NextHopId>, foldhash::fast::FixedState>;

/// Longest prefix match over both families.
#[derive(Clone, Debug, Default)]
pub struct Fib {
    next_hops: Vec<NextHop>,
    /// By prefix length, longest first, IPv4 (lengths over 96, mapped) apart from IPv6.
    v4: Vec<(u128, Routes)>,
    v6: Vec<(u128, Routes)>,
}

impl Fib {
    /// A table of `routes`. A prefix with `None` (an on-link subnet whose neighbours are listed one by one, a gateway
    /// that is not resolved) is known but leads nowhere, rather than to what a shorter prefix says.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = (Prefix, Option<NextHop>)>) -> Self {
        let mut fib = Self::default();
        for (prefix, next_hop) in routes {
            let id = next_hop.map(|next_hop| fib.intern(next_hop));
            let family = if prefix.addr.is_v4() && prefix.length >= 96 { &mut fib.v4 } else { &mut fib.v6 };
            let mask =
                if prefix.length == 0 { 0 } else { u128::MAX << (128 - u32::from(prefix.length.min(128))) };
            let at = match family.binary_search_by(|(other, _)| mask.cmp(other)) {
                Ok(at) => at,
                Err(at) => {
                    family.insert(at, (mask, Routes::default()));
                    at
                }
            };
            family[at].1.insert(u128::from_be_bytes(prefix.addr.0) & mask, id);
        }
        fib
    }

    fn intern(&mut self, next_hop: NextHop) -> NextHopId {
        let at = self.next_hops.iter().position(|known| *known == next_hop).unwrap_or_else(|| {
            self.next_hops.push(next_hop);
            self.next_hops.len() - 1
        });
        NextHopId(u16::try_from(at).unwrap_or(u16::MAX))
    }

    /// The next hop on the way to `addr`; `None` where there is no route or its neighbour is not resolved.
    #[must_use]
    #[inline]
    pub fn lookup(&self, addr: Addr) -> Option<NextHopId> {
        let bits = u128::from_be_bytes(addr.0);
        let family = if addr.is_v4() { &self.v4 } else { &self.v6 };
        family.iter().find_map(|(mask, routes)| routes.get(&(bits & mask))).copied().flatten()
    }

    /// The next hop with this id.
    #[must_use]
    #[inline]
    pub fn next_hop(&self, id: NextHopId) -> Option<&NextHop> {
        self.next_hops.get(usize::from(id.0))
    }
}
