//! Time passing for a connection: handshake, retransmission, delayed ACK, persist, keepalive, lingering.
//!
//! One timer of the stack's wheel serves them all: it is due when the first of them is. Expiring early is harmless.

use core::time::Duration;

use super::{Alarm, Bits, Connection, State};
use crate::counters::Counter;
use crate::event::kind;
use crate::recovery::Action;
use crate::stack::Shared;
use crate::{Buf, Ending, Time};

/// The retransmission timeout before anything was measured (RFC 6298, section 2.1).
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The longest time between two probes, or two SYNs (RFC 6298, section 2.5).
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The shortest time before a window that is closed is probed.
const LEAST_PERSIST_MICROS: u32 = 200_000;
/// Timeouts in a row after which the application is told (RFC 9293, section 3.8.3, R1: at least 3).
const STRUGGLING: u8 = 3;

impl<B: Buf> Connection<B> {
    /// When [`Connection::wake`] is due, if nothing happens before.
    #[inline]
    pub(crate) fn deadline(&self, now: Time) -> Option<Time> {
        let mut first = self.recovery.deadline().unwrap_or(Time::NEVER);
        if let Some(delayed_ack) = self.delayed_ack.deadline(now) {
            first = first.min(delayed_ack);
        }
        if self.control.is_on() {
            first = first.min(self.control.time(now));
        }
        (first != Time::NEVER).then_some(first)
    }

    /// Does whatever is due at `now`.
    pub(crate) fn wake(&mut self, now: Time, shared: &mut Shared<B>) {
        if self.state == State::Closed {
            return;
        }
        if self.delayed_ack.is_pending() && self.delayed_ack.is_due(now) {
            self.bits.set(Bits::ACK_NOW);
            shared.counters.count(Counter::DelayedAcks);
        }
        if self.state.is_synchronised() && self.recovery.deadline().is_some_and(|deadline| deadline <= now) {
            self.worry(now, shared);
        }
        if self.control.is_due(now) {
            self.control = Alarm::OFF;
            self.control(now, shared);
        }
    }

    /// The timer of loss recovery.
    fn worry(&mut self, now: Time, shared: &mut Shared<B>) {
        let before = self.recovery.stage();
        let action = self.recovery.timer_expired(&mut shared.flights, now);
        self.note_reduction_since(before);
        match action {
            Action::None | Action::Transmit => {}
            Action::Probe(_) => self.bits.set(Bits::TAIL_PROBE),
            Action::Timeout(times) => {
                shared.counters.count(Counter::Timeouts);
                self.timeouts = times;
                if times == STRUGGLING {
                    self.tell(kind::STRUGGLING);
                }
                if self.has_waited_too_long(times, now, shared) {
                    self.give_up(shared);
                }
            }
        }
    }

    /// R2 of RFC 9293, section 3.8.3, and the user timeout.
    fn has_waited_too_long(&self, times: u8, now: Time, shared: &Shared<B>) -> bool {
        let settings = shared.settings(self.profile);
        if let Some(limit) = settings.user_timeout {
            let waited = now.wrapping_millis().wrapping_sub(self.progress);
            return u128::from(waited) >= limit.as_millis();
        }
        times > settings.retries && !self.is_withheld(now)
    }

    /// The other side has taken its window back from what is in flight, and answers: that is no failure (SHLD-17; MUST-37).
    fn is_withheld(&self, now: Time) -> bool {
        let silent_ms = now.wrapping_millis().wrapping_sub(self.heard_ms);
        self.send_window == 0 && Duration::from_millis(silent_ms.into()) < 2 * LONGEST_BACKOFF
    }

    fn give_up(&mut self, shared: &mut Shared<B>) {
        shared.counters.count(Counter::AbortOnTimeout);
        self.end(Ending::TimedOut, shared);
    }

    /// The timer that means something else in each state.
    fn control(&mut self, now: Time, shared: &mut Shared<B>) {
        match self.state {
            State::SynSent | State::SynReceived => self.repeat_syn(now, shared),
            State::FinWait2 if self.bits.has(Bits::RELEASED) => {
                // The application is gone and the other side does not close: nobody waits for what may still come.
                shared.counters.count(Counter::AbortOnLinger);
                self.end(Ending::TimedOut, shared);
            }
            _ if self.bits.has(Bits::PERSISTS) => self.probe_window(now, shared),
            _ => self.probe_silence(now, shared),
        }
    }

    fn repeat_syn(&mut self, now: Time, shared: &mut Shared<B>) {
        let settings = shared.settings(self.profile);
        let steady = if self.state == State::SynSent { settings.steady_syns } else { 0 };
        if self.attempts >= settings.syn_retries.saturating_add(steady) {
            self.end(Ending::TimedOut, shared);
            return;
        }
        self.attempts += 1;
        self.bits.set(Bits::SYN_DUE);
        self.control = Alarm::at(now + backoff(INITIAL_RTO, self.attempts.saturating_sub(steady)));
    }

