//! What an acknowledgement brings: the order in which loss recovery and congestion control learn of it.

use super::flight::{FlightPool, Phase, TimerKind};
use super::prr::Prr;
use super::rate::Stamp;
use super::run::{Run, State};
use super::undo::Armed;
use super::{Ack, Delivery, Micros, Outcome, RateSample, Recovery, rtt};
use crate::congestion::{AckEvent, CongestionControl};
use crate::{SequenceNumber, Time};

/// For how long an acknowledgement that contradicts SACK may be in disorder, at least (as Linux).
const RENEGING_MICROS: Micros = 10_000;

/// What one acknowledgement is made of, once the scoreboard knows it.
struct Progress {
    /// Octets by which SND.UNA moved.
    advanced: u32,
    delivery: Delivery,
    /// Octets newly taken for lost.
    lost: u32,
    /// The newest round trip.
    newest: Option<Micros>,
    rate: Option<RateSample>,
    /// What was in flight before, and not known to have arrived.
    before: u32,
}

impl Recovery {
    /// Takes an acknowledgement. One of octets that are not outstanding changes nothing.
    #[inline]
    pub fn acknowledged(&mut self, pool: &mut FlightPool, ack: &Ack<'_>, now: Time) -> Outcome {
        if self.flight.is_none() {
            if let Some(outcome) = self.stretch_acknowledged(ack, now) {
                return outcome;
            }
            self.unfold(pool);
        }
        let is_plain = ack.sack.is_empty() && !ack.ecn_echo;
        match &self.flight {
            Some(flight) if is_plain && !flight.is_eventful() && flight.duplicates == 0 => {
                let advanced = ack.number - flight.scoreboard.una;
                if advanced > 0 && advanced <= flight.scoreboard.outstanding() {
                    return self.some_acknowledged(pool, ack.number, now);
                }
            }
            _ => {}
        }
        let outcome = self.anything_acknowledged(pool, ack, now);
        self.set_pace();
        outcome
    }

    /// Octets that were sent once and arrived in order, while nothing is amiss.
    fn some_acknowledged(&mut self, pool: &mut FlightPool, to: SequenceNumber, now: Time) -> Outcome {
        let mss = self.mss();
        let Some(flight) = &mut self.flight else { return Outcome::default() };
        let scoreboard = &mut flight.scoreboard;
        let (octets, outstanding) = (to - scoreboard.una, scoreboard.outstanding());
        let (mut oldest, mut newest) = (None, Run::BLANK);
        scoreboard.acknowledge(to, |piece| {
            oldest = oldest.or(Some(piece.sent));
            newest = *piece;
        });
        let rtt = now.micros_since(oldest.unwrap_or(newest.sent));
        let least = now.micros_since(newest.sent);
        flight.probes = 0;
        flight.rack.arrived(newest.sent, to, now);
        let rate = flight.delivered.sample(octets, &Stamp::of(&newest), now);
        let limited = flight.usage.is_limited(self.congestion.window(), self.congestion.threshold());
        self.rtt.progress();
        self.rtt.sample(rtt, outstanding, mss, now);
        self.rtt.note_minimum(least, now);
        self.congestion.on_ack(&AckEvent {
            now,
            octets,
            mss,
            una: to,
            next: to + (outstanding - octets),
            rtt: Some(least),
            smoothed: self.rtt.smoothed().unwrap_or(0),
            limited,
            rate,
        });
        if octets == outstanding {
            self.land(pool, now);
        } else {
            self.set_pace();
            self.arm(now); // RFC 6298, section 5.3
        }
        Outcome { acknowledged: octets, delivered: octets, rtt: Some(rtt), ..Outcome::default() }
    }

