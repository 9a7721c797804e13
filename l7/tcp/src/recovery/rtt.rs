//! The round-trip time and the retransmission timeout (RFC 6298), in microseconds.
//!
//! Invariants: the timeout lies between the policy's minimum and a minute; it never shrinks below one variation above
//! the mean; a sample of zero counts as one microsecond.

use super::Micros;
use crate::Time;

/// No timeout is longer (RFC 6298, section 2.5, allows a bound of 60 s or more).
pub(super) const LONGEST: Micros = 60_000_000;

/// The timeout before anything was measured (RFC 6298, section 2.1).
pub(super) const INITIAL: Micros = 1_000_000;

/// The same after a SYN that was sent more than once, and so measured nothing (RFC 6298, section 5.7).
const DOUBTED: Micros = 3_000_000;

/// For how long a minimum of the round-trip time is believed, in units of 2^30 nanoseconds: five minutes. Routes change.
const MINIMUM_LIFETIME: u16 = 280;

/// Means are kept in sixteenths of a microsecond, so that the small steps of many samples a window add up.
const FRACTION: u32 = 4;
/// More samples than this power of two in a window weigh as this many, or their steps would be smaller than that.
const MOST_SAMPLES: u32 = 6;

/// How soon a timeout may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtoPolicy {
    /// The margin above the smoothed round-trip time, at least: what RFC 6298, section 2.4, wants to be one second as a
    /// whole, and everybody makes smaller.
    pub minimum: Micros,
    /// For how long the peer may keep an acknowledgement back when a single segment is in flight (RFC 9293, section
    /// 3.8.6.3, allows 500 ms): added then to tail loss probes, and to the timeout if it is more than `minimum`.
    pub ack_delay: Micros,
}

impl RtoPolicy {
    /// Towards clients anywhere: 200 ms, as Linux.
    pub const CLIENT: Self = Self { minimum: 200_000, ack_delay: 50_000 };
    /// Towards backends nearby that acknowledge within 40 ms: 5 ms where an acknowledgement is due at once.
    pub const BACKEND: Self = Self { minimum: 5_000, ack_delay: 45_000 };
}

/// What is known of the round-trip time. 20 octets: it is there for every connection.
#[derive(Clone, Copy, Debug)]
pub struct RttEstimator {
    /// SRTT in sixteenths of a microsecond; zero before the first sample.
    smoothed: u32,
    /// RTTVAR, likewise.
    variation: u32,
    minimum: Micros,
    /// When `minimum` was measured, in units of 2^30 nanoseconds, wrapping.
    minimum_at: u16,
    /// The policy, in tenths of a millisecond.
    margin: u16,
    ack_delay: u16,
    /// Timeouts in a row.
    backoff: u8,
    /// The SYN went out more than once.
    is_doubted: bool,
}

const _: () = assert!(size_of::<RttEstimator>() <= 20);

impl RttEstimator {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(policy: RtoPolicy) -> Self {
        let tenths = |micros: Micros| u16::try_from(micros.div_ceil(100)).unwrap_or(u16::MAX);
        Self {
            smoothed: 0,
            variation: 0,
            minimum: Micros::MAX,
            minimum_at: 0,
            margin: tenths(policy.minimum),
            ack_delay: tenths(policy.ack_delay),
            backoff: 0,
            is_doubted: false,
        }
    }

