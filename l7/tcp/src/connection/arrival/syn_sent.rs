//! A segment arrives in SYN-SENT (RFC 9293, section 3.10.7.3).

use crate::connection::{Bits, Connection, State};
use crate::counters::Counter;
use crate::event::kind;
use crate::segment::{Flags, Segment};
use crate::stack::Shared;
use crate::{Buf, Ending, Time};

impl<B: Buf> Connection<B> {
    pub(super) fn arrive_in_syn_sent(
        &mut self,
        segment: &Segment,
        packet: B,
        now: Time,
        shared: &mut Shared<B>,
    ) {
        let flags = segment.flags;
        // First: the ACK bit. Only the SYN can be acknowledged.
        let acknowledges = flags.contains(Flags::ACK);
        if acknowledges && segment.acknowledgement != self.unacknowledged + 1 {
            if !flags.contains(Flags::RST) {
                shared.reset(&self.tuple, segment, now);
            }
            return;
        }
        // Second: the RST bit. Without an acknowledgement anybody could have sent it.
        if flags.contains(Flags::RST) {
            if acknowledges {
                shared.counters.count(Counter::AttemptFails);
                self.end(Ending::Refused, shared);
            }
            return;
        }
        // Fourth: the SYN bit.
        if !flags.contains(Flags::SYN) {
            return;
        }
        self.agree(segment, now, shared);
        if !acknowledges {
            // Both sides have opened at the same time: the SYN goes again, now as an answer.
            self.state = State::SynReceived;
            self.attempts = 0;
            self.start_handshake(now);
            // Which of them is answered, nobody will know: no round trip is to be measured by it.
            self.progress = 0;
            return;
        }
        self.unacknowledged += 1;
        self.establish(segment.options.timestamps, now, shared);
        self.bits.set(Bits::ACK_NOW);
        self.tell(kind::CONNECTED);
        if segment.payload_length > 0 || flags.contains(Flags::FIN) {
            self.take_text(segment, packet, now, shared);
        }
    }
}
