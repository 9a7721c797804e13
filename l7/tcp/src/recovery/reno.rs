//! Peers without SACK: duplicate acknowledgements are counted (RFC 5681, section 3.2), and partial ones tell where the
//! next hole is (NewReno, RFC 6582).

use super::flight::Phase;
use super::{Cause, Recovery};

impl Recovery {
    /// Three of them mean a loss (RFC 5681, section 3.2).
    const DUPLICATES: u32 = 3;

    /// An acknowledgement moved SND.UNA by `advanced` octets, or is a duplicate. Gives the octets newly taken for lost
    /// and those that a duplicate stands for.
    pub(super) fn take_plain(&mut self, advanced: u32, duplicate: bool) -> (u32, u32) {
        let mss = self.mss();
        let Some(flight) = &mut self.flight else { return (0, 0) };
        let una = flight.scoreboard.una;
        if advanced > 0 {
            if flight.guard.is_some_and(|guard| una.follows(guard)) {
                flight.guard = None;
            }
            // What is acknowledged now beyond the first hole was counted by duplicates before.
            flight.duplicates = match flight.phase {
                Phase::Open => 0,
                _ => flight.duplicates.saturating_sub(advanced.saturating_sub(mss)),
            };
            if flight.phase == Phase::Recovery && flight.recovery_point.follows(una) {
                // RFC 6582, section 3.2, step 3: a partial acknowledgement ends at the next hole.
                return (flight.scoreboard.lose_first(mss, Cause::Partial), 0);
            }
            return (0, 0);
        }
        if !duplicate || flight.scoreboard.outstanding() == 0 {
            return (0, 0);
        }
        // One segment arrived, whichever; the first is missing.
        // And no more of them than were in flight when the first was missed, or a peer that makes them up would have sent to it whatever
        // its window allows (RFC 5681, section 3.2, step 4; Savage et al. 1999).
        let believed = match flight.phase {
            Phase::Open if flight.guard.is_some() => (Self::DUPLICATES - 1) * mss,
            Phase::Open => u32::MAX,
            Phase::Recovery | Phase::Loss => flight.recovery_point.octets_after(una).saturating_sub(mss),
        };
        let most = flight.scoreboard.pipe().saturating_sub(mss).min(believed);
        let before = flight.duplicates;
        flight.duplicates = (before + mss).min(most.max(before));
        let delivered = flight.duplicates - before;
        let enough = flight.duplicates >= Self::DUPLICATES * mss;
        if flight.phase == Phase::Open && flight.guard.is_none() && enough {
            return (flight.scoreboard.lose_first(mss, Cause::Fast), delivered);
        }
        (0, delivered)
    }
}
