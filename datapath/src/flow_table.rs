//! The flow table of one worker: exact, of fixed capacity, without pointers, and with a bound on every operation.
//!
//! Three arrays in memory of their own (layout version [`LAYOUT_VERSION`]):
//! - *entries*, 32 octets a flow: the flow itself, found by its number;
//! - *hashes*, 8 octets a flow: the hashes it was entered under, so that it can leave without anyone's help;
//! - *buckets*, one cache line each with room for ten references of 6 octets (a 16-bit tag and a flow's number). A flow
//!   has a reference for the client's packets and, with NAT, one for the backend's answers.
//!
//! Each hash has two buckets. A reference goes into the first while that is not crowded, else into the emptier of the
//! two, and never moves. With 0.36 buckets a flow the index is at most 56 % full, where no pair of buckets overflows
//! in practice; if one does, the insertion fails like one into a full table. So nothing rehashes, and the worst case is
//! small: lookup 2 lines of index and an entry for each matching tag; insertion 4 lines of index and 2 of the others;
//! removal the same.

use std::io;

use crate::flow::{Direction, FlowState};
use crate::key::{Addr, Endpoint};
use crate::machine::{Region, equal_lanes, prefetch};
use crate::snapshot::{BackendId, ServiceSlot};

/// Version of the memory layout. It changes with any change of [`Entry`] or the buckets.
pub const LAYOUT_VERSION: u32 = 2;

/// References in one bucket.
const SLOTS: usize = 10;

/// A bucket with fewer free slots is crowded: the next reference looks at the other bucket too.
const ROOMY: u32 = 4;

/// Cache lines that an insertion touches at most: two buckets for each of two references, entry, hashes.
pub const INSERT_LINES: usize = 6;

/// The number of a flow in its table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct FlowId(u32);

impl FlowId {
    /// The number itself.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// What [`FlowTable::guess`] answers: a flow and a direction, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Guess(u32);

impl Guess {
    const NONE: Self = Self(0);

    /// The place of the flow; past the end of any table where there is none.
    #[inline(always)]
    const fn index(self) -> usize {
        (self.0 & !REVERSE).wrapping_sub(1) as usize
    }

    /// Which way a packet of the flow would go.
    #[must_use]
    #[inline(always)]
    pub const fn direction(self) -> Direction {
        if self.0 & REVERSE == 0 { Direction::Forward } else { Direction::Reverse }
    }

    /// True where there is one.
    #[must_use]
    #[inline(always)]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }

    /// Both; `None` where there is no guess.
    #[must_use]
    #[inline]
    pub fn flow(self) -> Option<(FlowId, Direction)> {
        unpack(self.0)
    }
}

/// A flow. Free places of the table are chained through `last_seen_ms`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(32))]
pub struct Entry {
    /// The client's address.
    pub client_addr: Addr,
    /// The client's port, as on the wire.
    pub client_port: [u8; 2],
    /// The service.
    pub service: ServiceSlot,
    /// The backend.
    pub backend: BackendId,
    /// Full NAT: the port it leaves from, as on the wire; otherwise zero.
    pub local_port: [u8; 2],
    /// Full NAT: index of the address it leaves from; otherwise zero.
    pub local_addr: u8,
    /// How far it has come.
    pub state: FlowState,
    /// When its last packet was seen: [`crate::time::Time::wrapping_millis`].
    pub last_seen_ms: u32,
}

impl Entry {
    /// The client.
    #[must_use]
    #[inline]
    pub const fn client(&self) -> Endpoint {
        Endpoint { addr: self.client_addr, port: u16::from_be_bytes(self.client_port) }
    }

