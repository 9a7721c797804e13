//! RACK (RFC 8985, section 6): a segment is lost when one sent later has arrived and a little time has passed.

use super::expiry::Expired;
use super::scoreboard::Scoreboard;
use super::{Delivery, RttEstimator};
use crate::{SequenceNumber, Time};

/// How many times a quarter of the least round trip is waited for reordering, at most.
const WIDEST: u8 = 64;
/// For how many recoveries a widened window is kept (RFC 8985, section 6.2, step 4).
const PERSISTENCE: u8 = 16;

/// What is remembered of reordering for as long as the connection lives. Three octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reordering {
    /// `RACK.reordering_seen`.
    pub(super) seen: bool,
    /// `RACK.reo_wnd_mult`.
    multiplier: u8,
    /// `RACK.reo_wnd_persist`.
    persistence: u8,
}

impl Reordering {
    pub(super) const NONE: Self = Self { seen: false, multiplier: 1, persistence: PERSISTENCE };

    /// Recovery ended (RFC 8985, section 6.2, step 4).
    pub(super) fn recovered(&mut self) {
        self.persistence = self.persistence.saturating_sub(1);
        if self.persistence == 0 {
            self.multiplier = 1;
        }
    }
}

/// RACK of one flight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rack {
    /// `RACK.xmit_ts`: when the last sent of all that arrived was sent.
    newest: Time,
    /// `RACK.end_seq`.
    end: SequenceNumber,
    /// `RACK.rtt`, in nanoseconds.
    rtt: u64,
    /// `RACK.dsack_round`.
    round: Option<SequenceNumber>,
    /// `RACK.fack`.
    pub(super) forward: SequenceNumber,
}

impl Rack {
    /// A flight begins at `start`.
    #[inline]
    pub(super) fn begin(start: SequenceNumber) -> Self {
        Self { newest: Time(0), end: start, rtt: 0, round: None, forward: start }
    }

    /// Steps 1 to 3: what has arrived.
    #[inline]
    pub(super) fn note(&mut self, delivery: &Delivery, reordering: &mut Reordering, now: Time) {
        self.forward = delivery.farthest;
        reordering.seen |= delivery.reordered;
        if let Some((sent, end)) = delivery.last {
            self.rtt = now.nanos_since(sent);
            if sent > self.newest || (sent == self.newest && end.follows(self.end)) {
                (self.newest, self.end) = (sent, end);
            }
        }
    }

    /// The same for what was sent at `sent`, once, and arrived in order: all before `end` has.
    #[inline]
    pub(super) fn arrived(&mut self, sent: Time, end: SequenceNumber, now: Time) {
        self.forward = end;
        self.rtt = now.nanos_since(sent);
        if sent >= self.newest {
            (self.newest, self.end) = (sent, end);
        }
    }

    /// Step 4, for a DSACK: the window was too narrow.
    pub(super) fn duplicate(
        &mut self,
        una: SequenceNumber,
        next: SequenceNumber,
        reordering: &mut Reordering,
    ) {
        if self.round.is_some_and(|round| una.reaches(round)) {
            self.round = None;
        }
        if self.round.is_none() {
            self.round = Some(next);
            reordering.multiplier = (reordering.multiplier + 1).min(WIDEST);
            reordering.persistence = PERSISTENCE;
        }
    }

    /// For how many nanoseconds a segment may be in flight before it is lost, if anything sent later has arrived: the
    /// round trip of the newest, and the reordering window (step 4). `certain`: losses are known, or enough was SACKed.
    #[inline]
    pub(super) fn patience(&self, reordering: &Reordering, certain: bool, rtt: &RttEstimator) -> u64 {
        if certain && !reordering.seen {
            return self.rtt;
        }
        let least = u64::from(rtt.minimum().unwrap_or(0)) * 1_000;
        let window = least / 4 * u64::from(reordering.multiplier);
        self.rtt + window.min(rtt.smoothed_nanos())
    }

    /// Step 5: what is overdue.
    #[inline]
    pub(super) fn detect(&self, scoreboard: &mut Scoreboard, patience: u64, now: Time) -> Expired {
        if scoreboard.sacked == 0 && scoreboard.queue.is_empty() {
            return Expired::default();
        }
        scoreboard.expire(self.newest, self.end, patience, now)
    }
}
