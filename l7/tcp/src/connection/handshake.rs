//! The three-way handshake (RFC 9293, section 3.5): what SYNs carry, and what is made of what they carry.

use super::{Bits, Connection, State};
use crate::connection::{Header, Planned};
use crate::counters::Counter;
use crate::receive::{Assembler, DelayedAck, ReceiveWindow};
use crate::segment::{Flags, Options, Segment, Timestamps};
use crate::stack::Shared;
use crate::{Buf, Range, Time, Tuple};

/// The MSS that a peer has that says nothing about it (RFC 9293, section 3.7.1, MUST-15).
const DEFAULT_MSS_V4: u16 = 536;
const DEFAULT_MSS_V6: u16 = 1220;
/// Segments are never made smaller than this, whatever the peer asks for: each costs a header, an interrupt and a
/// place in queues, so that tiny segments are a way to attack.
const LEAST_MSS: u16 = 88;
/// Octets that timestamps take in each segment.
const TIMESTAMPS_LENGTH: u16 = 12;

/// The MSS that this side announces: what a segment on this route has room for (RFC 9293, section 3.7.1; RFC 6691).
pub(crate) const fn announced_mss(tuple: &Tuple, mtu: u16) -> u16 {
    mtu.saturating_sub(tuple.ip_header_length() + 20)
}

/// The MSS of a peer that says nothing about it.
pub(crate) const fn default_mss(tuple: &Tuple) -> u16 {
    if tuple.remote.addr.is_v4() { DEFAULT_MSS_V4 } else { DEFAULT_MSS_V6 }
}

/// True if a SYN offers ECN, or the answer to one accepts the offer (RFC 3168, section 6.1.1). An answer with both flags merely reflects.
pub(crate) const fn offers_ecn(flags: Flags) -> bool {
    flags.contains(Flags::ECE) && flags.contains(Flags::CWR) != flags.contains(Flags::ACK)
}

impl<B: Buf> Connection<B> {
    /// The SYN, or the answer to one.
    pub(super) fn next_of_handshake(
        &mut self,
        now: Time,
        shared: &mut Shared<B>,
        header: &mut Header,
    ) -> Option<Planned> {
        let is_answer = match self.state {
            State::SynSent => false,
            State::SynReceived => true,
            _ => return None,
        };
        if !self.bits.take(Bits::SYN_DUE) {
            return self.bits.has(Bits::ACK_NOW).then(|| self.bare(self.send_next, now, shared, header));
        }
        let initial = self.unacknowledged;
        let settings = shared.settings(self.profile);
        let initial_window = settings.initial_window;
        let options = Options {
            mss: Some(announced_mss(&self.tuple, settings.mtu)),
            window_scale: self
                .bits
                .has(Bits::SCALING)
                .then(|| ReceiveWindow::scale_for(settings.receive_buffer)),
            sack_permitted: self.bits.has(Bits::SACK),
            timestamps: self.bits.has(Bits::TIMESTAMPS).then(|| Timestamps {
                value: self.timestamp(now),
                echo: if is_answer { self.timestamp_recent } else { 0 },
            }),
            ..Options::NONE
        };
        // Whoever opens at the same time as the other side sends its SYN again only with the answer.
        let is_known = self.bits.has(Bits::PASSIVE) && self.send_next != initial;
        if self.attempts > 0 || is_known {
            self.bits.set(Bits::SYN_RETRANSMITTED);
            self.retransmissions = self.retransmissions.saturating_add(1);
            shared.counters.count(Counter::SynRetrans);
            shared.counters.count(Counter::RetransSegs);
        } else {
            shared.counters.count(Counter::OutSegs);
        }
        self.send_next = initial + 1;
        self.advertise(false, shared);
        self.note_sent();
        let segment = Segment {
            source_port: self.tuple.local.port,
            destination_port: self.tuple.remote.port,
            sequence: initial,
            acknowledgement: if is_answer { self.receive_next() } else { Default::default() },
            flags: self.flags_of_syn(is_answer),
            // The window beside a SYN is not scaled (RFC 7323, section 2.2).
            window: ReceiveWindow::in_syn(initial_window),
            options,
            ..Segment::default()
        };
        Some(Planned { header: segment.write(header), payload: Range::new(initial + 1, 0), ecn: 0 })
    }

