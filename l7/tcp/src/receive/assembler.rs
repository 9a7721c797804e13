//! Received octets until they are read: in order, and behind gaps (RFC 9293, section 3.10.7.4, seventh and eighth step).
//!
//! Invariants:
//! - octets stay in the buffers that they arrived in, and what arrived first wins over what overlaps it later;
//! - what lies behind gaps is within a budget of memory and of gaps, and what reaches furthest is dropped first;
//! - RCV.NXT counts the FIN, which is the last octet: nothing is ever kept behind it;
//! - with everything read and no gap, nothing is held on the heap.

use core::ops::Range as Place;

use crate::chunk::{Chunk, Pieces, Queue, Spares};
use crate::segment::SackBlocks;
use crate::{Buf, Range, SequenceNumber};

use super::Disorder;

mod disorderly;
#[cfg(test)]
mod tests;

/// How far from RCV.NXT a segment may begin, in either direction.
const FURTHEST: u32 = 1 << 30;

/// The payload of a segment.
#[derive(Debug)]
pub struct Arrival<B> {
    /// The number of the first octet of payload: SEG.SEQ, and one more beside SYN.
    pub sequence: SequenceNumber,
    /// The buffer that the payload lies in.
    pub buf: B,
    /// Where.
    pub place: Place<usize>,
    /// The segment has FIN.
    pub is_last: bool,
}

/// What may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The end of the window: nothing from here on is taken, the FIN included. Less than 2^30 from RCV.NXT.
    pub window_end: SequenceNumber,
    /// Memory that buffers may take, read or not, in order or not.
    pub true_size: u64,
    /// Gaps.
    pub gaps: u16,
    /// The peer understands SACK: duplicates are to be reported.
    pub sack: bool,
}

/// What became of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// It had neither payload nor FIN.
    Nothing,
    /// RCV.NXT moved.
    InOrder {
        /// By so many numbers, the FIN counted.
        octets: u32,
        /// There was a gap before, which it filled in part or whole.
        filled_gap: bool,
    },
    /// It, or a part of it, is kept behind a gap.
    OutOfOrder,
    /// All of it has been here before.
    Duplicate,
    /// It lies outside of the window or is over the budget, as far as it was not here before.
    Refused,
}

/// Received octets until they are read.
#[derive(Debug)]
pub struct Assembler<B> {
    /// RCV.NXT.
    next: SequenceNumber,
    /// Octets that are there to be read, and [`FINISHED`].
    unread: u32,
    queue: Option<Box<Queue<B>>>,
}

/// In [`Assembler::unread`]: the FIN and all before it have arrived.
const FINISHED: u32 = 1 << 31;

impl<B: Buf> Assembler<B> {
    /// Nothing has arrived; the first octet will have the number `next`, which is IRS + 1.
    #[must_use]
    pub const fn new(next: SequenceNumber) -> Self {
        Self { next, unread: 0, queue: None }
    }

    /// RCV.NXT: the number that is expected next, the one after the FIN when [`Assembler::is_finished`].
    #[must_use]
    #[inline]
    pub const fn next(&self) -> SequenceNumber {
        self.next
    }

    /// Octets that are there to be read.
    #[must_use]
    #[inline]
    pub const fn unread(&self) -> u32 {
        self.unread & !FINISHED
    }

    /// True if the FIN and all before it have arrived.
    #[must_use]
    #[inline]
    pub const fn is_finished(&self) -> bool {
        self.unread & FINISHED != 0
    }

    /// True if something lies behind a gap.
    #[must_use]
    #[inline]
    pub fn has_gaps(&self) -> bool {
        self.disorder().is_some_and(|disorder| disorder.gaps() > 0)
    }

