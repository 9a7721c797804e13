//! What the application has given to send and the peer has not acknowledged: references to its buffers, by sequence number.
//!
//! Invariants:
//! - octets are kept until they are acknowledged, and not a moment longer: a buffer is let go with its last octet;
//! - an empty send buffer holds nothing on the heap, and neither does one with octets of a single buffer: an answer that waits to be
//!   acknowledged is found where its connection is;
//! - finding octets takes the logarithm of the number of chunks; pushing and releasing a chunk takes constant time.

use crate::chunk::{Chunk, Piece, Pieces, Queue, Spares};
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
    held: Held<B>,
}

/// Where the octets are.
#[derive(Debug)]
enum Held<B> {
    /// There are none.
    Nothing,
    /// All in one buffer, from octet `first` on.
    One { first: u32, buf: B },
    /// In several, or in what is left of several.
    Several(Box<Queue<B>>),
}

impl<B: Buf> SendBuffer<B> {
    /// An empty buffer; the first octet to be pushed gets the number `first`, which is ISS + 1.
    #[must_use]
    pub const fn new(first: SequenceNumber) -> Self {
        Self { start: first, length: 0, held: Held::Nothing }
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
        if let Held::Several(queue) = &mut self.held {
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
        if let Held::Nothing = self.held {
            let available = u32::try_from(buf.octets().len()).unwrap_or(u32::MAX);
            let first = start.min(available);
            self.length = length.min(available - first);
            if self.length > 0 {
                self.held = Held::One { first, buf };
            }
            return self.length;
        }
        let chunk = Chunk::new(buf, self.end(), start, length);
        let length = chunk.len();
        if length > 0 {
            self.unfold(spares);
            if let Held::Several(queue) = &mut self.held {
                queue.push_back(chunk);
                self.length += length;
            }
        }
        length
    }

    /// Puts what lies in one buffer into a queue: there is more to be known of it, or more to follow.
    fn unfold(&mut self, spares: &mut Spares<B>) {
        self.held = match core::mem::replace(&mut self.held, Held::Nothing) {
            Held::One { first, buf } => {
                let mut queue = spares.take();
                queue.push_back(Chunk::new(buf, self.start, first, self.length));
                Held::Several(queue)
            }
            held => held,
        };
    }

    /// Lets go of everything before `up_to`, the acknowledgement number; returns how many octets that was. A number outside what is kept
    /// counts as the nearer end, so that SYN and FIN need no case of their own.
    #[inline(always)]
    pub fn acknowledge(&mut self, up_to: SequenceNumber, spares: &mut Spares<B>) -> u32 {
        let octets = up_to.octets_after(self.start).min(self.length);
        if octets == 0 {
            return 0;
        }
        self.start += octets;
        self.length -= octets;
        match &mut self.held {
            Held::One { first, .. } => *first += octets,
            Held::Several(queue) => queue.drop_front(octets),
            Held::Nothing => {}
        }
        if self.length == 0
            && let Held::Several(queue) = core::mem::replace(&mut self.held, Held::Nothing)
        {
            spares.give_back(queue);
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
        let length = end.octets_after(start);
        match &self.held {
            Held::One { first, buf } => {
                Pieces::one(Piece::new(buf, *first + start.octets_after(self.start), length))
            }
            Held::Several(queue) => Pieces::new(Some(queue), Range::new(start, length)),
            Held::Nothing => Pieces::new(None, Range::default()),
        }
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
        match &self.held {
            Held::One { buf, .. } => buf.octets().first().map_or(0, |&octet| octet.into()),
            Held::Several(queue) => queue.read_ahead(),
            Held::Nothing => 0,
        }
    }

    /// The last octet of all is urgent, if there is one (RFC 9293, section 3.8.5).
    pub fn mark_urgent(&mut self, spares: &mut Spares<B>) {
        let end = self.end();
        self.unfold(spares);
        if let Held::Several(queue) = &mut self.held {
            queue.urgent_end = end;
        }
    }

    /// The number after the octet that was marked last; means nothing if none was since the buffer was empty.
    #[must_use]
    pub fn urgent_end(&self) -> Option<SequenceNumber> {
        if let Held::Several(queue) = &self.held { Some(queue.urgent_end) } else { None }
    }

    /// Octets of memory that the buffers kept here take: a buffer that is shared counts wherever it is.
    #[must_use]
    #[inline]
    pub fn true_size(&self) -> u64 {
        match &self.held {
            Held::One { buf, .. } => buf.true_size().into(),
            Held::Several(queue) => queue.true_size(),
            Held::Nothing => 0,
        }
    }
}
