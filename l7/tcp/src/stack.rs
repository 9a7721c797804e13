//! The TCP of one worker: its listeners, its connections, and the way of a segment through them.
//!
//! Invariants:
//! - a tuple is in the table once: as a connection that is not over, or as a record in TIME-WAIT;
//! - every connection is looked after ([`Stack::settle`]) once whatever was done to it is done, so that its events, its output
//!   and its deadline are where they belong;
//! - nothing here grows past what [`Config`] allows, whatever comes in.

mod answer;
mod application;
mod arrival;
mod burst;
mod cookie;
mod icmp;
mod listeners;
mod memory;
mod open;
mod output;
mod pace;
mod profiles;
mod settle;
mod shared;
mod slab;
mod table;
mod time_wait;
mod tracing;

pub(crate) use shared::Shared;
pub(crate) use slab::Epoch;

use std::collections::{BTreeMap, VecDeque};

use crate::connection::Connection;
use crate::cookie::Cookies;
use crate::isn::IsnSource;
use crate::segment::MAX_HEADER;
use crate::trace::Trace;
use crate::wheel::Wheel;
use crate::{Buf, Checksums, Config, Counters, ListenerId, Time};
#[cfg(test)]
mod tests;

use slab::Slab;
use table::{Table, TupleHasher};
use time_wait::TimeWait;

/// Connections and records that a stack may have at most.
const MOST: u32 = 1 << 24;
/// Timers that one call of [`Stack::advance`] looks at, at most.
const TIMERS_AT_ONCE: u32 = 1_024;

/// The TCP of one worker. It is fed with segments and time, and asked for segments, events and the next deadline.
pub struct Stack<B> {
    table: Table,
    connections: Slab<Connection<B>>,
    time_wait: TimeWait,
    shared: Shared<B>,
    wheel: Wheel,
    /// Connections that may have something to send, each once.
    output: VecDeque<u32>,
    /// Connections that may have to be woken earlier than the wheel knows, each once: it is told when all that happens at this time
    /// has happened, since what sets a timer is often followed at once by what makes it needless.
    unarmed: Vec<u32>,
    /// Connections that have something to say, each once.
    events: VecDeque<u32>,
    /// Listeners that have a connection to accept, and have not been told.
    acceptable: VecDeque<ListenerId>,
    hasher: TupleHasher,
    /// The connection that a segment came for last: often the next one is for it, too.
    recent: u32,
    cookies: Cookies,
    initial: IsnSource,
    traces: BTreeMap<u32, Trace>,
    /// The header that is being sent.
    header: [u8; MAX_HEADER],
    checksums: Checksums,
    trace_length: u16,
    /// The latest time that was told.
    now: Time,
}

impl<B: Buf> Stack<B> {
    /// A stack without listeners and connections. Whoever knows `seed` can guess initial sequence numbers: in production it comes
    /// from the system's randomness.
    #[must_use]
    pub fn new(config: &Config, seed: u64, now: Time) -> Self {
        let mut shared = Shared::new(config, seed);
        let max_connections = config.max_connections.clamp(1, MOST);
        let max_time_wait = config.max_time_wait.min(MOST);
        let time_wait_ms =
            u32::try_from(config.time_wait.as_millis()).unwrap_or(u32::MAX / 4).min(u32::MAX / 4);
        let hasher = TupleHasher::new(|| shared.random());
        let cookies = Cookies::new(&shared.key());
        let initial = IsnSource::new(&shared.key());
        Self {
            table: Table::new(max_connections + max_time_wait),
            connections: Slab::new(max_connections),
            time_wait: TimeWait::new(max_time_wait, time_wait_ms),
            shared,
            wheel: Wheel::new(max_connections, now),
            output: VecDeque::new(),
            unarmed: Vec::new(),
            events: VecDeque::new(),
            acceptable: VecDeque::new(),
            hasher,
            recent: arrival::NOBODY,
            cookies,
            initial,
            traces: BTreeMap::new(),
            header: [0; MAX_HEADER],
            checksums: config.checksums,
            trace_length: config.trace_length,
            now,
        }
    }

    /// What the stack has counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Connections, those not yet accepted and those that are over but not released included.
    #[must_use]
    pub const fn connections(&self) -> u32 {
        self.connections.len()
    }

    /// Connections remembered in TIME-WAIT.
    #[must_use]
    pub const fn time_wait(&self) -> u64 {
        self.time_wait.len()
    }

    /// Octets of buffers that all connections hold, by true size.
    #[must_use]
    pub const fn memory(&self) -> u64 {
        self.shared.memory.held()
    }

    /// When [`Stack::advance`] wants to be called, even if nothing happens until then.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let mut first = self.wheel.next_deadline().unwrap_or(Time::NEVER);
        if let Some(forgotten) = self.time_wait.deadline(self.now) {
            first = first.min(forgotten);
        }
        for &index in &self.unarmed {
            first = first.min(self.unarmed_deadline(index).unwrap_or(Time::NEVER));
        }
        (first != Time::NEVER).then_some(first)
    }

    /// Does what has become due. One call does a bounded amount of work; if more is left, the deadline has passed afterwards.
    pub fn advance(&mut self, now: Time) {
        self.see(now);
        self.arm();
        let mut work = TIMERS_AT_ONCE;
        while let Some(index) = self.wheel.expire(now, &mut work) {
            if let Some(connection) = self.connections.at_mut(index) {
                connection.armed = crate::connection::Alarm::OFF;
                if connection.deadline(now).is_some_and(|deadline| deadline <= now) {
                    connection.wake(now, &mut self.shared);
                    connection.bits.set(crate::connection::Bits::OUTPUT);
                }
                self.settle(index);
            }
        }
        for _ in 0..TIMERS_AT_ONCE {
            let Some((place, departed)) = self.time_wait.drop_oldest(now, false) else { break };
            let hash = self.hasher.hash(&departed.tuple);
            self.table.remove(hash, table::Reference::TimeWait(place));
        }
        self.arm();
    }

    /// Remembers the time. It does not go backwards here, whatever the caller's clock does.
    fn see(&mut self, now: Time) {
        self.now = self.now.max(now);
    }
}
