//! Runs of octets that lie in one buffer: what send buffer and assembler are both made of.

mod queue;

use crate::{Buf, Range, SequenceNumber};

pub(crate) use queue::Queue;
pub use queue::Spares;

/// Octets of a stream that lie in one buffer.
#[derive(Debug)]
pub struct Chunk<B> {
    buf: B,
    /// The sequence number of the first octet.
    pub(crate) sequence: SequenceNumber,
    start: u32,
    length: u32,
}

impl<B: Buf> Chunk<B> {
    /// Octets `start..start + length` of `buf`, or as many of them as there are.
    pub(crate) fn new(buf: B, sequence: SequenceNumber, start: u32, length: u32) -> Self {
        let available = u32::try_from(buf.octets().len()).unwrap_or(u32::MAX);
        let start = start.min(available);
        Self { buf, sequence, start, length: length.min(available - start) }
    }

    /// Octets.
    #[must_use]
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "no chunk is empty")]
    pub const fn len(&self) -> u32 {
        self.length
    }

    /// The octets themselves.
    #[must_use]
    #[inline]
    pub fn octets(&self) -> &[u8] {
        let start = self.start as usize;
        self.buf.octets().get(start..start + self.length as usize).unwrap_or_default()
    }

    /// The buffer, and where in it the octets lie.
    #[must_use]
    pub fn into_parts(self) -> (B, core::ops::Range<usize>) {
        let start = self.start as usize;
        (self.buf, start..start + self.length as usize)
    }

    #[inline]
    pub(crate) fn end(&self) -> SequenceNumber {
        self.sequence + self.length
    }

    #[inline]
    pub(crate) fn true_size(&self) -> u32 {
        self.buf.true_size()
    }

    /// Drops the first `octets`, all but the last one at most.
    #[inline]
    pub(crate) fn trim_front(&mut self, octets: u32) {
        debug_assert!(octets < self.length);
        self.sequence += octets;
        self.start += octets;
        self.length -= octets;
    }

    /// The part of this chunk that lies in `range`, which meets it, as a chunk of its own on the same memory.
    pub(crate) fn part(&self, range: Range) -> Self {
        let buf = self.buf.share();
        Self { buf, sequence: self.sequence, start: self.start, length: self.length }.narrowed(range)
    }

    /// The part of this chunk that lies in `range`, which meets it.
    pub(crate) fn narrowed(mut self, range: Range) -> Self {
        let start = range.start.latest(self.sequence);
        let end = range.end.earliest(self.end());
        self.start += start - self.sequence;
        self.sequence = start;
        self.length = end.octets_after(start);
        self
    }

    /// A view of the octets from `skip` on, at most `limit`.
    #[inline]
    pub(crate) fn piece(&self, skip: u32, limit: u32) -> Piece<'_, B> {
        let skip = skip.min(self.length);
        Piece { buf: &self.buf, start: self.start + skip, length: (self.length - skip).min(limit) }
    }
}

/// A view of octets that lie in one buffer.
#[derive(Debug)]
pub struct Piece<'a, B> {
    buf: &'a B,
    start: u32,
    length: u32,
}

impl<'a, B: Buf> Piece<'a, B> {
    /// Octets of `buf` that it has.
    #[inline]
    pub(crate) const fn new(buf: &'a B, start: u32, length: u32) -> Self {
        Self { buf, start, length }
    }

    /// The octets of `buf` from `start` on, for who shows octets of its own as a stack shows what it received.
    #[must_use]
    pub fn of(buf: &'a B, start: usize) -> Self {
        let available = u32::try_from(buf.octets().len()).unwrap_or(u32::MAX);
        let start = u32::try_from(start).unwrap_or(u32::MAX).min(available);
        Self { buf, start, length: available - start }
    }

    /// The octets.
    #[must_use]
    #[inline]
    pub fn octets(&self) -> &'a [u8] {
        let start = self.start as usize;
        self.buf.octets().get(start..start + self.length as usize).unwrap_or_default()
    }

    /// The buffer they lie in, to be shared by who keeps them.
    #[must_use]
    #[inline]
    pub const fn buf(&self) -> &'a B {
        self.buf
    }

    /// Where in the buffer they lie.
    #[must_use]
    #[inline]
    pub const fn place(&self) -> core::ops::Range<usize> {
        self.start as usize..(self.start + self.length) as usize
    }
}

/// Views of consecutive octets, buffer by buffer.
#[derive(Debug)]
pub struct Pieces<'a, B> {
    /// The only piece, where there is no queue.
    first: Option<Piece<'a, B>>,
    queue: Option<&'a Queue<B>>,
    /// Index of the next chunk.
    next: usize,
    range: Range,
}

impl<'a, B: Buf> Pieces<'a, B> {
    /// The octets of `range`, all of which are in `queue`.
    #[inline]
    pub(crate) fn new(queue: Option<&'a Queue<B>>, range: Range) -> Self {
        let next = queue.map_or(0, |queue| queue.first_ending_after(range.start));
        Self { first: None, queue, next, range }
    }

    /// A single piece.
    #[inline]
    pub(crate) fn one(piece: Piece<'a, B>) -> Self {
        let first = Some(piece).filter(|piece| piece.length > 0);
        Self { first, queue: None, next: 0, range: Range::default() }
    }
}

impl<'a, B: Buf> Iterator for Pieces<'a, B> {
    type Item = Piece<'a, B>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.range.length() == 0 {
            return self.first.take();
        }
        let chunk = self.queue?.at(self.next)?;
        self.next += 1;
        // Only the first chunk may begin before the range does, only the last one may end behind it.
        let piece = chunk.piece(self.range.start - chunk.sequence, self.range.length());
        self.range.start += piece.length;
        Some(piece)
    }
}
