//! Chunks in the order of their sequence numbers.
//!
//! Invariant: a queue that is empty is in nobody's hands but the [`Spares`], so that an idle connection has none.

use core::cell::Cell;
use std::collections::VecDeque;

use crate::receive::Disorder;
use crate::{Buf, SequenceNumber};

use super::Chunk;

/// Chunks in the order of their sequence numbers, which lie less than 2^31 apart, and what they weigh.
///
/// Most queues never have more than one, which therefore needs no memory of its own.
#[derive(Debug)]
pub(crate) struct Queue<B> {
    first: Option<Chunk<B>>,
    /// Those behind the first.
    rest: VecDeque<Chunk<B>>,
    /// Index in `rest` of the chunk that was looked for last.
    last_found: Cell<usize>,
    true_size: u64,
    /// What an assembler knows about chunks behind a gap.
    pub(crate) disorder: Option<Box<Disorder>>,
    /// In a send buffer, the number after the last urgent octet, if its owner knows that there is one.
    pub(crate) urgent_end: SequenceNumber,
}

impl<B: Buf> Queue<B> {
    /// Reads from what is let go of first. The answer means nothing.
    #[inline]
    pub(crate) fn read_ahead(&self) -> u64 {
        self.true_size
            ^ self.first.as_ref().and_then(|first| first.octets().first()).map_or(0, |&octet| octet.into())
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The last chunk.
    #[inline]
    pub(crate) fn back(&self) -> Option<&Chunk<B>> {
        self.rest.back().or(self.first.as_ref())
    }

    /// The chunk at `index`.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> Option<&Chunk<B>> {
        if index == 0 { self.first.as_ref() } else { self.rest.get(index - 1) }
    }

    /// Index of the first chunk that ends after `at`.
    #[inline]
    pub(crate) fn first_ending_after(&self, at: SequenceNumber) -> usize {
        match &self.first {
            Some(first) if !first.end().follows(at) => 1 + self.first_of_rest_ending_after(at),
            _ => 0,
        }
    }

    /// Octets of memory that the buffers take: one that lies in several chunks counts as often.
    #[inline]
    pub(crate) const fn true_size(&self) -> u64 {
        self.true_size
    }

    #[inline]
    pub(crate) fn push_back(&mut self, chunk: Chunk<B>) {
        self.true_size += u64::from(chunk.true_size());
        if self.first.is_none() {
            self.first = Some(chunk);
        } else {
            self.rest.push_back(chunk);
        }
    }

    /// Puts a chunk where it belongs; it overlaps none.
    pub(crate) fn insert(&mut self, chunk: Chunk<B>) {
        if self.back().is_none_or(|last| chunk.sequence.follows(last.sequence)) {
            self.push_back(chunk);
            return;
        }
        self.true_size += u64::from(chunk.true_size());
        match &mut self.first {
            Some(first) if first.sequence.follows(chunk.sequence) => {
                self.rest.push_front(core::mem::replace(first, chunk));
            }
            _ => {
                let at = self.rest.partition_point(|other| other.sequence.precedes(chunk.sequence));
                self.rest.insert(at, chunk);
            }
        }
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<Chunk<B>> {
        let chunk = self.first.take()?;
        if !self.rest.is_empty() {
            self.first = self.next_first();
        }
        self.true_size -= u64::from(chunk.true_size());
        Some(chunk)
    }

    /// What becomes the first chunk when that is gone.
    #[inline]
    fn next_first(&mut self) -> Option<Chunk<B>> {
        *self.last_found.get_mut() = self.last_found.get().saturating_sub(1);
        self.rest.pop_front()
    }

    /// Drops the first `octets` octets, or as many as there are.
    #[inline(always)]
    pub(crate) fn drop_front(&mut self, mut octets: u32) {
        while let Some(first) = &mut self.first {
            let length = first.len();
            if octets < length {
                first.trim_front(octets);
                return;
            }
            octets -= length;
            self.true_size -= u64::from(first.true_size());
            self.first = if self.rest.is_empty() { None } else { self.next_first() };
        }
    }

    pub(crate) fn pop_back(&mut self) -> Option<Chunk<B>> {
        let chunk = self.rest.pop_back().or_else(|| self.first.take())?;
        self.true_size -= u64::from(chunk.true_size());
        Some(chunk)
    }

    pub(crate) fn clear(&mut self) {
        self.first = None;
        self.rest.clear();
        self.true_size = 0;
        self.disorder = None;
    }

    /// Gives the octets other numbers, of which the first is `sequence`.
    pub(crate) fn renumber(&mut self, mut sequence: SequenceNumber) {
        for chunk in self.first.iter_mut().chain(&mut self.rest) {
            chunk.sequence = sequence;
            sequence += chunk.len();
        }
    }

    /// Index behind the first chunk of the first one that ends after `at`, which lies behind the first chunk.
    #[inline]
    fn first_of_rest_ending_after(&self, at: SequenceNumber) -> usize {
        let has =
            |index: usize| self.rest.get(index).is_some_and(|chunk| at.lies_in(chunk.sequence, chunk.len()));
        // Mostly octets are asked for in their order.
        let last = self.last_found.get();
        let found = if has(last) {
            last
        } else if has(last + 1) {
            last + 1
        } else {
            self.rest.partition_point(|chunk| !chunk.end().follows(at))
        };
        self.last_found.set(found);
        found
    }
}

/// Empty queues, kept by a stack for its connections: taking one from here is cheaper than from the allocator, and the one
/// given back last is still in the cache.
#[derive(Debug)]
pub struct Spares<B> {
    #[allow(clippy::vec_box, reason = "connections hold pointers to them, to be small")]
    queues: Vec<Box<Queue<B>>>,
    most: usize,
}

impl<B> Spares<B> {
    /// A queue with more room than this is not worth keeping.
    const MOST_ROOM: usize = 64;

    /// Keeps at most `most` queues, each with room for 64 chunks or less: 2.6 KB where a `B` is two words.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { queues: Vec::with_capacity(most.min(64)), most }
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Box<Queue<B>> {
        self.queues.pop().unwrap_or_else(|| {
            Box::new(Queue {
                first: None,
                rest: VecDeque::new(),
                last_found: Cell::new(0),
                true_size: 0,
                disorder: None,
                urgent_end: SequenceNumber(0),
            })
        })
    }

    #[inline]
    pub(crate) fn give_back(&mut self, queue: Box<Queue<B>>) {
        debug_assert!(queue.first.is_none() && queue.disorder.is_none() && queue.true_size == 0);
        if queue.rest.capacity() <= Self::MOST_ROOM && self.queues.len() < self.most {
            self.queues.push(queue);
        }
    }
}

impl<B> Default for Spares<B> {
    fn default() -> Self {
        Self::new(256)
    }
}
