//! A connection (RFC 9293, section 3.3.1): what is known about it, and what becomes of it when segments, calls and time come.
//!
//! Invariants:
//! - `SND.UNA <= SND.NXT`, and octets from SND.UNA on are in the send buffer; RCV.NXT is the assembler's;
//! - LISTEN and CLOSED have no connection, and TIME-WAIT is a record of the stack; a connection here in [`State::Closed`] is over
//!   and waits for the application to release it;
//! - a connection without data in flight and without unread data holds no memory but its own.

mod alarm;
mod arrival;
mod bits;
mod calls;
mod ecn;
mod ending;
mod handshake;
mod output;
mod path;
mod plain;
mod text;
mod timers;

pub(crate) use alarm::Alarm;
pub(crate) use bits::Bits;
pub(crate) use ecn::EXPERIENCED;
pub(crate) use handshake::{announced_mss, default_mss, offers_ecn};
pub(crate) use output::{Header, Planned};
pub(crate) use path::Narrow;

use crate::receive::{Assembler, DelayedAck, ReceiveWindow};
use crate::recovery::Recovery;
use crate::send_buffer::SendBuffer;
use crate::stack::Epoch;
use crate::{Buf, Ending, SequenceNumber, Time, Tuple};

/// Where a connection stands (RFC 9293, section 3.3.2). LISTEN and TIME-WAIT are kept elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Over, or not yet begun.
    Closed,
    /// A SYN was sent.
    SynSent,
    /// A SYN was received and answered.
    SynReceived,
    /// Data flows.
    Established,
    /// This side has closed.
    FinWait1,
    /// This side has closed, and the other one knows.
    FinWait2,
    /// The other side has closed.
    CloseWait,
    /// Both have closed at the same time, and the other side does not know yet.
    Closing,
    /// The other side closed first, then this one, and the other side does not know yet.
    LastAck,
}

impl State {
    /// Both sides know each other's initial sequence number (RFC 9293, section 3.3.2).
    pub(crate) const fn is_synchronised(self) -> bool {
        matches!(
            self,
            Self::Established
                | Self::FinWait1
                | Self::FinWait2
                | Self::CloseWait
                | Self::Closing
                | Self::LastAck
        )
    }

    /// The other side may still send data.
    pub(crate) const fn receives(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// This side may still be given data to send.
    pub(crate) const fn sends(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived | Self::Established | Self::CloseWait)
    }
}

/// What a connection knows, in the order that it lies in memory: first what an exchange of a request and its answer touches, so that this
/// is in as few lines as may be, then what belongs to handshakes and to worse.
#[repr(C)]
pub(crate) struct Connection<B> {
    pub(crate) tuple: Tuple,
    pub(crate) bits: Bits,
    pub(crate) assembler: Assembler<B>,
    /// SND.UNA.
    pub(crate) unacknowledged: SequenceNumber,
    /// SND.NXT.
    pub(crate) send_next: SequenceNumber,
    pub(crate) send: SendBuffer<B>,
    pub(crate) window: ReceiveWindow,
    pub(crate) delayed_ack: DelayedAck,
    /// SND.WND, scaled up.
    pub(crate) send_window: u32,
    /// The largest SND.WND so far (RFC 9293, section 3.8.6.2.1; RFC 5961, section 5).
    pub(crate) largest_window: u32,
    /// SND.WL1.
    pub(crate) window_sequence: SequenceNumber,
    /// Last.ACK.sent (RFC 7323, section 4.3).
    pub(crate) acknowledged_last: SequenceNumber,
    /// When the last segment came that was acceptable: [`Time::wrapping_millis`].
    pub(crate) heard_ms: u32,
    /// While data is in flight, when the last of it was acknowledged, or the first was sent: [`Time::wrapping_millis`]. During the
    /// handshake, when the SYN was sent first: [`Time::wrapping_micros`].
    pub(crate) progress: u32,
    /// When the timer of the handshake, of zero-window probes, of keepalive or of lingering is due; which one, state and bits say.
    pub(crate) control: Alarm,
    /// When the timing wheel wakes this connection, at the latest.
    pub(crate) armed: Alarm,
    /// Changes with every connection that has this place among others.
    pub(crate) epoch: u32,
    /// The largest segment's payload as the path allows now, options that every segment has already off.
    pub(crate) mss: u16,
    pub(crate) state: State,
    /// Events to be told: a bit each.
    pub(crate) events: u8,
    /// Which settings apply.
    pub(crate) profile: u8,
    /// Timeouts in a row.
    pub(crate) timeouts: u8,
    /// Shift of the windows that come (RFC 7323, section 2).
    pub(crate) send_shift: u8,
    /// Retransmissions of the SYN, probes without an answer: what the control timer counts.
    pub(crate) attempts: u8,
    pub(crate) counts: Counts,
    /// TS.Recent (RFC 7323, section 4.3).
    pub(crate) timestamp_recent: u32,
    /// What is added to the clock, in milliseconds, to make timestamps of this connection.
    pub(crate) timestamp_offset: u32,
    pub(crate) recovery: Recovery,
    /// Until it is established, the number of the listener that it comes from; then the octet after the last urgent one announced.
    pub(crate) listener_or_urgent: u32,
    /// Segments that went again.
    pub(crate) retransmissions: u16,
    /// The half second, modulo 2^8 and odd, in which an unacceptable segment was answered last.
    pub(crate) answered: u8,
    pub(crate) ending: Option<Ending>,
}

/// What a connection counts for its [`Info`](crate::Info).
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) octets_acknowledged: u64,
    pub(crate) octets_received: u64,
    pub(crate) segments_in: u32,
    pub(crate) segments_out: u32,
}

impl<B> Epoch for Connection<B> {
    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn set_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
    }
}

impl<B: Buf> Connection<B> {
    /// The number of the FIN of this side, once it is known.
    pub(crate) fn fin_number(&self) -> SequenceNumber {
        self.send.end()
    }

    /// True if this side's FIN was sent and acknowledged.
    pub(crate) fn fin_is_acknowledged(&self) -> bool {
        self.bits.has(Bits::FIN_SENT) && self.unacknowledged.follows(self.fin_number())
    }

    /// Octets sent and not acknowledged, SYN and FIN counted.
    #[inline]
    pub(crate) fn outstanding(&self) -> u32 {
        self.send_next - self.unacknowledged
    }

    /// RCV.NXT.
    #[inline]
    pub(crate) fn receive_next(&self) -> SequenceNumber {
        self.assembler.next()
    }

    /// The octet after the last urgent one that was announced.
    pub(crate) const fn urgent_received(&self) -> SequenceNumber {
        SequenceNumber(self.listener_or_urgent)
    }

    /// Reads from each of its lines of memory that an exchange touches. The answer means nothing.
    #[inline]
    pub(crate) fn read_ahead(&self) -> u32 {
        let [first, _] = self.tuple.local.addr.words();
        let middle = self.send_next.0 ^ self.send_window ^ self.counts.segments_out;
        first as u32 ^ middle ^ self.recovery.window() ^ self.recovery.threshold()
    }

    /// The same of what it points to.
    #[inline]
    pub(crate) fn read_further_ahead(&self) -> u32 {
        (self.recovery.read_ahead() ^ self.send.read_ahead()) as u32
    }

    /// TSval at `now`.
    #[inline]
    pub(crate) fn timestamp(&self, now: Time) -> u32 {
        now.wrapping_millis().wrapping_add(self.timestamp_offset)
    }
}
