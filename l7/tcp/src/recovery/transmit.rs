//! What may go out next, and what is noted when it does.

use super::flight::{Flight, FlightPool, Phase, Probe, TimerKind};
use super::run::{Run, State};
use super::{Cause, Range, Recovery, Retransmission};
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

    /// How many of `queued` octets of new data may go: all of them, or else whole segments. Ask when there is nothing to
    /// retransmit (after a timeout, retransmissions come first also where they have to wait).
    #[must_use]
    #[inline]
    pub fn may_send(&mut self, now: Time, queued: u32) -> u32 {
        let Some(flight) = &self.flight else {
            self.restart_after_idle(now);
            return whole(self.congestion.window(), queued, self.mss());
        };
        if flight.scoreboard.lost > 0 && !flight.prefer_new && flight.allowance == 0 {
            return 0; // lost octets have the first claim on the window
        }
        let room = self.congestion.window().saturating_sub(flight.pipe()).max(flight.allowance);
        let room = whole(room, queued, self.mss());
        if room == 0 {
            return 0;
        }
        let paced = self.paced_room(now);
        if paced < room { whole(paced, queued, self.mss()) } else { room }
    }

    /// A segment with the octets `range` goes out: new data if it starts at SND.NXT, else a retransmission. `timestamp`: its
    /// TSval, or zero without timestamps.
    #[inline]
    pub fn sent(&mut self, pool: &mut FlightPool, range: Range, timestamp: u32, now: Time) {
        if range.length() == 0 {
            return;
        }
        let mss = self.mss();
        if self.outstanding() == 0 {
            self.restart_after_idle(now);
            self.open_flight(pool, range, now);
        }
        let (rate, round_trip) = (self.pacing_rate(), self.rtt.smoothed_nanos());
        let was_lone = self.is_lone();
        let Some(flight) = &mut self.flight else { return };
        // Only what all goes out for the first time: next to retransmissions, RACK needs to know which was sent first.
        let slack = if flight.is_eventful() { 0 } else { round_trip >> SLACK_SHIFT };
        let first = flight.scoreboard.outstanding() == 0;
        let fresh = range.start == flight.scoreboard.next;
        let run = Run {
            range,
            sent: now,
            delivered: flight.delivered.octets,
            delivered_at: flight.delivered.at,
            first_sent: flight.delivered.first_sent,
            state: if fresh { State::Sent } else { State::Resent },
            cause: Cause::default(),
            repeated: !fresh,
        };
        if fresh {
            flight.scoreboard.append(run, slack);
        } else {
            flight.scoreboard.resend(run);
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
        let pipe = flight.pipe();
        let room = self.congestion.window().saturating_sub(pipe);
        let scoreboard = &flight.scoreboard;
        flight.usage.sent(scoreboard.una, scoreboard.next, pipe, room, mss);
        Self::note_pace(flight, rate, octets, now);
        // RFC 6298, section 5.1; RFC 8985, section 7.2: the probe's timer runs from the last segment. That of a lone segment allows for an
        // acknowledgement that is kept back, which is not to be expected any more when there is a second.
        let is_joined = was_lone && flight.scoreboard.outstanding() > mss;
        if first || !fresh || is_joined || flight.timer_kind == TimerKind::Probe {
            self.arm(now);
        }
    }

    /// There is nothing more to send although the window allows it: samples of the rate of delivery are the application's.
    pub fn application_limited(&mut self) {
        if let Some(flight) = &mut self.flight {
            let pipe = flight.pipe();
            flight.delivered.limit(pipe);
        }
    }

    fn open_flight(&mut self, pool: &mut FlightPool, range: Range, now: Time) {
        match &mut self.flight {
            // Kept for a DSACK: that may still come.
            Some(flight) if flight.scoreboard.next == range.start => {
                flight.timer_kind = TimerKind::Timeout;
                flight.delivered.begin(now);
            }
            Some(flight) => flight.begin(range.start, now),
            None => {
                let mut flight: Box<Flight> = pool.take();
                flight.begin(range.start, now);
                self.flight = Some(flight);
            }
        }
    }

    /// After an idle time the window halves for each timeout that passed, down to the initial one (RFC 5681, section 4.1;
    /// RFC 2861, section 3.1), and the threshold remembers what it was.
    #[inline]
    fn restart_after_idle(&mut self, now: Time) {
        let idle = now.wrapping_millis().wrapping_sub(self.idle_since);
        if idle != 0 && u64::from(idle) * 1_000 > u64::from(self.rtt.timeout(false)) {
            self.shrink_idle(idle, now);
        }
    }

    #[cold]
    fn shrink_idle(&mut self, idle: u32, now: Time) {
        self.idle_since = now.wrapping_millis();
        let since = Time(now.0.saturating_sub(u64::from(idle) * 1_000_000));
        self.congestion.on_idle(since, now);
        let (window, restart) = (self.congestion.window(), initial_window(self.mss()));
        if window > restart {
            let halvings = (u64::from(idle) * 1_000 / u64::from(self.rtt.timeout(false))).min(31);
            let threshold = self.congestion.threshold();
            let remembered = (u64::from(window) * 3 / 4) as u32;
            self.congestion.set_threshold(threshold.max(remembered));
            self.congestion.set_window((window >> halvings).max(restart));
        }
    }
}

/// `queued` octets if they fit into `room`, else as many whole segments as do.
#[inline]
fn whole(room: u32, queued: u32, mss: u32) -> u32 {
    if queued <= room { queued } else { room - room % mss }
}
