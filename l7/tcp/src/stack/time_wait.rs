//! What is remembered of connections in TIME-WAIT (RFC 9293, section 3.4.2): 40 octets each, in a ring of fixed size.
//!
//! Invariants: records expire in the order in which they were made, since all wait equally long; one that has to wait anew is
//! made anew. When the ring is full the oldest is forgotten, which costs no more than the loss of a last ACK does.

use crate::{Addr, Endpoint, SequenceNumber, Time, Tuple};

/// Local addresses that records can tell apart. Connections of any further ones are not remembered.
const MAX_LOCAL: usize = 1 << 12;

const HAS_TIMESTAMPS: u16 = 1 << 15;
const IS_LIVE: u16 = 1 << 14;
const LOCAL: u16 = IS_LIVE - 1;

/// A record as it lies in the ring.
#[derive(Clone, Copy)]
struct Record {
    remote: Addr,
    remote_port: u16,
    local_port: u16,
    /// Index of the local address, and flags.
    local: u16,
    window: u16,
    send_next: SequenceNumber,
    receive_next: SequenceNumber,
    timestamp: u32,
    /// [`Time::wrapping_millis`].
    expires: u32,
}

/// A connection in TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Departed {
    pub(crate) tuple: Tuple,
    /// The window advertised last, as it stood in the header.
    pub(crate) window: u16,
    /// SND.NXT, the FIN counted.
    pub(crate) send_next: SequenceNumber,
    /// RCV.NXT, the FIN counted.
    pub(crate) receive_next: SequenceNumber,
    /// TS.Recent (RFC 7323, section 4.3), if timestamps are in use.
    pub(crate) timestamp: Option<u32>,
}

/// The records of a stack.
pub(crate) struct TimeWait {
    ring: Vec<Record>,
    capacity: u32,
    /// Records ever made and ever dropped; their place is the number modulo the capacity.
    made: u64,
    dropped: u64,
    wait_ms: u32,
    addresses: Vec<Addr>,
}

impl TimeWait {
    pub(crate) fn new(capacity: u32, wait_ms: u32) -> Self {
        let ring = Vec::with_capacity(capacity as usize);
        Self { ring, capacity: capacity.max(1), made: 0, dropped: 0, wait_ms, addresses: Vec::new() }
    }

    /// How many records there are room for at most, dead ones included.
    pub(crate) const fn len(&self) -> u64 {
        self.made - self.dropped
    }

    /// True if the next record displaces another one.
    pub(crate) const fn is_full(&self) -> bool {
        self.len() >= self.capacity as u64
    }

    /// The place of the record that is made next. There is room: see [`TimeWait::is_full`] and [`TimeWait::drop_oldest`].
    /// `None` if its local address cannot be remembered.
    pub(crate) fn remember(&mut self, departed: &Departed, now: Time) -> Option<u32> {
        let local = self.index_of(departed.tuple.local.addr)?;
        let has_timestamps = if departed.timestamp.is_some() { HAS_TIMESTAMPS } else { 0 };
        let record = Record {
            remote: departed.tuple.remote.addr,
            remote_port: departed.tuple.remote.port,
            local_port: departed.tuple.local.port,
            local: local | has_timestamps | IS_LIVE,
            window: departed.window,
            send_next: departed.send_next,
            receive_next: departed.receive_next,
            timestamp: departed.timestamp.unwrap_or(0),
            expires: now.wrapping_millis().wrapping_add(self.wait_ms),
        };
        let place = (self.made % u64::from(self.capacity)) as usize;
        if place < self.ring.len() {
            self.ring[place] = record;
        } else {
            self.ring.push(record);
        }
        self.made += 1;
        Some(place as u32)
    }

    fn index_of(&mut self, local: Addr) -> Option<u16> {
        let known = self.addresses.iter().position(|&address| address == local);
        let index = known.or_else(|| {
            (self.addresses.len() < MAX_LOCAL).then(|| {
                self.addresses.push(local);
                self.addresses.len() - 1
            })
        })?;
        u16::try_from(index).ok()
    }

