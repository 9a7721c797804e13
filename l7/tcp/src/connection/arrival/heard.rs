//! The ACK field and the window of an acceptable segment (RFC 9293, section 3.10.7.4, fifth).

use crate::connection::{Bits, Connection};
use crate::counters::Counter;
use crate::recovery::{Ack, Echo, Outcome, Undo};
use crate::segment::Timestamps;
use crate::stack::Shared;
use crate::{Buf, Range, SequenceNumber, Time};

/// What a segment says about what was sent, and how much more may be.
pub(in crate::connection) struct Heard<'a> {
    /// SEG.ACK.
    pub(in crate::connection) number: SequenceNumber,
    /// SEG.SEQ.
    pub(in crate::connection) sequence: SequenceNumber,
    /// SEG.WND as it stands in the header.
    pub(in crate::connection) window: u16,
    pub(in crate::connection) sack: &'a [Range],
    pub(in crate::connection) timestamps: Option<Timestamps>,
    /// The segment takes no sequence space.
    pub(in crate::connection) is_bare: bool,
    /// A congestion mark is echoed.
    pub(in crate::connection) ecn_echo: bool,
}

impl<B: Buf> Connection<B> {
    /// What the ACK field and the window say.
    #[inline(always)]
    pub(in crate::connection) fn acknowledge(
        &mut self,
        heard: &Heard<'_>,
        now: Time,
        shared: &mut Shared<B>,
    ) {
        let number = heard.number;
        let window = u32::from(heard.window) << self.send_shift;
        let is_new = number.follows(self.unacknowledged);
        self.timeouts = 0;
        let is_plain = heard.sack.is_empty() && !heard.ecn_echo;
        if self.outstanding() > 0 && !(is_plain && self.recovery.stretch_arrived(number, now)) {
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
        if is_new || !is_plain {
            self.offer_room(shared);
        }
        // What is lost, or may go now, goes from the list of those with output.
        if self.outstanding() > 0 || self.send.end() != self.send_next || self.fin_is_due() {
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
    pub(in crate::connection) fn echo(&self, timestamps: Option<Timestamps>, now: Time) -> Option<Echo> {
        let timestamps = timestamps.filter(|_| self.bits.has(Bits::TIMESTAMPS))?;
        let ticks = self.timestamp(now).wrapping_sub(timestamps.echo);
        Some(Echo { value: timestamps.echo, age: ticks.saturating_add(1).saturating_mul(1_000) })
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
