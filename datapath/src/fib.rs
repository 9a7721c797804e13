//! Routes and neighbours, as the kernel (or the configuration) has them: longest prefix match to a next hop.
//!
//! A balancer's table is small: its own subnets, their neighbours, a default route. For IPv4 it is a trie of four levels
//! (`trie.rs`); for IPv6 one hash map for each prefix length in use, longest first, so a lookup costs one probe for each length.

mod trie;

use hashbrown::HashMap;
use trie::Trie;

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
        Self { addr: Addr::from_octets((u128::from_be_bytes(addr.octets()) & mask).to_be_bytes()), length }
    }

    /// True if `addr` lies in it.
    #[must_use]
    pub fn contains(&self, addr: Addr) -> bool {
        Self::new(addr, self.length) == *self
    }
}

type Routes = HashMap<u128, Option<NextHopId>, foldhash::fast::FixedState>;

type Ids = HashMap<NextHop, NextHopId, foldhash::fast::FixedState>;

/// Longest prefix match over both families.
#[derive(Clone, Debug, Default)]
pub struct Fib {
    next_hops: Vec<NextHop>,
    v4: Trie,
    /// By prefix length, longest first.
    v6: Vec<(u128, Routes)>,
}

impl Fib {
    /// A table of `routes`. A prefix with `None` (an on-link subnet whose neighbours are listed one by one, a gateway
    /// that is not resolved) is known but leads nowhere, rather than to what a shorter prefix says.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = (Prefix, Option<NextHop>)>) -> Self {
        let mut fib = Self::default();
        let mut ids = HashMap::default();
        let mut routes: Vec<_> = routes.into_iter().collect();
        routes.sort_by_key(|(prefix, _)| prefix.length);
        for (prefix, next_hop) in routes {
            let id = next_hop.and_then(|next_hop| fib.intern(&mut ids, next_hop));
            let Prefix { addr, length } = Prefix::new(prefix.addr, prefix.length);
            // An IPv4 prefix is mapped, 96 bits and more; as one of IPv6 it would be no address of any packet's.
            if let Some(length) = length.checked_sub(96).filter(|_| addr.is_v4()) {
                fib.v4.insert(addr.v4_octets(), length, id);
                continue;
            }
            let mask = if length == 0 { 0 } else { u128::MAX << (128 - u32::from(length)) };
            if fib.v6.first().is_none_or(|(longest, _)| *longest != mask) {
                fib.v6.insert(0, (mask, Routes::default()));
            }
            fib.v6[0].1.insert(u128::from_be_bytes(addr.octets()), id);
        }
        fib
    }

    /// The id of `next_hop`, a new one if need be; `None` when there is none left, which leads nowhere rather than
    /// elsewhere.
    fn intern(&mut self, ids: &mut Ids, next_hop: NextHop) -> Option<NextHopId> {
        if let Some(id) = ids.get(&next_hop) {
            return Some(*id);
        }
        let id = NextHopId(u16::try_from(self.next_hops.len()).ok()?);
        self.next_hops.push(next_hop);
        ids.insert(next_hop, id);
        Some(id)
    }

    /// The next hop on the way to `addr`; `None` where there is no route or its neighbour is not resolved.
    #[must_use]
    #[inline]
    pub fn lookup(&self, addr: Addr) -> Option<NextHopId> {
        if addr.is_v4() {
            return self.lookup_v4(addr.v4_octets());
        }
        let bits = u128::from_be_bytes(addr.octets());
        self.v6.iter().find_map(|(mask, routes)| routes.get(&(bits & mask))).copied().flatten()
    }

    /// The same for an IPv4 address in network byte order.
    #[must_use]
    #[inline(always)]
    pub fn lookup_v4(&self, address: [u8; 4]) -> Option<NextHopId> {
        self.v4.lookup(address)
    }

    /// All next hops, by [`NextHopId`].
    #[must_use]
    pub fn next_hops(&self) -> &[NextHop] {
        &self.next_hops
    }

    /// The next hop with this id.
    #[must_use]
    #[inline]
    pub fn next_hop(&self, id: NextHopId) -> Option<&NextHop> {
        self.next_hops.get(usize::from(id.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(octets: [u8; 4]) -> Addr {
        Addr::from_v4(octets)
    }

    fn next_hop(number: u32) -> NextHop {
        let [_, _, a, b] = number.to_be_bytes();
        NextHop {
            port: PortId(0),
            mac: MacAddress([2, 0, 0, 0, a, b]),
            mtu: u16::try_from(number >> 16).unwrap(),
        }
    }

    fn found(fib: &Fib, addr: Addr) -> Option<NextHop> {
        fib.lookup(addr).and_then(|id| fib.next_hop(id)).copied()
    }

    #[test]
    fn the_longest_prefix_wins_even_if_it_leads_nowhere() {
        let fib = Fib::new([
            (Prefix::new(v4([0; 4]), 96), Some(next_hop(1))),
            (Prefix::new(v4([10, 1, 0, 0]), 96 + 16), Some(next_hop(2))),
            (Prefix::new(v4([10, 1, 2, 0]), 96 + 24), None),
            (Prefix::new(v4([10, 1, 2, 3]), 128), Some(next_hop(3))),
            (Prefix::new(Addr::default(), 0), Some(next_hop(4))),
        ]);
        let cases = [
            ([192, 0, 2, 1], Some(next_hop(1))),
            ([10, 1, 3, 1], Some(next_hop(2))),
            ([10, 1, 2, 4], None),
            ([10, 1, 2, 3], Some(next_hop(3))),
        ];
        for (to, expected) in cases {
            assert_eq!(found(&fib, v4(to)), expected, "{to:?}");
        }
        let v6: core::net::IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(found(&fib, v6.into()), Some(next_hop(4)), "families do not mix");
    }

    #[test]
    fn more_next_hops_than_ids_lead_nowhere_rather_than_elsewhere() {
        let to = |number: u32| v4((0x0a00_0000 + number).to_be_bytes());
        let count = u32::from(u16::MAX) + 3;
        let fib = Fib::new((0..count).map(|number| (Prefix::new(to(number), 128), Some(next_hop(number)))));
        for number in 0..count {
            let expected = (number <= u32::from(u16::MAX)).then(|| next_hop(number));
            assert_eq!(found(&fib, to(number)), expected, "{number}");
        }
    }
}
