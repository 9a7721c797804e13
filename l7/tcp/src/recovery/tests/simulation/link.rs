//! A link with a rate, a queue that drops from its tail, a delay and losses.

use super::Random;
use crate::Time;

/// How a link loses segments.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Loss {
    /// Each for itself.
    Random(f64),
    /// In bursts (Gilbert 1960): with this probability overall, and this many in a row on the mean.
    Burst(f64, f64),
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Link {
    pub(in super::super) bits_per_second: u64,
    pub(in super::super) queue: u64,
    /// One way.
    pub(in super::super) delay_nanos: u64,
    pub(in super::super) loss: Loss,
    /// Probability that a segment is held back by `late_nanos`.
    pub(in super::super) late: f64,
    pub(in super::super) late_nanos: u64,
    free_at: u64,
    bad: bool,
}

impl Link {
    pub(in super::super) fn new(megabits: u64, queue: u64, rtt_millis: u64, loss: Loss) -> Self {
        Self {
            bits_per_second: megabits * 1_000_000,
            queue,
            delay_nanos: rtt_millis * 500_000,
            loss,
            late: 0.0,
            late_nanos: 0,
            free_at: 0,
            bad: false,
        }
    }

    /// When a packet of `octets` arrives, if it does.
    pub(super) fn carry(&mut self, now: Time, octets: u32, random: &mut Random) -> Option<Time> {
        let lost = match self.loss {
            Loss::Random(probability) => random.chance(probability),
            Loss::Burst(probability, length) => {
                let leave = 1.0 / length;
                let enter = leave * probability / (1.0 - probability);
                self.bad = random.chance(if self.bad { 1.0 - leave } else { enter });
                self.bad
            }
        };
        let takes = u64::from(octets) * 8 * 1_000_000_000 / self.bits_per_second;
        let waiting = self.free_at.saturating_sub(now.0) / takes.max(1);
        if lost || waiting >= self.queue {
            return None;
        }
        self.free_at = self.free_at.max(now.0) + takes;
        let late = if random.chance(self.late) { self.late_nanos } else { 0 };
        Some(Time(self.free_at + self.delay_nanos + late))
    }
}
