//! What is only worth knowing while data is in flight, in boxes that are used again and again.

use super::Range;
use super::pacing::Pace;
use super::prr::Prr;
use super::rack::Rack;
use super::rate::Delivered;
use super::run::Run;
use super::scoreboard::Scoreboard;
use super::undo::Armed;
use crate::congestion::Congestion;
use crate::{SequenceNumber, Time};

/// Whether losses are being repaired.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Phase {
    /// No.
    #[default]
    Open,
    /// Fast recovery (RFC 6675, section 5; RFC 6582): the window is led by proportional rate reduction.
    Recovery,
    /// After a timeout (RFC 5681, section 3.1).
    Loss,
}

/// What the main timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum TimerKind {
    #[default]
    Timeout,
    /// A tail loss probe, or one into a recovery that has fallen silent.
    Probe,
    /// Everything is acknowledged; the box is only kept for a DSACK.
    Linger,
}

/// A tail loss probe that went out (RFC 8985, section 7).
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// `TLP.end_seq`.
    pub(super) end: SequenceNumber,
    /// `TLP.is_retrans`.
    pub(super) retransmission: bool,
}

/// How much of the window was in use of late (RFC 7661, in spirit): it may only grow if it was what limited sending.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    until: SequenceNumber,
    most: u32,
    limited: bool,
}

impl Usage {
    /// Something was sent; `room` octets of the window are left.
    #[inline]
    pub(super) fn sent(&mut self, una: SequenceNumber, next: SequenceNumber, pipe: u32, room: u32, mss: u32) {
        let limited = room < mss;
        if limited || pipe > self.most || una.reaches(self.until) {
            (self.until, self.most, self.limited) = (next, pipe, limited);
        }
    }

    /// True if the window may grow.
    #[inline]
    pub(super) fn is_limited(&self, window: u32, threshold: u32) -> bool {
        self.limited || (window < threshold && u64::from(window) < 2 * u64::from(self.most))
    }
}

/// The state of a connection that has data in flight.
#[derive(Debug, Default)]
pub(super) struct Flight {
    pub(super) scoreboard: Scoreboard,
    pub(super) rack: Rack,
    pub(super) phase: Phase,
    /// SND.NXT when recovery began: it ends when all before is acknowledged.
    pub(super) recovery_point: SequenceNumber,
    pub(super) prr: Prr,
    /// A reduction that may yet be taken back.
    pub(super) undo: Option<Armed<Congestion>>,
    /// After a timeout: whether it was spurious is still open (RFC 5682).
    pub(super) doubtful: bool,
    /// New data goes before retransmissions, to find that out (RFC 5682, section 3.1, step 2b).
    pub(super) prefer_new: bool,
    pub(super) probe: Option<Probe>,
    /// The next segment that goes out is a probe.
    pub(super) probing: bool,
    /// Probes since the last progress.
    pub(super) probes: u8,
    /// Octets that may go regardless of the window: a probe's.
    pub(super) allowance: u32,
    pub(super) delivered: Delivered,
    pub(super) usage: Usage,
    pub(super) timer: Time,
    pub(super) timer_kind: TimerKind,
    /// RACK's reordering timer.
    pub(super) reorder_at: Time,
    /// For how many nanoseconds the timer was last set.
    pub(super) patience: u64,
    pub(super) pace: Pace,
    /// Peers without SACK: octets that duplicate acknowledgements say have arrived.
    pub(super) duplicates: u32,
    /// Peers without SACK: duplicates are ignored until something after this is acknowledged (RFC 6582, section 4).
    pub(super) guard: Option<SequenceNumber>,
}

impl Flight {
    /// Nothing in flight yet; `start` is the first octet to go.
    pub(super) fn begin(&mut self, start: SequenceNumber, now: Time) {
        self.scoreboard.begin(start);
        self.rack = Rack::begin(start);
        (self.phase, self.recovery_point) = (Phase::Open, start);
        (self.undo, self.probe, self.guard) = (None, None, None);
        (self.doubtful, self.prefer_new, self.probing, self.probes) = (false, false, false, 0);
        (self.allowance, self.duplicates) = (0, 0);
        self.usage = Usage { until: start, ..Usage::default() };
        self.delivered = Delivered::default();
        self.delivered.begin(now);
        (self.timer, self.timer_kind) = (Time::NEVER, TimerKind::Timeout);
        self.reorder_at = Time::NEVER;
        self.pace = Pace::default();
    }

    /// Something goes out, from `start` on, while nothing is in flight: what the box was kept for may still come.
    pub(super) fn begin_again(&mut self, start: SequenceNumber, now: Time) {
        if self.scoreboard.next == start {
            self.timer_kind = TimerKind::Timeout;
            self.delivered.begin(now);
        } else {
            self.begin(start, now);
        }
    }

    /// True if there is more to an acknowledgement than that octets arrived in order.
    #[inline]
    pub(super) fn is_eventful(&self) -> bool {
        self.phase != Phase::Open
            || self.scoreboard.sacked > 0
            || self.scoreboard.lost > 0
            || !self.scoreboard.queue.is_empty()
            || self.undo.is_some()
            || self.probe.is_some()
            || self.reorder_at != Time::NEVER
    }

    /// True if all that is in flight was sent once, and nothing is amiss.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.scoreboard.outstanding() > 0 && self.allowance == 0 && !self.probing && !self.is_eventful()
    }

    /// Octets that go out for the first time now.
    #[inline]
    pub(super) fn run(&self, range: Range, now: Time) -> Run {
        Run {
            range,
            sent: now,
            delivered: self.delivered.octets,
            delivered_at: self.delivered.at,
            first_sent: self.delivered.first_sent,
            ..Run::BLANK
        }
    }

    /// Something went out.
    #[inline]
    pub(super) fn note_usage(&mut self, window: u32, mss: u32) {
        let (pipe, scoreboard) = (self.pipe(), &self.scoreboard);
        self.usage.sent(scoreboard.una, scoreboard.next, pipe, window.saturating_sub(pipe), mss);
    }

    /// Octets thought to be in the network, those that duplicate acknowledgements stand for left out.
    #[inline]
    pub(super) fn pipe(&self) -> u32 {
        self.scoreboard.pipe().saturating_sub(self.duplicates)
    }
}

/// The most runs that a box in the pool keeps room for.
const ROOM_KEPT: usize = 128;

/// The free boxes of all connections of a stack.
#[derive(Debug)]
pub struct FlightPool {
    // Boxes, because that is how they move from connection to connection.
    #[expect(clippy::vec_box, reason = "a box moves between pool and connection as it is")]
    free: Vec<Box<Flight>>,
    keep: usize,
}

impl FlightPool {
    /// A pool that keeps up to `keep` free boxes of some 500 octets, and at most 6 KiB more each.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self { free: Vec::new(), keep }
    }

    /// How many boxes lie idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.free.len()
    }

    #[inline]
    pub(super) fn take(&mut self) -> Box<Flight> {
        self.free.pop().unwrap_or_default()
    }

    #[inline]
    pub(super) fn give(&mut self, mut flight: Box<Flight>) {
        if self.free.len() < self.keep {
            if flight.scoreboard.capacity() > ROOM_KEPT {
                flight.scoreboard = Scoreboard::default();
            }
            self.free.push(flight);
        }
    }
}