    /// Milliseconds from its last packet to `now_ms`; zero if that was seen later (captures go backwards at times).
    #[must_use]
    #[inline]
    pub const fn idle_ms(&self, now_ms: u32) -> u32 {
        let idle_ms = now_ms.wrapping_sub(self.last_seen_ms);
        if idle_ms > u32::MAX / 2 { 0 } else { idle_ms }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
struct Bucket {
    /// Zero: free.
    tags: [u16; SLOTS],
    /// References that found this first bucket of theirs crowded and are in their second one.
    away: u32,
    /// Zero: free. Else the flow's number + 1, and the direction in the top bit.
    references: [u32; SLOTS],
}

const REVERSE: u32 = 1 << 31;

impl Bucket {
    /// Bit i: slot i holds `tag`.
    #[inline]
    fn matches(&self, tag: u16) -> u32 {
        let [first @ .., ninth, tenth] = &self.tags;
        equal_lanes(first, tag) | u32::from(*ninth == tag) << 8 | u32::from(*tenth == tag) << 9
    }

    /// Bit i: slot i is free.
    #[inline]
    fn free(&self) -> u32 {
        self.matches(0)
    }

    #[inline]
    fn put(&mut self, tag: u16, reference: u32) -> bool {
        let index = self.free().trailing_zeros() as usize;
        let (Some(own_tag), Some(slot)) = (self.tags.get_mut(index), self.references.get_mut(index)) else {
            return false;
        };
        (*own_tag, *slot) = (tag, reference);
        true
    }

    #[inline]
    fn take(&mut self, tag: u16, reference: u32) -> bool {
        let mut matches = self.matches(tag);
        while let Some(slot) = self.references.get_mut(matches.trailing_zeros() as usize) {
            if *slot == reference {
                *slot = 0;
                self.tags[matches.trailing_zeros() as usize] = 0;
                return true;
            }
            matches &= matches.wrapping_sub(1);
        }
        false
    }
}

/// Why a flow could not be entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// See the module.
#[derive(Debug)]
pub struct FlowTable {
    entries: Region<Entry>,
    hashes: Region<[u32; 2]>,
    buckets: Region<Bucket>,
    free: u32,
    len: u32,
}

/// The end of the chain of free places.
const NONE: u32 = u32::MAX;

impl FlowTable {
    /// Most flows that a table can hold.
    pub const MAX_CAPACITY: u32 = (1 << 31) - 2;

    /// An empty table for `capacity` flows, at least 1 and at most [`FlowTable::MAX_CAPACITY`], in memory near the calling thread.
    ///
    /// # Errors
    /// Not enough memory.
    pub fn new(capacity: u32) -> io::Result<Self> {
        let capacity = capacity.clamp(1, Self::MAX_CAPACITY);
        let count = usize::try_from(capacity).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut entries = Region::filled(count, Entry::default())?;
        for (index, entry) in (1..).zip(entries.iter_mut()) {
            entry.last_seen_ms = if index == capacity { NONE } else { index };
        }
        Ok(Self {
            entries,
            hashes: Region::filled(count, [0; 2])?,
            // A tiny table would have buckets too few to balance.
            buckets: Region::filled((count * 36).div_ceil(100).max(4), Bucket::default())?,
            free: 0,
            len: 0,
        })
    }

    /// Flows that it can hold.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Flows that it holds.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// True if it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Octets of memory.
    #[must_use]
    pub fn octets(&self) -> usize {
        size_of_val(&*self.entries) + size_of_val(&*self.hashes) + size_of_val(&*self.buckets)
    }

    #[inline]
    fn reduce(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline]
    fn first_bucket(&self, hash: u32) -> usize {
        self.reduce(hash)
    }

    #[inline]
    fn second_bucket(&self, hash: u32) -> usize {
        let mixed = (hash ^ hash >> 15).wrapping_mul(0x2c1b_3c6d);
        self.reduce((mixed ^ mixed >> 12).wrapping_mul(0x297a_2d39))
    }

    /// The stored part of a key's hash, all of whose bits are equally good.
    #[inline]
    const fn stored(hash: u64) -> u32 {
        (hash >> 32) as u32
    }

    /// Never zero, which marks a free slot.
    #[inline]
    const fn tag(stored: u32) -> u16 {
        let tag = stored as u16;
        if tag == 0 { 1 } else { tag }
    }

    /// Brings the first bucket of `hash` near.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.first_bucket(Self::stored(hash))) {
            prefetch(bucket);
        }
    }

