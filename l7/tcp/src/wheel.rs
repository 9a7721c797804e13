//! One timer for each of many connections: a hierarchical timing wheel of four levels of 256 slots.
//!
//! Invariants:
//! - a timer never expires before its deadline, and is seen at most a tick (16.4 us) later, if [`Wheel::expire`] is asked;
//! - setting, changing and cancelling touch a timer's entry and its neighbours', nothing else; an entry is 12 octets;
//! - one call of [`Wheel::expire`] moves at most as many timers as it is allowed to, however many are due at once: time in
//!   the wheel stands still until the rest has been moved, and [`Wheel::next_deadline`] says that there is work left.
//!
//! A timer is known by the index of its connection. Levels are bytes of the tick at which it is due: it hangs on the level of the
//! highest byte in which that tick differs from the current one, and moves down as time gets closer to it.

use core::cell::Cell;

use crate::Time;

/// A tick is 2^14 nanoseconds.
const TICK_SHIFT: u32 = 14;
const SLOTS: usize = 256;
const LEVELS: usize = 4;
/// Half of the 2^32 ticks that entries can tell apart, so that what is late is never taken for what is far away.
const HORIZON: u64 = 1 << 31;

/// No entry.
const NONE: u32 = u32::MAX;
/// In [`Entry::previous`]: the entry is the first of the slot in the low bits.
const FIRST_OF: u32 = 1 << 31;

/// Links of one timer in the list of its slot.
#[derive(Clone, Copy)]
struct Entry {
    /// The next in the slot, or [`NONE`].
    next: u32,
    /// The previous one in the slot, [`FIRST_OF`] with the slot, or [`NONE`] for a timer that is not set.
    previous: u32,
    /// When it is due: a tick modulo 2^32.
    due: u32,
}

const UNSET: Entry = Entry { next: NONE, previous: NONE, due: 0 };

/// The slot that is next in time.
#[derive(Clone, Copy)]
struct Next {
    /// Among those of all levels.
    slot: usize,
    /// The tick it starts at.
    start: u64,
}

/// The timers of all connections of a stack.
pub struct Wheel {
    entries: Vec<Entry>,
    /// The first entry of each slot of each level.
    slots: Box<[u32; LEVELS * SLOTS]>,
    /// Which slots have entries: a bit each.
    occupied: [[u64; SLOTS / 64]; LEVELS],
    /// Everything due at or before this tick has expired.
    current: u64,
    set: u32,
    /// What was found to be next, until a timer is set or cancelled: it is asked for far more often than that.
    next: Cell<Option<Next>>,
}

impl Wheel {
    /// A wheel for connections whose indices lie below `capacity`, which is below 2^31; time starts at `now`.
    #[must_use]
    pub fn new(capacity: u32, now: Time) -> Self {
        Self {
            entries: Vec::with_capacity(capacity as usize),
            slots: Box::new([NONE; LEVELS * SLOTS]),
            occupied: [[0; SLOTS / 64]; LEVELS],
            current: now.0 >> TICK_SHIFT,
            set: 0,
            next: Cell::new(None),
        }
    }

