//! Time is an argument: nanoseconds on one monotonic clock, read by the worker's loop and nowhere below it.

use core::ops::Add;
use core::time::Duration;

/// A point on the monotonic clock of the process (or of a capture, in `replay`), in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Whole milliseconds, modulo 2^32 (49.7 days): the resolution in which flows remember when they were last seen.
    #[must_use]
    #[inline]
    pub const fn wrapping_millis(self) -> u32 {
        (self.0 / 1_000_000) as u32
    }

    /// Nanoseconds from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}