    /// A guess, to be verified: the flow that the first bucket of `hash` most likely refers to. Its entry is brought near.
    #[must_use]
    #[inline(always)]
    pub fn guess(&self, hash: u64) -> Guess {
        let stored = Self::stored(hash);
        let Some(bucket) = self.buckets.get(self.first_bucket(stored)) else { return Guess::NONE };
        // Past the first eight slots there is hardly ever a reference; those are left to `find`.
        let Some((first, _)) = bucket.tags.split_first_chunk() else { return Guess::NONE };
        let matches = equal_lanes(first, Self::tag(stored));
        let reference = bucket.references.get(matches.trailing_zeros() as usize);
        let guess = Guess(reference.copied().unwrap_or_default());
        if let Some(entry) = self.entries.get(guess.index()) {
            prefetch(entry);
        }
        guess
    }

    /// The guessed flow as it stands, to change when it was last seen; it may be free, and any other than the packet's.
    #[must_use]
    #[inline(always)]
    pub fn guessed_mut(&mut self, guess: Guess) -> Option<&mut Entry> {
        self.entries.get_mut(guess.index())
    }

    /// The flow entered under `hash` for which `is_it` is true.
    #[must_use]
    #[inline]
    pub fn find(
        &self,
        hash: u64,
        mut is_it: impl FnMut(&Entry, Direction) -> bool,
    ) -> Option<(FlowId, Direction)> {
        let stored = Self::stored(hash);
        let tag = Self::tag(stored);
        let mut index = self.first_bucket(stored);
        for is_last in [false, true] {
            let bucket = self.buckets.get(index)?;
            let mut matches = bucket.matches(tag);
            while let Some(reference) = bucket.references.get(matches.trailing_zeros() as usize) {
                if let Some((id, direction)) = unpack(*reference)
                    && self.entries.get(id.0 as usize).is_some_and(|entry| is_it(entry, direction))
                {
                    return Some((id, direction));
                }
                matches &= matches.wrapping_sub(1);
            }
            if is_last || bucket.away == 0 {
                return None;
            }
            index = self.second_bucket(stored);
        }
        None
    }

    /// True if surely no flow is entered under `hash`: its first bucket alone tells. False says nothing.
    #[must_use]
    #[inline]
    pub fn lacks(&self, hash: u64) -> bool {
        let stored = Self::stored(hash);
        let bucket = self.buckets.get(self.first_bucket(stored));
        bucket.is_some_and(|bucket| bucket.away | bucket.matches(Self::tag(stored)) == 0)
    }

    /// Brings near what [`FlowTable::prefetch_references`] will look at.
    #[inline]
    pub fn prefetch_removal(&self, guess: Guess) {
        if let Some(hashes) = self.hashes.get(guess.index()) {
            prefetch(hashes);
        }
    }

    /// Brings near what removing the guessed flow will look at.
    #[inline]
    pub fn prefetch_references(&self, guess: Guess) {
        for &hash in self.hashes.get(guess.index()).into_iter().flatten() {
            if let Some(bucket) = self.buckets.get(self.first_bucket(hash)) {
                prefetch(bucket);
            }
        }
    }

    /// The flow with this number; `None` if the place is free.
    #[must_use]
    #[inline]
    pub fn entry(&self, id: FlowId) -> Option<&Entry> {
        self.entries.get(id.0 as usize).filter(|entry| entry.state != FlowState::Free)
    }

    /// The flow with this number, to change its state, its backend or when it was last seen; `None` if the place is free.
    #[must_use]
    #[inline]
    pub fn entry_mut(&mut self, id: FlowId) -> Option<&mut Entry> {
        self.entries.get_mut(id.0 as usize).filter(|entry| entry.state != FlowState::Free)
    }

    /// Enters a flow, whose state is not `Free`, under the hash of its client's packets and, where answers come this way, of its backend's.
    ///
    /// # Errors
    /// All places are taken, or (hardly ever) both buckets of a hash are full. Nothing has changed then.
    pub fn insert(&mut self, entry: Entry, forward: u64, reverse: Option<u64>) -> Result<FlowId, Full> {
        let (id, next_free) = self.vacant()?;
        let forward = Self::stored(forward);
        let reference = id.0 + 1;
        self.put(forward, reference)?;
        // The hash of a reference that does not exist is never looked at: removal of it finds nothing.
        let reverse = match reverse.map(Self::stored) {
            Some(reverse) => {
                if self.put(reverse, reference | REVERSE).is_err() {
                    self.take(forward, reference);
                    return Err(Full);
                }
                reverse
            }
            None => 0,
        };
        self.fill(id, next_free, entry, [forward, reverse]);
        Ok(id)
    }

