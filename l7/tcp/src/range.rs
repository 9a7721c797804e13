//! Ranges of sequence numbers.

use crate::SequenceNumber;

/// Octets in order: `start` is the first, `end` the one after the last. SYN and FIN count as one octet each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// The first octet.
    pub start: SequenceNumber,
    /// The octet after the last.
    pub end: SequenceNumber,
}

impl Range {
    /// The `length` octets from `start` on.
    #[must_use]
    #[inline]
    pub fn new(start: SequenceNumber, length: u32) -> Self {
        Self { start, end: start + length }
    }

    /// How many octets.
    #[must_use]
    #[inline]
    pub fn length(self) -> u32 {
        self.end - self.start
    }
}
