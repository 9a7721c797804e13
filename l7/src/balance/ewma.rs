//! Latency of late: an exponentially weighted moving average that rises at once.

use std::time::Duration;

use evenkeel_tcp::Time;

/// How long an observation counts: after this time, by 1/e.
const MEMORY: Duration = Duration::from_secs(10);

/// What a failure counts as, however quickly it came: or a backend that refuses at once would look like the best.
const FAILURE: Duration = Duration::from_secs(1);

/// An average that takes a peak as it is, and forgets it exponentially. So a backend that has become slow is avoided from its first slow answer
/// on, and tried again little by little. (Finagle's and linkerd's "peak EWMA".)
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct PeakEwma {
    seconds: f32,
    at: Time,
    is_known: bool,
}

impl PeakEwma {
    /// A request was answered after `latency`.
    pub fn answered(&mut self, now: Time, latency: Duration) {
        let (latency, kept) = (latency.as_secs_f32(), self.share_kept(now));
        let average = self.seconds * kept + latency * (1.0 - kept);
        self.seconds = if latency > self.seconds * kept { latency } else { average };
        (self.at, self.is_known) = (self.at.max(now), true);
    }

    /// A request failed.
    pub fn failed(&mut self, now: Time) {
        self.answered(now, FAILURE.max(Duration::from_secs_f32(self.seconds)));
    }

    /// What is expected now, in seconds; `None` as long as nothing was observed. It sinks while nothing is observed.
    #[must_use]
    pub fn expected(&self, now: Time) -> Option<f32> {
        self.is_known.then(|| self.seconds * self.share_kept(now))
    }

    fn share_kept(&self, now: Time) -> f32 {
        let age = Duration::from_nanos(now.nanos_since(self.at));
        (-age.as_secs_f32() / MEMORY.as_secs_f32()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Time {
        Time(millis * 1_000_000)
    }

    fn millis(ewma: &PeakEwma, now: Time) -> f32 {
        ewma.expected(now).unwrap() * 1e3
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_slowly() {
        let mut ewma = PeakEwma::default();
        assert_eq!(ewma.expected(at(5)), None);
        ewma.answered(at(1000), Duration::from_millis(10));
        assert!((millis(&ewma, at(1000)) - 10.0).abs() < 0.01);
        ewma.answered(at(1001), Duration::from_millis(500));
        assert!((millis(&ewma, at(1001)) - 500.0).abs() < 0.01);
        // Ten seconds later 1/e of it is left.
        assert!((millis(&ewma, at(11_001)) - 183.9).abs() < 0.1);
        ewma.answered(at(11_001), Duration::from_millis(10));
        let after = millis(&ewma, at(11_001));
        assert!((183.9..194.0).contains(&after), "{after}");
    }

    #[test]
    fn a_failure_is_slow() {
        let mut ewma = PeakEwma::default();
        ewma.answered(at(1), Duration::from_micros(50));
        ewma.failed(at(2));
        assert!((millis(&ewma, at(2)) - 1000.0).abs() < 0.1);
        let mut slow = PeakEwma::default();
        slow.answered(at(1), Duration::from_secs(3));
        slow.failed(at(1));
        assert!((millis(&slow, at(1)) - 3000.0).abs() < 0.1);
    }

    #[test]
    fn a_clock_that_stands_still_is_no_harm() {
        let mut ewma = PeakEwma::default();
        for _ in 0..3 {
            ewma.answered(at(1), Duration::ZERO);
        }
        assert_eq!(ewma.expected(at(0)), Some(0.0));
    }
}