    /// Octets of memory that the buffers kept here take.
    #[must_use]
    #[inline]
    pub fn true_size(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.true_size())
    }

    /// Takes the payload of a segment.
    #[inline]
    pub fn insert(&mut self, arrival: Arrival<B>, limits: &Limits, spares: &mut Spares<B>) -> Inserted {
        let octets = u32::try_from(arrival.place.len()).unwrap_or(u32::MAX);
        let size = arrival.buf.true_size();
        if arrival.sequence == self.next
            && octets > 0
            && !arrival.is_last
            && self.takes_next(octets, size, limits.window_end, limits.true_size)
        {
            let octets = self.append(arrival.buf, arrival.place.start, octets, spares);
            return Inserted::InOrder { octets, filled_gap: false };
        }
        self.insert_any(arrival, limits, spares)
    }

    /// True if so many of the next octets, in a buffer of this true size, are what nearly always arrives: within the window and the
    /// budget, with nothing behind them.
    #[inline]
    pub(crate) fn takes_next(&self, octets: u32, size: u32, window_end: SequenceNumber, limit: u64) -> bool {
        let size = u64::from(size);
        octets <= window_end.octets_after(self.next)
            && self.unread < FURTHEST
            && match &self.queue {
                None => size <= limit,
                Some(queue) => queue.disorder.is_none() && queue.true_size() + size <= limit,
            }
    }

    /// Takes the next octets, which [`Assembler::takes_next`] was asked about: so many from `start` on. Returns how many the buffer has.
    #[inline(always)]
    pub(crate) fn append(&mut self, buf: B, start: usize, octets: u32, spares: &mut Spares<B>) -> u32 {
        let chunk = Chunk::new(buf, self.next, u32::try_from(start).unwrap_or(u32::MAX), octets);
        let octets = chunk.len();
        self.queue.get_or_insert_with(|| spares.take()).push_back(chunk);
        self.next += octets;
        self.unread += octets;
        octets
    }

    /// Unread octets, as they lie in their buffers.
    #[inline]
    pub fn pieces(&self) -> Pieces<'_, B> {
        let end = self.next - u32::from(self.is_finished());
        Pieces::new(self.queue.as_deref(), Range { start: end - self.unread(), end })
    }

    /// Drops the first `octets` of what is unread, or as many as there are; returns how many.
    #[inline]
    pub fn consume(&mut self, octets: u32, spares: &mut Spares<B>) -> u32 {
        let octets = octets.min(self.unread());
        let Some(queue) = &mut self.queue else { return 0 };
        self.unread -= octets;
        queue.drop_front(octets);
        self.tidy(spares);
        octets
    }

    /// Copies the first unread octets, as many as there is room for, and drops them; returns how many.
    #[inline]
    pub fn read_into(&mut self, into: &mut [u8], spares: &mut Spares<B>) -> u32 {
        let most = into.len().min(self.unread() as usize);
        let mut room = &mut into[..most];
        let Some(queue) = &mut self.queue else { return 0 };
        let mut read = 0;
        while let Some(octets) = queue.at(0).map(Chunk::octets) {
            let length = octets.len().min(room.len());
            if length == 0 {
                break;
            }
            let (filled, rest) = room.split_at_mut(length);
            filled.copy_from_slice(&octets[..length]);
            queue.drop_front(length as u32);
            read += length as u32;
            room = rest;
        }
        self.unread -= read;
        self.tidy(spares);
        read
    }

    /// Takes the first unread octets with the buffer that they lie in, to be sent on or kept elsewhere.
    #[inline]
    pub fn take(&mut self, spares: &mut Spares<B>) -> Option<Chunk<B>> {
        if self.unread() == 0 {
            return None;
        }
        let chunk = self.queue.as_mut()?.pop_front()?;
        self.unread -= chunk.len();
        self.tidy(spares);
        Some(chunk)
    }

    /// True if there may be something to say by SACK blocks.
    #[must_use]
    #[inline]
    pub fn is_disorderly(&self) -> bool {
        self.disorder().is_some()
    }

    /// SACK blocks for an acknowledgement, at most `most`. [`Assembler::reported`] says that it goes.
    #[must_use]
    pub fn sack_blocks(&self, most: usize) -> SackBlocks {
        self.disorder().map_or(SackBlocks::NONE, |disorder| disorder.report(most))
    }

    /// An acknowledgement goes that has the SACK blocks: what came twice is reported once (RFC 2883, section 4).
    pub fn reported(&mut self, spares: &mut Spares<B>) {
        if let Some(disorder) = self.queue.as_mut().and_then(|queue| queue.disorder.as_mut()) {
            disorder.duplicate = None;
            self.tidy(spares);
        }
    }

    /// Drops everything that is kept, read or not: nobody will read it. RCV.NXT stays.
    pub fn clear(&mut self, spares: &mut Spares<B>) {
        self.unread &= FINISHED;
        if let Some(mut queue) = self.queue.take() {
            queue.clear();
            spares.give_back(queue);
        }
    }

    #[inline]
    fn disorder(&self) -> Option<&Disorder> {
        self.queue.as_ref()?.disorder.as_deref()
    }

    /// Lets go of what there is no use for any more.
    #[inline]
    fn tidy(&mut self, spares: &mut Spares<B>) {
        let Some(queue) = &mut self.queue else { return };
        if let Some(disorder) = &queue.disorder {
            if !disorder.is_over() {
                return;
            }
            queue.disorder = None;
        }
        if queue.is_empty()
            && let Some(queue) = self.queue.take()
        {
            spares.give_back(queue);
        }
    }
}
