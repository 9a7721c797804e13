//! A drop-tail queue in front of a line of a certain rate.

use std::collections::VecDeque;

/// What a packet takes of a line beside its own octets: Ethernet header and checksum, preamble, gap.
const FRAMING: u64 = 14 + 4 + 8 + 12;

#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// Bits per second; none takes no time.
    rate: Option<u64>,
    capacity: usize,
    /// When each packet that waits or is being sent will have left, in order.
    departures: VecDeque<u64>,
}

impl Queue {
    pub(super) const fn new(rate: Option<u64>, capacity: usize) -> Self {
        Self { rate, capacity, departures: VecDeque::new() }
    }

    /// How many waited when the last one came, which counts.
    pub(super) fn waiting(&self) -> usize {
        self.departures.len().saturating_sub(1)
    }

    /// When the last bit of a packet of `octets` that comes now will have left; `None` if the queue is full.
    pub(super) fn enter(&mut self, now: u64, octets: usize) -> Option<u64> {
        let Some(rate) = self.rate else { return Some(now) };
        while self.departures.front().is_some_and(|&departure| departure <= now) {
            self.departures.pop_front();
        }
        // The one that is being sent has left the queue.
        if self.departures.len() > self.capacity {
            return None;
        }
        let start = self.departures.back().copied().unwrap_or(0).max(now);
        let departure = start + (octets as u64 + FRAMING) * 8 * 1_000_000_000 / rate;
        self.departures.push_back(departure);
        Some(departure)
    }
}
