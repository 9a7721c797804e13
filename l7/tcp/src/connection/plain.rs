//! A plain segment arrives at an established connection that expects just that, or leaves it: header prediction (Jacobson, 1990).
//!
//! Invariant: whatever is taken here would have come to the same end by [`Connection::arrive`], and whatever is sent would have gone by
//! [`Connection::next_segment`], where everything else goes; what is not has changed nothing. A property test goes both ways.

use super::arrival::Heard;
use super::output::{Header, Lead, Planned};
use super::{Bits, Connection, State};
use crate::counters::Counter;
use crate::event::kind;
use crate::receive::Inserted;
use crate::segment::{Flags, Plain};
use crate::stack::Shared;
use crate::{Buf, Range, Time};

/// With one of these, what is sent is not plain.
const UNUSUAL: Bits = Bits::TRACED
    .and(Bits::FIN_WANTED)
    .and(Bits::TAIL_PROBE)
    .and(Bits::PROBE_DUE)
    .and(Bits::PERSISTS)
    .and(Bits::FORCED)
    .and(Bits::NARROWED)
    .and(Bits::URGENT_SENT);

impl<B: Buf> Connection<B> {
    /// New data, if that is what goes next, and it is a full segment or the last one.
    #[inline]
    pub(super) fn send_plain(
        &mut self,
        now: Time,
        shared: &mut Shared<B>,
        header: &mut Header,
    ) -> Option<Planned> {
        let (unsent, mss) = (self.unsent(), u32::from(self.mss));
        let window = (self.unacknowledged + self.send_window).octets_after(self.send_next);
        let (length, is_idle) = (unsent.min(mss), self.outstanding() == 0);
        let may_go = length == mss || is_idle || self.bits.has(Bits::NO_DELAY);
        if length == 0
            || length > window
            || !may_go
            || self.bits.has(UNUSUAL)
            || self.state != State::Established
            || self.assembler.is_disorderly()
            || self.recovery.has_lost()
            || self.recovery.may_send(now, unsent.min(window)) < length
        {
            return None;
        }
        let payload = Range::new(self.send_next, length);
        self.send_next = payload.end;
        if is_idle {
            self.progress = now.wrapping_millis();
        }
        let timestamps = self.timestamps(now);
        let stamp = timestamps.map_or(0, |stamps| stamps.value);
        self.recovery.sent(&mut shared.flights, payload, stamp, now);
        let mut flags = Flags::ACK;
        if length == unsent {
            flags = flags | Flags::PSH;
            self.recovery.application_limited();
        }
        let (ecn, flags) = self.marks_of_data(flags);
        shared.counters.count(Counter::OutSegs);
        let lead = Lead { sequence: payload.start, flags, timestamps, sack: None, has_payload: true };
        Some(Planned { header: self.write(&lead, shared, header), payload, ecn })
    }

    /// Takes a segment, or gives it back if it is not what was expected.
    #[inline]
    pub(crate) fn arrive_plain(
        &mut self,
        plain: &Plain,
        packet: B,
        now: Time,
        shared: &mut Shared<B>,
    ) -> Option<B> {
        let start = plain.length();
        let octets = u32::try_from(packet.octets().len() - start).unwrap_or(u32::MAX);
        if !self.is_expected(plain) || octets > 0 && !self.takes_next(octets, packet.true_size(), shared) {
            return Some(packet);
        }
        self.counts.segments_in = self.counts.segments_in.wrapping_add(1);
        self.remember_timestamp(plain.sequence, plain.timestamps);
        self.heard_ms = now.wrapping_millis();
        let heard = Heard {
            number: plain.acknowledgement,
            sequence: plain.sequence,
            window: plain.window,
            sack: &[],
            timestamps: plain.timestamps,
            is_bare: octets == 0,
            ecn_echo: false,
        };
        self.acknowledge(&heard, now, shared);
        if octets == 0 {
            shared.counters.count(Counter::PureAcks);
            return None;
        }
        let size = packet.true_size();
        let octets = self.assembler.append(packet, start, octets, &mut shared.spares);
        shared.memory.changed(0, size.into());
        self.note_text(Inserted::InOrder { octets, filled_gap: false }, octets, now);
        shared.counters.count(Counter::HpHits);
        self.counts.octets_received += u64::from(octets);
        self.tell(kind::READABLE);
        None
    }

    /// True if the segment is the next one, and of a time when nothing is unusual.
    #[inline]
    fn is_expected(&self, plain: &Plain) -> bool {
        let behind = plain.timestamps.map_or(0, |stamps| self.timestamp_recent.wrapping_sub(stamps.value));
        self.state == State::Established
            && plain.sequence == self.receive_next()
            && plain.acknowledgement - self.unacknowledged <= self.outstanding()
            && plain.timestamps.is_some() == self.bits.has(Bits::TIMESTAMPS)
            && (behind == 0 || behind >= 1 << 31)
            && !self.bits.has(Bits::TRACED | Bits::RELEASED)
    }

    /// True if there is room for the next octets.
    #[inline]
    fn takes_next(&self, octets: u32, size: u32, shared: &Shared<B>) -> bool {
        let limit = self.true_size_limit(shared);
        shared.memory.admits(size.into(), true)
            && self.assembler.takes_next(octets, size, self.window.end(), limit)
    }
}
