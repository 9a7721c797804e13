//! From the hash of a tuple to what is known about it: open addressing in one array that never grows.
//!
//! Invariants:
//! - a slot is 8 octets: the hash, and a reference that says where the connection or TIME-WAIT record lies;
//! - entries lie in order of their hashes (linear probing, kept sorted), so that a miss ends as early as a hit, and what is
//!   removed closes up behind itself: there are no tombstones;
//! - at most three slots of four are used.
//!
//! Hashes are keyed with a secret: nobody can aim connections at one place of the table.

use crate::Tuple;

/// Where something lies: a connection, or a record in TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reference {
    Connection(u32),
    TimeWait(u32),
}

const TIME_WAIT: u32 = 1 << 31;

impl Reference {
    const fn encode(self) -> u32 {
        match self {
            Self::Connection(index) => index + 1,
            Self::TimeWait(index) => (index + 1) | TIME_WAIT,
        }
    }

    const fn decode(word: u32) -> Self {
        if word & TIME_WAIT == 0 {
            Self::Connection(word - 1)
        } else {
            Self::TimeWait((word & !TIME_WAIT) - 1)
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u32,
    /// Zero: free.
    reference: u32,
}

pub(crate) struct Table {
    slots: Vec<Slot>,
    used: u32,
}

impl Table {
    /// A table with room for `entries`.
    pub(crate) fn new(entries: u32) -> Self {
        let length = entries as usize / 3 * 4 + 8;
        Self { slots: vec![Slot::default(); length], used: 0 }
    }

    /// The slot that an entry with this hash would have if it were alone: in order of the hash.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    #[inline]
    fn next(&self, place: usize) -> usize {
        if place + 1 == self.slots.len() { 0 } else { place + 1 }
    }

    /// Slots from home to `place`.
    #[inline]
    fn distance(&self, slot: Slot, place: usize) -> usize {
        let home = self.home(slot.hash);
        if place >= home { place - home } else { place + self.slots.len() - home }
    }

    /// Reads where the search for `hash` begins. The answer means nothing.
    #[inline]
    pub(crate) fn read_ahead(&self, hash: u32) -> u32 {
        self.slots[self.home(hash)].hash
    }

    /// The index of the connection that the search for `hash` comes to first, and in all likelihood ends with.
    #[inline]
    pub(crate) fn guess(&self, hash: u32) -> Option<u32> {
        let mut index = None;
        self.find(hash, |reference| {
            if let Reference::Connection(found) = reference {
                index = Some(found);
            }
            true
        });
        index
    }

    /// The first entry under `hash` that `is_it`.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(Reference) -> bool) -> Option<Reference> {
        let mut place = self.home(hash);
        let mut distance = 0;
        loop {
            let slot = self.slots[place];
            if slot.reference == 0 {
                return None;
            }
            if slot.hash == hash {
                let reference = Reference::decode(slot.reference);
                if is_it(reference) {
                    return Some(reference);
                }
            } else if self.distance(slot, place) < distance {
                return None;
            }
            place = self.next(place);
            distance += 1;
        }
    }

    /// Adds an entry; there is room, since no more are made than the table was made for.
    pub(crate) fn insert(&mut self, hash: u32, reference: Reference) {
        debug_assert!((self.used as usize) < self.slots.len() / 4 * 3 + 8);
        self.used += 1;
        let mut inserted = Slot { hash, reference: reference.encode() };
        let mut place = self.home(hash);
        let mut distance = 0;
        loop {
            let slot = self.slots[place];
            if slot.reference == 0 {
                self.slots[place] = inserted;
                return;
            }
            // Whoever is further from home stays; the other one moves on.
            let other = self.distance(slot, place);
            if other < distance {
                self.slots[place] = inserted;
                inserted = slot;
                distance = other;
            }
            place = self.next(place);
            distance += 1;
        }
    }

    /// Replaces one reference under `hash` by another.
    pub(crate) fn replace(&mut self, hash: u32, from: Reference, to: Reference) {
        if let Some(place) = self.place_of(hash, from) {
            self.slots[place].reference = to.encode();
        }
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, hash: u32, reference: Reference) {
        let Some(mut place) = self.place_of(hash, reference) else { return };
        self.used -= 1;
        loop {
            let next = self.next(place);
            let slot = self.slots[next];
            if slot.reference == 0 || self.distance(slot, next) == 0 {
                self.slots[place] = Slot::default();
                return;
            }
            self.slots[place] = slot;
            place = next;
        }
    }

    fn place_of(&self, hash: u32, reference: Reference) -> Option<usize> {
        let mut place = self.home(hash);
        let wanted = reference.encode();
        loop {
            let slot = self.slots[place];
            if slot.reference == 0 {
                return None;
            }
            if slot.reference == wanted {
                return Some(place);
            }
            place = self.next(place);
        }
    }
}

/// The keyed hash of tuples: multiply and fold, as in wyhash and its kin.
#[derive(Clone, Copy)]
pub(crate) struct TupleHasher([u64; 4]);

#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

impl TupleHasher {
    /// Odd words: a factor of zero would let the other one vanish.
    pub(crate) fn new(mut random: impl FnMut() -> u64) -> Self {
        Self([random() | 1, random() | 1, random() | 1, random() | 1])
    }

    #[inline]
    pub(crate) const fn hash(&self, tuple: &Tuple) -> u32 {
        let [remote_high, remote_low] = tuple.remote.addr.words();
        let [local_high, local_low] = tuple.local.addr.words();
        let ports = ((tuple.remote.port as u64) << 16 | tuple.local.port as u64) << 32;
        let low = fold(remote_low ^ ports ^ self.0[0], local_low ^ self.0[1]);
        let high = if remote_high | local_high == 0 {
            0
        } else {
            fold(remote_high ^ self.0[1], local_high ^ ports.rotate_left(32) ^ self.0[0])
        };
        (fold(low ^ high ^ self.0[3], self.0[2]) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn it_holds_what_a_map_holds_however_entries_come_and_go() {
        let mut table = Table::new(300);
        let mut model: HashMap<u32, u32> = HashMap::new();
        let mut state = 7u64;
        for step in 0..50_000u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (state >> 40) as u32 % 600;
            // Few different hashes, some at the very end, so that runs are long and wrap.
            let hash =
                if key.is_multiple_of(3) { u32::MAX - key % 5 } else { (key % 97).wrapping_mul(0x9e37_79b9) };
            if model.remove(&key).is_some() {
                table.remove(hash, Reference::Connection(key));
            } else if model.len() < 300 {
                table.insert(hash, Reference::Connection(key));
                model.insert(key, hash);
            }
            if step % 512 == 0 {
                for key in 0..600u32 {
                    let hash = if key.is_multiple_of(3) {
                        u32::MAX - key % 5
                    } else {
                        (key % 97).wrapping_mul(0x9e37_79b9)
                    };
                    let found = table.find(hash, |reference| reference == Reference::Connection(key));
                    assert_eq!(found.is_some(), model.contains_key(&key), "{key} at {step}");
                }
            }
        }
    }

    #[test]
    fn references_keep_their_kind() {
        for reference in [Reference::Connection(0), Reference::TimeWait(0), Reference::TimeWait(0x00ff_ffff)]
        {
            assert_eq!(Reference::decode(reference.encode()), reference);
        }
    }
}
