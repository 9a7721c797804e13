//! A connection driven by hand: segments of 1,000 octets, numbered from zero, over a round trip of 100 ms.

use crate::recovery::{
    Ack, Action, Cause, Echo, FlightPool, Micros, Outcome, Range, Recovery, RtoPolicy, Settings,
};
use crate::{SequenceNumber, Time};

pub(super) const MSS: u32 = 1_000;
const START: SequenceNumber = SequenceNumber(0xffff_f000); // wraps soon

pub(super) struct Scene {
    pub(super) recovery: Recovery,
    pub(super) pool: FlightPool,
    pub(super) now: Time,
    pub(super) next: u32,
}

/// Segments `from..to`.
pub(super) fn segments(from: u32, to: u32) -> Range {
    Range { start: START + from * MSS, end: START + to * MSS }
}

impl Scene {
    pub(super) fn new(sack: bool) -> Self {
        let settings = Settings { mss: MSS as u16, sack, rto: RtoPolicy::CLIENT, ..Settings::default() };
        let mut recovery = Recovery::new(&settings, Time(0));
        recovery.handshake(Some(100_000), 0, Time(0));
        Self { recovery, pool: FlightPool::new(4), now: Time::from_millis(1_000), next: 0 }
    }

    pub(super) fn pass(&mut self, millis: u32) {
        self.now = self.now.plus_millis(millis);
    }

    /// The timestamp clock: milliseconds.
    pub(super) fn timestamp(&self) -> u32 {
        self.now.wrapping_millis()
    }

    pub(super) fn send_range(&mut self, range: Range) {
        let timestamp = self.timestamp();
        self.recovery.sent(&mut self.pool, range, timestamp, self.now);
    }

    /// So many new segments, whatever the window.
    pub(super) fn send(&mut self, count: u32) {
        for _ in 0..count {
            self.send_range(segments(self.next, self.next + 1));
            self.next += 1;
        }
    }

    /// Sends all that may go: retransmissions (first segment, cause) and how many new ones.
    pub(super) fn transmit(&mut self) -> (Vec<(u32, Cause)>, u32) {
        let (mut again, mut new) = (Vec::new(), 0);
        loop {
            if let Some(what) = self.recovery.next_retransmission(self.now, u32::MAX) {
                again.push(((what.range.start - START) / MSS, what.cause));
                self.send_range(what.range);
            } else if self.recovery.may_send(self.now, u32::MAX) >= MSS {
                self.send(1);
                new += 1;
            } else {
                return (again, new);
            }
        }
    }

    pub(super) fn ack_with(&mut self, next: u32, blocks: &[Range], echo: Option<Echo>) -> Outcome {
        let number = START + next * MSS;
        let duplicate = number == START + self.next * MSS - self.recovery.outstanding();
        let ack = Ack { number, sack: blocks, duplicate, echo, ecn_echo: false };
        let outcome = self.recovery.acknowledged(&mut self.pool, &ack, self.now);
        self.check();
        outcome
    }

    /// Everything before segment `next`, and the segments of `sacked` (from, to).
    pub(super) fn ack(&mut self, next: u32, sacked: &[(u32, u32)]) -> Outcome {
        let blocks: Vec<Range> = sacked.iter().map(|&(from, to)| segments(from, to)).collect();
        self.ack_with(next, &blocks, None)
    }

    /// With the echo of a timestamp.
    pub(super) fn ack_echo(&mut self, next: u32, echo: u32) -> Outcome {
        let age: Micros = self.timestamp().wrapping_sub(echo).wrapping_mul(1_000);
        self.ack_with(next, &[], Some(Echo { value: echo, age }))
    }

    /// Waits for the deadline and does what it is for.
    pub(super) fn wait(&mut self) -> Action {
        self.now = self.recovery.deadline().unwrap().max(self.now);
        let action = self.recovery.timer_expired(&mut self.pool, self.now);
        self.check();
        action
    }

    /// The scoreboard's invariants.
    pub(super) fn check(&self) {
        if let Some(flight) = &self.recovery.flight {
            flight.scoreboard.check();
        }
    }
}
