//! What a connection sends next: one segment at a time, until there is nothing that has to go and may go.

use super::{Bits, Connection, State};
use crate::counters::Counter;
use crate::recovery::{Cause, Retransmission};
use crate::segment::{Flags, MAX_HEADER, Plain, SackBlocks, Segment, Timestamps};
use crate::stack::Shared;
use crate::{Buf, Range, SequenceNumber, Time};

/// A segment to send: the length of its header, which was written, and where its payload is in the send buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) header: usize,
    pub(crate) payload: Range,
    /// The ECN field of the IP header.
    pub(crate) ecn: u8,
}

/// What segments of a connection differ in.
pub(super) struct Lead {
    pub(super) sequence: SequenceNumber,
    pub(super) flags: Flags,
    pub(super) timestamps: Option<Timestamps>,
    pub(super) sack: Option<SackBlocks>,
    pub(super) has_payload: bool,
}

/// Where headers are written.
pub(crate) type Header = [u8; MAX_HEADER];

impl<B: Buf> Connection<B> {
    /// The next segment to go, as if it had gone. `None`: nothing until something happens.
    #[inline]
    pub(crate) fn next_segment(
        &mut self,
        now: Time,
        shared: &mut Shared<B>,
        header: &mut Header,
    ) -> Option<Planned> {
        if let Some(planned) = self.send_plain(now, shared, header) {
            return Some(planned);
        }
        self.next_of_any(now, shared, header)
    }

    /// The same where there may be more to it than new data.
    fn next_of_any(&mut self, now: Time, shared: &mut Shared<B>, header: &mut Header) -> Option<Planned> {
        if !self.state.is_synchronised() {
            return self.next_of_handshake(now, shared, header);
        }
        let unsent = self.unsent();
        let fin_is_due = self.fin_is_due();
        let window = (self.unacknowledged + self.send_window).octets_after(self.send_next);
        let queued = (unsent + u32::from(fin_is_due)).min(window);
        if let Some(again) = self.recovery.next_retransmission(now, queued) {
            return Some(self.retransmit(again, now, shared, header));
        }
        if (unsent > 0 || fin_is_due)
            && let Some(planned) = self.new_data(unsent, fin_is_due, window, now, shared, header)
        {
            return Some(planned);
        }
        if !self.bits.has(Bits::ACK_NOW | Bits::TAIL_PROBE | Bits::PROBE_DUE) {
            return None;
        }
        if self.bits.take(Bits::TAIL_PROBE)
            && let Some(again) = self.recovery.tail_probe()
        {
            return Some(self.retransmit(again, now, shared, header));
        }
        if self.bits.take(Bits::PROBE_DUE) {
            // An octet that the other side has: whatever its window is, it answers (RFC 9293, sections 3.8.4 and 3.8.6.1).
            return Some(self.bare(self.unacknowledged - 1, now, shared, header));
        }
        self.bits.has(Bits::ACK_NOW).then(|| self.bare(self.send_next, now, shared, header))
    }

    /// True if [`Connection::next_segment`] would surely say that there is nothing: no need to ask.
    #[inline]
    pub(crate) fn has_sent_all(&self) -> bool {
        !self.bits.has(Bits::SYN_DUE | Bits::ACK_NOW | Bits::TAIL_PROBE | Bits::PROBE_DUE)
            && self.unsent() == 0
            && !self.fin_is_due()
            && !self.recovery.has_lost()
    }

    /// Octets that have never gone.
    #[inline]
    pub(super) fn unsent(&self) -> u32 {
        self.send.end().octets_after(self.send_next)
    }

    #[inline]
    pub(super) fn fin_is_due(&self) -> bool {
        self.bits.has(Bits::FIN_WANTED) && !self.bits.has(Bits::FIN_SENT)
    }

