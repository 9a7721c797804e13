//! Pacing: large windows go out evenly, so that their bursts do not overflow the queue of a bottleneck.
//!
//! Small windows are left alone: their bursts fit anywhere, and waiting would only make short exchanges longer.

use super::Recovery;
use super::flight::Flight;
use crate::Time;
use crate::congestion::CongestionControl;

/// Windows of fewer segments are not paced.
const SEGMENTS: u32 = 64;
/// What may go at once: this long at the pace, or as many segments, whichever is more.
const QUANTUM_NANOS: u64 = 500_000;
const QUANTUM_SEGMENTS: u32 = 4;

impl Recovery {
    /// Octets a second, if sending is paced.
    #[inline]
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        if self.congestion.window() < SEGMENTS * self.mss() {
            return None;
        }
        self.congestion.pacing_rate(self.rtt.smoothed()?)
    }

    /// Octets that the pace allows now.
    #[inline]
    pub(super) fn paced_room(&mut self, now: Time) -> u32 {
        let Some(rate) = self.pacing_rate() else { return u32::MAX };
        let least = u64::from(QUANTUM_SEGMENTS * self.mss());
        let Some(flight) = &mut self.flight else { return u32::MAX };
        // A bucket that holds a quantum: `paced_until` is when it will be full again.
        let quantum = (rate.saturating_mul(QUANTUM_NANOS) / 1_000_000_000).max(least);
        let behind = flight.paced_until.nanos_since(now);
        let used = (u128::from(behind) * u128::from(rate) / 1_000_000_000) as u64;
        let room = quantum.saturating_sub(used);
        if room < u64::from(self.mss) {
            let wait = (least / 2 + used).saturating_sub(quantum).max(u64::from(self.mss));
            let nanos = u128::from(wait) * 1_000_000_000 / u128::from(rate.max(1));
            flight.pace_at = Time(now.0.saturating_add(nanos as u64));
            return 0;
        }
        u32::try_from(room).unwrap_or(u32::MAX)
    }

    /// `octets` went out: the bucket fills later.
    #[inline]
    pub(super) fn note_pace(flight: &mut Flight, rate: Option<u64>, octets: u32, now: Time) {
        if let Some(rate) = rate {
            let nanos = u64::from(octets) * 1_000_000_000 / rate.max(1);
            flight.paced_until = Time(flight.paced_until.max(now).0.saturating_add(nanos));
            flight.pace_at = Time::NEVER;
        }
    }
}
