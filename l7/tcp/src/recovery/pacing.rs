//! Pacing: large windows go out evenly, so that their bursts do not overflow the queue of a bottleneck.
//!
//! Small windows are left alone: their bursts fit anywhere, and waiting would only make short exchanges longer.

use super::Recovery;
use crate::Time;
use crate::congestion::CongestionControl;

/// Windows of fewer segments are not paced.
const SEGMENTS: u32 = 64;
/// What may go at once: this long at the pace, or as many segments, whichever is more.
const QUANTUM_NANOS: u64 = 500_000;
const QUANTUM_SEGMENTS: u64 = 4;

/// A pace, worked out when it has changed: nothing is divided for a segment.
///
/// It is a bucket of time: `until` is when it will be full again, and it holds a quantum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Nanoseconds that 2^16 octets take; zero: there is no pace.
    nanos: u64,
    /// Octets in 2^20 nanoseconds.
    octets: u64,
    /// Nanoseconds that may go at once.
    quantum: u64,
    /// What it was worked out from: window, smoothed round trip in nanoseconds, threshold.
    window: u32,
    threshold: u32,
    round_trip: u64,
    /// When the last of what went out will have gone, at the pace.
    until: Time,
    /// When more may go, if there was more to go.
    pub(super) resumes: Time,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            nanos: 0,
            octets: 0,
            quantum: 0,
            window: 0,
            threshold: 0,
            round_trip: 0,
            until: Time(0),
            resumes: Time::NEVER,
        }
    }
}

impl Pace {
    /// True if it is as good as right for this window and round trip: within a thirty-second.
    #[inline]
    fn fits(&self, window: u32, threshold: u32, round_trip: u64) -> bool {
        self.threshold == threshold
            && self.window.abs_diff(window) <= window >> 5
            && self.round_trip.abs_diff(round_trip) <= round_trip >> 5
    }

    fn set(&mut self, rate: Option<u64>, mss: u32) {
        let Some(rate) = rate.filter(|rate| *rate > 0) else {
            self.nanos = 0;
            return;
        };
        self.nanos = (1_000_000_000 << 16) / rate;
        self.octets = ((u128::from(rate) << 20) / 1_000_000_000) as u64;
        self.quantum = QUANTUM_NANOS.max(self.time(QUANTUM_SEGMENTS * u64::from(mss)));
    }

    /// How long so many octets take.
    #[inline]
    fn time(&self, octets: u64) -> u64 {
        octets.saturating_mul(self.nanos) >> 16
    }

    /// Octets that may go now.
    #[inline]
    pub(super) fn room(&mut self, mss: u32, now: Time) -> u32 {
        if self.nanos == 0 {
            return u32::MAX;
        }
        let left = self.quantum.saturating_sub(self.until.nanos_since(now));
        let segment = self.time(u64::from(mss));
        if left < segment {
            // A wait worth a wake: two segments.
            self.resumes = Time(now.0.saturating_add((2 * segment - left).max(segment)));
            return 0;
        }
        let octets = left.saturating_mul(self.octets) >> 20;
        u32::try_from(octets).unwrap_or(u32::MAX).max(mss)
    }

    /// So many octets went out.
    #[inline]
    pub(super) fn sent(&mut self, octets: u32, now: Time) {
        if self.nanos != 0 {
            self.until = Time(self.until.max(now).0.saturating_add(self.time(octets.into())));
        }
        self.resumes = Time::NEVER;
    }
}

impl Recovery {
    /// True if sending is paced.
    #[inline]
    pub(super) fn is_paced(&self) -> bool {
        self.congestion.window() >= SEGMENTS * self.mss() && self.rtt.smoothed_nanos() > 0
    }

    /// Octets a second, if sending is paced.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        if self.is_paced() { self.congestion.pacing_rate(self.rtt.smoothed()?) } else { None }
    }

    /// The window or the round trip may have changed.
    #[inline]
    pub(super) fn set_pace(&mut self) {
        let Some(flight) = &self.flight else { return };
        let (window, threshold) = (self.congestion.window(), self.congestion.threshold());
        if !flight.pace.fits(window, threshold, self.rtt.smoothed_nanos()) {
            self.change_pace();
        }
    }

    fn change_pace(&mut self) {
        let (rate, mss, round_trip) = (self.pacing_rate(), self.mss(), self.rtt.smoothed_nanos());
        let (window, threshold) = (self.congestion.window(), self.congestion.threshold());
        let Some(flight) = &mut self.flight else { return };
        (flight.pace.window, flight.pace.threshold, flight.pace.round_trip) = (window, threshold, round_trip);
        flight.pace.set(rate, mss);
    }

    /// Octets that the pace allows now.
    #[inline]
    pub(super) fn paced_room(&mut self, now: Time) -> u32 {
        let mss = self.mss();
        self.flight.as_mut().map_or(u32::MAX, |flight| flight.pace.room(mss, now))
    }

    /// `octets` went out: the bucket fills later.
    #[inline]
    pub(super) fn note_pace(&mut self, octets: u32, now: Time) {
        if let Some(flight) = &mut self.flight {
            flight.pace.sent(octets, now);
        }
    }
}
