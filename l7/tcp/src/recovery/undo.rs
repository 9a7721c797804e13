//! Taking a reduction back that proves unfounded (RFC 3522, RFC 4015, RFC 3708, RFC 5682).

use super::flight::Phase;
use super::{Echo, Outcome, Range, Recovery, Undo};
use crate::SequenceNumber;
use crate::congestion::CongestionControl;

/// A reduction that may be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed<C> {
    /// Congestion control as it was before.
    pub(super) saved: C,
    /// SND.UNA when it happened.
    pub(super) una: SequenceNumber,
    /// Octets that went out again since, and were not reported as duplicates.
    pub(super) resent: u32,
    /// Something went out again.
    pub(super) any: bool,
    /// The timestamp of the first retransmission, until its acknowledgement is in.
    pub(super) timestamp: Option<u32>,
}

impl<C> Armed<C> {
    /// `in_flight` octets are out again already.
    pub(super) fn new(saved: C, una: SequenceNumber, in_flight: u32) -> Self {
        Self { saved, una, resent: in_flight, any: in_flight > 0, timestamp: None }
    }

    /// `octets` go out again in a segment with this timestamp.
    pub(super) fn sent(&mut self, octets: u32, timestamp: u32) {
        if !self.any {
            self.timestamp = Some(timestamp);
        }
        self.any = true;
        self.resent = self.resent.saturating_add(octets);
    }

    /// The peer reports that it has `range` twice.
    pub(super) fn duplicate(&mut self, range: Range) {
        if range.start.reaches(self.una) {
            self.resent = self.resent.saturating_sub(range.length());
        }
    }

    /// True if everything that went out again arrived twice (RFC 3708, section 3).
    fn is_needless(&self) -> bool {
        self.any && self.resent == 0
    }

    /// True if an acknowledgement of the first retransmission echoes an older timestamp than that carried (RFC 3522,
    /// section 3.2, step 4).
    fn is_answered_early(&self, echo: Echo) -> bool {
        self.timestamp.is_some_and(|sent| (echo.value.wrapping_sub(sent) as i32) < 0)
    }
}

impl Recovery {
    /// Decides whether the last reduction was unfounded, and takes it back if so. `original`: something that was sent
    /// once, before the timeout, has arrived.
    pub(super) fn reconsider(
        &mut self,
        advanced: bool,
        original: bool,
        echo: Option<Echo>,
        outcome: &mut Outcome,
    ) {
        let Some(flight) = &mut self.flight else { return };
        let Some(armed) = &mut flight.undo else { return };
        let early = advanced && echo.is_some_and(|echo| armed.is_answered_early(echo));
        let undo = if early {
            Undo::Timestamp
        } else if armed.is_needless() {
            Undo::Dsack
        } else if flight.phase == Phase::Loss && flight.doubtful && original {
            Undo::Timeout
        } else {
            if advanced && armed.any {
                armed.timestamp = None; // the first retransmission is answered, and was needed
            }
            return;
        };
        // RFC 4015, section 3.2: as it was; what was learned meanwhile stays if it is more.
        let window = self.congestion.window().max(armed.saved.window());
        let threshold = self.congestion.threshold().max(armed.saved.threshold());
        self.congestion = armed.saved;
        self.congestion.set_window(window);
        self.congestion.set_threshold(threshold);
        // What went out again without need was late, not lost: the path reorders (or it was the timeout that was early).
        self.reordering.seen |= undo == Undo::Dsack || flight.phase == Phase::Recovery;
        flight.undo = None;
        (flight.doubtful, flight.prefer_new) = (false, false);
        if flight.phase != Phase::Open {
            flight.phase = Phase::Open;
            outcome.left_recovery = true;
        }
        flight.scoreboard.find_again();
        self.rtt.progress();
        outcome.undo = Some(undo);
    }
}
