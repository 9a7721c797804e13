//! A segment arrives at a connection (RFC 9293, section 3.10.7), step by step as the RFC has them.

mod syn_sent;

use super::{Bits, Connection, State};
use crate::counters::Counter;
use crate::event::kind;
use crate::recovery::{Ack, Echo, Outcome, Undo};
use crate::segment::{Flags, Segment, Timestamps};
use crate::stack::Shared;
use crate::{Buf, Ending, Range, SequenceNumber, Time};

/// After so long without a segment the other side's timestamp clock may have passed TS.Recent by half its circle
/// (RFC 7323, section 5.5): 24 days in milliseconds.
const TIMESTAMP_OUTDATED_MS: u32 = 24 * 86_400 * 1_000;

/// What a segment says about what was sent, and how much more may be.
pub(super) struct Heard<'a> {
    /// SEG.ACK.
    pub(super) number: SequenceNumber,
    /// SEG.SEQ.
    pub(super) sequence: SequenceNumber,
    /// SEG.WND as it stands in the header.
    pub(super) window: u16,
    pub(super) sack: &'a [Range],
    pub(super) timestamps: Option<Timestamps>,
    /// The segment takes no sequence space.
    pub(super) is_bare: bool,
    /// A congestion mark is echoed.
    pub(super) ecn_echo: bool,
}

impl<B: Buf> Connection<B> {
    /// Takes a segment. `packet` holds its payload, `ecn` is that field of its IP header.
    #[inline]
    pub(crate) fn arrive(
        &mut self,
        segment: &Segment,
        packet: B,
        ecn: u8,
        now: Time,
        shared: &mut Shared<B>,
    ) {
        self.counts.segments_in = self.counts.segments_in.wrapping_add(1);
        match self.state {
            State::Closed => {}
            State::SynSent => self.arrive_in_syn_sent(segment, packet, now, shared),
            _ => self.arrive_otherwise(segment, packet, ecn, now, shared),
        }
    }

    /// RFC 9293, section 3.10.7.4.
    #[inline]
    pub(super) fn arrive_otherwise(
        &mut self,
        segment: &Segment,
        packet: B,
        ecn: u8,
        now: Time,
        shared: &mut Shared<B>,
    ) {
        let flags = segment.flags;
        // First: the timestamp (RFC 7323, section 5.3, R1), then the sequence number.
        if !self.timestamp_is_new(segment, now) {
            self.refuse_timestamp(segment, now, shared);
            return;
        }
        if !self.is_acceptable(segment) {
            self.refuse(segment, packet, now, shared);
            return;
        }
        if flags.intersects(Flags::RST | Flags::SYN) {
            // Second and fourth.
            self.take_control(segment, now, shared);
            return;
        }
        // Fifth: the ACK field.
        if !flags.contains(Flags::ACK) {
            return;
        }
        if self.state == State::SynReceived && !self.complete_handshake(segment, now, shared) {
            return;
        }
        if !self.acknowledgement_is_acceptable(segment.acknowledgement) {
            shared.counters.count(Counter::AcksUnsent);
            self.challenge(now, shared);
            return;
        }
        self.remember_timestamp(segment.sequence, segment.options.timestamps);
        self.heard_ms = now.wrapping_millis();
        let heard = Heard {
            number: segment.acknowledgement,
            sequence: segment.sequence,
            window: segment.window,
            sack: if self.bits.has(Bits::SACK) { segment.options.sack.as_slice() } else { &[] },
            timestamps: segment.options.timestamps,
            is_bare: segment.sequence_length() == 0,
            ecn_echo: flags.contains(Flags::ECE) && self.bits.has(Bits::ECN),
        };
        self.acknowledge(&heard, now, shared);
        if self.close_as_acknowledged(now, shared) {
            return;
        }
        // Sixth, seventh and eighth: URG, the text, and FIN.
        if flags.contains(Flags::URG) {
            self.hear_urgent(segment);
        }
        if segment.payload_length > 0 || flags.contains(Flags::FIN) {
            if self.bits.has(Bits::ECN) {
                self.hear_mark(segment, ecn, shared);
            }
            self.take_text(segment, packet, now, shared);
        } else {
            shared.counters.count(Counter::PureAcks);
        }
    }

    /// PAWS (RFC 7323, section 5): false for a timestamp older than the one that was remembered.
    fn timestamp_is_new(&self, segment: &Segment, now: Time) -> bool {
        if !self.bits.has(Bits::TIMESTAMPS) {
            return true;
        }
        match segment.options.timestamps {
            Some(timestamps) => {
                let behind = self.timestamp_recent.wrapping_sub(timestamps.value);
                behind == 0
                    || behind >= 1 << 31
                    // RFC 7323, section 5.2: a reset MUST NOT be subjected to this.
                    || segment.flags.contains(Flags::RST)
                    || now.wrapping_millis().wrapping_sub(self.heard_ms) > TIMESTAMP_OUTDATED_MS
            }
            // RFC 7323, section 3.2: what lacks the option SHOULD be dropped. A reset may, and a SYN is that of another connection.
            None => segment.flags.intersects(Flags::RST | Flags::SYN),
        }
    }

