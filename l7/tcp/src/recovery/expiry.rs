//! Which octets of a [`Scoreboard`] are taken for lost, and which no longer are.

use super::run::State;
use super::scoreboard::Scoreboard;
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
        self.expire_originals(newest, end, patience, now, &mut found);
        self.expire_resent(newest, end, patience, now, &mut found);
        found
    }

    fn expire_originals(
        &mut self,
        newest: Time,
        end: SequenceNumber,
        patience: u64,
        now: Time,
        found: &mut Expired,
    ) {
        let mut index = self.index_of(self.originals_from);
        while let Some(run) = self.runs.get(index) {
            if run.state == State::Sent {
                if run.sent > newest || (run.sent == newest && run.range.end.follows(end)) {
                    break;
                }
                let due = Time(run.sent.0.saturating_add(patience));
                if due > now {
                    found.next = Some(due);
                    break;
                }
                found.lost += self.lose(index, Cause::Rack);
            }
            index += 1;
        }
        self.originals_from = self.runs.get(index).map_or(self.next, |run| run.range.start);
    }

    fn expire_resent(
        &mut self,
        newest: Time,
        end: SequenceNumber,
        patience: u64,
        now: Time,
        found: &mut Expired,
    ) {
        while let Some(&front) = self.queue.front() {
            // Of what was sent at the same time, only what lies before the one that arrived.
            let until = if front.sent < newest { front.range.end } else { front.range.end.earliest(end) };
            if front.sent > newest || !until.follows(front.range.start) {
                break;
            }
            let due = Time(front.sent.0.saturating_add(patience));
            if due > now {
                let waiting = Range { start: front.range.start, end: until };
                if self.resent_within(waiting, front.sent).is_some() {
                    found.next = Some(found.next.map_or(due, |next| next.min(due)));
                    break;
                }
            } else {
                let overdue = Range { start: front.range.start, end: until };
                while let Some(index) = self.resent_within(overdue, front.sent) {
                    found.lost += self.lose(index, Cause::Rack);
                }
            }
            if until == front.range.end {
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