    #[inline(never)]
    fn anything_acknowledged(&mut self, pool: &mut FlightPool, ack: &Ack<'_>, now: Time) -> Outcome {
        let mut outcome = Outcome::default();
        let mss = self.mss();
        let least = self.rtt.minimum().unwrap_or(0);
        let Some(flight) = &mut self.flight else { return outcome };
        let (una, outstanding) = (flight.scoreboard.una, flight.scoreboard.outstanding());
        let advanced = ack.number - una;
        if advanced > outstanding {
            return outcome; // old, or of what was never sent
        }
        let before = outstanding - flight.scoreboard.sacked;
        let mut delivery = Delivery::new(now, least, flight.rack.forward, flight.recovery_point);
        if advanced > 0 {
            flight.scoreboard.acknowledge(ack.number, |piece| delivery.acknowledged(piece));
            flight.probes = 0;
            self.rtt.progress();
        }
        let mut lost = 0;
        if self.sack {
            if !ack.sack.is_empty() {
                self.take_sack(ack.sack, ack.number, &mut delivery, &mut outcome);
            }
        } else {
            lost = self.take_duplicates(advanced, ack, &mut delivery);
        }
        outcome.acknowledged = advanced;
        outcome.delivered = delivery.octets;
        outcome.reordered = delivery.reordered;
        let newest = self.measure(&delivery, advanced, outstanding, ack, now, &mut outcome);
        let Some(flight) = &mut self.flight else { return outcome };
        let rate = delivery.stamp.and_then(|stamp| flight.delivered.sample(delivery.octets, &stamp, now));
        if self.sack {
            flight.rack.note(&delivery, &mut self.reordering, now);
        }
        let mut progress = Progress { advanced, delivery, lost, newest, rate, before };
        if flight.is_eventful() || lost > 0 || ack.ecn_echo {
            self.recover(&mut progress, ack, now, &mut outcome);
        }
        self.adjust_window(&progress, mss, now, &outcome);
        self.set_timers(pool, &progress, now);
        outcome
    }

    /// RFC 6582 for peers without SACK; gives the octets newly taken for lost.
    fn take_duplicates(&mut self, advanced: u32, ack: &Ack<'_>, delivery: &mut Delivery) -> u32 {
        let Some(counted) = self.flight.as_ref().map(|flight| flight.duplicates) else { return 0 };
        let (lost, arrived) = self.take_plain(advanced, ack.duplicate);
        let left = self.flight.as_ref().map_or(0, |flight| flight.duplicates);
        if advanced > 0 {
            delivery.octets -= counted.saturating_sub(left).min(delivery.octets);
        } else {
            delivery.octets = arrived;
        }
        // What was sent once and is acknowledged along with something sent twice may have arrived before (RFC 5682).
        delivery.original &= !delivery.repeated;
        lost
    }

    /// Round-trip times: Karn's algorithm (RFC 6298, section 3), or the timestamp where that has none to give (RFC 7323,
    /// section 4.1), or SACK. Gives the round trip of the newest segment that arrived.
    #[inline]
    fn measure(
        &mut self,
        delivery: &Delivery,
        advanced: u32,
        outstanding: u32,
        ack: &Ack<'_>,
        now: Time,
        outcome: &mut Outcome,
    ) -> Option<Micros> {
        let once = if delivery.repeated { None } else { delivery.oldest };
        let rtt = match (once, ack.echo) {
            (Some(oldest), _) => Some(now.micros_since(oldest)),
            (None, Some(echo)) if advanced > 0 && echo.age <= rtt::LONGEST => Some(echo.age),
            _ => delivery.oldest_sacked.map(|sent| now.micros_since(sent)),
        };
        if let Some(rtt) = rtt {
            self.rtt.sample(rtt, outstanding, self.mss(), now);
            outcome.rtt = Some(rtt);
        }
        let newest = delivery.newest_once.filter(|_| !delivery.repeated).map(|sent| now.micros_since(sent));
        if let Some(newest) = newest {
            self.rtt.note_minimum(newest, now);
        }
        newest
    }