    /// RFC 7323, section 5.3, R1: what is older than what came before is answered; what lacks the option is not (section 3.2).
    #[cold]
    fn refuse_timestamp(&mut self, segment: &Segment, now: Time, shared: &mut Shared<B>) {
        shared.counters.count(Counter::PawsEstab);
        if segment.flags.contains(Flags::SYN) {
            shared.counters.count(Counter::SynChallenge);
            self.challenge(now, shared);
        } else if segment.options.timestamps.is_some() {
            self.answer_unacceptable(segment, now, shared);
        }
    }

    /// RFC 7323, section 4.3: TS.Recent follows the segment that the next acknowledgement answers.
    #[inline]
    pub(super) fn remember_timestamp(&mut self, sequence: SequenceNumber, timestamps: Option<Timestamps>) {
        if let Some(timestamps) = timestamps
            && self.bits.has(Bits::TIMESTAMPS)
            && self.acknowledged_last.reaches(sequence)
        {
            self.timestamp_recent = timestamps.value;
        }
    }

    /// The acceptability test of section 3.4: some of the segment lies in the receive window.
    #[inline]
    fn is_acceptable(&self, segment: &Segment) -> bool {
        let next = self.receive_next();
        let window = self.window.end().octets_after(next);
        let length = segment.sequence_length();
        // Also with a window of zero: acknowledgements, resets and urgent pointers are taken (MUST-66), and of data as much as fits, which
        // is nothing.
        segment.sequence == next
            || segment.sequence.lies_in(next, window)
            || length > 0 && (segment.sequence + (length - 1)).lies_in(next, window)
            // With a window of zero, or right at its end, a bare acknowledgement that comes behind what is missing is of use.
            || length == 0 && segment.sequence - next == window && !segment.flags.intersects(Flags::RST | Flags::SYN)
    }

