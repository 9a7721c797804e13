//! What a connection sends next: one segment at a time, until there is nothing that has to go and may go.

use super::{Bits, Connection, State};
use crate::counters::Counter;
use crate::recovery::{Cause, Retransmission};
use crate::segment::{Flags, Options, Segment, Timestamps};
use crate::stack::Shared;
use crate::{Buf, Range, SequenceNumber, Time};

/// A segment to send: its header, and where its payload is in the send buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) segment: Segment,
    pub(crate) payload: Range,
    /// The ECN field of the IP header.
    pub(crate) ecn: u8,
}

impl<B: Buf> Connection<B> {
    /// The next segment to go, as if it had gone. `None`: nothing until something happens.
    pub(crate) fn next_segment(&mut self, now: Time, shared: &mut Shared<B>) -> Option<Planned> {
        if !self.state.is_synchronised() {
            return self.next_of_handshake(now, shared);
        }
        let unsent = self.send.end().octets_after(self.send_next);
        let fin_is_due = self.bits.has(Bits::FIN_WANTED) && !self.bits.has(Bits::FIN_SENT);
        let window = (self.unacknowledged + self.send_window).octets_after(self.send_next);
        let queued = (unsent + u32::from(fin_is_due)).min(window);
        if let Some(again) = self.recovery.next_retransmission(now, queued) {
            return Some(self.retransmit(again, now, shared));
        }
        if (unsent > 0 || fin_is_due)
            && let Some(planned) = self.new_data(unsent, fin_is_due, window, now, shared)
        {
            return Some(planned);
        }
        if self.bits.take(Bits::TAIL_PROBE)
            && let Some(again) = self.recovery.tail_probe()
        {
            return Some(self.retransmit(again, now, shared));
        }
        if self.bits.take(Bits::PROBE_DUE) {
            // An octet that the other side has: whatever its window is, it answers (RFC 9293, sections 3.8.4 and 3.8.6.1).
            return Some(self.bare(self.unacknowledged - 1, now, shared));
        }
        if self.bits.has(Bits::ACK_NOW) {
            return Some(self.bare(self.send_next, now, shared));
        }
        None
    }

    /// New data, as much as fits into a segment and may go; a FIN if that is all.
    fn new_data(
        &mut self,
        unsent: u32,
        fin_is_due: bool,
        window: u32,
        now: Time,
        shared: &mut Shared<B>,
    ) -> Option<Planned> {
        if self.bits.has(Bits::NARROWED) {
            self.widen_path(now, shared);
        }
        let queued = (unsent + u32::from(fin_is_due)).min(window);
        let usable = window.min(self.recovery.may_send(now, queued));
        let options = self.options(now, shared);
        let room = self.room_beside(&options);
        let length = unsent.min(usable).min(room);
        let with_fin = fin_is_due && length == unsent && usable > length;
        if !with_fin && !self.may_go(length, unsent, window, room) {
            self.consider_persisting(window, now, shared);
            return None;
        }
        self.bits.clear(Bits::FORCED | Bits::PERSISTS | Bits::TAIL_PROBE);
        let payload = Range::new(self.send_next, length);
        let mut flags = Flags::ACK;
        if length > 0 && self.send.is_pushed(payload) {
            flags = flags | Flags::PSH;
        }
        let mut ecn = 0;
        if length > 0 {
            (ecn, flags) = self.marks_of_data(flags);
        }
        if with_fin {
            flags = flags | Flags::FIN;
            self.bits.set(Bits::FIN_SENT);
            self.state = if self.state == State::CloseWait { State::LastAck } else { State::FinWait1 };
        }
        if self.outstanding() == 0 {
            self.progress = now.wrapping_millis();
        }
        let range = Range::new(self.send_next, length + u32::from(with_fin));
        self.send_next = range.end;
        self.recovery.sent(&mut shared.flights, range, self.timestamp_in(&options), now);
        let mut segment = self.header(range.start, flags, options, payload.length(), shared);
        self.mark_urgent(&mut segment);
        shared.counters.count(Counter::OutSegs);
        self.counts.segments_out = self.counts.segments_out.wrapping_add(1);
        Some(Planned { segment, payload, ecn })
    }

    /// Whether `length` octets of `unsent` ones are worth a segment: Nagle's algorithm (RFC 9293, section 3.7.4) and the avoidance of silly
    /// windows (section 3.8.6.2.1).
    fn may_go(&self, length: u32, unsent: u32, window: u32, room: u32) -> bool {
        if length == 0 {
            return false;
        }
        let is_idle = self.outstanding() == 0;
        length == room
            || length == unsent && (is_idle || self.bits.has(Bits::NO_DELAY | Bits::TAIL_PROBE | Bits::FIN_WANTED))
            || length >= self.largest_window / 2 && length == window
            // Only the congestion window is smaller than a segment.
            || is_idle && window >= room
            || self.bits.has(Bits::FORCED)
    }

