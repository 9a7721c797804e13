//! Which octets of a [`Scoreboard`] are taken for lost, and which no longer are.

use super::run::State;
use super::scoreboard::{Resent, Scoreboard};
use super::{Cause, Range};
use crate::{SequenceNumber, Time};

/// What RACK found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expired {
    /// Octets newly taken for lost.
    pub(super) lost: u32,
    /// When the next will be overdue, unless it arrives.
    pub(super) next: Option<Time>,
}

impl Scoreboard {
    /// Takes for lost what was sent before the newest delivered segment (sent at `newest`, ending at `end`) and more than
    /// `patience` nanoseconds ago (RFC 8985, section 6.2, step 5). Amortised over what it finds and what was sent.
    pub(super) fn expire(&mut self, newest: Time, end: SequenceNumber, patience: u64, now: Time) -> Expired {
        let mut found = Expired::default();
        for oldest in [Self::oldest_original, Self::oldest_resent] {
            while let Some((index, sent)) = oldest(self, newest, end) {
                let due = Time(sent.0.saturating_add(patience));
                if due > now {
                    found.next = Some(found.next.map_or(due, |next| next.min(due)));
                    break;
                }
                found.lost += self.lose(index, Cause::Rack);
            }
        }
        found
    }

    /// The first run on its first way that was sent before what ends at `end`, and when.
    fn oldest_original(&mut self, newest: Time, end: SequenceNumber) -> Option<(usize, Time)> {
        let from = self.index_of(self.originals_from);
        let ahead = self.runs.range(from.min(self.runs.len())..);
        let original = ahead.zip(from..).find(|(run, _)| run.state == State::Sent);
        self.originals_from = original.map_or(self.next, |(run, _)| run.range.start);
        let (run, index) = original?;
        let is_before = run.sent < newest || (run.sent == newest && end.reaches(run.range.end));
        is_before.then_some((index, run.sent))
    }

    /// The same for what is in flight again. What of it is not any more leaves the queue.
    fn oldest_resent(&mut self, newest: Time, end: SequenceNumber) -> Option<(usize, Time)> {
        loop {
            let &Resent { range, sent } = self.queue.front()?;
            // Of what was sent at the same time, only what lies before the one that arrived.
            let until = if sent < newest { range.end } else { range.end.earliest(end) };
            if sent > newest || !until.follows(range.start) {
                return None;
            }
            if let Some(index) = self.resent_within(Range { end: until, ..range }, sent) {
                return Some((index, sent));
            }
            if until == range.end {
                self.queue.pop_front();
            } else {
                self.queue[0].range.start = until;
            }
        }
    }

    /// The first run of `range` that is in flight again since `sent` or earlier.
    fn resent_within(&self, range: Range, sent: Time) -> Option<usize> {
        let from = self.index_of(range.start.latest(self.una));
        self.runs
            .range(from.min(self.runs.len())..)
            .zip(from..)
            .take_while(|(run, _)| range.end.follows(run.range.start))
            .find(|(run, _)| {
                run.state == State::Resent && run.sent <= sent && range.end.reaches(run.range.end)
            })
            .map(|(_, index)| index)
    }

    /// The retransmission timer expired: the first segment is lost, and all that was sent more than `patience`
    /// nanoseconds ago (RFC 8985, section 6.3); with `all`, everything, SACKed or not (RFC 2018, section 8).
    pub(super) fn time_out(&mut self, all: bool, mss: u32, patience: u64, now: Time) -> u32 {
        let mut lost = 0;
        let mut index = 0;
        while let Some(run) = self.runs.get(index) {
            let overdue = now.nanos_since(run.sent) >= patience;
            match run.state {
                State::Lost => self.runs[index].cause = Cause::Timeout,
                State::Sacked if !all => {}
                State::Sacked => {
                    self.runs[index].repeated = true;
                    lost += self.lose(index, Cause::Timeout);
                }
                State::Sent | State::Resent if all || overdue => lost += self.lose(index, Cause::Timeout),
                State::Sent | State::Resent if index == 0 => {
                    if run.range.length() > mss {
                        self.split(0, self.una + mss);
                    }
                    lost += self.lose(0, Cause::Timeout);
                }
                State::Sent | State::Resent => {}
            }
            index += 1;
        }
        lost
    }

    /// The first `mss` octets are taken for lost, if they are in flight.
    pub(super) fn lose_first(&mut self, mss: u32, cause: Cause) -> u32 {
        let Some(run) = self.runs.front() else { return 0 };
        if matches!(run.state, State::Lost | State::Sacked) {
            return 0;
        }
        if run.range.length() > mss {
            self.split(0, self.una + mss);
        }
        self.lose(0, cause)
    }

    /// What was taken for lost and did not go out again is in flight after all.
    pub(super) fn find_again(&mut self) {
        if self.lost == 0 {
            return;
        }
        for run in self.runs.iter_mut().filter(|run| run.state == State::Lost && !run.repeated) {
            run.state = State::Sent;
            self.lost -= run.range.length();
        }
        self.originals_from = self.una;
    }

    /// The last `mss` octets, or as many as there are, of the last run that has not arrived.
    pub(super) fn tail(&self, mss: u32) -> Option<Range> {
        let run = self.runs.iter().rev().find(|run| run.state != State::Sacked)?;
        let length = run.range.length().min(mss);
        Some(Range { start: run.range.end - length, end: run.range.end })
    }
}