    /// Everything that only matters while something is amiss.
    fn recover(&mut self, progress: &mut Progress, ack: &Ack<'_>, now: Time, outcome: &mut Outcome) {
        let (advanced, mss) = (progress.advanced, self.mss());
        self.settle_probe(advanced > 0, ack, now, outcome);
        self.reconsider(advanced > 0, progress.delivery.original, ack.echo, outcome);
        self.leave_recovery(advanced > 0, outcome);
        self.doubt(progress);
        let entering = matches!(&self.flight, Some(flight) if flight.phase == Phase::Open);
        let flight_size = progress.before;
        if self.sack {
            let Some(flight) = &mut self.flight else { return };
            let certain = flight.phase != Phase::Open || flight.scoreboard.sacked >= 3 * mss;
            let patience = flight.rack.patience(&self.reordering, certain, &self.rtt);
            let expired = flight.rack.detect(&mut flight.scoreboard, patience, now);
            flight.reorder_at = expired.next.unwrap_or(Time::NEVER);
            progress.lost += expired.lost;
        }
        outcome.lost = progress.lost;
        if entering && progress.lost > 0 {
            self.enter_recovery(now, flight_size);
            outcome.entered_recovery = true;
        } else if entering && ack.ecn_echo && !outcome.left_recovery && self.may_reduce() {
            // RFC 3168, section 6.1.2: as for a loss, but for one thing: there is nothing to repair or to undo. What ends a recovery was
            // sent before the other side could hear of it.
            self.enter_recovery(now, flight_size);
            if let Some(flight) = &mut self.flight {
                flight.undo = None;
            }
            outcome.congestion_experienced = true;
        }
    }

    /// RFC 8985, section 7.4.2: a probe that repaired a loss means congestion.
    fn settle_probe(&mut self, advanced: bool, ack: &Ack<'_>, now: Time, outcome: &mut Outcome) {
        let mss = self.mss();
        let Some(flight) = &mut self.flight else { return };
        let Some(probe) = flight.probe else { return };
        if !ack.number.reaches(probe.end) {
            return;
        }
        if !probe.retransmission {
            flight.probe = None;
        } else if ack.number.follows(probe.end) {
            flight.probe = None;
            if flight.phase == Phase::Open {
                self.congestion.on_loss(now, mss);
                let window = self.congestion.window().min(self.congestion.threshold());
                self.congestion.set_window(window);
            }
            outcome.probe_recovered = true;
        } else if !advanced && ack.sack.is_empty() {
            flight.probe = None; // the probe and what it repeated both arrived
        }
    }

    /// Recovery ends when everything that was in flight at its beginning is acknowledged.
    fn leave_recovery(&mut self, advanced: bool, outcome: &mut Outcome) {
        let Some(flight) = &mut self.flight else { return };
        if flight.phase == Phase::Open || !advanced || !flight.scoreboard.una.reaches(flight.recovery_point) {
            return;
        }
        if flight.phase == Phase::Recovery {
            // RFC 6937bis, section 6: the window is where it was to be.
            self.congestion.set_window(self.congestion.threshold());
        }
        if !self.sack {
            flight.guard = Some(flight.recovery_point);
            flight.duplicates = 0;
        }
        flight.phase = Phase::Open;
        (flight.doubtful, flight.prefer_new, flight.allowance) = (false, false, 0);
        self.reordering.recovered();
        outcome.left_recovery = true;
    }

    /// F-RTO with SACK (RFC 5682, section 3.1): after the first acknowledgement that a timeout's retransmission brought,
    /// new data goes, and what that brings decides.
    fn doubt(&mut self, progress: &Progress) {
        let Some(flight) = &mut self.flight else { return };
        if flight.phase != Phase::Loss || !flight.doubtful {
            return;
        }
        let moved = progress.advanced > 0;
        if flight.prefer_new {
            // Step 3: this came after the new data, if there was any. Nothing old arrived, or it would be settled by now.
            if moved || progress.delivery.octets > 0 {
                (flight.doubtful, flight.prefer_new) = (false, false);
            }
        } else if moved {
            // Step 2b.
            flight.prefer_new = true;
        } else if progress.delivery.octets > 0 {
            flight.doubtful = false; // step 2a
        }
    }