    /// Enters a flow, whose state is not `Free`, under the hash of its backend's packets alone.
    ///
    /// # Errors
    /// As [`FlowTable::insert`].
    pub fn insert_reverse(&mut self, entry: Entry, reverse: u64) -> Result<FlowId, Full> {
        let (id, next_free) = self.vacant()?;
        let reverse = Self::stored(reverse);
        self.put(reverse, (id.0 + 1) | REVERSE)?;
        self.fill(id, next_free, entry, [0, reverse]);
        Ok(id)
    }

    /// A free place, and the one that is free after it.
    #[inline(always)]
    fn vacant(&self) -> Result<(FlowId, u32), Full> {
        let next_free = self.entries.get(self.free as usize).ok_or(Full)?.last_seen_ms;
        Ok((FlowId(self.free), next_free))
    }

    #[inline(always)]
    fn fill(&mut self, id: FlowId, next_free: u32, entry: Entry, hashes: [u32; 2]) {
        self.entries[id.0 as usize] = entry;
        self.hashes[id.0 as usize] = hashes;
        self.free = next_free;
        self.len += 1;
        // Where the next flow will go, which may have been free for long.
        if let (Some(entry), Some(hashes)) =
            (self.entries.get(next_free as usize), self.hashes.get(next_free as usize))
        {
            prefetch(entry);
            prefetch(hashes);
        }
    }

    #[inline]
    fn put(&mut self, hash: u32, reference: u32) -> Result<(), Full> {
        let first = self.first_bucket(hash);
        let free = self.buckets[first].free().count_ones();
        if free < ROOMY {
            return self.put_in_emptier(hash, reference);
        }
        if self.buckets[first].put(Self::tag(hash), reference) { Ok(()) } else { Err(Full) }
    }

    #[cold]
    fn put_in_emptier(&mut self, hash: u32, reference: u32) -> Result<(), Full> {
        let (first, second) = (self.first_bucket(hash), self.second_bucket(hash));
        let free = |bucket: usize| self.buckets[bucket].free().count_ones();
        let bucket = if free(first) >= free(second) { first } else { second };
        if !self.buckets[bucket].put(Self::tag(hash), reference) {
            return Err(Full);
        }
        self.buckets[first].away += u32::from(bucket != first);
        Ok(())
    }

    #[inline]
    fn take(&mut self, hash: u32, reference: u32) {
        let (first, tag) = (self.first_bucket(hash), Self::tag(hash));
        if !self.buckets[first].take(tag, reference) && self.buckets[first].away > 0 {
            let second = self.second_bucket(hash);
            let was_away = self.buckets[second].take(tag, reference);
            self.buckets[first].away -= u32::from(was_away);
        }
    }

    /// Removes the flow with this number; `None` if the place is free.
    pub fn remove(&mut self, id: FlowId) -> Option<Entry> {
        let entry = *self.entry(id)?;
        let [forward, reverse] = self.hashes[id.0 as usize];
        let reference = id.0 + 1;
        self.take(forward, reference);
        self.take(reverse, reference | REVERSE);
        self.entries[id.0 as usize] = Entry { last_seen_ms: self.free, ..Entry::default() };
        self.free = id.0;
        self.len -= 1;
        Some(entry)
    }

    /// The numbers of up to `count` places from number `from` on, free ones too: to walk the table bit by bit.
    pub fn places(&self, from: u32, count: u32) -> impl Iterator<Item = FlowId> + use<> {
        (from.min(self.capacity())..from.saturating_add(count).min(self.capacity())).map(FlowId)
    }
}

#[inline]
fn unpack(reference: u32) -> Option<(FlowId, Direction)> {
    let direction = if reference & REVERSE == 0 { Direction::Forward } else { Direction::Reverse };
    (reference & !REVERSE).checked_sub(1).map(|index| (FlowId(index), direction))
}

#[cfg(test)]
mod tests;
