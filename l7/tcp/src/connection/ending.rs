//! How a connection comes to its end.

use super::{Alarm, Bits, Connection, State};
use crate::event::kind;
use crate::segment::{Flags, Options, Segment};
use crate::stack::Shared;
use crate::{Buf, Ending, Time};

impl<B: Buf> Connection<B> {
    /// Notes an event for the application, unless it has let go.
    #[inline]
    pub(crate) fn tell(&mut self, event: u8) {
        if !self.bits.has(Bits::RELEASED) {
            self.events |= event;
        }
    }

    /// The connection is over: what was to be sent is forgotten, what was received in order can still be read.
    pub(crate) fn end(&mut self, ending: Ending, shared: &mut Shared<B>) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.ending = Some(ending);
        self.control = Alarm::OFF;
        self.recovery.abandon(&mut shared.flights);
        self.forget_path(shared);
        let held = self.send.true_size();
        self.send.clear(&mut shared.spares);
        shared.memory.changed(held, 0);
        if self.bits.has(Bits::ACCEPTED) {
            self.tell(kind::CLOSED);
        }
    }

    /// Both FINs are acknowledged, and this side's was the first, or as early: the stack makes a record of it
    /// (RFC 9293, section 3.3.2, TIME-WAIT).
    pub(crate) fn enter_time_wait(&mut self, _now: Time, shared: &mut Shared<B>) {
        self.bits.set(Bits::DEPARTS);
        self.end(Ending::Closed, shared);
    }

    /// The reset that tells the other side of an abort (RFC 9293, section 3.10.5).
    pub(crate) fn reset_segment(&self, now: Time) -> Segment {
        Segment {
            source_port: self.tuple.local.port,
            destination_port: self.tuple.remote.port,
            sequence: self.send_next,
            acknowledgement: self.receive_next(),
            flags: Flags::RST | Flags::ACK,
            options: Options { timestamps: self.timestamps(now), ..Options::NONE },
            ..Segment::default()
        }
    }

    /// True if the other side is owed a reset when the connection is aborted now.
    pub(crate) const fn owes_reset(&self) -> bool {
        !matches!(self.state, State::Closed | State::SynSent)
    }

    /// Ends the connection with a reset.
    pub(crate) fn abort(&mut self, ending: Ending, now: Time, shared: &mut Shared<B>) {
        if self.owes_reset() {
            let segment = self.reset_segment(now);
            shared.send_reset(&self.tuple, segment);
        }
        self.end(ending, shared);
    }
}
