//! A token bucket: so many a second, one second's worth at once.

use crate::time::Time;

/// See the module. It starts full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limiter {
    /// The time up to which tokens have been used: at most one second behind now.
    used_until_ns: u64,
}

impl Limiter {
    const SECOND_NS: u64 = 1_000_000_000;

    /// True, and a token less, if the limit of `per_second` allows one more now.
    pub fn allows(&mut self, per_second: u32, now: Time) -> bool {
        let Some(cost_ns) = Self::SECOND_NS.checked_div(u64::from(per_second)) else { return false };
        let earliest = now.0.saturating_sub(Self::SECOND_NS);
        let used_until_ns = self.used_until_ns.max(earliest) + cost_ns;
        let allowed = used_until_ns <= now.0.max(Self::SECOND_NS);
        if allowed {
            self.used_until_ns = used_until_ns;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_one_second_passes_then_the_rate() {
        let mut limiter = Limiter::default();
        let start = Time(5_000_000_000);
        assert_eq!((0..30).filter(|_| limiter.allows(10, start)).count(), 10);
        let half_a_second_later = Time(start.0 + 500_000_000);
        assert_eq!((0..30).filter(|_| limiter.allows(10, half_a_second_later)).count(), 5);
        let much_later = Time(start.0 + 60_000_000_000);
        assert_eq!((0..30).filter(|_| limiter.allows(10, much_later)).count(), 10);
    }

    #[test]
    fn zero_allows_nothing_and_time_zero_works() {
        assert!(!Limiter::default().allows(0, Time(1_000_000_000)));
        assert!(Limiter::default().allows(10, Time(0)));
    }
}
