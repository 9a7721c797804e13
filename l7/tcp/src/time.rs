//! Time is an argument: nanoseconds of the caller's monotonic clock. Durations inside are microseconds in 32 bits.

use core::ops::Add;
use core::time::Duration;

/// A point on the caller's monotonic clock, in nanoseconds. Its zero is the caller's affair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The end of time: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point this many whole microseconds after zero.
    #[must_use]
    #[inline]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// The point this many whole milliseconds after zero.
    #[must_use]
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Whole microseconds since zero.
    #[must_use]
    #[inline]
    pub const fn micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole milliseconds since zero.
    #[must_use]
    #[inline]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole microseconds, modulo 2^32 (71 minutes): how connections remember what happened a short while ago.
    #[must_use]
    #[inline]
    pub const fn wrapping_micros(self) -> u32 {
        (self.0 / 1_000) as u32
    }

    /// Whole milliseconds, modulo 2^32 (49.7 days): how connections remember what may be long ago.
    #[must_use]
    #[inline]
    pub const fn wrapping_millis(self) -> u32 {
        (self.0 / 1_000_000) as u32
    }

    /// Nanoseconds from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    #[inline]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Microseconds from `earlier` to `self`: zero if `earlier` is later, at most `u32::MAX`.
    #[must_use]
    #[inline]
    pub const fn micros_since(self, earlier: Self) -> u32 {
        let micros = self.0.saturating_sub(earlier.0) / 1_000;
        if micros > u32::MAX as u64 { u32::MAX } else { micros as u32 }
    }

    /// The point `micros` microseconds later.
    #[must_use]
    #[inline]
    pub const fn plus_micros(self, micros: u32) -> Self {
        Self(self.0.saturating_add(micros as u64 * 1_000))
    }

    /// The point `millis` milliseconds later.
    #[must_use]
    #[inline]
    pub const fn plus_millis(self, millis: u32) -> Self {
        Self(self.0.saturating_add(millis as u64 * 1_000_000))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_saturate_at_both_ends() {
        let (early, late) = (Time(1_500), Time(4_000));
        assert_eq!(late.micros_since(early), 2);
        assert_eq!(early.micros_since(late), 0);
        assert_eq!(Time::NEVER.micros_since(early), u32::MAX);
        assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
        assert_eq!(early.plus_micros(2), Time(3_500));
    }
}
