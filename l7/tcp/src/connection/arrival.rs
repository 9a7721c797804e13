//! A segment arrives at a connection (RFC 9293, section 3.10.7), step by step as the RFC has them.

mod heard;
mod refused;
mod syn_sent;

pub(super) use heard::Heard;

use super::{Bits, Connection, State};
use crate::counters::Counter;
use crate::event::kind;
use crate::segment::{Flags, Segment, Timestamps};
use crate::stack::Shared;
use crate::{Buf, Ending, Range, SequenceNumber, Time};

/// After so long without a segment the other side's timestamp clock may have passed TS.Recent by half its circle
/// (RFC 7323, section 5.5): 24 days in milliseconds.
const TIMESTAMP_OUTDATED_MS: u32 = 24 * 86_400 * 1_000;

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
        self.establish(segment.options.timestamps, now, shared);
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

impl Segment {
    /// The sequence numbers of the payload.
    pub(crate) fn payload_range(&self) -> Range {
        let start = self.sequence + u32::from(self.flags.contains(Flags::SYN));
        Range::new(start, self.payload_length)
    }
}
