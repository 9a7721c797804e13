//! One direction of a link: when each packet arrives, how often, and in what state.

use std::time::Duration;

use super::loss::{Loss, Process};
use super::mark::mark;
use super::queue::Queue;
use super::random::Random;

/// What a link does to packets.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// How long a packet is on its way once it was sent.
    pub delay: Duration,
    /// Bits per second; none takes no time.
    pub rate: Option<u64>,
    /// Packets that may wait for the one that is being sent; the next is dropped.
    pub queue: usize,
    /// So many packets wait before the next one is marked instead of dropped, if it may be (RFC 3168); none never are.
    pub marking: Option<usize>,
    /// How packets are lost on their way.
    pub loss: Loss,
    /// The share of packets that are late, so that others overtake them.
    pub reordering: f64,
    /// By how much they are late at most.
    pub lateness: Duration,
    /// The share of packets that arrive twice.
    pub duplication: f64,
    /// The share of packets of which one bit arrives inverted: what a checksum is sure to find.
    pub corruption: f64,
}

impl Model {
    /// Nothing but a delay.
    #[must_use]
    pub const fn delay(delay: Duration) -> Self {
        Self {
            delay,
            rate: None,
            queue: 0,
            marking: None,
            loss: Loss::Never,
            reordering: 0.0,
            lateness: Duration::ZERO,
            duplication: 0.0,
            corruption: 0.0,
        }
    }

    /// The same, with a line of `rate` bits per second behind a drop-tail queue of so many packets.
    #[must_use]
    pub const fn with_rate(mut self, rate: u64, queue: usize) -> Self {
        (self.rate, self.queue) = (Some(rate), queue);
        self
    }

    /// The same, whose queue marks what comes when so many packets wait.
    #[must_use]
    pub const fn with_marking(mut self, packets: usize) -> Self {
        self.marking = Some(packets);
        self
    }

    /// The same, which loses, reorders, repeats and damages some of all packets.
    #[must_use]
    pub const fn spoiled(self) -> Self {
        Self {
            loss: Loss::Random { share: 0.02 },
            reordering: 0.05,
            lateness: Duration::from_millis(15),
            duplication: 0.01,
            corruption: 0.01,
            ..self
        }
    }

    /// The same, with loss.
    #[must_use]
    pub const fn with_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }
}

/// What became of packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Packets that were to be sent.
    pub offered: u64,
    /// Of them, lost on the way.
    pub lost: u64,
    /// Of them, dropped because the queue was full.
    pub dropped: u64,
    /// Packets that arrive, duplicates included.
    pub delivered: u64,
    /// Of those offered, marked.
    pub marked: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            offered: self.offered + other.offered,
            lost: self.lost + other.lost,
            dropped: self.dropped + other.dropped,
            delivered: self.delivered + other.delivered,
            marked: self.marked + other.marked,
        }
    }
}

/// A direction of a link.
#[derive(Clone, Debug)]
pub struct Link {
    model: Model,
    queue: Queue,
    loss: Process,
    /// Each effect draws from its own: none disturbs another.
    late: Random,
    twice: Random,
    inverted: Random,
    /// What became of the packets so far.
    pub counts: Counts,
}

impl Link {
    /// A link on which `seed` says what happens.
    #[must_use]
    pub fn new(model: Model, seed: u64) -> Self {
        let mut random = Random(seed);
        Self {
            model,
            queue: Queue::new(model.rate, model.queue),
            loss: Process::new(model.loss, random.split()),
            late: random.split(),
            twice: random.split(),
            inverted: random.split(),
            counts: Counts::default(),
        }
    }

    /// Sends a packet, never back in time: `arrive` is told of each copy when it arrives and what it then is.
    pub fn send(&mut self, now: u64, mut packet: Vec<u8>, mut arrive: impl FnMut(u64, Vec<u8>)) {
        self.counts.offered += 1;
        let is_lost = self.loss.next();
        let is_late = self.late.happens(self.model.reordering);
        let is_twofold = self.twice.happens(self.model.duplication);
        let Some(departure) = self.queue.enter(now, packet.len()) else {
            self.counts.dropped += 1;
            return;
        };
        if self.model.marking.is_some_and(|most| self.queue.waiting() >= most) && mark(&mut packet) {
            self.counts.marked += 1;
        }
        if is_lost {
            self.counts.lost += 1;
            return;
        }
        let mut arrival = departure + nanos(self.model.delay);
        if is_late {
            arrival += self.late.below(nanos(self.model.lateness).max(1));
        }
        if is_twofold {
            let copy = self.perhaps_invert(packet.clone());
            self.counts.delivered += 1;
            arrive(arrival, copy);
        }
        let packet = self.perhaps_invert(packet);
        self.counts.delivered += 1;
        arrive(arrival, packet);
    }

    fn perhaps_invert(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        if self.inverted.happens(self.model.corruption) && !packet.is_empty() {
            let bit = self.inverted.below(packet.len() as u64 * 8);
            packet[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        packet
    }
}

const fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
