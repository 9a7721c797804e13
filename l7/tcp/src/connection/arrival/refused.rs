//! Segments that are not acceptable, and resets and SYNs amid a connection: what is answered, and how often (RFC 9293, section 3.10.7.4, first to
//! fourth; RFC 5961).

use crate::connection::{Bits, Connection, State};
use crate::counters::Counter;
use crate::segment::{Flags, Segment};
use crate::stack::Shared;
use crate::{Buf, Ending, Time};

impl<B: Buf> Connection<B> {
    /// RFC 7323, section 5.3, R1: what is older than what came before is answered; what lacks the option is not (section 3.2).
    #[cold]
    pub(super) fn refuse_timestamp(&mut self, segment: &Segment, now: Time, shared: &mut Shared<B>) {
        shared.counters.count(Counter::PawsEstab);
        if segment.flags.contains(Flags::SYN) {
            shared.counters.count(Counter::SynChallenge);
            self.challenge(now, shared);
        } else if segment.options.timestamps.is_some() {
            self.answer_unacceptable(segment, now, shared);
        }
    }

    /// What is not acceptable is answered with an acknowledgement, and forgotten.
    pub(super) fn refuse(&mut self, segment: &Segment, packet: B, now: Time, shared: &mut Shared<B>) {
        let flags = segment.flags;
        if flags.contains(Flags::RST) {
            return;
        }
        if flags.contains(Flags::SYN) {
            if self.state == State::SynReceived && segment.sequence + 1 == self.receive_next() {
                if flags.contains(Flags::ACK) && self.is_answered_across(segment) {
                    self.complete_handshake(segment, now, shared);
                    self.bits.set(Bits::ACK_NOW);
                } else {
                    // The other side has not heard the answer to its SYN: it gets it again.
                    self.answer_syn_again(now);
                }
                return;
            }
            shared.counters.count(Counter::SynChallenge);
            self.challenge(now, shared);
            return;
        }
        let next = self.receive_next();
        if segment.payload_length > 0 {
            if segment.sequence.precedes(next) {
                // All of it was here before; with SACK, the answer says so (RFC 2883).
                self.take_text(segment, packet, now, shared);
                self.bits.set(Bits::ACK_NOW);
                return;
            } else {
                shared.counters.count(Counter::ZeroWindowDrop);
            }
            self.delayed_ack.require();
        }
        // A probe of a closed window, or a keepalive, acknowledges too (section 3.10.7.4 has it only in sequence, yet an
        // acknowledgement number tells nothing false outside of it).
        if flags.contains(Flags::ACK)
            && self.state.is_synchronised()
            && next - segment.sequence <= 1
            && self.acknowledgement_is_acceptable(segment.acknowledgement)
        {
            self.heard_ms = now.wrapping_millis();
        }
        self.answer_unacceptable(segment, now, shared);
    }

    /// True if both sides have opened at the same time, and this is the other one's answer: it lies before the window, since its
    /// SYN was here before (RFC 9293, section 3.5, figure 8).
    fn is_answered_across(&self, segment: &Segment) -> bool {
        !self.bits.has(Bits::PASSIVE) && segment.acknowledgement == self.unacknowledged + 1
    }

    /// An acknowledgement for what is not acceptable. Data is always answered, since its sender waits for it; what could be the answer to
    /// an answer of ours only now and then, or two sides that disagree would never come to rest.
    fn answer_unacceptable(&mut self, segment: &Segment, now: Time, shared: &mut Shared<B>) {
        if segment.sequence_length() == 0 && !self.may_answer(now) {
            shared.counters.count(Counter::AckSkipped);
            return;
        }
        self.bits.set(Bits::ACK_NOW);
    }

    /// Once in half a second.
    fn may_answer(&mut self, now: Time) -> bool {
        let half_second = (now.wrapping_millis() >> 9) as u8 | 1;
        let may = self.answered != half_second;
        self.answered = half_second;
        may
    }

    /// A challenge ACK (RFC 5961): who is at the other end will reset the connection properly if it has none.
    pub(in crate::connection) fn challenge(&mut self, now: Time, shared: &mut Shared<B>) {
        if shared.may_challenge(now) {
            shared.counters.count(Counter::ChallengeAck);
            self.bits.set(Bits::ACK_NOW);
        } else {
            shared.counters.count(Counter::AckSkipped);
        }
    }

    /// RST and SYN within the window (RFC 9293, section 3.10.7.4, second and fourth; RFC 5961, sections 3 and 4).
    pub(super) fn take_control(&mut self, segment: &Segment, now: Time, shared: &mut Shared<B>) {
        if !segment.flags.contains(Flags::RST) {
            shared.counters.count(Counter::SynChallenge);
            self.challenge(now, shared);
            return;
        }
        if segment.sequence != self.receive_next() {
            self.challenge(now, shared);
            return;
        }
        if self.state != State::SynReceived {
            shared.counters.count(Counter::EstabResets);
        } else if !self.bits.has(Bits::PASSIVE) {
            shared.counters.count(Counter::AttemptFails);
        }
        let ending = match self.state {
            // After both FINs a reset takes nothing from anybody.
            State::Closing | State::LastAck => Ending::Closed,
            // It was opened from here, at the same time as from the other side.
            State::SynReceived if !self.bits.has(Bits::PASSIVE) => Ending::Refused,
            _ => Ending::Reset,
        };
        self.end(ending, shared);
    }
}
