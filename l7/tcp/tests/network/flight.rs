//! Packets that are on their way, by when they arrive; those that arrive at once do so in the order of sending.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Packets under way, each to somewhere.
#[derive(Clone, Debug)]
pub struct Flight<T> {
    arrivals: BinaryHeap<Reverse<(u64, u64, usize)>>,
    packets: Vec<Option<T>>,
    free: Vec<usize>,
    sent: u64,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self { arrivals: BinaryHeap::new(), packets: Vec::new(), free: Vec::new(), sent: 0 }
    }
}

impl<T> Flight<T> {
    /// Adds what arrives at this time.
    pub fn add(&mut self, arrival: u64, packet: T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.packets.push(None);
            self.packets.len() - 1
        });
        self.packets[slot] = Some(packet);
        self.arrivals.push(Reverse((arrival, self.sent, slot)));
        self.sent += 1;
    }

    /// When the next one arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<u64> {
        self.arrivals.peek().map(|Reverse((arrival, ..))| *arrival)
    }

    /// The next that has arrived by now, and when that was.
    pub fn arrived(&mut self, now: u64) -> Option<(u64, T)> {
        let arrival = self.next_arrival().filter(|&arrival| arrival <= now)?;
        let Reverse((_, _, slot)) = self.arrivals.pop()?;
        self.free.push(slot);
        self.packets[slot].take().map(|packet| (arrival, packet))
    }

    /// True if nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }
}
