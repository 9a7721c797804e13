//! The text of segments and the window for it (RFC 9293, section 3.10.7.4, seventh and eighth; section 3.8.6.2.2).

use super::{Bits, Connection, State};
use crate::counters::Counter;
use crate::event::kind;
use crate::receive::{Arrival, Inserted, Limits};
use crate::segment::{Flags, Segment};
use crate::stack::Shared;
use crate::{Buf, Ending, Time};

/// How long an acknowledgement may wait for company: less than the 500 ms of RFC 9293, MUST-58, and what Linux does.
const ACK_DELAY_MICROS: u32 = 40_000;
/// What is left of windows when the memory of all connections is scarce.
const SCARCE_WINDOW: u32 = 16 << 10;

impl<B: Buf> Connection<B> {
    /// Takes the payload and the FIN of an acceptable segment.
    pub(super) fn take_text(&mut self, segment: &Segment, packet: B, now: Time, shared: &mut Shared<B>) {
        if !self.state.receives() {
            // Nothing follows a FIN: what looks like it is a repetition, or nonsense.
            self.bits.set(Bits::ACK_NOW);
            return;
        }
        if self.bits.has(Bits::RELEASED) && segment.payload_length > 0 {
            // RFC 9293, section 3.6.1, SHLD-3: nobody will read it, and its sender should know.
            shared.counters.count(Counter::AbortOnData);
            self.abort(Ending::Aborted, now, shared);
            return;
        }
        let range = segment.payload_range();
        let is_in_order = range.start == self.receive_next();
        if segment.payload_length > 0 && !shared.memory.admits(u64::from(packet.true_size()), is_in_order) {
            let counter = if is_in_order { Counter::RcvQDrop } else { Counter::OfoDrop };
            shared.counters.count(counter);
            self.bits.set(Bits::ACK_NOW);
            return;
        }
        let limits = Limits {
            window_end: self.window.end(),
            true_size: self.true_size_limit(shared),
            gaps: self.window.gaps(),
            sack: self.bits.has(Bits::SACK),
        };
        let start = usize::from(segment.payload_start);
        let arrival = Arrival {
            sequence: range.start,
            buf: packet,
            place: start..start + segment.payload_length as usize,
            is_last: segment.flags.contains(Flags::FIN),
        };
        let held = self.assembler.true_size();
        let inserted = self.assembler.insert(arrival, &limits, &mut shared.spares);
        shared.memory.changed(held, self.assembler.true_size());
        self.note_text(inserted, segment.payload_length, now);
        match inserted {
            Inserted::InOrder { octets, filled_gap } => {
                if !filled_gap {
                    shared.counters.count(Counter::HpHits);
                }
                self.counts.octets_received += u64::from(octets);
                if octets > 0 {
                    self.tell(kind::READABLE);
                }
                if self.assembler.is_finished() {
                    self.hear_fin(now, shared);
                }
            }
            Inserted::OutOfOrder => shared.counters.count(Counter::OfoQueue),
            Inserted::Refused if self.window.size(self.receive_next()) == 0 => {
                shared.counters.count(Counter::ZeroWindowDrop);
            }
            Inserted::Refused => shared.counters.count(Counter::OfoDrop),
            Inserted::Duplicate | Inserted::Nothing => {}
        }
    }

    /// What buffers of what was received may weigh.
    #[inline]
    pub(super) fn true_size_limit(&self, shared: &Shared<B>) -> u64 {
        2 * u64::from(shared.settings(self.profile).receive_buffer)
    }

    /// Sees to it that text is acknowledged: at once, or in time.
    #[inline]
    pub(super) fn note_text(&mut self, inserted: Inserted, payload: u32, now: Time) {
        self.delayed_ack.received(inserted, payload, self.mss, now, ACK_DELAY_MICROS);
        if self.delayed_ack.is_due(now) {
            self.bits.set(Bits::ACK_NOW);
        }
    }