    /// The SYN went out more than once: until something is measured, the path is taken for a slow one.
    pub(super) fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// One measurement while `outstanding` octets are in flight. Of those there is one for every two segments: the more there are in
    /// a window, the less each counts (RFC 7323, appendix G).
    #[inline]
    pub fn sample(&mut self, rtt: Micros, outstanding: u32, mss: u32, now: Time) {
        let rtt = rtt.clamp(1, LONGEST);
        self.note_minimum(rtt, now);
        let rtt = rtt << FRACTION;
        if self.smoothed == 0 {
            // RFC 6298, section 2.2.
            (self.smoothed, self.variation) = (rtt, rtt / 2);
            return;
        }
        // RFC 6298, section 2.3: the variation first, with alpha = 1/8 and beta = 1/4.
        let off = self.smoothed.abs_diff(rtt);
        // As a power of two.
        let samples = if outstanding <= 2 * mss {
            0
        } else {
            (outstanding.ilog2() - (2 * mss).ilog2()).min(MOST_SAMPLES)
        };
        self.variation = step(self.variation, off, 2 + samples);
        self.smoothed = step(self.smoothed, rtt, 3 + samples);
    }

    /// A measurement that is good for the minimum alone: of the newest segment that an acknowledgement covers.
    #[inline]
    pub fn note_minimum(&mut self, rtt: Micros, now: Time) {
        if rtt <= self.minimum || self.is_minimum_old(now) {
            (self.minimum, self.minimum_at) = (rtt.max(1), long_units(now));
        }
    }

    #[inline]
    fn is_minimum_old(&self, now: Time) -> bool {
        long_units(now).wrapping_sub(self.minimum_at) > MINIMUM_LIFETIME
    }

    /// SRTT; `None` before the first sample.
    #[must_use]
    #[inline]
    pub fn smoothed(&self) -> Option<Micros> {
        (self.smoothed != 0).then_some(self.smoothed >> FRACTION)
    }

    /// SRTT in nanoseconds; zero before the first sample.
    #[must_use]
    #[inline]
    pub(super) fn smoothed_nanos(&self) -> u64 {
        (u64::from(self.smoothed) * 1_000) >> FRACTION
    }

    /// RTTVAR.
    #[must_use]
    pub fn variation(&self) -> Micros {
        self.variation >> FRACTION
    }

    /// The smallest of the last five minutes; `None` before the first sample.
    #[must_use]
    #[inline]
    pub fn minimum(&self) -> Option<Micros> {
        (self.minimum != Micros::MAX).then_some(self.minimum)
    }

    /// The timeout, backed off (RFC 6298, section 5.5). `lone`: a single segment is in flight, so that the peer may keep
    /// its acknowledgement back.
    #[must_use]
    #[inline]
    pub fn timeout(&self, lone: bool) -> Micros {
        let margin = 100 * Micros::from(if lone { self.margin.max(self.ack_delay) } else { self.margin });
        // RFC 6298, section 2.3. The floor is one of the margin and not of the whole: with a floor of the whole, a path
        // of just that round-trip time would have no margin for a delayed acknowledgement.
        let base = if self.smoothed == 0 {
            if self.is_doubted { DOUBTED } else { INITIAL }.max(margin)
        } else {
            (self.smoothed >> FRACTION) + (self.variation >> (FRACTION - 2)).max(margin)
        };
        let backed_off = u64::from(base) << self.backoff.min(16);
        if backed_off < u64::from(LONGEST) { backed_off as Micros } else { LONGEST }
    }

    /// What no timeout is less than, in nanoseconds.
    #[must_use]
    #[inline]
    pub(super) fn margin_nanos(&self) -> u64 {
        u64::from(self.margin) * 100_000
    }

    /// When to probe the tail (PTO, RFC 8985, section 7.2): two round trips, the delayed acknowledgement of a lone
    /// segment, and a millisecond for timers on both ends.
    #[must_use]
    #[inline]
    pub(super) fn probe_timeout(&self, lone: bool) -> Micros {
        let Some(smoothed) = self.smoothed() else { return INITIAL };
        let delay = if lone { 100 * Micros::from(self.ack_delay) } else { 0 };
        smoothed.saturating_mul(2).saturating_add(delay + 1_000)
    }

    /// How many timeouts came in a row.
    #[must_use]
    pub fn backoff(&self) -> u8 {
        self.backoff
    }