    /// What is not acceptable is answered with an acknowledgement, and forgotten.
    fn refuse(&mut self, segment: &Segment, packet: B, now: Time, shared: &mut Shared<B>) {
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
                    self.bits.set(Bits::SYN_DUE);
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
    pub(super) fn challenge(&mut self, now: Time, shared: &mut Shared<B>) {
        if shared.may_challenge(now) {
            shared.counters.count(Counter::ChallengeAck);
            self.bits.set(Bits::ACK_NOW);
        } else {
            shared.counters.count(Counter::AckSkipped);
        }
    }

    /// RST and SYN within the window (RFC 9293, section 3.10.7.4, second and fourth; RFC 5961, sections 3 and 4).
    fn take_control(&mut self, segment: &Segment, now: Time, shared: &mut Shared<B>) {
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

    /// SYN-RECEIVED: the acknowledgement of this side's SYN establishes the connection, any other is refused. False if the segment is
    /// not to be looked at any further.
    fn complete_handshake(&mut self, segment: &Segment, now: Time, shared: &mut Shared<B>) -> bool {
        if segment.acknowledgement != self.unacknowledged + 1 {
            shared.reset(&self.tuple, segment, now);
            return false;
        }
        if self.bits.has(Bits::PASSIVE) && !shared.may_be_accepted(self.listener_or_urgent) {
            // The other side thinks that it is connected; its data, or the next answer to its SYN, will bring it here again.
            shared.counters.count(Counter::ListenOverflows);
            shared.counters.count(Counter::ListenDrops);
            return false;
        }
        self.unacknowledged += 1;
        self.establish(now, shared);
        // The window beside a SYN is not scaled (RFC 7323, section 2.2).
        let shift = if segment.flags.contains(Flags::SYN) { 0 } else { self.send_shift };
        self.send_window = u32::from(segment.window) << shift;
        self.largest_window = self.send_window;
        self.window_sequence = segment.sequence;
        if self.bits.has(Bits::PASSIVE) {
            shared.counters.count(Counter::PassiveOpens);
            shared.accepting = core::mem::replace(&mut self.listener_or_urgent, 0);
            self.tell(kind::ACCEPTABLE);
        } else {
            self.tell(kind::CONNECTED);
        }
        true
    }

    /// RFC 5961, section 5: an acknowledgement of octets that were in flight not longer ago than a window, and of none that were not sent.
    #[inline]
    fn acknowledgement_is_acceptable(&self, number: SequenceNumber) -> bool {
        let oldest = self.unacknowledged - self.largest_window;
        number - oldest <= self.send_next - oldest
    }

    /// What the ACK field and the window say.
    #[inline(always)]
    pub(super) fn acknowledge(&mut self, heard: &Heard<'_>, now: Time, shared: &mut Shared<B>) {
        let number = heard.number;
        let window = u32::from(heard.window) << self.send_shift;
        let is_new = number.follows(self.unacknowledged);
        self.timeouts = 0;
        if self.outstanding() > 0 {
            let ack = Ack {
                number,
                sack: heard.sack,
                duplicate: heard.is_bare && window == self.send_window,
                echo: self.echo(heard.timestamps, now),
                ecn_echo: heard.ecn_echo,
            };
            let outcome = self.recovery.acknowledged(&mut shared.flights, &ack, now);
            count_outcome(&outcome, shared);
            self.note_reduction(&outcome);
        }
        if is_new {
            let released = self.release_sent(number, shared);
            self.unacknowledged = number;
            self.progress = now.wrapping_millis();
            self.counts.octets_acknowledged += u64::from(released);
            if self.bits.has(Bits::URGENT_SENT)
                && self.send.urgent_end().is_none_or(|end| number.reaches(end))
            {
                self.bits.clear(Bits::URGENT_SENT);
            }
        }
        // Section 3.10.7.4: only news about the window counts, not what was overtaken by it. SND.WL2 is SND.UNA here: what acknowledges
        // less was overtaken.
        if self.window_sequence.precedes(heard.sequence)
            || self.window_sequence == heard.sequence && number == self.unacknowledged
        {
            self.send_window = window;
            self.largest_window = self.largest_window.max(window);
            self.window_sequence = heard.sequence;
            if self.bits.has(Bits::PERSISTS) {
                self.hear_window(window, now, shared);
            }
        }
        // What is lost, or may go now, goes from the list of those with output.
        if self.outstanding() > 0 || self.send.end() != self.send_next {
            self.bits.set(Bits::OUTPUT);
        }
    }

    /// An answer while the other side's window is being probed: if it has opened, the probes end.
    fn hear_window(&mut self, window: u32, now: Time, shared: &Shared<B>) {
        if window > self.outstanding() {
            self.attempts = 0;
            self.rest(now, shared);
        }
    }

    /// The echoed timestamp and its age.
    #[inline]
    fn echo(&self, timestamps: Option<Timestamps>, now: Time) -> Option<Echo> {
        let timestamps = timestamps.filter(|_| self.bits.has(Bits::TIMESTAMPS))?;
        let ticks = self.timestamp(now).wrapping_sub(timestamps.echo);
        Some(Echo { value: timestamps.echo, age: ticks.saturating_add(1).saturating_mul(1_000) })
    }

    /// The steps of FIN-WAIT-1, CLOSING and LAST-ACK once this side's FIN is acknowledged. True if the connection is over.
    #[inline]
    fn close_as_acknowledged(&mut self, now: Time, shared: &mut Shared<B>) -> bool {
        if self.state == State::Established || !self.fin_is_acknowledged() {
            return false;
        }
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                self.rest(now, shared);
                false
            }
            State::Closing => {
                self.enter_time_wait(now, shared);
                true
            }
            State::LastAck => {
                self.end(Ending::Closed, shared);
                true
            }
            _ => false,
        }
    }

    /// RFC 9293, section 3.10.7.4, sixth; the pointer as RFC 6093 has it.
    fn hear_urgent(&mut self, segment: &Segment) {
        if !self.state.receives() || segment.urgent_pointer == 0 {
            return;
        }
        let end = segment.sequence + u32::from(segment.urgent_pointer);
        let known = self.bits.has(Bits::URGENT_RECEIVED);
        if end.follows(self.receive_next()) && (!known || end.follows(self.urgent_received())) {
            self.listener_or_urgent = end.0;
            self.bits.set(Bits::URGENT_RECEIVED);
            self.tell(kind::URGENT);
        }
    }
}

/// Counters of what an acknowledgement brought about.
#[inline]
fn count_outcome<B: Buf>(outcome: &Outcome, shared: &mut Shared<B>) {
    if outcome.sack_refused == 0 && outcome.undo.is_none() && !outcome.duplicate_sack {
        return;
    }
    shared.counters.add(Counter::SackDiscard, outcome.sack_refused.into());
    if outcome.duplicate_sack {
        shared.counters.count(Counter::DsackRecv);
    }
    match outcome.undo {
        None => {}
        Some(Undo::Timeout) => shared.counters.count(Counter::SpuriousRtos),
        Some(Undo::Timestamp | Undo::Dsack) => shared.counters.count(Counter::LossUndo),
    }
}

impl Segment {
    /// The sequence numbers of the payload.
    pub(crate) fn payload_range(&self) -> Range {
        let start = self.sequence + u32::from(self.flags.contains(Flags::SYN));
        Range::new(start, self.payload_length)
    }
}