    /// The other side sent its SYN again: so does this side its answer, and that is not due for another while.
    pub(super) fn answer_syn_again(&mut self, now: Time) {
        self.bits.set(Bits::SYN_DUE);
        self.control = Alarm::at(now + backoff(INITIAL_RTO, self.attempts));
    }

    /// Starts the timer of the handshake: the first SYN goes now.
    pub(crate) fn start_handshake(&mut self, now: Time) {
        self.bits.set(Bits::SYN_DUE);
        self.progress = now.wrapping_micros().max(1);
        self.control = Alarm::at(now + INITIAL_RTO);
    }

    /// Nothing may go: if that is because of the other side's window and nothing is in flight that would bring news of it, it has to
    /// be probed (RFC 9293, section 3.8.6.1).
    #[inline]
    pub(super) fn consider_persisting(&mut self, window: u32, now: Time, _shared: &Shared<B>) {
        if self.outstanding() > 0 || self.bits.has(Bits::PERSISTS) || window >= u32::from(self.mss) {
            return;
        }
        self.bits.set(Bits::PERSISTS);
        self.attempts = 0;
        self.progress = now.wrapping_millis();
        self.control = Alarm::at(now.plus_micros(self.recovery.rto().max(LEAST_PERSIST_MICROS)));
    }

    fn probe_window(&mut self, now: Time, shared: &mut Shared<B>) {
        // Answered probes may go on for ever (MUST-37); unanswered ones are timeouts like others.
        let settings = shared.settings(self.profile);
        let stuck_for = Duration::from_millis(now.wrapping_millis().wrapping_sub(self.progress).into());
        if self.bits.has(Bits::RELEASED) && stuck_for >= settings.fin_wait {
            // Nobody is left here who could tell that it hangs, and keeping windows shut costs the other side nothing.
            shared.counters.count(Counter::AbortOnLinger);
            self.abort(Ending::TimedOut, now, shared);
            return;
        }
        let is_given_up = match settings.user_timeout {
            // RFC 5482 and Linux: with a user timeout, a window that stays shut is a failure to make progress, too.
            Some(limit) => stuck_for >= limit,
            None => self.timeouts > settings.retries,
        };
        if is_given_up {
            self.give_up(shared);
            return;
        }
        self.attempts = self.attempts.saturating_add(1);
        self.timeouts = self.timeouts.saturating_add(1);
        let first = Duration::from_micros(self.recovery.rto().max(LEAST_PERSIST_MICROS).into());
        self.control = Alarm::at(now + backoff(first, self.attempts));
        shared.counters.count(Counter::WantZeroWindowProbe);
        if self.send_window > 0 {
            // Not shut, only too small for a whole segment: what fits goes (section 3.8.6.2.1, the override timeout).
            self.bits.set(Bits::FORCED);
        } else {
            self.bits.set(Bits::PROBE_DUE);
        }
    }

    /// Keepalive (RFC 9293, section 3.8.4): only when nothing has been heard for a while, and nothing is in flight.
    fn probe_silence(&mut self, now: Time, shared: &mut Shared<B>) {
        let Some(keepalive) = shared.settings(self.profile).keepalive else { return };
        if !self.state.is_synchronised() {
            return;
        }
        let silent_ms = now.wrapping_millis().wrapping_sub(self.heard_ms);
        let silent_for = Duration::from_millis(silent_ms.into());
        if silent_for < keepalive.idle || self.outstanding() > 0 {
            self.attempts = 0;
            let left = keepalive.idle.saturating_sub(silent_for).max(Duration::from_secs(1));
            self.control = Alarm::bounded(now + left, now);
            return;
        }
        let limit = shared.settings(self.profile).user_timeout;
        let is_given_up = match limit {
            Some(limit) => silent_for >= limit && self.attempts > 0,
            None => self.attempts >= keepalive.probes,
        };
        if is_given_up {
            self.give_up(shared);
            return;
        }
        self.attempts += 1;
        shared.counters.count(Counter::KeepAlive);
        self.bits.set(Bits::PROBE_DUE);
        self.control = Alarm::bounded(now + keepalive.interval, now);
    }

    /// The control timer for a connection that neither shakes hands nor persists: keepalive, or lingering.
    pub(crate) fn rest(&mut self, now: Time, shared: &Shared<B>) {
        self.bits.clear(Bits::PERSISTS);
        let settings = shared.settings(self.profile);
        self.control = if self.state == State::FinWait2 && self.bits.has(Bits::RELEASED) {
            Alarm::bounded(now + settings.fin_wait, now)
        } else {
            settings.keepalive.map_or(Alarm::OFF, |keepalive| Alarm::bounded(now + keepalive.idle, now))
        };
    }
}

/// `first` doubled so many times, within the bound.
fn backoff(first: Duration, times: u8) -> Duration {
    first.saturating_mul(1 << times.min(10)).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_double_up_to_a_minute() {
        assert_eq!(backoff(INITIAL_RTO, 1), Duration::from_secs(2));
        assert_eq!(backoff(INITIAL_RTO, 5), Duration::from_secs(32));
        assert_eq!(backoff(INITIAL_RTO, 255), LONGEST_BACKOFF);
    }
}
