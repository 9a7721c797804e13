//! HyStart++ (RFC 9406): slow start ends before the queue overflows, when round trips grow longer.
//!
//! The RFC looks at the least round trip of a whole round, which stays what it is as long as the queue drains between one
//! window's segments and the next one's. Where the queue is shorter than the path, it overflows before that: so the segments at
//! the end of a window count, too, once they have waited for a quarter of a round trip behind the others. (The kernel's HyStart
//! sees the same in how far apart acknowledgements come.)

use crate::SequenceNumber;
use crate::recovery::Micros;

/// `MIN_RTT_THRESH` and `MAX_RTT_THRESH` (RFC 9406, section 4.3).
const THRESHOLDS: (Micros, Micros) = (4_000, 16_000);
/// `MIN_RTT_DIVISOR`, for the first segments of a window.
const DIVISOR: Micros = 8;
/// The same for all others.
const DIVISOR_BEHIND: Micros = 4;
/// `N_RTT_SAMPLE`: the least of so many in a row is no jitter.
const SAMPLES: u8 = 8;
/// `CSS_GROWTH_DIVISOR`.
const SLOWER: u32 = 4;
/// `CSS_ROUNDS`.
const ROUNDS: u8 = 5;

/// The first slow start of a connection. 20 octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HyStart {
    /// The least round trip of earlier rounds; `Micros::MAX` for infinity, as in the RFC.
    base: Micros,
    /// `currentRoundMinRTT`.
    current: Micros,
    /// The least of the last samples, of which there will be eight.
    least: Micros,
    /// `windowEnd`.
    round_end: SequenceNumber,
    /// Samples of `least`.
    samples: u8,
    /// Rounds begun in Conservative Slow Start.
    rounds: u8,
    pace: Pace,
    /// Which samples these are.
    place: Place,
}

/// How fast the window grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pace {
    /// No round has begun.
    Fresh,
    /// It doubles.
    Doubles,
    /// Conservative Slow Start.
    Conservative,
}

/// What has been seen of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Nothing yet.
    Start,
    /// Its first segments, which were not slow.
    Behind,
    /// Slow ones.
    Slow,
}

impl Default for HyStart {
    fn default() -> Self {
        Self {
            base: Micros::MAX,
            current: Micros::MAX,
            least: Micros::MAX,
            round_end: SequenceNumber(0),
            samples: 0,
            rounds: 0,
            pace: Pace::Fresh,
            place: Place::Start,
        }
    }
}

impl HyStart {
    /// An acknowledgement of everything before `una`; `next` is SND.NXT. True when slow start is over.
    #[inline]
    pub fn on_ack(&mut self, una: SequenceNumber, next: SequenceNumber, rtt: Option<Micros>) -> bool {
        let over = (self.pace == Pace::Fresh || una.reaches(self.round_end)) && self.begin_round(next);
        if let Some(rtt) = rtt {
            self.least = self.least.min(rtt.max(1));
            self.samples += 1;
            if self.samples == SAMPLES {
                self.judge();
            }
        }
        over
    }

    /// Section 4.2. True when slow start is over.
    fn begin_round(&mut self, next: SequenceNumber) -> bool {
        self.base = self.base.min(self.current);
        self.current = Micros::MAX;
        (self.least, self.samples, self.round_end) = (Micros::MAX, 0, next);
        let was_slow = self.place == Place::Slow;
        self.place = Place::Start;
        if self.pace == Pace::Conservative && was_slow {
            self.rounds += 1;
            return self.rounds >= ROUNDS;
        }
        // Or it never was the queue that made them slow.
        self.pace = Pace::Doubles;
        false
    }

    /// Eight samples more: enters Conservative Slow Start if they are slow.
    fn judge(&mut self) {
        let least = core::mem::replace(&mut self.least, Micros::MAX);
        self.samples = 0;
        self.current = self.current.min(least);
        let divisor = if self.place == Place::Start { DIVISOR } else { DIVISOR_BEHIND };
        let threshold = (self.base / divisor).max(THRESHOLDS.0);
        let threshold = if self.place == Place::Start { threshold.min(THRESHOLDS.1) } else { threshold };
        if self.base != Micros::MAX && least >= self.base.saturating_add(threshold) {
            self.place = Place::Slow;
            if self.pace == Pace::Doubles {
                (self.pace, self.rounds) = (Pace::Conservative, 0);
            }
        } else if self.place == Place::Start {
            self.place = Place::Behind;
        }
    }

    /// By how many octets the window grows for `octets` that arrived, however many acknowledgements that took (`L` is infinity): receivers
    /// that take segments by the burst acknowledge many at once, and windows large enough for bursts to matter are paced.
    #[must_use]
    #[inline]
    pub fn growth(&self, octets: u32) -> u32 {
        if self.is_conservative() { octets / SLOWER } else { octets }
    }

    /// True in Conservative Slow Start.
    #[must_use]
    pub fn is_conservative(&self) -> bool {
        self.pace == Pace::Conservative
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
        assert_eq!(hystart.growth(4_000), 1_000);
        let over: Vec<bool> = (5..11).map(|n| round(&mut hystart, n * 100, 52_000)).collect();
        assert_eq!(over, [false, false, false, false, true, true]);
    }

    #[test]
    fn segments_behind_others_may_wait_for_a_quarter_of_a_round_trip() {
        for (behind, is_conservative) in [(49_999, false), (50_000, true)] {
            let mut hystart = HyStart::default();
            round(&mut hystart, 0, 40_000);
            round(&mut hystart, 100, 40_000);
            for n in 8..16 {
                assert!(!hystart.is_conservative());
                hystart.on_ack(SequenceNumber(100 + n), SequenceNumber(200), Some(behind));
            }
            assert_eq!(hystart.is_conservative(), is_conservative);
            // A next round that begins without a queue says nothing about its end.
            round(&mut hystart, 200, 40_000);
            assert_eq!(hystart.is_conservative(), is_conservative);
        }
    }

    #[test]
    fn a_growth_that_goes_away_was_jitter() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 0, 20_000);
        round(&mut hystart, 100, 25_000);
        assert!(hystart.is_conservative());
        round(&mut hystart, 200, 21_000);
        round(&mut hystart, 300, 21_000);
        assert!(!hystart.is_conservative());
    }

    #[test]
    fn an_acknowledgement_of_a_whole_window_doubles_it() {
        assert_eq!(HyStart::default().growth(40_000), 40_000);
    }
}
