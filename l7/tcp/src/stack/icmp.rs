//! What ICMP says about segments that were sent (RFC 9293, section 3.9.2.2; RFC 5927; RFC 1191; RFC 8201).

use super::Stack;
use super::table::Reference;
use crate::connection::{Bits, State};
use crate::counters::Counter;
use crate::event::kind;
use crate::packet::IcmpError;
use crate::{Buf, Ending, SequenceNumber, Time, Tuple};

/// Paths that carry less are not believed in: RFC 8201 has 1280 for IPv6, and below 552 IPv4 fragments instead.
const LEAST_MTU_V4: u32 = 552;
const LEAST_MTU_V6: u32 = 1280;
/// Common MTUs, for routers that do not say theirs (RFC 1191, section 7.1).
const PLATEAUS: [u32; 7] = [8166, 4352, 2002, 1492, 1280, 1006, 552];

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
                let shrunk = connection.shrink_path(mtu, self.now);
                let counter = if shrunk { Counter::Pmtu } else { Counter::LockDroppedIcmps };
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

impl<B: Buf> crate::connection::Connection<B> {
    /// Makes segments smaller, if that is what follows from `mtu`.
    fn shrink_path(&mut self, mtu: u32, _now: Time) -> bool {
        let options: u32 = if self.bits.has(Bits::TIMESTAMPS) { 12 } else { 0 };
        let overhead = u32::from(self.tuple.ip_header_length()) + 20 + options;
        let current = u32::from(self.mss) + overhead;
        let (least, said) = if self.tuple.remote.addr.is_v4() {
            let below = PLATEAUS.into_iter().find(|&plateau| plateau < current).unwrap_or(LEAST_MTU_V4);
            (LEAST_MTU_V4, if mtu == 0 { below } else { mtu })
        } else {
            (LEAST_MTU_V6, mtu)
        };
        let path = said.max(least);
        if path >= current || !self.state.is_synchronised() {
            return false;
        }
        let Ok(mss) = u16::try_from(path - overhead) else { return false };
        self.mss = mss;
        self.recovery.set_mss(mss);
        self.bits.set(Bits::OUTPUT);
        true
    }
}
