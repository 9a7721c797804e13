//! HyStart++ (RFC 9406): slow start ends before the queue overflows, when round trips grow longer.

use crate::SequenceNumber;
use crate::recovery::Micros;

/// `MIN_RTT_THRESH` and `MAX_RTT_THRESH` (RFC 9406, section 4.3).
const THRESHOLDS: (Micros, Micros) = (4_000, 16_000);
/// `MIN_RTT_DIVISOR`.
const DIVISOR: Micros = 8;
/// `N_RTT_SAMPLE`.
const SAMPLES: u8 = 8;
/// `CSS_GROWTH_DIVISOR`.
const SLOWER: u32 = 4;
/// `CSS_ROUNDS`.
const ROUNDS: u8 = 5;
/// `L`, without pacing.
const BURST: u32 = 8;

/// The first slow start of a connection. 24 octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HyStart {
    /// `lastRoundMinRTT`; `Micros::MAX` for infinity, as in the RFC.
    last: Micros,
    /// `currentRoundMinRTT`.
    current: Micros,
    /// `cssBaselineMinRtt`; zero outside Conservative Slow Start.
    baseline: Micros,
    /// `windowEnd`.
    round_end: SequenceNumber,
    /// `rttSampleCount`, as far as it matters.
    samples: u8,
    /// Rounds begun in Conservative Slow Start.
    rounds: u8,
    /// A round has begun.
    measuring: bool,
}

impl Default for HyStart {
    fn default() -> Self {
        Self {
            last: Micros::MAX,
            current: Micros::MAX,
            baseline: 0,
            round_end: SequenceNumber(0),
            samples: 0,
            rounds: 0,
            measuring: false,
        }
    }
}

impl HyStart {
    /// An acknowledgement of everything before `una`; `next` is SND.NXT. True when slow start is over.
    #[inline]
    pub fn on_ack(&mut self, una: SequenceNumber, next: SequenceNumber, rtt: Option<Micros>) -> bool {
        let mut over = false;
        if !self.measuring || una.reaches(self.round_end) {
            (self.last, self.current) = (self.current, Micros::MAX);
            (self.samples, self.round_end, self.measuring) = (0, next, true);
            if self.baseline != 0 {
                self.rounds += 1;
                over = self.rounds >= ROUNDS;
            }
        }
        if let Some(rtt) = rtt {
            self.current = self.current.min(rtt.max(1));
            self.samples = self.samples.saturating_add(1);
            self.judge();
        }
        over
    }

    /// Section 4.2: enters or leaves Conservative Slow Start.
    fn judge(&mut self) {
        if self.samples < SAMPLES {
            return;
        }
        if self.baseline != 0 {
            if self.current < self.baseline {
                self.baseline = 0; // the growth was not one of the queue
            }
        } else if self.last != Micros::MAX {
            let threshold = (self.last / DIVISOR).clamp(THRESHOLDS.0, THRESHOLDS.1);
            if self.current >= self.last.saturating_add(threshold) {
                (self.baseline, self.rounds) = (self.current, 0);
            }
        }
    }

    /// By how many octets the window grows for `octets` that arrived.
    #[must_use]
    #[inline]
    pub fn growth(&self, octets: u32, mss: u32, paced: bool) -> u32 {
        let octets = if paced { octets } else { octets.min(BURST * mss) };
        if self.baseline == 0 { octets } else { octets / SLOWER }
    }

    /// True in Conservative Slow Start.
    #[must_use]
    pub fn is_conservative(&self) -> bool {
        self.baseline != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One round of eight acknowledgements; says whether slow start ended.
    fn round(hystart: &mut HyStart, start: u32, rtt: Micros) -> bool {
        let una = |n| SequenceNumber(start + n);
        (0..8).map(|n| hystart.on_ack(una(n), una(100), Some(rtt))).fold(false, |over, one| over | one)
    }

    #[test]
    fn a_queue_that_builds_up_ends_slow_start_after_five_slower_rounds() {
        let mut hystart = HyStart::default();
        for n in 0..3 {
            assert!(!round(&mut hystart, n * 100, 40_000));
            assert!(!hystart.is_conservative());
        }
        // Five milliseconds are an eighth of 40.
        assert!(!round(&mut hystart, 300, 44_999) && !hystart.is_conservative());
        assert!(!round(&mut hystart, 400, 51_000) && hystart.is_conservative());
        assert_eq!((hystart.growth(4_000, 1_000, false), hystart.growth(4_000, 1_000, true)), (1_000, 1_000));
        let over: Vec<bool> = (5..11).map(|n| round(&mut hystart, n * 100, 52_000)).collect();
        assert_eq!(over, [false, false, false, false, true, true]);
    }

    #[test]
    fn a_growth_that_goes_away_was_jitter() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 0, 20_000);
        round(&mut hystart, 100, 25_000);
        assert!(hystart.is_conservative());
        round(&mut hystart, 200, 21_000);
        assert!(!hystart.is_conservative());
    }

    #[test]
    fn acknowledgements_that_cover_much_do_not_make_bursts() {
        let hystart = HyStart::default();
        assert_eq!(hystart.growth(100_000, 1_000, false), 8_000);
        assert_eq!(hystart.growth(100_000, 1_000, true), 100_000);
    }
}