    /// The timer expired (RFC 6298, section 5.5).
    pub(super) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// New data was acknowledged (RFC 6298, section 5.7; Karn's algorithm).
    #[inline]
    pub(super) fn progress(&mut self) {
        self.backoff = 0;
    }
}

/// `mean` after a step towards `value` of its distance divided by 2^`shift`, rounded.
#[inline]
fn step(mean: u32, value: u32, shift: u32) -> u32 {
    let (off, half) = (mean.abs_diff(value), 1 << shift >> 1);
    if value > mean { mean + ((off + half) >> shift) } else { mean - ((off + half) >> shift) }
}

#[inline]
fn long_units(now: Time) -> u16 {
    (now.0 >> 30) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: RtoPolicy = RtoPolicy { minimum: 1_000, ack_delay: 1_000 };

    #[test]
    fn rfc_6298_section_2_by_hand() {
        // Sample; SRTT, RTTVAR, timeout after it, all in microseconds.
        let table = [
            (100_000, 100_000, 50_000, 300_000),
            (100_000, 100_000, 37_500, 250_000),
            (200_000, 112_500, 53_125, 325_000),
            (40_000, 103_437, 57_968, 335_312),
        ];
        let mut rtt = RttEstimator::new(PLAIN);
        assert_eq!(rtt.timeout(false), INITIAL);
        for (sample, smoothed, variation, timeout) in table {
            rtt.sample(sample, 0, 1_000, Time(0));
            assert_eq!(
                (rtt.smoothed(), rtt.variation(), rtt.timeout(false)),
                (Some(smoothed), variation, timeout),
                "{sample}"
            );
        }
    }

    #[test]
    fn backoff_doubles_up_to_a_minute_and_progress_ends_it() {
        let mut rtt = RttEstimator::new(PLAIN);
        rtt.sample(100_000, 0, 1_000, Time(0));
        let base = rtt.timeout(false);
        for doublings in 1..40 {
            rtt.back_off();
            let expected = (u64::from(base) << doublings.min(16)).min(u64::from(LONGEST));
            assert_eq!(u64::from(rtt.timeout(false)), expected);
        }
        rtt.progress();
        assert_eq!(rtt.timeout(false), base);
    }

    #[test]
    fn many_samples_a_window_weigh_as_much_as_one() {
        // RFC 7323, appendix G: after one window of equal samples, the mean moved about as far as by one.
        let (mut one, mut many) = (RttEstimator::new(PLAIN), RttEstimator::new(PLAIN));
        one.sample(10_000, 0, 1_000, Time(0));
        many.sample(10_000, 0, 1_000, Time(0));
        one.sample(20_000, 0, 1_000, Time(0));
        for _ in 0..64 {
            many.sample(20_000, 128 * 1_000, 1_000, Time(0));
        }
        let (one, many) = (one.smoothed().unwrap(), many.smoothed().unwrap());
        assert!(many.abs_diff(one) < one / 50, "{one} {many}");
    }

    #[test]
    fn a_lone_segment_waits_for_the_delayed_acknowledgement() {
        let mut rtt = RttEstimator::new(RtoPolicy::BACKEND);
        for _ in 0..100 {
            rtt.sample(100, 0, 1_000, Time(0));
        }
        assert!(rtt.timeout(false) < 5_500 && rtt.timeout(true) >= 45_000);
        assert!(rtt.probe_timeout(false) < 2_000 && rtt.probe_timeout(true) >= 45_000);
    }

    #[test]
    fn the_minimum_is_forgotten_after_five_minutes() {
        let mut rtt = RttEstimator::new(PLAIN);
        rtt.sample(1_000, 0, 1_000, Time(0));
        rtt.sample(2_000, 0, 1_000, Time::from_millis(300_000));
        assert_eq!(rtt.minimum(), Some(1_000));
        rtt.sample(2_000, 0, 1_000, Time::from_millis(302_000));
        assert_eq!(rtt.minimum(), Some(2_000));
    }
}
