//! A sender, a link and an ideal receiver, on sequence numbers and virtual time alone, under one seed.

mod link;
mod receiver;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub(super) use link::{Link, Loss};
use receiver::Receiver;

use crate::recovery::{
    Ack, Action, Cause, Echo, FlightPool, Outcome, Range, Recovery, Retransmission, Settings,
};
use crate::{SequenceNumber, Time};

/// SplitMix64 (Steele et al. 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }
}

/// A segment on its way, and the moment it was sent as its timestamp.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    range: Range,
    timestamp: u32,
}

/// An acknowledgement on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) number: SequenceNumber,
    pub(super) blocks: Vec<Range>,
    pub(super) echo: u32,
    pub(super) duplicate: bool,
}

enum Event {
    Arrives(Packet),
    Acknowledges(Reply),
    DelayedAck(u64),
}

/// What a run is like.
#[derive(Clone, Copy)]
pub(super) struct Scenario {
    pub(super) link: Link,
    pub(super) settings: Settings,
    pub(super) timestamps: bool,
    /// The peer's window in octets.
    pub(super) window: u32,
    /// Octets to send.
    pub(super) octets: u64,
    pub(super) seed: u64,
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Octets that the receiver has in order.
    pub(super) delivered: u64,
    pub(super) finished: Option<Time>,
    pub(super) sent: u64,
    pub(super) dropped: u64,
    pub(super) lost: u64,
    /// By cause, in the order of `Cause`.
    pub(super) resent: [u64; 5],
    pub(super) recoveries: u64,
    pub(super) undone: u64,
    pub(super) most_runs: usize,
}

const TICK_NANOS: u64 = 1_000_000;

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) recovery: Recovery,
    pub(super) pool: FlightPool,
    pub(super) now: Time,
    receiver: Receiver,
    random: Random,
    events: BinaryHeap<Reverse<(Time, u64)>>,
    pending: std::collections::HashMap<u64, Event>,
    order: u64,
    una: SequenceNumber,
    next: SequenceNumber,
    left: u64,
    tail_probe: Option<Retransmission>,
    pub(super) report: Report,
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Self {
        let start = SequenceNumber(0_u32.wrapping_sub(100_000)); // wraps soon
        let mut recovery = Recovery::new(&scenario.settings, Time(0));
        recovery.handshake(Some((scenario.link.delay_nanos * 2 / 1_000) as u32), 0, Time(0));
        Self {
            scenario,
            recovery,
            pool: FlightPool::new(1),
            now: Time(1),
            receiver: Receiver::new(start, scenario.settings.sack),
            random: Random(scenario.seed),
            events: BinaryHeap::new(),
            pending: std::collections::HashMap::new(),
            order: 0,
            una: start,
            next: start,
            left: scenario.octets,
            tail_probe: None,
            report: Report::default(),
        }
    }

    /// Runs until `until`, or until everything is acknowledged.
    pub(super) fn run(&mut self, until: Time) -> Report {
        self.transmit();
        while self.left > 0 || self.recovery.outstanding() > 0 {
            let event = self.events.peek().map_or(Time::NEVER, |event| event.0.0);
            let timer = self.recovery.deadline().unwrap_or(Time::NEVER);
            assert!(event != Time::NEVER || timer != Time::NEVER, "stalled at {:?}", self.now);
            if event.min(timer) > until {
                break;
            }
            if timer < event {
                self.now = timer.max(self.now);
                if let Action::Probe(again) = self.recovery.timer_expired(&mut self.pool, self.now) {
                    self.tail_probe = Some(again);
                }
            } else if let Some(Reverse((at, id))) = self.events.pop() {
                self.now = at;
                if let Some(event) = self.pending.remove(&id) {
                    self.handle(event);
                }
            }
            self.transmit();
        }
        self.report.delivered = self.receiver.delivered;
        self.report
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrives(packet) => {
                let (reply, delayed) = self.receiver.take(packet.range, packet.timestamp);
                if let Some(reply) = reply {
                    self.reply(reply);
                } else if let Some(generation) = delayed {
                    self.schedule(Time(self.now.0 + 40_000_000), Event::DelayedAck(generation));
                }
                if self.receiver.delivered >= self.scenario.octets && self.report.finished.is_none() {
                    self.report.finished = Some(self.now);
                }
            }
            Event::DelayedAck(generation) => {
                if let Some(reply) = self.receiver.late(generation) {
                    self.reply(reply);
                }
            }
            Event::Acknowledges(reply) => {
                self.acknowledge(&reply);
            }
        }
    }

    fn acknowledge(&mut self, reply: &Reply) -> Outcome {
        let age = ((self.now.0 / TICK_NANOS) as u32).wrapping_sub(reply.echo).wrapping_mul(1_000);
        let ack = Ack {
            number: reply.number,
            sack: &reply.blocks,
            duplicate: reply.duplicate,
            echo: self.scenario.timestamps.then_some(Echo { value: reply.echo, age }),
            ecn_echo: false,
        };
        let outcome = self.recovery.acknowledged(&mut self.pool, &ack, self.now);
        if outcome.acknowledged > 0 {
            assert!(reply.number.follows(self.una));
            self.una = reply.number;
        }
        self.report.lost += u64::from(outcome.lost);
        self.report.recoveries += u64::from(outcome.entered_recovery);
        self.report.undone += u64::from(outcome.undo.is_some());
        if let Some(flight) = &self.recovery.flight {
            self.report.most_runs = self.report.most_runs.max(flight.scoreboard.runs.len());
        }
        outcome
    }

    fn queued(&self) -> u32 {
        let room = self.scenario.window.saturating_sub(self.next - self.una);
        u32::try_from(self.left.min(u64::from(room))).unwrap_or(u32::MAX)
    }

    fn transmit(&mut self) {
        loop {
            let queued = self.queued();
            if let Some(again) = self.recovery.next_retransmission(self.now, queued) {
                self.send(again.range, Some(again.cause));
                continue;
            }
            let allowed = self.recovery.may_send(self.now, queued);
            let length = allowed.min(u32::from(self.scenario.settings.mss));
            if length > 0 {
                self.tail_probe = None;
                self.left -= u64::from(length);
                let range = Range::new(self.next, length);
                self.next = range.end;
                self.send(range, None);
            } else if let Some(again) = self.tail_probe.take() {
                self.send(again.range, Some(again.cause));
            } else {
                break;
            }
        }
    }

    fn send(&mut self, range: Range, cause: Option<Cause>) {
        let timestamp = (self.now.0 / TICK_NANOS) as u32;
        self.recovery.sent(&mut self.pool, range, timestamp, self.now);
        self.report.sent += 1;
        if let Some(cause) = cause {
            self.report.resent[cause as usize] += 1;
        }
        let packet = Packet { range, timestamp };
        match self.scenario.link.carry(self.now, range.length() + 66, &mut self.random) {
            Some(at) => self.schedule(at, Event::Arrives(packet)),
            None => self.report.dropped += 1,
        }
    }

    fn reply(&mut self, reply: Reply) {
        let at = Time(self.now.0 + self.scenario.link.delay_nanos);
        self.schedule(at, Event::Acknowledges(reply));
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order)));
        self.pending.insert(self.order, event);
    }
}
