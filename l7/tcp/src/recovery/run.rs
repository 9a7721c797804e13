//! One stretch of octets in flight with one history.

use super::{Cause, Range};
use crate::{SequenceNumber, Time};

/// What became of the octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Sent once, fate unknown: in the pipe.
    Sent,
    /// Sent again, fate unknown: in the pipe.
    Resent,
    /// Taken for lost and not sent again: out of the pipe.
    Lost,
    /// The peer has them (RFC 2018): out of the pipe.
    Sacked,
}

/// Octets that were sent at about the same time and whose fate is the same. 32 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) range: Range,
    /// When its first octet was sent (last).
    pub(super) sent: Time,
    /// The flight's count of delivered octets when this was sent, and what belongs to it: see `rate`.
    pub(super) delivered: u32,
    pub(super) delivered_at: u32,
    pub(super) first_sent: u32,
    pub(super) state: State,
    /// Why it is lost, or was sent again.
    pub(super) cause: Cause,
    /// It was sent more than once, at any time: it yields no round-trip time (Karn's algorithm).
    pub(super) repeated: bool,
}

const _: () = assert!(size_of::<Run>() <= 32);

impl Run {
    /// Nothing, sent never.
    pub(super) const BLANK: Self = Self {
        range: Range { start: SequenceNumber(0), end: SequenceNumber(0) },
        sent: Time(0),
        delivered: 0,
        delivered_at: 0,
        first_sent: 0,
        state: State::Sent,
        cause: Cause::Rack,
        repeated: false,
    };

    /// The same history, other octets.
    pub(super) fn with(&self, range: Range) -> Self {
        Self { range, ..*self }
    }
}
