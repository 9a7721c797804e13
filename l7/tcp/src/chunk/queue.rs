//! Chunks in the order of their sequence numbers.
//!
//! Invariant: a queue that is empty is in nobody's hands but the [`Spares`], so that an idle connection has none.

use std::collections::VecDeque;

use crate::receive::Disorder;
use crate::{Buf, SequenceNumber};

use super::Chunk;

/// Chunks in the order of their sequence numbers, which lie less than 2^31 apart, and what they weigh.
#[derive(Debug)]
pub(crate) struct Queue<B> {
    chunks: VecDeque<Chunk<B>>,
    true_size: u64,
    /// What an assembler knows about chunks behind a gap.
    pub(crate) disorder: Option<Box<Disorder>>,
    /// In a send buffer, the number after the last urgent octet, if its owner knows that there is one.
    pub(crate) urgent_end: SequenceNumber,
}

impl<B: Buf> Queue<B> {
    /// The chunks, for reading.
    #[inline]
    pub(crate) const fn chunks(&self) -> &VecDeque<Chunk<B>> {
        &self.chunks
    }

    /// Octets of memory that the buffers take: one that lies in several chunks counts as often.
    #[inline]
    pub(crate) const fn true_size(&self) -> u64 {
        self.true_size
    }

    #[inline]
    pub(crate) fn front_mut(&mut self) -> Option<&mut Chunk<B>> {
        self.chunks.front_mut()
    }

    #[inline]
    pub(crate) fn push_back(&mut self, chunk: Chunk<B>) {
        self.true_size += u64::from(chunk.true_size());
        self.chunks.push_back(chunk);
    }

    /// Puts a chunk where it belongs; it overlaps none.
    pub(crate) fn insert(&mut self, chunk: Chunk<B>) {
        let at = match self.chunks.back() {
            Some(last) if last.sequence.follows(chunk.sequence) => {
                self.chunks.partition_point(|other| other.sequence.precedes(chunk.sequence))
            }
            _ => self.chunks.len(),
        };
        self.true_size += u64::from(chunk.true_size());
        self.chunks.insert(at, chunk);
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<Chunk<B>> {
        let chunk = self.chunks.pop_front()?;
        self.true_size -= u64::from(chunk.true_size());
        Some(chunk)
    }

    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.true_size = 0;
        self.disorder = None;
    }

    pub(crate) fn pop_back(&mut self) -> Option<Chunk<B>> {
        let chunk = self.chunks.pop_back()?;
        self.true_size -= u64::from(chunk.true_size());
        Some(chunk)
    }

    /// Gives the octets other numbers, of which the first is `sequence`.
    pub(crate) fn renumber(&mut self, mut sequence: SequenceNumber) {
        for chunk in &mut self.chunks {
            chunk.sequence = sequence;
            sequence += chunk.len();
        }
    }

    /// Index of the first chunk that ends after `at`.
    #[inline]
    pub(crate) fn first_ending_after(&self, at: SequenceNumber) -> usize {
        let Some(first) = self.chunks.front() else { return 0 };
        if first.end().follows(at) {
            return 0;
        }
        // Chunks are mostly of one size, except for the first, of which a part may be gone.
        if let Some(second) = self.chunks.get(1) {
            let guess = 1 + (at.octets_after(second.sequence) / second.len().max(1)) as usize;
            if self.chunks.get(guess).is_some_and(|chunk| at.lies_in(chunk.sequence, chunk.len())) {
                return guess;
            }
        }
        self.chunks.partition_point(|chunk| !chunk.end().follows(at))
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
    /// How many chunks a queue has room for when it is new.
    const ROOM: usize = 8;
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
            let chunks = VecDeque::with_capacity(Self::ROOM);
            Box::new(Queue { chunks, true_size: 0, disorder: None, urgent_end: SequenceNumber(0) })
        })
    }

    #[inline]
    pub(crate) fn give_back(&mut self, queue: Box<Queue<B>>) {
        debug_assert!(queue.chunks.is_empty() && queue.disorder.is_none() && queue.true_size == 0);
        if queue.chunks.capacity() <= Self::MOST_ROOM && self.queues.len() < self.most {
            self.queues.push(queue);
        }
    }
}

impl<B> Default for Spares<B> {
    fn default() -> Self {
        Self::new(256)
    }
}
