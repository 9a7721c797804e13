//! The timers: retransmission timeout (RFC 6298), tail loss probe (RFC 8985, section 7), RACK's reordering timer and pacing.

use super::flight::{FlightPool, Phase, TimerKind};
use super::run::State;
use super::scoreboard::Scoreboard;
use super::undo::Armed;
use super::{Action, Cause, Micros, Recovery, Retransmission};
use crate::Time;
use crate::congestion::CongestionControl;

impl Recovery {
    /// When to call [`Self::timer_expired`]; `None` while nothing is in flight.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> Option<Time> {
        let first = match &self.flight {
            Some(flight) => flight.timer.min(flight.reorder_at).min(flight.pace.resumes),
            None if self.stretch.length > 0 => self.stretch_timer().0,
            None => return None,
        };
        (first != Time::NEVER).then_some(first)
    }

    /// A deadline has passed, perhaps: does what is due. Harmless when nothing is.
    #[must_use]
    pub fn timer_expired(&mut self, pool: &mut FlightPool, now: Time) -> Action {
        if self.stretch.length > 0 && self.stretch_timer().0 <= now {
            self.unfold(pool);
        }
        let Some(flight) = &mut self.flight else { return Action::None };
        let mut action = Action::None;
        if flight.pace.resumes <= now {
            flight.pace.resumes = Time::NEVER;
            action = Action::Transmit;
        }
        if flight.reorder_at <= now {
            flight.reorder_at = Time::NEVER;
            if self.find_losses(now) > 0 {
                self.arm(now);
                return Action::Transmit;
            }
        }
        match &self.flight {
            Some(flight) if flight.timer <= now => match flight.timer_kind {
                TimerKind::Linger => {
                    self.abandon(pool);
                    action
                }
                TimerKind::Probe => self.probe(now),
                TimerKind::Timeout => self.time_out(now),
            },
            _ => action,
        }
    }

    /// What a tail loss probe repeats if there is no new data to go instead, while one is due.
    #[must_use]
    pub fn tail_probe(&self) -> Option<Retransmission> {
        let flight = self.flight.as_ref().filter(|flight| flight.probing)?;
        let range = flight.scoreboard.tail(self.mss())?;
        Some(Retransmission { range, cause: Cause::Probe })
    }

    /// Sets the timer anew for what is in flight.
    #[inline]
    pub(super) fn arm(&mut self, now: Time) {
        let Some(flight) = &self.flight else { return };
        // RFC 8985, section 7.2: with SACK, and unless RACK is at work. Beyond it, recovery that waits for the last of its
        // own retransmissions may probe, too, and probes go on, each after twice the time, as those of QUIC do (RFC 9002,
        // section 6.2.1), until it is time for the timeout: where that is many round trips, bursts of losses are shorter.
        let may_probe = flight.phase != Phase::Open || flight.scoreboard.sacked == 0;
        let (wait, kind) = self.wait(may_probe, flight.probes);
        let Some(flight) = &mut self.flight else { return };
        flight.patience = u64::from(wait) * 1_000;
        (flight.timer, flight.timer_kind) = (now.plus_micros(wait), kind);
    }

    /// For how long acknowledgements may fail to come, and what is done then.
    #[inline]
    pub(super) fn wait(&self, may_probe: bool, probes: u8) -> (Micros, TimerKind) {
        let lone = self.is_lone();
        let timeout = self.rtt.timeout(lone);
        if may_probe && self.sack && self.rtt.backoff() == 0 {
            let probe = self.rtt.probe_timeout(lone).saturating_mul(1 << probes.min(16));
            if probe < timeout {
                return (probe, TimerKind::Probe);
            }
        }
        (timeout, TimerKind::Timeout)
    }

    /// RFC 8985, section 7.3.
    fn probe(&mut self, now: Time) -> Action {
        let mss = self.mss();
        let Some(flight) = &mut self.flight else { return Action::None };
        flight.probes = flight.probes.saturating_add(1);
        flight.allowance = mss;
        if flight.phase != Phase::Open {
            flight.scoreboard.lose_first(mss, Cause::Probe);
            self.arm(now);
            return Action::Transmit;
        }
        flight.probing = true;
        let tail = flight.scoreboard.tail(mss);
        self.arm(now);
        tail.map_or(Action::None, |range| Action::Probe(Retransmission { range, cause: Cause::Probe }))
    }

    /// RFC 6298, section 5.4 on.
    fn time_out(&mut self, now: Time) -> Action {
        let (mss, sack) = (self.mss(), self.sack);
        let patience = match &self.flight {
            Some(flight) => flight.rack.patience(&self.reordering, false, &self.rtt),
            None => return Action::None,
        };
        let Some(flight) = &mut self.flight else { return Action::None };
        let scoreboard = &mut flight.scoreboard;
        // A peer that SACKed the first octet it asks for has thrown data away (RFC 2018, section 8). Without SACK,
        // nobody knows what arrived.
        let reneged = scoreboard.runs.front().is_some_and(|run| run.state == State::Sacked);
        let again = self.rtt.backoff() > 0;
        // The threshold falls once for what was in flight at a time (RFC 5681, section 3.1, equation 4).
        let new =
            !again && (flight.phase != Phase::Recovery || scoreboard.una.reaches(flight.recovery_point));
        flight.doubtful = (flight.phase == Phase::Open || again) && !reneged;
        flight.prefer_new = false;
        if new {
            flight.undo = Some(Armed::new(self.congestion, scoreboard.una, scoreboard.resent));
            self.congestion.on_loss(now, mss);
        }
        scoreboard.time_out(reneged || !sack, mss, patience, now);
        flight.phase = Phase::Loss;
        flight.recovery_point = scoreboard.next;
        flight.duplicates = 0;
        (flight.probe, flight.probing, flight.probes, flight.allowance) = (None, false, 0, 0);
        self.congestion.set_window(scoreboard.pipe().saturating_add(mss));
        self.rtt.back_off();
        self.arm(now);
        Action::Timeout(self.rtt.backoff())
    }

    /// Lets RACK look for losses, and begins recovery if there are any. Gives the octets newly taken for lost.
    pub(super) fn find_losses(&mut self, now: Time) -> u32 {
        let mss = self.mss();
        let Some(flight) = &mut self.flight else { return 0 };
        let certain = flight.phase != Phase::Open || flight.scoreboard.sacked >= 3 * mss;
        let patience = flight.rack.patience(&self.reordering, certain, &self.rtt);
        let scoreboard: &mut Scoreboard = &mut flight.scoreboard;
        let expired = flight.rack.detect(scoreboard, patience, now);
        flight.reorder_at = expired.next.unwrap_or(Time::NEVER);
        if expired.lost > 0 {
            self.enter_recovery(now, 0);
        }
        expired.lost
    }
}
