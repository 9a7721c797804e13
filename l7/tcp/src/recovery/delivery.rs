//! What one acknowledgement says has newly arrived, summed up over the pieces of the scoreboard.

use super::Micros;
use super::rate::Stamp;
use super::run::{Run, State};
use crate::{SequenceNumber, Time};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    now: Time,
    /// A retransmission that seems to be answered sooner was not: its original was (RFC 8985, section 6.2, step 2).
    least: Micros,
    /// The octet after the last that was known to have arrived before.
    forward: SequenceNumber,
    /// The end of what was in flight when recovery began.
    recovery_point: SequenceNumber,
    /// Octets that newly arrived.
    pub(super) octets: u32,
    /// When the oldest and the newest were sent of those that were acknowledged and sent once.
    pub(super) oldest: Option<Time>,
    pub(super) newest_once: Option<Time>,
    /// The same by SACK: the oldest.
    pub(super) oldest_sacked: Option<Time>,
    /// Some of what was acknowledged went out more than once.
    pub(super) repeated: bool,
    /// Something sent once, before recovery began, has arrived (RFC 5682, section 3).
    pub(super) original: bool,
    /// Something sent once arrived after what followed it (RFC 8985, section 6.2, step 3).
    pub(super) reordered: bool,
    /// The end of the farthest that arrived.
    pub(super) farthest: SequenceNumber,
    /// What was sent last of all that arrived: when, and where it ends (RFC 8985, section 6.2, step 2).
    pub(super) last: Option<(Time, SequenceNumber)>,
    /// What to reckon the rate of delivery from.
    pub(super) stamp: Option<Stamp>,
}

impl Delivery {
    #[inline]
    pub(super) fn new(
        now: Time,
        least: Micros,
        forward: SequenceNumber,
        recovery_point: SequenceNumber,
    ) -> Self {
        Self {
            now,
            least,
            forward,
            recovery_point,
            octets: 0,
            oldest: None,
            newest_once: None,
            oldest_sacked: None,
            repeated: false,
            original: false,
            reordered: false,
            farthest: forward,
            last: None,
            stamp: None,
        }
    }

    /// A piece is acknowledged cumulatively.
    #[inline]
    pub(super) fn acknowledged(&mut self, piece: &Run) {
        if piece.state == State::Sacked {
            return;
        }
        if piece.repeated {
            self.repeated = true;
        } else {
            self.oldest = self.oldest.or(Some(piece.sent));
            self.newest_once = Some(piece.sent);
        }
        self.arrived(piece);
    }

    /// A piece is SACKed for the first time.
    #[inline]
    pub(super) fn sacked(&mut self, piece: &Run) {
        if !piece.repeated {
            self.oldest_sacked = self.oldest_sacked.or(Some(piece.sent));
            self.newest_once = self.newest_once.max(Some(piece.sent));
        }
        self.arrived(piece);
    }

    #[inline]
    fn arrived(&mut self, piece: &Run) {
        let end = piece.range.end;
        self.octets += piece.range.length();
        self.farthest = self.farthest.latest(end);
        if piece.repeated {
            if self.now.micros_since(piece.sent) < self.least {
                return;
            }
        } else {
            self.original |= self.recovery_point.reaches(end);
            self.reordered |= self.forward.follows(end);
        }
        if self.last.is_none_or(|(sent, last)| piece.sent > sent || (piece.sent == sent && end.follows(last)))
        {
            self.last = Some((piece.sent, end));
            self.stamp = Some(Stamp::of(piece));
        }
    }
}
