//! What may go out next, and what is noted when it does.

use super::flight::{FlightPool, Phase, Probe, TimerKind};
use super::run::{Run, State};
use super::{Range, Recovery, Retransmission};
use crate::Time;
use crate::congestion::{CongestionControl, initial_window};

/// Runs hold what was sent within this fraction of a round trip: fewer runs, for a round trip known to a percent.
const SLACK_SHIFT: u32 = 7;

impl Recovery {
    /// What is to be sent again before anything else, if the window and the pace allow it now. `queued`: octets of new data
    /// that could go instead, as to the peer's window (RFC 5682 wants that once after a timeout).
    #[must_use]
    #[inline]
    pub fn next_retransmission(&mut self, now: Time, queued: u32) -> Option<Retransmission> {
        let flight = self.flight.as_ref()?;
        if flight.scoreboard.lost == 0 || (flight.prefer_new && queued > 0) {
            return None;
        }
        let run = flight.scoreboard.first_lost()?;
        let length = run.range.length().min(self.mss());
        let (range, cause) = (Range::new(run.range.start, length), run.cause);
        let room = self.congestion.window().saturating_sub(flight.pipe()).max(flight.allowance);
        if room < length || self.paced_room(now) < length {
            return None;
        }
        Some(Retransmission { range, cause })
    }

    /// True if something is taken for lost that has not gone again.
    #[must_use]
    #[inline]
    pub fn has_lost(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.scoreboard.lost > 0)
    }

    /// How many of `queued` octets of new data may go: all of them, or else a segment or more, or none. Ask when there is nothing
    /// to retransmit (after a timeout, retransmissions come first also where they have to wait).
    #[must_use]
    #[inline]
    pub fn may_send(&mut self, now: Time, queued: u32) -> u32 {
        let (mss, window) = (self.mss(), self.congestion.window());
        let Some(flight) = &mut self.flight else {
            if self.stretch.length == 0 {
                self.restart_after_idle(now);
            }
            return whole(self.congestion.window().saturating_sub(self.stretch.length), queued, mss);
        };
        if flight.scoreboard.lost > 0 && !flight.prefer_new && flight.allowance == 0 {
            return 0; // lost octets have the first claim on the window
        }
        let room = window.saturating_sub(flight.pipe()).max(flight.allowance);
        let room = whole(room, queued, mss);
        if room == 0 { 0 } else { whole(flight.pace.room(mss, now).min(room), queued, mss) }
    }

    /// A segment with the octets `range` goes out: new data if it starts at SND.NXT, else a retransmission. `timestamp`: its
    /// TSval, or zero without timestamps.
    #[inline]
    pub fn sent(&mut self, pool: &mut FlightPool, range: Range, timestamp: u32, now: Time) {
        if range.length() == 0 {
            return;
        }
        if self.flight.is_none() {
            if self.extend_stretch(range, now) {
                return;
            }
            self.unfold(pool);
        }
        match &self.flight {
            Some(flight) if range.start == flight.scoreboard.next && flight.is_plain() => {
                self.sent_more(range, now);
            }
            _ => self.sent_anything(range, timestamp, now),
        }
    }

    /// New octets follow others that are in flight while nothing is amiss.
    #[inline]
    fn sent_more(&mut self, range: Range, now: Time) {
        let (mss, window, slack) = (self.mss(), self.congestion.window(), self.slack());
        let Some(flight) = &mut self.flight else { return };
        let before = flight.scoreboard.outstanding();
        if !flight.scoreboard.extend(range.end, now, slack) {
            let run = flight.run(range, now);
            flight.scoreboard.push(&run);
        }
        flight.note_usage(window, mss);
        flight.pace.sent(range.length(), now);
        if before <= mss {
            // The timer of a lone segment allows for an acknowledgement that is kept back, which is not to be expected any more.
            self.arm(now);
        } else if flight.timer_kind == TimerKind::Probe {
            // RFC 8985, section 7.2: the probe's timer runs from the last segment.
            flight.timer = Time(now.0.saturating_add(flight.patience));
        }
    }

    /// [`Self::sent`] for whatever a box has to know.
    fn sent_anything(&mut self, range: Range, timestamp: u32, now: Time) {
        let (mss, window) = (self.mss(), self.congestion.window());
        if self.outstanding() == 0 {
            self.restart_after_idle(now);
        }
        let Some(flight) = &mut self.flight else { return };
        let before = flight.scoreboard.outstanding();
        if before == 0 {
            flight.begin_again(range.start, now);
        }
        let fresh = range.start == flight.scoreboard.next;
        let run = flight.run(range, now);
        if fresh {
            // Next to retransmissions, RACK needs to know which was sent first.
            if !flight.scoreboard.extend(range.end, now, 0) {
                flight.scoreboard.push(&run);
            }
        } else {
            flight.scoreboard.resend(Run { state: State::Resent, repeated: true, ..run });
            if let Some(armed) = &mut flight.undo {
                armed.sent(range.length(), timestamp);
            }
        }
        let octets = range.length();
        if flight.phase == Phase::Recovery {
            flight.prr.sent(octets);
        }
        if flight.probing {
            flight.probing = false;
            flight.probe = Some(Probe { end: flight.scoreboard.next, retransmission: !fresh });
        }
        flight.allowance = flight.allowance.saturating_sub(octets);
        flight.note_usage(window, mss);
        flight.pace.sent(octets, now);
        // RFC 6298, section 5.1; as above.
        if before <= mss || !fresh || flight.timer_kind == TimerKind::Probe {
            self.arm(now);
        }
    }

    /// For how many nanoseconds octets that go out belong to the same run.
    #[inline]
    pub(super) fn slack(&self) -> u64 {
        self.rtt.smoothed_nanos() >> SLACK_SHIFT
    }

    /// All there is to send has gone: if the window would allow more, samples of the rate of delivery are the application's until
    /// what is in flight now has arrived. (That the window does not grow then is `Usage`'s affair.)
    #[inline]
    pub fn application_limited(&mut self) {
        let (window, mss) = (self.congestion.window(), self.mss());
        if let Some(flight) = &mut self.flight {
            let pipe = flight.pipe();
            if window.saturating_sub(pipe) >= mss {
                flight.delivered.limit(pipe);
            }
        }
    }

    /// After an idle time the window halves for each timeout that passed, down to the initial one (RFC 5681, section 4.1;
    /// RFC 2861, section 3.1), and the threshold remembers what it was.
    #[inline]
    pub(super) fn restart_after_idle(&mut self, now: Time) {
        let idle = now.nanos_since(self.since);
        if idle > self.rtt.margin_nanos() && idle > u64::from(self.rtt.timeout(false)) * 1_000 {
            self.shrink_idle(idle, now);
        }
    }

    #[cold]
    fn shrink_idle(&mut self, idle: u64, now: Time) {
        self.congestion.on_idle(self.since);
        self.since = now;
        let (window, restart) = (self.congestion.window(), initial_window(self.mss()));
        if window > restart {
            let halvings = (idle / 1_000 / u64::from(self.rtt.timeout(false))).min(31);
            let threshold = self.congestion.threshold();
            let remembered = (u64::from(window) * 3 / 4) as u32;
            self.congestion.set_threshold(threshold.max(remembered));
            self.congestion.set_window((window >> halvings).max(restart));
        }
    }
}

/// `queued` octets if they fit into `room`, else all of it if it holds a segment.
#[inline]
fn whole(room: u32, queued: u32, mss: u32) -> u32 {
    if queued <= room {
        queued
    } else if room >= mss {
        room
    } else {
        0
    }
}
