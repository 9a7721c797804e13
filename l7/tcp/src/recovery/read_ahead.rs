//! Reading what an acknowledgement will be about, so that it is in the cache by then.

use super::Recovery;

impl Recovery {
    /// Where the window lies, behind all else that an exchange without losses touches.
    #[cfg(test)]
    pub(crate) const WINDOW: usize = core::mem::offset_of!(Recovery, congestion);

    /// Reads from each line of memory that [`Recovery::acknowledged`] and [`Recovery::sent`] need. The answer means nothing.
    #[inline]
    pub(crate) fn read_ahead(&self) -> u64 {
        let Some(flight) = &self.flight else { return 0 };
        let run = flight.scoreboard.runs.front().map_or(0, |run| run.sent.0);
        run ^ flight.timer.0 ^ u64::from(flight.delivered.octets ^ flight.recovery_point.0)
    }
}