    /// How many timers are set.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.set
    }

    /// True if no timer is set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.set == 0
    }

    /// True if the timer of `index` is set.
    #[must_use]
    pub fn is_set(&self, index: u32) -> bool {
        self.entries.get(index as usize).is_some_and(|entry| entry.previous != NONE)
    }

    /// Sets the timer of `index` to `deadline`, whatever it was before.
    ///
    /// A deadline that has passed expires with the next tick. One more than nine hours away expires after nine hours: who
    /// set it looks at the clock and sets it again.
    #[inline]
    pub fn set(&mut self, index: u32, deadline: Time) {
        debug_assert!(index < FIRST_OF);
        let due = self.tick_of(deadline);
        match self.entries.get(index as usize) {
            // Where it already hangs (a deadline moved by less than a tick), there it may stay.
            Some(entry) if entry.previous != NONE => {
                if entry.due == due as u32 {
                    return;
                }
                self.unlink(index);
            }
            Some(_) => {}
            None => self.entries.resize(index as usize + 1, UNSET),
        }
        self.link(index, due as u32);
        self.set += 1;
    }

    /// Sets the timer of `index` to `deadline` unless it expires before that anyway.
    ///
    /// For deadlines that mostly move into the future (a retransmission timer is put off by every acknowledgement): leave the
    /// timer where it is, and when it expires, set it to what the deadline has become.
    #[inline]
    pub fn set_no_later(&mut self, index: u32, deadline: Time) {
        let due = self.tick_of(deadline) as u32;
        let is_earlier = self.entries.get(index as usize).is_some_and(|entry| {
            entry.previous != NONE
                && entry.due.wrapping_sub(self.current as u32) <= due.wrapping_sub(self.current as u32)
        });
        if !is_earlier {
            self.set(index, deadline);
        }
    }

    /// Forgets the timer of `index`; nothing happens if it is not set.
    #[inline]
    pub fn cancel(&mut self, index: u32) {
        if self.is_set(index) {
            self.unlink(index);
        }
    }

    /// The index of a connection whose timer was due at or before `now`, and is no longer set; `None` if there is none left, or
    /// if `work` is used up. Each timer that is looked at, expired or only moved closer, takes one from `work`.
    #[inline]
    pub fn expire(&mut self, now: Time, work: &mut u32) -> Option<u32> {
        let now = now.0 >> TICK_SHIFT;
        loop {
            let Some(Next { slot, start }) = self.next().filter(|next| next.start <= now) else {
                self.current = self.current.max(now);
                return None;
            };
            *work = work.checked_sub(1)?;
            self.current = start;
            let index = self.slots[slot];
            let due = self.entries.get(index as usize)?.due;
            self.unlink(index);
            if slot < SLOTS || due == start as u32 {
                return Some(index);
            }
            self.link(index, due);
            self.set += 1;
        }
    }

    /// When [`Wheel::expire`] is to be asked next; `None` if no timer is set. It may be earlier than the first deadline, when
    /// there are only timers to be moved closer, but never by more than their distance from it.
    #[must_use]
    #[inline]
    pub fn next_deadline(&self) -> Option<Time> {
        self.next().map(|next| Time(next.start << TICK_SHIFT))
    }

    /// The tick at which `deadline` will have passed; later than the current one, or a timer that is set again whenever it
    /// expires would keep [`Wheel::expire`] at work for ever.
    fn tick_of(&self, deadline: Time) -> u64 {
        let tick = deadline.0.div_ceil(1 << TICK_SHIFT);
        tick.clamp(self.current + 1, self.current + HORIZON)
    }

    /// The occupied slot that is next in time.
    #[inline]
    fn next(&self) -> Option<Next> {
        if self.set > 0 && self.next.get().is_none() {
            self.next.set(self.find_next());
        }
        self.next.get()
    }

    fn find_next(&self) -> Option<Next> {
        let position = |level: usize| (self.current >> (8 * level)) as usize % SLOTS;
        // A slot above the lowest level that time has reached is emptied before anything else happens.
        for level in 1..LEVELS {
            let slot = position(level);
            if self.occupied[level][slot / 64] >> (slot % 64) & 1 == 1 {
                return Some(Next { slot: level * SLOTS + slot, start: self.current });
            }
        }
        // Then whatever hangs on a level is due before anything on the level above.
        for (level, occupied) in self.occupied.iter().enumerate() {
            let slot = position(level);
            if let Some(ahead) = first_at_or_after(occupied, slot) {
                let start = ((self.current >> (8 * level)) + ahead as u64) << (8 * level);
                return Some(Next { slot: level * SLOTS + (slot + ahead) % SLOTS, start });
            }
        }
        None
    }

    fn link(&mut self, index: u32, due: u32) {
        self.next.set(None);
        let differing = due ^ self.current as u32;
        let level = (31 - (differing | 1).leading_zeros()) as usize / 8;
        let slot = (due >> (8 * level)) as usize % SLOTS;
        let first = &mut self.slots[level * SLOTS + slot];
        let next = core::mem::replace(first, index);
        if let Some(entry) = self.entries.get_mut(next as usize) {
            entry.previous = index;
        }
        self.occupied[level][slot / 64] |= 1 << (slot % 64);
        self.entries[index as usize] =
            Entry { next, previous: FIRST_OF | (level * SLOTS + slot) as u32, due };
    }

    fn unlink(&mut self, index: u32) {
        self.next.set(None);
        let entry = core::mem::replace(&mut self.entries[index as usize], UNSET);
        if let Some(next) = self.entries.get_mut(entry.next as usize) {
            next.previous = entry.previous;
        }
        if entry.previous & FIRST_OF == 0 {
            self.entries[entry.previous as usize].next = entry.next;
        } else {
            let slot = (entry.previous & !FIRST_OF) as usize;
            self.slots[slot] = entry.next;
            if entry.next == NONE {
                self.occupied[slot / SLOTS][slot % SLOTS / 64] &= !(1 << (slot % 64));
            }
        }
        self.set -= 1;
    }
}

/// How far the first set bit lies from `position` on, around the circle.
fn first_at_or_after(bits: &[u64; SLOTS / 64], position: usize) -> Option<usize> {
    let (word, bit) = (position / 64, position % 64);
    let ahead = bits[word] >> bit;
    if ahead != 0 {
        return Some(ahead.trailing_zeros() as usize);
    }
    for step in 1..=SLOTS / 64 {
        let bits = bits[(word + step) % (SLOTS / 64)];
        if bits != 0 {
            let distance = 64 * step - bit + bits.trailing_zeros() as usize;
            // In the word that holds the position, only bits before it are left: they come last.
            return Some(distance);
        }
    }
    None
}

#[cfg(test)]
mod tests;