    /// With the offer of ECN, or its acceptance (RFC 3168, section 6.1.1). A SYN that goes again goes without, in case that it was the offer
    /// that it was dropped for (section 6.1.1.1).
    fn flags_of_syn(&self, is_answer: bool) -> Flags {
        match (is_answer, self.bits.has(Bits::ECN)) {
            (true, true) => Flags::SYN | Flags::ACK | Flags::ECE,
            (true, false) => Flags::SYN | Flags::ACK,
            (false, true) if self.attempts == 0 => Flags::SYN | Flags::ECE | Flags::CWR,
            (false, _) => Flags::SYN,
        }
    }

    /// Takes over what the other side's SYN says: options that both sides have, and the window.
    pub(crate) fn agree(&mut self, syn: &Segment, now: Time, shared: &Shared<B>) {
        let options = &syn.options;
        let settings = shared.settings(self.profile);
        let next = syn.sequence + 1;
        self.assembler = Assembler::new(next);
        self.window = ReceiveWindow::new(next, settings.initial_window, now);
        self.acknowledged_last = next;
        self.bits.put(Bits::SACK, self.bits.has(Bits::SACK) && options.sack_permitted);
        self.bits.put(Bits::ECN, self.bits.has(Bits::ECN) && offers_ecn(syn.flags));
        let both_stamp = self.bits.has(Bits::TIMESTAMPS) && options.timestamps.is_some();
        self.bits.put(Bits::TIMESTAMPS, both_stamp);
        if let Some(timestamps) = options.timestamps {
            self.timestamp_recent = timestamps.value;
        }
        match options.window_scale {
            Some(shift) if self.bits.has(Bits::SCALING) => {
                self.send_shift = shift;
                self.window.set_scale(ReceiveWindow::scale_for(settings.receive_buffer));
            }
            // Only if both sides say so are windows scaled (RFC 7323, section 2.2).
            _ => self.bits.clear(Bits::SCALING),
        }
        self.heard_ms = now.wrapping_millis();
        self.send_window = u32::from(syn.window);
        self.largest_window = self.send_window;
        self.window_sequence = syn.sequence;
        self.set_mss(options.mss, settings.mtu);
    }

    /// Eff.snd.MSS of RFC 9293, section 3.7.1: what the other side takes and what the route carries, less the options of every segment.
    fn set_mss(&mut self, theirs: Option<u16>, mtu: u16) {
        let whole = theirs
            .unwrap_or_else(|| default_mss(&self.tuple))
            .min(announced_mss(&self.tuple, mtu))
            .max(LEAST_MSS);
        let options = if self.bits.has(Bits::TIMESTAMPS) { TIMESTAMPS_LENGTH } else { 0 };
        self.mss = whole - options;
    }

    /// Both sides know each other: data may flow. `timestamps`: of the segment that acknowledges this side's SYN.
    pub(crate) fn establish(&mut self, timestamps: Option<Timestamps>, now: Time, shared: &mut Shared<B>) {
        self.state = State::Established;
        self.bits.clear(Bits::SYN_DUE);
        self.bits.set(Bits::ESTABLISHED);
        let rtt = self.round_trip_of_syn(timestamps, now);
        self.recovery = shared.recovery_for(self.profile, self.mss, self.bits.has(Bits::SACK), now);
        self.delayed_ack = DelayedAck::new();
        // Where the timer and the other side's SYN have both asked for one answer more, one was lost.
        let is_doubled = self.attempts == 1 && self.retransmissions == 2;
        let times = if is_doubled { 1 } else { self.retransmissions };
        self.recovery.handshake(rtt, times, now);
        self.attempts = 0;
        self.progress = now.wrapping_millis();
        self.rest(now, shared);
    }

    /// The round trip of the SYN, or of the answer to one, in microseconds: if it went more than once, only timestamps tell which of them was
    /// acknowledged (RFC 6298, section 3; RFC 7323, section 4.1).
    fn round_trip_of_syn(&self, timestamps: Option<Timestamps>, now: Time) -> Option<u32> {
        if self.progress == 0 {
            return None;
        }
        let longest = now.wrapping_micros().wrapping_sub(self.progress).max(1);
        if !self.bits.has(Bits::SYN_RETRANSMITTED) {
            return Some(longest);
        }
        let age = self.echo(timestamps, now)?.age;
        (age <= longest.saturating_add(1_000)).then_some(age)
    }
}