    /// The record at `place`, if it is live.
    pub(crate) fn at(&self, place: u32) -> Option<Departed> {
        let record = self.ring.get(place as usize).filter(|record| record.local & IS_LIVE != 0)?;
        let local = *self.addresses.get(usize::from(record.local & LOCAL))?;
        Some(Departed {
            tuple: Tuple {
                local: Endpoint { addr: local, port: record.local_port },
                remote: Endpoint { addr: record.remote, port: record.remote_port },
            },
            window: record.window,
            send_next: record.send_next,
            receive_next: record.receive_next,
            timestamp: (record.local & HAS_TIMESTAMPS != 0).then_some(record.timestamp),
        })
    }

    /// For how long the record at `place` has been there.
    pub(crate) fn age_ms(&self, place: u32, now: Time) -> u32 {
        let made = self.expires_at(place).wrapping_sub(self.wait_ms);
        now.wrapping_millis().wrapping_sub(made)
    }

    /// Forgets the record at `place`.
    pub(crate) fn forget(&mut self, place: u32) {
        if let Some(record) = self.ring.get_mut(place as usize) {
            record.local &= !IS_LIVE;
        }
    }

    /// The oldest record and its place, if it has expired or `even_if_young`; it is forgotten. At most a few dead ones are passed by.
    pub(crate) fn drop_oldest(&mut self, now: Time, even_if_young: bool) -> Option<(u32, Departed)> {
        while self.dropped < self.made {
            let place = (self.dropped % u64::from(self.capacity)) as u32;
            if let Some(departed) = self.at(place) {
                if !even_if_young && (self.expires_at(place).wrapping_sub(now.wrapping_millis()) as i32) > 0 {
                    return None;
                }
                self.forget(place);
                self.dropped += 1;
                return Some((place, departed));
            }
            self.dropped += 1;
        }
        None
    }

    fn expires_at(&self, place: u32) -> u32 {
        self.ring.get(place as usize).map_or(0, |record| record.expires)
    }

    /// When the oldest record expires.
    pub(crate) fn deadline(&self, now: Time) -> Option<Time> {
        if self.dropped == self.made {
            return None;
        }
        let place = (self.dropped % u64::from(self.capacity)) as u32;
        let left = self.expires_at(place).wrapping_sub(now.wrapping_millis()) as i32;
        Some(now.plus_millis(u32::try_from(left).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn departed(port: u16) -> Departed {
        Departed {
            tuple: Tuple {
                local: Endpoint::v4([192, 0, 2, 1], 80),
                remote: Endpoint::v4([192, 0, 2, 9], port),
            },
            window: 7,
            send_next: SequenceNumber(5),
            receive_next: SequenceNumber(6),
            timestamp: port.is_multiple_of(2).then_some(u32::from(port)),
        }
    }

    #[test]
    fn a_record_is_small_and_comes_back_whole() {
        assert_eq!(core::mem::size_of::<Record>(), 40);
        let mut records = TimeWait::new(4, 1_000);
        for port in [1, 2] {
            let place = records.remember(&departed(port), Time(0)).unwrap();
            assert_eq!(records.at(place), Some(departed(port)));
        }
    }

    #[test]
    fn records_expire_in_order_and_the_dead_are_passed_by() {
        let mut records = TimeWait::new(3, 1_000);
        let places: Vec<_> = (0..3)
            .map(|n| records.remember(&departed(n), Time::from_millis(u64::from(n))).unwrap())
            .collect();
        assert!(records.is_full());
        records.forget(places[0]);
        assert_eq!(records.drop_oldest(Time::from_millis(1_000), false), None);
        assert_eq!(records.drop_oldest(Time::from_millis(1_001), false), Some((places[1], departed(1))));
        assert_eq!(records.deadline(Time::from_millis(1_001)), Some(Time::from_millis(1_002)));
        assert_eq!(records.drop_oldest(Time::from_millis(1_001), true), Some((places[2], departed(2))));
        assert_eq!(records.deadline(Time(0)), None);
    }
}
