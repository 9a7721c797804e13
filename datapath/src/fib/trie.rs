//! Longest prefix match over IPv4: a trie of blocks of 256, one octet of the address deep each.
//!
//! Invariant: a lookup loads one word for each octet that some route tells apart, four at most. Where clients come by the default
//! route, that is one word of a kilobyte.

use crate::snapshot::NextHopId;

/// What stands in a slot: nothing (zero), the id of a next hop + 1, or the index of a block below with the top bit set.
type Slot = u32;

const BLOCK: Slot = 1 << 31;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    blocks: Vec<[Slot; 256]>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { blocks: vec![[0; 256]] }
    }
}

impl Trie {
    /// Adds a prefix of `length` bits, 32 at most. Shorter prefixes must have been added before.
    pub(super) fn insert(&mut self, address: [u8; 4], length: u8, next_hop: Option<NextHopId>) {
        let value = next_hop.map_or(0, |id| Slot::from(id.0) + 1);
        let mut block = 0;
        let mut bits = length;
        for octet in address.map(usize::from) {
            if bits <= 8 {
                let first = octet & !(0xff >> bits);
                self.blocks[block][first..=first | (0xff >> bits)].fill(value);
                return;
            }
            bits -= 8;
            block = self.below(block, octet);
        }
    }

    /// The block below this slot, a new one if need be: what was known of the whole slot holds for all of it.
    fn below(&mut self, block: usize, octet: usize) -> usize {
        let slot = self.blocks[block][octet];
        if slot & BLOCK != 0 {
            return (slot & !BLOCK) as usize;
        }
        let new = self.blocks.len();
        self.blocks.push([slot; 256]);
        self.blocks[block][octet] = BLOCK | new as Slot;
        new
    }

    /// The next hop on the way to `address`.
    #[inline(always)]
    pub(super) fn lookup(&self, address: [u8; 4]) -> Option<NextHopId> {
        let mut slot = BLOCK;
        for octet in address {
            slot = *self.blocks.get((slot & !BLOCK) as usize)?.get(usize::from(octet))?;
            if slot & BLOCK == 0 {
                break;
            }
        }
        slot.checked_sub(1).map(|id| NextHopId(id as u16))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_longest_prefix_wins(
            routes in prop::collection::vec((any::<[bool; 32]>(), 0_u8..=32, any::<Option<u16>>()), 0..40),
            looked_up in any::<u32>(),
        ) {
            // Few different addresses, so that prefixes nest.
            let address = |bits: [bool; 32]| bits.iter().fold(0_u32, |all, &bit| all << 1 | u32::from(bit)) & 0x0101_0181;
            let mask = |length: u8| u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let mut routes: Vec<(u32, u8, Option<u16>)> = routes
                .into_iter()
                .map(|(bits, length, id)| (address(bits) & mask(length), length, id))
                .collect();
            routes.sort_by_key(|route| route.1);
            routes.reverse();
            routes.dedup_by_key(|route| (route.0, route.1));
            routes.reverse();
            let mut trie = Trie::default();
            for &(address, length, id) in &routes {
                trie.insert(address.to_be_bytes(), length, id.map(NextHopId));
            }
            for to in [looked_up, looked_up & 0x0101_0181] {
                let expected = routes.iter().rev().find(|route| to & mask(route.1) == route.0);
                prop_assert_eq!(trie.lookup(to.to_be_bytes()).map(|id| id.0), expected.and_then(|route| route.2));
            }
        }
    }
}