    /// New data, as much as fits into a segment and may go; a FIN if that is all.
    #[inline]
    fn new_data(
        &mut self,
        unsent: u32,
        fin_is_due: bool,
        window: u32,
        now: Time,
        shared: &mut Shared<B>,
        header: &mut Header,
    ) -> Option<Planned> {
        if self.bits.has(Bits::NARROWED) {
            self.widen_path(now, shared);
        }
        let queued = (unsent + u32::from(fin_is_due)).min(window);
        let usable = window.min(self.recovery.may_send(now, queued));
        let sack = self.sack_blocks();
        let room = self.room_beside(sack.as_ref());
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
        let timestamps = self.timestamps(now);
        self.recovery.sent(&mut shared.flights, range, timestamps.map_or(0, |stamps| stamps.value), now);
        if length == unsent {
            self.recovery.application_limited();
        }
        shared.counters.count(Counter::OutSegs);
        let lead = Lead { sequence: range.start, flags, timestamps, sack, has_payload: length > 0 };
        let header = self.write(&lead, shared, header);
        Some(Planned { header, payload, ecn })
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
    #[inline(never)]
    fn retransmit(
        &mut self,
        again: Retransmission,
        now: Time,
        shared: &mut Shared<B>,
        header: &mut Header,
    ) -> Planned {
        let range = Range { start: again.range.start.latest(self.unacknowledged), end: again.range.end };
        let data_end = self.send.end();
        let payload = Range { start: range.start, end: range.end.earliest(data_end).latest(range.start) };
        let mut sack = self.sack_blocks();
        // The segment was cut when there were no SACK blocks to send: they go along if there is room.
        let beside = u32::from(self.mss).saturating_sub(payload.length());
        if let Some(blocks) = &mut sack {
            blocks.truncate((beside.saturating_sub(4) / 8) as usize);
        }
        let mut flags = Flags::ACK;
        if payload.length() > 0 && self.send.is_pushed(payload) {
            flags = flags | Flags::PSH;
        }
        if self.bits.has(Bits::FIN_SENT) && range.end.follows(data_end) {
            flags = flags | Flags::FIN;
        }
        let timestamps = self.timestamps(now);
        self.recovery.sent(&mut shared.flights, range, timestamps.map_or(0, |stamps| stamps.value), now);
        self.retransmissions = self.retransmissions.saturating_add(1);
        shared.counters.count(Counter::RetransSegs);
        shared.counters.count(match again.cause {
            Cause::Fast | Cause::Rack => Counter::FastRetrans,
            Cause::Partial => Counter::PartialAckRetrans,
            Cause::Probe => Counter::LossProbes,
            Cause::Timeout => Counter::SlowStartRetrans,
        });
        let has_payload = payload.length() > 0;
        let lead = Lead { sequence: range.start, flags, timestamps, sack, has_payload };
        Planned { header: self.write(&lead, shared, header), payload, ecn: 0 }
    }

    /// A segment without payload.
    pub(crate) fn bare(
        &mut self,
        sequence: SequenceNumber,
        now: Time,
        shared: &mut Shared<B>,
        header: &mut Header,
    ) -> Planned {
        let sack = self.sack_blocks();
        let timestamps = self.timestamps(now);
        shared.counters.count(Counter::OutSegs);
        let lead = Lead { sequence, flags: Flags::ACK, timestamps, sack, has_payload: false };
        let header = self.write(&lead, shared, header);
        Planned { header, payload: Range::new(sequence, 0), ecn: 0 }
    }

    /// Writes a header that acknowledges all that was received.
    #[inline(always)]
    pub(super) fn write(&mut self, lead: &Lead, shared: &mut Shared<B>, into: &mut Header) -> usize {
        let window = self.advertise(lead.has_payload, shared);
        self.note_sent();
        let flags = if self.bits.has(Bits::MARKED) { lead.flags | Flags::ECE } else { lead.flags };
        let plain = Plain {
            source_port: self.tuple.local.port,
            destination_port: self.tuple.remote.port,
            sequence: lead.sequence,
            acknowledgement: self.receive_next(),
            window,
            timestamps: lead.timestamps,
        };
        if lead.sack.is_none() && !self.bits.has(Bits::URGENT_SENT) {
            return plain.write(flags, into);
        }
        let mut segment = plain.segment(flags);
        if let Some(sack) = lead.sack.filter(|sack| !sack.is_empty()) {
            segment.options.sack = sack;
            self.assembler.reported(&mut shared.spares);
        }
        self.mark_urgent(&mut segment);
        segment.write(into)
    }

    /// A segment goes that acknowledges everything.
    #[inline]
    pub(super) fn note_sent(&mut self) {
        self.acknowledged_last = self.receive_next();
        self.bits.clear(Bits::ACK_NOW);
        self.counts.segments_out = self.counts.segments_out.wrapping_add(1);
    }

    /// The SACK blocks that go with the next segment.
    #[inline]
    fn sack_blocks(&self) -> Option<SackBlocks> {
        if !self.bits.has(Bits::SACK) || !self.assembler.is_disorderly() {
            return None;
        }
        let most = if self.bits.has(Bits::TIMESTAMPS) { 3 } else { 4 };
        Some(self.assembler.sack_blocks(most))
    }

    /// What goes with each segment, and SHOULD go with a reset, too (RFC 7323, section 3.2).
    #[inline]
    pub(super) fn timestamps(&self, now: Time) -> Option<Timestamps> {
        let stamps = || Timestamps { value: self.timestamp(now), echo: self.timestamp_recent };
        self.bits.has(Bits::TIMESTAMPS).then(stamps)
    }

    /// Octets of payload that fit beside these. The MSS has the timestamps off already.
    #[inline]
    fn room_beside(&self, sack: Option<&SackBlocks>) -> u32 {
        let blocks = sack.map_or(0, |sack| sack.as_slice().len() as u32);
        let taken = if blocks == 0 { 0 } else { 4 + 8 * blocks };
        u32::from(self.mss).saturating_sub(taken).max(1)
    }

    /// RFC 6093: the pointer is that of the octet after the last urgent one, within 16 bits of the segment.
    fn mark_urgent(&self, segment: &mut Segment) {
        if self.bits.has(Bits::URGENT_SENT)
            && segment.sequence.reaches(self.unacknowledged)
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
