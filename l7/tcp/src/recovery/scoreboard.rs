//! The scoreboard: every octet between SND.UNA and SND.NXT, what became of it and when it was sent.
//!
//! Invariants:
//! - The runs lie end to end and cover exactly `una..next`, in order of sequence; no two SACKed ones touch.
//! - `sacked`, `lost` and `resent` count the octets of the runs in those states; the pipe is what is left of the whole
//!   without the SACKed and the lost (RFC 6675, section 4, with one copy counted per octet).
//! - Runs that were sent once are in order of time, too; those sent again are so in `queue`. So whatever is overdue is at
//!   one of two fronts, and looking for it costs nothing per run in flight.
//!
//! Runs are few: octets sent within a fraction of a round trip of each other share one, SACKed neighbours are joined, and
//! what a peer's SACK may cut them into is bounded by the window.

use std::collections::VecDeque;

use super::run::{Run, State};
use super::{Cause, Range};
use crate::{SequenceNumber, Time};

/// Octets that went out again together. Those of them that are in flight no more, or were sent yet again, are passed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resent {
    pub(super) range: Range,
    pub(super) sent: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    pub(super) runs: VecDeque<Run>,
    /// What went out again, by time.
    pub(super) queue: VecDeque<Resent>,
    pub(super) una: SequenceNumber,
    pub(super) next: SequenceNumber,
    pub(super) sacked: u32,
    pub(super) lost: u32,
    pub(super) resent: u32,
    /// No run before this is lost.
    lost_from: SequenceNumber,
    /// No run before this is on its first way.
    pub(super) originals_from: SequenceNumber,
}

impl Scoreboard {
    /// Nothing in flight; the next octet is `start`.
    pub(super) fn begin(&mut self, start: SequenceNumber) {
        self.runs.clear();
        self.queue.clear();
        (self.una, self.next, self.lost_from, self.originals_from) = (start, start, start, start);
        (self.sacked, self.lost, self.resent) = (0, 0, 0);
    }

