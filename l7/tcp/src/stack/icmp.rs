//! What ICMP says about segments that were sent (RFC 9293, section 3.9.2.2; RFC 5927; RFC 1191; RFC 8201).

use super::Stack;
use super::table::Reference;
use crate::connection::State;
use crate::counters::Counter;
use crate::event::kind;
use crate::packet::IcmpError;
use crate::{Buf, Ending, SequenceNumber, Time, Tuple};

impl<B: Buf> Stack<B> {
    /// Takes an ICMP error that quotes a segment from `tuple.local` to `tuple.remote` with this sequence number.
    ///
    /// Anybody can send such messages, so they are believed only if they quote what is in flight (RFC 5927, section 4.1), and an established
    /// connection is never ended by one (section 5.2; RFC 9293, SHLD-25, treats hard errors as soft ones there).
    pub fn icmp(&mut self, now: Time, tuple: &Tuple, quoted: SequenceNumber, error: IcmpError) {
        self.see(now);
        let hash = self.hasher.hash(tuple);
        let Some(Reference::Connection(index)) = self.find(tuple, hash) else {
            self.shared.counters.count(Counter::LockDroppedIcmps);
            return;
        };
        let Some(connection) = self.connections.at_mut(index) else { return };
        if !quoted.lies_in(connection.unacknowledged, connection.outstanding()) {
            self.shared.counters.count(Counter::OutOfWindowIcmps);
            return;
        }
        match error {
            IcmpError::TooBig { mtu } => {
                let is_narrowed = connection.narrow_path(mtu, self.now, &mut self.shared);
                let counter = if is_narrowed { Counter::Pmtu } else { Counter::LockDroppedIcmps };
                self.shared.counters.count(counter);
            }
            IcmpError::Refused if connection.state == State::SynSent => {
                self.shared.counters.count(Counter::AttemptFails);
                connection.end(Ending::Unreachable, &mut self.shared);
            }
            // Soft errors pass; should they not, timeouts end the connection (MUST-56). The application is told (SHLD-25).
            IcmpError::Refused | IcmpError::Unreachable => {
                self.shared.counters.count(Counter::LockDroppedIcmps);
                connection.tell(kind::STRUGGLING);
            }
        }
        self.settle(index);
    }
}