    /// True once for what is in flight at a time.
    fn may_reduce(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| {
            flight.scoreboard.outstanding() == 0 || flight.scoreboard.una.reaches(flight.recovery_point)
        })
    }

    /// Fast recovery begins, unless losses are being repaired already. `before`: octets that were in flight before this
    /// acknowledgement, or zero if none brought it about.
    pub(super) fn enter_recovery(&mut self, now: Time, before: u32) {
        let mss = self.mss();
        let Some(flight) = &mut self.flight else { return };
        if flight.phase != Phase::Open {
            return;
        }
        let scoreboard = &flight.scoreboard;
        flight.undo = Some(Armed::new(self.congestion, scoreboard.una, scoreboard.resent));
        flight.phase = Phase::Recovery;
        flight.recovery_point = scoreboard.next;
        (flight.probe, flight.probing, flight.probes) = (None, false, 0);
        let unknown = scoreboard.outstanding() - scoreboard.sacked;
        flight.prr = Prr::begin(if before > 0 { before } else { unknown });
        self.congestion.on_loss(now, mss);
        if before == 0 {
            self.lead_window(0, false);
        }
    }

    /// Proportional rate reduction.
    fn lead_window(&mut self, delivered: u32, safe: bool) {
        let mss = self.mss();
        let Some(flight) = &mut self.flight else { return };
        let (pipe, threshold) = (flight.pipe(), self.congestion.threshold());
        self.congestion.set_window(flight.prr.window(delivered, pipe, threshold, safe, mss));
    }

    #[inline]
    fn adjust_window(&mut self, progress: &Progress, mss: u32, now: Time, outcome: &Outcome) {
        let Some(flight) = &self.flight else { return };
        let (window, threshold) = (self.congestion.window(), self.congestion.threshold());
        match flight.phase {
            Phase::Recovery => {
                if flight.scoreboard.outstanding() == 0 {
                    self.congestion.set_window(threshold.min(window));
                } else if progress.delivery.octets > 0 || outcome.entered_recovery {
                    self.lead_window(progress.delivery.octets, progress.advanced > 0 && progress.lost == 0);
                }
            }
            Phase::Open | Phase::Loss if progress.advanced > 0 && !outcome.left_recovery => {
                let limited = flight.phase == Phase::Loss || flight.usage.is_limited(window, threshold);
                let event = AckEvent {
                    now,
                    octets: progress.delivery.octets,
                    mss,
                    una: flight.scoreboard.una,
                    next: flight.scoreboard.next,
                    rtt: progress.newest,
                    smoothed: self.rtt.smoothed().unwrap_or(0),
                    limited,
                    rate: progress.rate,
                };
                self.congestion.on_ack(&event);
            }
            Phase::Open | Phase::Loss => {}
        }
    }

    #[inline]
    fn set_timers(&mut self, pool: &mut FlightPool, progress: &Progress, now: Time) {
        let Some(flight) = &mut self.flight else { return };
        if flight.scoreboard.outstanding() == 0 {
            if flight.timer_kind != TimerKind::Linger || flight.undo.is_none() {
                self.land(pool, now);
            }
            return;
        }
        let probing = flight.timer_kind == TimerKind::Probe && progress.delivery.octets > 0;
        if progress.advanced > 0 || progress.lost > 0 || probing {
            self.arm(now); // RFC 6298, section 5.3
        }
        let reneged = match &self.flight {
            Some(flight) => flight.scoreboard.runs.front().is_some_and(|run| run.state == State::Sacked),
            None => false,
        };
        if reneged {
            let wait = (self.rtt.smoothed().unwrap_or(0) / 2).max(RENEGING_MICROS);
            if let Some(flight) = &mut self.flight {
                let due = now.plus_micros(wait);
                if flight.timer_kind != TimerKind::Timeout || due < flight.timer {
                    (flight.timer, flight.timer_kind) = (due, TimerKind::Timeout);
                }
            }
        }
    }

    /// Everything is acknowledged: the box goes back, or stays a while for a DSACK.
    #[inline]
    fn land(&mut self, pool: &mut FlightPool, now: Time) {
        self.since = now;
        let Some(flight) = &mut self.flight else { return };
        if flight.undo.as_ref().is_some_and(|armed| armed.any) {
            flight.timer = now.plus_micros(self.rtt.timeout(false));
            flight.timer_kind = TimerKind::Linger;
            (flight.reorder_at, flight.pace.resumes) = (Time::NEVER, Time::NEVER);
            flight.phase = Phase::Open;
            return;
        }
        self.abandon(pool);
    }
}
