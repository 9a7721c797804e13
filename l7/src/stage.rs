//! The stage itself: a stack that is fed with packets and time by a worker, and an application on it.
//!
//! Invariant: one turn does at most [`EVENTS`] units of the application's work and sends at most as many packets as the worker
//! has room for; packets of layer 4 wait for no longer than that takes.

mod answering;
mod arrival;
mod departure;
mod listening;

use core::any::Any;
use std::marker::PhantomData;

use evenkeel_datapath::counters::{Counters, ServiceCounter};
use evenkeel_datapath::packet::{Packet, PacketPool};
use evenkeel_datapath::parse::Parsed;
use evenkeel_datapath::port::BURST;
use evenkeel_datapath::snapshot::Snapshot;
use evenkeel_datapath::stage::{Stage, Turn};
use evenkeel_datapath::time::Time;
use evenkeel_tcp::{Checksums, Event, Incoming, ListenerId, Stack};

use crate::{Application, Octets, Query, Services, Work};
use listening::Listening;

/// Units of work in one turn.
const EVENTS: u32 = 64;

/// What the stage of one worker is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Connections at one time, at most.
    pub connections: u32,
    /// Octets of packets and other memory that all connections together hold at most, by true size.
    pub memory: u64,
    /// Of initial sequence numbers and hashes: from the system's randomness, where packets may be hostile.
    pub seed: u64,
}

/// The layer 7 stage of a worker, with an application of this kind. It takes memory when there is the first service for it.
pub struct L7<P: Packet, R> {
    config: Config,
    running: Option<Running<P, R>>,
}

/// A packet's memory as connections hold it.
type Held<P> = Octets<<P as Packet>::Shared>;

struct Running<P: Packet, R> {
    stack: Stack<Held<P>>,
    application: R,
    listening: Listening,
    /// A listener that may have more to accept.
    accepting: Option<ListenerId>,
    /// Segments that have arrived together; empty between calls.
    segments: Vec<Incoming<Held<P>>>,
    /// A packet to write the next segment into.
    spare: Option<P>,
    /// The last turn left something to do.
    has_more: bool,
    kind: PhantomData<P>,
}

impl<P: Packet, R> L7<P, R> {
    /// A stage that serves nothing yet.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config, running: None }
    }
}

impl<A: PacketPool, R: Application<Held<A::Packet>>> Stage<A> for L7<A::Packet, R> {
    fn adopt(&mut self, now: Time, snapshot: &Snapshot) {
        let services = Services::of(&snapshot.l7);
        if self.running.is_none() && services.is_empty() {
            return;
        }
        let config = &self.config;
        let running = self.running.get_or_insert_with(|| Running::new(config, now));
        let mtu = snapshot.ports.iter().map(|port| port.mtu).min().unwrap_or(1_500);
        running.listening.adopt(&mut running.stack, services, mtu);
        running.application.services_changed();
        running.has_more = true;
    }

    fn receive(&mut self, turn: &mut Turn<'_, A>, packets: &mut Vec<A::Packet>, parsed: &[Parsed]) {
        let Some(running) = &mut self.running else {
            packets.clear();
            return;
        };
        let Running { stack, segments, .. } = running;
        let packets = packets.drain(..).zip(parsed.iter().copied());
        arrival::arrive(stack, turn.snapshot, turn.now, packets, segments);
        running.has_more = true;
    }

    #[inline]
    fn turn(&mut self, turn: &mut Turn<'_, A>) -> bool {
        match &mut self.running {
            Some(running) if running.is_due(turn.now) => running.turn(turn),
            _ => false,
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.running.as_ref()?.deadline().map(|deadline| Time(deadline.0))
    }

    fn answer(&mut self, _: Time, question: &mut (dyn Any + Send)) {
        if let (Some(running), Some(query)) = (&mut self.running, question.downcast_mut::<Query>()) {
            running.answer(query);
        }
    }

    fn publish(&mut self) {}
}

impl<P: Packet, R: Application<Held<P>>> Running<P, R> {
    fn new(config: &Config, now: Time) -> Self {
        let now = tcp_time(now);
        let stack = evenkeel_tcp::Config {
            max_connections: config.connections,
            max_time_wait: config.connections,
            memory: config.memory,
            // Ports differ in what they verify and complete: where packets come and go, that is seen to.
            checksums: Checksums::Offloaded,
            ..evenkeel_tcp::Config::default()
        };
        Self {
            stack: Stack::new(&stack, config.seed, now),
            application: R::new(config.connections, now),
            listening: Listening::default(),
            accepting: None,
            segments: Vec::with_capacity(BURST),
            spare: None,
            has_more: false,
            kind: PhantomData,
        }
    }

    /// When there is something to do.
    fn deadline(&self) -> Option<evenkeel_tcp::Time> {
        if self.has_more {
            return Some(evenkeel_tcp::Time(0));
        }
        let deadlines = [self.stack.deadline(), self.application.deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn is_due(&self, now: Time) -> bool {
        self.deadline().is_some_and(|deadline| deadline.0 <= now.0)
    }

    fn turn<A: PacketPool<Packet = P>>(&mut self, turn: &mut Turn<'_, A>) -> bool {
        let now = tcp_time(turn.now);
        let mut work = Work(EVENTS);
        self.stack.advance(now);
        self.application.advance(&mut self.stack, now, &mut work);
        self.serve(now, &mut turn.pipeline.counters, &mut work);
        while let Some(slot) = self.application.ended() {
            if let Some(row) = turn.pipeline.counters.service(slot.0) {
                let active = &mut row[ServiceCounter::FlowsActive as usize];
                *active = active.saturating_sub(1);
            }
        }
        let is_sent = departure::depart(&mut self.stack, turn, &mut self.spare);
        self.has_more = work.0 == 0 || !is_sent;
        true
    }

    /// Lets the application answer what has happened.
    fn serve(&mut self, now: evenkeel_tcp::Time, counters: &mut Counters, work: &mut Work) {
        while work.0 > 0 {
            if let Some(id) = self.accepting {
                let connection = self.stack.accept(id);
                match connection.zip(self.listening.listener(id)) {
                    Some((connection, listener)) => {
                        work.take();
                        if let Some(row) = counters.service(listener.slot.0) {
                            row[ServiceCounter::FlowsOpened as usize] += 1;
                            row[ServiceCounter::FlowsActive as usize] += 1;
                        }
                        self.application.accept(&mut self.stack, now, connection, listener);
                    }
                    None => self.accepting = None,
                }
                continue;
            }
            match self.stack.next_event() {
                None => return,
                Some(Event::Acceptable(id)) => self.accepting = Some(id),
                Some(event) => {
                    work.take();
                    self.application.event(&mut self.stack, now, event, work);
                }
            }
        }
    }
}

/// The time as the stack has it.
const fn tcp_time(time: Time) -> evenkeel_tcp::Time {
    evenkeel_tcp::Time(time.0)
}