    /// How many entries there is room for: what a free box would keep from others.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.runs.capacity().max(self.queue.capacity())
    }

    /// Octets from SND.UNA to SND.NXT.
    #[inline]
    pub(super) fn outstanding(&self) -> u32 {
        self.next - self.una
    }

    /// Octets thought to be in the network.
    #[inline]
    pub(super) fn pipe(&self) -> u32 {
        self.outstanding() - self.sacked - self.lost
    }

    /// The run that holds the octet `at`, or the number of runs if there is none.
    #[inline]
    pub(super) fn index_of(&self, at: SequenceNumber) -> usize {
        let offset = at.octets_after(self.una);
        if offset < self.runs.front().map_or(0, |run| run.range.length()) {
            return 0;
        }
        self.runs.partition_point(|run| run.range.end - self.una <= offset)
    }

    /// New data up to `end` goes out, right after what went before. False if that is older than `slack` nanoseconds, or not in its first
    /// flight: then it is a run of its own.
    #[inline]
    pub(super) fn extend(&mut self, end: SequenceNumber, now: Time, slack: u64) -> bool {
        match self.runs.back_mut() {
            Some(last) if last.state == State::Sent && now.nanos_since(last.sent) <= slack => {
                (last.range.end, self.next) = (end, end);
                true
            }
            _ => false,
        }
    }

    /// The same, as a run of its own.
    ///
    /// Field by field into its place: copied as a whole, it would have to wait for its own parts to be written.
    #[inline]
    pub(super) fn push(&mut self, run: &Run) {
        self.next = run.range.end;
        self.runs.push_back(Run::BLANK);
        if let Some(back) = self.runs.back_mut() {
            back.range = run.range;
            back.sent = run.sent;
            back.delivered = run.delivered;
            back.delivered_at = run.delivered_at;
            back.first_sent = run.first_sent;
            back.state = run.state;
        }
    }

    /// Everything before `to` is acknowledged. `visit` sees each piece as it was.
    #[inline]
    pub(super) fn acknowledge(&mut self, to: SequenceNumber, mut visit: impl FnMut(&Run)) {
        while let Some(front) = self.runs.front_mut() {
            if !to.follows(front.range.start) {
                break;
            }
            let end = front.range.end.earliest(to);
            let piece = front.with(Range { start: front.range.start, end });
            if end == front.range.end {
                self.runs.pop_front();
            } else {
                front.range.start = end;
            }
            self.uncount(piece.state, piece.range.length());
            visit(&piece);
        }
        self.una = to;
        while self.queue.front().is_some_and(|resent| to.reaches(resent.range.end)) {
            self.queue.pop_front();
        }
    }

    /// The peer has `range`, which lies within `una..next` and is not empty. `visit` sees each piece that was not known
    /// to have arrived, as it was. False if nothing was noted for want of room for more runs.
    pub(super) fn sack(&mut self, range: Range, mut visit: impl FnMut(&Run)) -> bool {
        let (mut start, mut index) = (range.start, self.index_of(range.start));
        if self.runs[index].state == State::Sacked {
            start = self.runs[index].range.end;
            if start.reaches(range.end) {
                return true;
            }
            index += 1;
        }
        if self.runs[index].range.start != start {
            if self.is_full() {
                return false;
            }
            self.split(index, start);
            index += 1;
        }
        let first = index;
        while index < self.runs.len() && range.end.reaches(self.runs[index].range.end) {
            self.deliver(index, &mut visit);
            index += 1;
        }
        if index < self.runs.len() && range.end.follows(self.runs[index].range.start) {
            self.deliver_front_of(index, range.end, &mut visit);
        }
        self.join_sacked(first.saturating_sub(1), index);
        true
    }

    /// Run `index` has arrived as a whole.
    fn deliver(&mut self, index: usize, visit: &mut impl FnMut(&Run)) {
        let run = self.runs[index];
        if run.state != State::Sacked {
            visit(&run);
            self.uncount(run.state, run.range.length());
            self.sacked += run.range.length();
            self.runs[index].state = State::Sacked;
        }
    }

    /// The octets of run `index` before `end` have arrived. Where the run before it has, the boundary moves.
    fn deliver_front_of(&mut self, index: usize, end: SequenceNumber, visit: &mut impl FnMut(&Run)) {
        let run = self.runs[index];
        if run.state == State::Sacked {
            return;
        }
        if index > 0 && self.runs[index - 1].state == State::Sacked {
            let piece = run.with(Range { start: run.range.start, end });
            visit(&piece);
            self.uncount(run.state, piece.range.length());
            self.sacked += piece.range.length();
            self.runs[index - 1].range.end = end;
            self.runs[index].range.start = end;
        } else if !self.is_full() {
            self.split(index, end);
            self.deliver(index, visit);
        }
    }

    /// Joins the SACKed runs among `from..=to`, of which all between the ends are SACKed.
    fn join_sacked(&mut self, from: usize, to: usize) {
        let sacked = |index: usize| self.runs.get(index).is_some_and(|run| run.state == State::Sacked);
        let first = if sacked(from) { from } else { from + 1 };
        let mut last = to;
        while last > first && !sacked(last) {
            last -= 1;
        }
        if last > first && sacked(first) {
            self.runs[first].range.end = self.runs[last].range.end;
            self.runs.drain(first + 1..=last);
        }
    }

    /// `run.range` goes out again, as `run` says. Octets that were SACKed meanwhile stay so.
    pub(super) fn resend(&mut self, run: Run) {
        let mut at = run.range.start.latest(self.una);
        let end = run.range.end.earliest(self.next);
        while end.follows(at) {
            let index = self.index_of(at);
            let piece = Range { start: at, end: self.runs[index].range.end.earliest(end) };
            if self.runs[index].state != State::Sacked {
                self.resend_piece(index, run.with(piece));
            }
            at = piece.end;
        }
    }

    /// `piece`, a part of run `index`, goes out again.
    fn resend_piece(&mut self, mut index: usize, piece: Run) {
        let old = self.runs[index];
        let length = piece.range.length();
        if self.first_lost().is_some_and(|first| first.range.start.reaches(piece.range.start)) {
            self.lost_from = piece.range.end;
        }
        self.uncount(old.state, length);
        self.resent += length;
        if piece.range.start != old.range.start {
            self.split(index, piece.range.start);
            index += 1;
        }
        let joins = |other: &Run| other.state == State::Resent && piece.sent == other.sent;
        if index > 0 && joins(&self.runs[index - 1]) {
            self.runs[index - 1].range.end = piece.range.end;
            if piece.range.end == self.runs[index].range.end {
                self.runs.remove(index);
            } else {
                self.runs[index].range.start = piece.range.end;
            }
        } else {
            if piece.range.end != self.runs[index].range.end {
                self.split(index, piece.range.end);
            }
            self.runs[index] = piece;
        }
        match self.queue.back_mut() {
            Some(back) if back.range.end == piece.range.start && piece.sent == back.sent => {
                back.range.end = piece.range.end;
            }
            _ => self.queue.push_back(Resent { range: piece.range, sent: piece.sent }),
        }
    }

    /// Run `index` is taken for lost.
    pub(super) fn lose(&mut self, index: usize, cause: Cause) -> u32 {
        let Run { range, state, .. } = self.runs[index];
        if self.lost == 0 {
            self.lost_from = range.start;
        }
        self.lost_from = self.lost_from.earliest(range.start);
        self.uncount(state, range.length());
        self.lost += range.length();
        (self.runs[index].state, self.runs[index].cause) = (State::Lost, cause);
        range.length()
    }

    /// The first stretch of lost octets.
    pub(super) fn first_lost(&self) -> Option<&Run> {
        if self.lost == 0 {
            return None;
        }
        self.runs.range(self.index_of(self.lost_from)..).find(|run| run.state == State::Lost)
    }

    /// Run `index` becomes two, the second of which starts at `at`, an octet inside it.
    pub(super) fn split(&mut self, index: usize, at: SequenceNumber) {
        let run = self.runs[index];
        self.runs.insert(index, run.with(Range { start: run.range.start, end: at }));
        self.runs[index + 1].range.start = at;
    }

    /// True when SACK may not cut anything more: an honest peer needs two runs a segment.
    fn is_full(&self) -> bool {
        self.runs.len() as u64 > 64 + u64::from(self.outstanding()) / 256
    }

    /// `length` octets leave `state`.
    #[inline]
    fn uncount(&mut self, state: State, length: u32) {
        match state {
            State::Sent => {}
            State::Resent => self.resent -= length,
            State::Lost => self.lost -= length,
            State::Sacked => self.sacked -= length,
        }
    }
}
