//! What the application has given to send and the peer has not acknowledged: references to its buffers, by sequence number.
//!
//! Invariants:
//! - octets are kept until they are acknowledged, and not a moment longer: a buffer is let go with its last octet;
//! - an empty send buffer holds nothing on the heap;
//! - finding octets takes the logarithm of the number of chunks; pushing and releasing a chunk takes constant time.

use crate::chunk::{Chunk, Pieces, Queue, Spares};
use crate::{Buf, Range, SequenceNumber};

#[cfg(test)]
mod tests;

/// The most octets that a send buffer takes: sequence numbers have an order only within 2^31.
pub const MOST_OCTETS: u32 = 1 << 30;

/// The unacknowledged part of a stream and what is to follow it.
#[derive(Debug)]
pub struct SendBuffer<B> {
    /// The sequence number of the first octet kept: SND.UNA, except before the SYN or after the FIN is acknowledged.
    start: SequenceNumber,
    length: u32,
    queue: Option<Box<Queue<B>>>,
}

impl<B: Buf> SendBuffer<B> {
    /// An empty buffer; the first octet to be pushed gets the number `first`, which is ISS + 1.
    #[must_use]
    pub const fn new(first: SequenceNumber) -> Self {
        Self { start: first, length: 0, queue: None }
    }

    /// The number of the first octet that is kept.
    #[must_use]
    #[inline]
    pub const fn start(&self) -> SequenceNumber {
        self.start
    }

    /// The number that the next octet to be pushed gets, or the FIN.
    #[must_use]
    #[inline]
    pub fn end(&self) -> SequenceNumber {
        self.start + self.length
    }

    /// Octets kept, sent or not.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> u32 {
        self.length
    }

    /// True if everything pushed is acknowledged.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Gives the octets other numbers, of which the first is `first`: data may be queued before a connection has an ISS.
    pub fn renumber(&mut self, first: SequenceNumber) {
        if let Some(queue) = &mut self.queue {
            queue.renumber(first);
        }
        self.start = first;
    }

    /// Appends octets `place` of `buf`.
    ///
    /// # Errors
    ///
    /// Gives the buffer back if more than 2^30 octets would be kept. Octets that the buffer does not have are not sent.
    #[inline]
    pub fn push(&mut self, buf: B, place: core::ops::Range<usize>, spares: &mut Spares<B>) -> Result<u32, B> {
        let length = place.end.saturating_sub(place.start);
        let (Ok(start), Ok(length)) = (u32::try_from(place.start), u32::try_from(length)) else {
            return Err(buf);
        };
        if length > MOST_OCTETS - self.length {
            return Err(buf);
        }
        Ok(self.append(buf, start, length, spares))
    }

    /// True if so many octets more can be kept.
    #[inline]
    pub(crate) fn takes(&self, octets: usize) -> bool {
        octets <= (MOST_OCTETS - self.length) as usize
    }

    /// Appends octets, as many as the buffer has of them, for which there is room. Returns how many.
    #[inline]
    pub(crate) fn append(&mut self, buf: B, start: u32, length: u32, spares: &mut Spares<B>) -> u32 {
        let chunk = Chunk::new(buf, self.end(), start, length);
        let length = chunk.len();
        if length > 0 {
            self.length += length;
            self.queue.get_or_insert_with(|| spares.take()).push_back(chunk);
        }
        length
    }

    /// Lets go of everything before `up_to`, the acknowledgement number; returns how many octets that was. A number outside what is kept
    /// counts as the nearer end, so that SYN and FIN need no case of their own.
    #[inline(always)]
    pub fn acknowledge(&mut self, up_to: SequenceNumber, spares: &mut Spares<B>) -> u32 {
        let octets = up_to.octets_after(self.start).min(self.length);
        let Some(queue) = self.queue.as_mut().filter(|_| octets > 0) else { return 0 };
        self.start += octets;
        self.length -= octets;
        queue.drop_front(octets);
        if self.length == 0 {
            self.queue.take().into_iter().for_each(|queue| spares.give_back(queue));
        }
        octets
    }

    /// Lets go of everything: the connection is gone.
    pub fn clear(&mut self, spares: &mut Spares<B>) {
        self.acknowledge(self.end(), spares);
    }

    /// The octets of `range`, or as many of them as are kept, as they lie in their buffers: the payload of a segment.
    #[inline]
    pub fn pieces(&self, range: Range) -> Pieces<'_, B> {
        let start = range.start.latest(self.start);
        let end = range.end.earliest(self.end());
        Pieces::new(self.queue.as_deref(), Range::new(start, end.octets_after(start)))
    }

    /// Whether a segment with the octets of `range` should have PSH: it empties the buffer (RFC 9293, MUST-61).
    #[must_use]
    #[inline]
    pub fn is_pushed(&self, range: Range) -> bool {
        range.end.reaches(self.end())
    }

    /// Reads from the memory that an acknowledgement needs. The answer means nothing.
    #[inline]
    pub(crate) fn read_ahead(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.read_ahead())
    }

    /// The last octet of all is urgent, if there is one (RFC 9293, section 3.8.5).
    pub fn mark_urgent(&mut self) {
        let end = self.end();
        if let Some(queue) = &mut self.queue {
            queue.urgent_end = end;
        }
    }

    /// The number after the octet that was marked last; means nothing if none was since the buffer was empty.
    #[must_use]
    pub fn urgent_end(&self) -> Option<SequenceNumber> {
        self.queue.as_ref().map(|queue| queue.urgent_end)
    }

    /// Octets of memory that the buffers kept here take: a buffer that is shared counts wherever it is.
    #[must_use]
    #[inline]
    pub fn true_size(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.true_size())
    }
}