    /// Sends octets again.
    fn retransmit(&mut self, again: Retransmission, now: Time, shared: &mut Shared<B>) -> Planned {
        let range = Range { start: again.range.start.latest(self.unacknowledged), end: again.range.end };
        let data_end = self.send.end();
        let payload = Range { start: range.start, end: range.end.earliest(data_end).latest(range.start) };
        let mut options = self.options(now, shared);
        // The segment was cut when there were no SACK blocks to send: they go along if there is room.
        let spare = self.room_beside(&Options { sack: Default::default(), ..options });
        let beside = spare.saturating_sub(payload.length());
        options.sack.truncate((beside.saturating_sub(4) / 8) as usize);
        let mut flags = Flags::ACK;
        if payload.length() > 0 && self.send.is_pushed(payload) {
            flags = flags | Flags::PSH;
        }
        if self.bits.has(Bits::FIN_SENT) && range.end.follows(data_end) {
            flags = flags | Flags::FIN;
        }
        self.recovery.sent(&mut shared.flights, range, self.timestamp_in(&options), now);
        let mut segment = self.header(range.start, flags, options, payload.length(), shared);
        self.mark_urgent(&mut segment);
        self.counts.retransmissions = self.counts.retransmissions.saturating_add(1);
        self.counts.segments_out = self.counts.segments_out.wrapping_add(1);
        shared.counters.count(Counter::RetransSegs);
        shared.counters.count(match again.cause {
            Cause::Fast | Cause::Rack => Counter::FastRetrans,
            Cause::Partial => Counter::PartialAckRetrans,
            Cause::Probe => Counter::LossProbes,
            Cause::Timeout => Counter::SlowStartRetrans,
        });
        Planned { segment, payload, ecn: 0 }
    }

    /// A segment without payload.
    pub(crate) fn bare(&mut self, sequence: SequenceNumber, now: Time, shared: &mut Shared<B>) -> Planned {
        let options = self.options(now, shared);
        let mut segment = self.header(sequence, Flags::ACK, options, 0, shared);
        if sequence == self.send_next {
            self.mark_urgent(&mut segment);
        }
        shared.counters.count(Counter::OutSegs);
        self.counts.segments_out = self.counts.segments_out.wrapping_add(1);
        Planned { segment, payload: Range::new(sequence, 0), ecn: 0 }
    }

    /// A header that acknowledges all that was received.
    pub(crate) fn header(
        &mut self,
        sequence: SequenceNumber,
        flags: Flags,
        options: Options,
        payload: u32,
        shared: &mut Shared<B>,
    ) -> Segment {
        let window = self.advertise(payload > 0, shared);
        self.acknowledged_last = self.receive_next();
        self.bits.clear(Bits::ACK_NOW);
        let flags = if self.bits.has(Bits::MARKED) { flags | Flags::ECE } else { flags };
        Segment {
            source_port: self.tuple.local.port,
            destination_port: self.tuple.remote.port,
            sequence,
            acknowledgement: self.receive_next(),
            flags,
            window,
            options,
            ..Segment::default()
        }
    }

    /// The options that segments carry now.
    fn options(&mut self, now: Time, shared: &mut Shared<B>) -> Options {
        let mut options = Options { timestamps: self.timestamps(now), ..Options::NONE };
        if self.bits.has(Bits::SACK) {
            let most = if self.bits.has(Bits::TIMESTAMPS) { 3 } else { 4 };
            options.sack = self.assembler.sack_blocks(most, &mut shared.spares);
        }
        options
    }

    /// What goes with each segment, and SHOULD go with a reset, too (RFC 7323, section 3.2).
    #[inline]
    pub(super) fn timestamps(&self, now: Time) -> Option<Timestamps> {
        let stamps = Timestamps { value: self.timestamp(now), echo: self.timestamp_recent };
        self.bits.has(Bits::TIMESTAMPS).then_some(stamps)
    }

    #[inline]
    fn timestamp_in(&self, options: &Options) -> u32 {
        options.timestamps.map_or(0, |timestamps| timestamps.value)
    }

    /// Octets of payload that fit beside these options. The MSS has the timestamps off already.
    #[inline]
    fn room_beside(&self, options: &Options) -> u32 {
        let usual = if options.timestamps.is_some() { 12 } else { 0 };
        let more = (options.length() as u32).saturating_sub(usual);
        u32::from(self.mss).saturating_sub(more).max(1)
    }

    /// RFC 6093: the pointer is that of the octet after the last urgent one, within 16 bits of the segment.
    fn mark_urgent(&self, segment: &mut Segment) {
        if self.bits.has(Bits::URGENT_SENT)
            && let Some(end) = self.send.urgent_end()
        {
            let ahead = end.octets_after(segment.sequence);
            if ahead > 0 {
                segment.flags = segment.flags | Flags::URG;
                segment.urgent_pointer = u16::try_from(ahead).unwrap_or(u16::MAX);
            }
        }
    }
}
