//! Answers of those who are no connection: TIME-WAIT records, and nobody at all.

use super::Stack;
use super::table::Reference;
use super::time_wait::Departed;
use crate::counters::Counter;
use crate::segment::{Flags, Options, Segment, Timestamps};
use crate::{Buf, Endpoint, SequenceNumber, Tuple};

/// What a stack does with a SYN that meets a record in TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reuse {
    Yes,
    No,
}

/// Whether a SYN may begin a new connection, which has `timestamps` if these would be in use: they or its sequence number are later
/// than all that the old one sent (RFC 9293, section 3.6.1, MAY-2; RFC 6191, section 2).
fn reuse(departed: &Departed, syn: &Segment, timestamps: Option<Timestamps>) -> Reuse {
    let newer_sequence = syn.sequence.follows(departed.receive_next);
    let may = match (departed.timestamp, timestamps) {
        (Some(last), Some(now)) => {
            let ahead = now.value.wrapping_sub(last);
            ahead != 0 && ahead < 1 << 31 || ahead == 0 && newer_sequence
        }
        // Whatever is left of the old one has none, and is dropped for that.
        (None, Some(_)) => true,
        (_, None) => newer_sequence,
    };
    if may { Reuse::Yes } else { Reuse::No }
}

impl<B: Buf> Stack<B> {
    /// A segment arrives in TIME-WAIT (RFC 9293, section 3.10.7.4). If it is a SYN that may open a new connection, the record is gone, and
    /// what the new one sends has to come after the number that is returned.
    pub(super) fn arrive_in_time_wait(
        &mut self,
        place: u32,
        hash: u32,
        segment: &Segment,
    ) -> Option<SequenceNumber> {
        let departed = self.time_wait.at(place)?;
        let flags = segment.flags;
        if flags.contains(Flags::RST) {
            // RFC 1337: a reset must not end TIME-WAIT before its time.
            return None;
        }
        if flags.contains(Flags::SYN) && !flags.contains(Flags::ACK) {
            let timestamps = segment.options.timestamps.filter(|_| self.stamps_at(departed.tuple.local));
            if reuse(&departed, segment, timestamps) == Reuse::Yes {
                self.recycle(place, hash);
                return Some(departed.send_next);
            }
        }
        let is_old = match (departed.timestamp, segment.options.timestamps) {
            (Some(last), Some(now)) => (1..1 << 31).contains(&last.wrapping_sub(now.value)),
            _ => false,
        };
        if flags.contains(Flags::FIN)
            && !is_old
            && segment.sequence + segment.payload_length + 1 == departed.receive_next
        {
            // The last acknowledgement was lost: it goes again, and the wait begins anew.
            self.time_wait.forget(place);
            let renewed =
                if self.time_wait.is_full() { None } else { self.time_wait.remember(&departed, self.now) };
            match renewed {
                Some(new) => {
                    self.table.replace(hash, Reference::TimeWait(place), Reference::TimeWait(new));
                }
                None => self.table.remove(hash, Reference::TimeWait(place)),
            }
            self.answer_departed(&departed);
            return None;
        }
        // All else is not acceptable, and is answered; pure acknowledgements are not, or two sides in TIME-WAIT might talk for ever.
        if segment.sequence_length() > 0 && self.shared.may_challenge(self.now) {
            self.answer_departed(&departed);
        }
        None
    }

    /// Forgets a record before its time, since a new connection takes its place.
    pub(super) fn recycle(&mut self, place: u32, hash: u32) {
        self.time_wait.forget(place);
        self.table.remove(hash, Reference::TimeWait(place));
        self.shared.counters.count(Counter::TimeWaitRecycled);
    }

    /// True if the listener of this endpoint uses timestamps with who offers them.
    fn stamps_at(&self, at: Endpoint) -> bool {
        let number = self.shared.listeners.for_endpoint(at);
        let listener = number.and_then(|number| self.shared.listeners.at(number));
        listener.is_some_and(|listener| self.shared.settings(listener.profile).timestamps)
    }

    /// The acknowledgement that a connection in TIME-WAIT sends.
    pub(super) fn answer_departed(&mut self, departed: &Departed) {
        let timestamps =
            departed.timestamp.map(|echo| Timestamps { value: self.timestamp_of(&departed.tuple), echo });
        let segment = Segment {
            source_port: departed.tuple.local.port,
            destination_port: departed.tuple.remote.port,
            sequence: departed.send_next,
            acknowledgement: departed.receive_next,
            flags: Flags::ACK,
            window: departed.window,
            options: Options { timestamps, ..Options::NONE },
            ..Segment::default()
        };
        self.shared.counters.count(Counter::OutSegs);
        self.shared.answer(&departed.tuple, segment);
    }

    /// What is added to the clock of a connection to make its timestamps: the same for a tuple at any time, so that timestamps go on across
    /// connections (RFC 7323, section 5.4; RFC 6191), and different between tuples.
    pub(super) fn timestamp_offset(&self, tuple: &Tuple) -> u32 {
        self.initial.timestamp_offset(tuple)
    }

    fn timestamp_of(&self, tuple: &Tuple) -> u32 {
        self.now.wrapping_millis().wrapping_add(self.timestamp_offset(tuple))
    }

    /// A segment that belongs to nothing (RFC 9293, section 3.10.7.1).
    pub(super) fn arrive_in_closed(&mut self, tuple: &Tuple, segment: &Segment) {
        if !segment.flags.contains(Flags::RST) {
            self.shared.reset(tuple, segment, self.now);
        }
    }
}
