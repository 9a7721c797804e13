//! A segment's way in: checksum, header, whose it is.

use super::Stack;
use super::table::Reference;
use crate::checksum::Sum;
use crate::connection::{Bits, Connection, EXPERIENCED};
use crate::counters::Counter;
use crate::packet::Incoming;
use crate::segment::{Flags, Plain, Segment};
use crate::{Buf, Checksums, Endpoint, SequenceNumber, Time, Tuple};

/// The index of no connection.
pub(super) const NOBODY: u32 = u32::MAX;

impl<B: Buf> Stack<B> {
    /// Takes a segment.
    #[inline]
    pub fn receive(&mut self, now: Time, packet: Incoming<B>) {
        self.see(now);
        self.take(packet, self.recent, None);
    }

    /// The hash of the tuple of a segment.
    #[inline]
    pub(super) fn hash_of(&self, packet: &Incoming<B>) -> u32 {
        let ports = Segment::ports(packet.segment.octets()).unwrap_or_default();
        self.hasher.hash(&tuple(packet, ports))
    }

    /// Takes a segment which most likely belongs to the connection at `guess`, and whose tuple has this hash.
    #[inline]
    pub(super) fn take(&mut self, mut packet: Incoming<B>, guess: u32, hash: Option<u32>) {
        self.shared.counters.count(Counter::InSegs);
        let octets = packet.segment.octets();
        if self.checksums == Checksums::Whole
            && !Sum::pseudo_header(&packet.remote, &packet.local, octets.len() as u32)
                .octets(octets)
                .is_right()
        {
            self.shared.counters.count(Counter::InCsumErrors);
            self.shared.counters.count(Counter::InErrs);
            return;
        }
        let Some(ports) = Segment::ports(octets) else {
            self.shared.counters.count(Counter::InErrs);
            return;
        };
        // Compared where they lie: a tuple just put together would be read in other pieces than it was written in, and waited for.
        let is_it = |tuple: &Tuple| {
            [tuple.remote.port, tuple.local.port] == ports
                && tuple.remote.addr == packet.remote
                && tuple.local.addr == packet.local
        };
        let is_guessed =
            |connection: &Connection<B>| is_it(&connection.tuple) && !connection.bits.has(Bits::UNLISTED);
        let found = if self.connections.at(guess).is_some_and(is_guessed) {
            Some(Reference::Connection(guess))
        } else {
            self.find_by(hash.unwrap_or_else(|| self.hash_of(&packet)), is_it)
        };
        if let Some(Reference::Connection(index)) = found
            && packet.ecn & EXPERIENCED != EXPERIENCED
            && let Some(connection) = self.connections.at_mut(index)
            && let Some(plain) = Plain::read(octets)
        {
            self.recent = index;
            match connection.arrive_plain(&plain, packet.segment, self.now, &mut self.shared) {
                None => {
                    self.settle(index);
                    return;
                }
                Some(segment) => packet.segment = segment,
            }
        }
        self.receive_any(&tuple(&packet, ports), found, packet.segment, packet.ecn);
    }

    /// Whatever is not as expected.
    fn receive_any(&mut self, tuple: &Tuple, found: Option<Reference>, packet: B, ecn: u8) {
        // Looked at where it was read to: it is large.
        let read = Segment::read(packet.octets());
        let Ok(segment) = &read else {
            self.shared.counters.count(Counter::InErrs);
            return;
        };
        match found {
            Some(Reference::Connection(index)) => self.arrive_at_connection(index, segment, packet, ecn),
            Some(Reference::TimeWait(place)) => {
                if let Some(last) = self.arrive_in_time_wait(place, self.hasher.hash(tuple), segment) {
                    self.arrive_at_listener(tuple, segment, packet, Some(last));
                }
            }
            None => self.arrive_at_listener(tuple, segment, packet, None),
        }
    }

    /// Counts a segment whose checksum the caller has found wrong, and that therefore is not to be received.
    pub fn refuse_checksum(&mut self) {
        for counter in [Counter::InSegs, Counter::InCsumErrors, Counter::InErrs] {
            self.shared.counters.count(counter);
        }
    }

    fn arrive_at_connection(&mut self, index: u32, segment: &Segment, packet: B, ecn: u8) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        if connection.bits.has(Bits::TRACED) {
            self.trace_segment(index, segment, segment.payload_length, false);
        }
        let Some(connection) = self.connections.at_mut(index) else { return };
        connection.arrive(segment, packet, ecn, self.now, &mut self.shared);
        self.settle(index);
    }

    /// RFC 9293, section 3.10.7.2. `last`: where an earlier connection of these endpoints came to its end, if it is known.
    fn arrive_at_listener(
        &mut self,
        tuple: &Tuple,
        segment: &Segment,
        packet: B,
        last: Option<SequenceNumber>,
    ) {
        let listener = self.shared.listeners.for_endpoint(tuple.local);
        let is_sane = tuple.remote.addr.is_unicast()
            && tuple.remote.port != 0
            && tuple.local.addr.is_unicast()
            && tuple.local != tuple.remote;
        let Some(listener) = listener else {
            if is_sane {
                self.arrive_in_closed(tuple, segment);
            }
            return;
        };
        let flags = segment.flags;
        // First a reset, which is ignored; second an acknowledgement, which is a cookie's or nobody's; third a SYN.
        // MUST-57 and RFC 9293, section 3.9.2.3: SYNs from or to a broadcast or multicast address are ignored.
        if flags.contains(Flags::RST) || !is_sane {
            return;
        }
        let hash = self.hasher.hash(tuple);
        if flags.contains(Flags::ACK) {
            if !self.open_by_cookie(listener, tuple, hash, segment, packet) {
                self.arrive_in_closed(tuple, segment);
            }
        } else if flags.contains(Flags::SYN) {
            self.open_by_syn(listener, tuple, hash, segment, last);
        }
    }
}

/// The connection that a segment with these ports, the sender's first, is for.
#[inline]
fn tuple<B>(packet: &Incoming<B>, [source, destination]: [u16; 2]) -> Tuple {
    Tuple {
        local: Endpoint { addr: packet.local, port: destination },
        remote: Endpoint { addr: packet.remote, port: source },
    }
}