    /// The other side has closed, and all that it sent is here (RFC 9293, section 3.10.7.4, eighth).
    fn hear_fin(&mut self, now: Time, shared: &mut Shared<B>) {
        self.bits.set(Bits::ACK_NOW);
        // Released connections do not pass through CLOSE-WAIT without anybody to close them: release asks for a FIN.
        self.tell(kind::READABLE);
        match self.state {
            State::Established => self.state = State::CloseWait,
            // If this side's FIN had been acknowledged by the same segment, it would be FIN-WAIT-2 already.
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.enter_time_wait(now, shared),
            _ => {}
        }
    }

    /// The window field of a segment that goes now.
    #[inline]
    pub(super) fn advertise(&mut self, has_payload: bool, shared: &mut Shared<B>) -> u16 {
        let unread = self.assembler.unread();
        let window = self.window.advertise(self.receive_next(), unread, self.mss);
        self.delayed_ack.sent(has_payload);
        if window == 0 || self.bits.has(Bits::WINDOW_SHUT) {
            self.note_window(window, shared);
        }
        window
    }

    #[cold]
    fn note_window(&mut self, window: u16, shared: &mut Shared<B>) {
        let was_shut = self.bits.has(Bits::WINDOW_SHUT);
        self.bits.put(Bits::WINDOW_SHUT, window == 0);
        match (was_shut, window == 0) {
            (false, true) => shared.counters.count(Counter::ToZeroWindowAdv),
            (true, false) => shared.counters.count(Counter::FromZeroWindowAdv),
            _ => {}
        }
    }

    /// The application has read so much. True if the other side has to be told of the room that this makes.
    #[inline(always)]
    pub(crate) fn consume(&mut self, octets: usize, now: Time, shared: &mut Shared<B>) -> bool {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        let held = self.assembler.true_size();
        let consumed = self.assembler.consume(octets, &mut shared.spares);
        self.consumed(consumed, held, now, shared)
    }

    /// Copies what the application reads, as much as there is room for; the same is true then. First how many octets that were.
    #[inline]
    pub(crate) fn read_into(&mut self, into: &mut [u8], now: Time, shared: &mut Shared<B>) -> (usize, bool) {
        let held = self.assembler.true_size();
        let octets = self.assembler.read_into(into, &mut shared.spares);
        (octets as usize, self.consumed(octets, held, now, shared))
    }

    /// So many octets were read; before that `held` were held by true size.
    #[inline(always)]
    fn consumed(&mut self, consumed: u32, held: u64, now: Time, shared: &mut Shared<B>) -> bool {
        shared.memory.changed(held, self.assembler.true_size());
        if consumed == 0 || !self.state.receives() {
            return false;
        }
        let rtt = self.recovery.rtt().smoothed().unwrap_or(0);
        let most = if shared.memory.is_scarce() {
            // Windows close instead of having what fits into them dropped.
            self.window.limit(self.assembler.unread().max(SCARCE_WINDOW));
            self.window.capacity()
        } else {
            shared.settings(self.profile).receive_buffer
        };
        self.window.consumed(consumed, now, rtt, most);
        let has_news = self.window.wants_update(self.receive_next(), self.assembler.unread(), self.mss);
        if has_news {
            self.bits.set(Bits::ACK_NOW);
        }
        has_news
    }

    /// Lets go of what the acknowledgement number covers.
    #[inline]
    pub(super) fn release_sent(&mut self, number: crate::SequenceNumber, shared: &mut Shared<B>) -> u32 {
        let held = self.send.true_size();
        let released = self.send.acknowledge(number, &mut shared.spares);
        let left = self.send.true_size();
        shared.memory.changed(held, left);
        released
    }

    /// Tells the application that there is room, if it waits for that.
    #[inline]
    pub(super) fn offer_room(&mut self, shared: &Shared<B>) {
        // Not for every segment: half of the buffer at once.
        if self.bits.has(Bits::WANTS_ROOM)
            && self.affords(2 * self.send.true_size(), self.waiting().saturating_mul(2), shared)
        {
            self.bits.clear(Bits::WANTS_ROOM);
            self.tell(kind::WRITABLE);
        }
    }
}
