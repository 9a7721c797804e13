//! The stage itself: a stack that is fed with packets and time by a worker, and the proxy on it.
//!
//! Invariant: one turn does at most [`EVENTS`] units of the proxy's work and sends at most as many packets as the worker
//! has room for; packets of layer 4 wait for no longer than that takes.

mod answering;
mod arrival;
mod departure;
mod listening;
mod upstreams;

use core::any::Any;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_datapath::counters::{Counters, ServiceCounter};
use evenkeel_datapath::packet::{Packet, PacketPool};
use evenkeel_datapath::parse::Parsed;
use evenkeel_datapath::port::BURST;
use evenkeel_datapath::snapshot::{ServiceSlot, Snapshot};
use evenkeel_datapath::stage::{Stage, Turn};
use evenkeel_datapath::time::Time;
use evenkeel_tcp::{Checksums, Event, Incoming, ListenerId, Settings, Stack};

use crate::proxy::seen::Log;
use crate::proxy::{OnStack, TlsProxy};
use crate::{Octets, Query, Services, Survey, Work};
use listening::Listening;
use upstreams::{Upstreams, Ways};

/// Units of work in one turn.
const EVENTS: u32 = 64;

/// Octets that wait to be sent on one connection, by true size: at first, and at most where the path carries as much in a round trip.
const SEND_BUFFER: u32 = 64 << 10;
const LARGEST_SEND_BUFFER: u32 = 4 << 20;
/// Octets received and not yet read on one connection, from a client and from a backend.
const RECEIVE_BUFFER: u32 = 64 << 10;
const BACKEND_BUFFER: u32 = 512 << 10;
/// Another end that acknowledges nothing for so long is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a backend may take to close its side once this side is closed.
const FIN_WAIT: Duration = Duration::from_secs(5);

/// What the stage of one worker is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Connections at one time, at most, to clients and to backends together.
    pub connections: u32,
    /// Octets of packets and other memory that all connections together hold at most, by true size.
    pub memory: u64,
    /// Of initial sequence numbers and hashes: from the system's randomness, where packets may be hostile.
    pub seed: u64,
}

/// The layer 7 stage of a worker. It takes memory when there is the first service for it.
pub struct L7<P: Packet> {
    config: Config,
    /// Where records of requests go.
    log: Option<Arc<Log>>,
    running: Option<Running<P>>,
}

/// A packet's memory as connections hold it.
type Held<P> = Octets<<P as Packet>::Shared>;

struct Running<P: Packet> {
    stack: Stack<Held<P>>,
    proxy: TlsProxy<Held<P>>,
    listening: Listening,
    upstreams: Upstreams,
    /// How connections to backends behave.
    to_backends: Settings,
    /// A listener that may have more to accept.
    accepting: Option<ListenerId>,
    /// Segments that have arrived together; empty between calls.
    segments: Vec<Incoming<Held<P>>>,
    /// A packet to write the next segment into.
    spare: Option<P>,
    /// The last turn left something to do.
    has_more: bool,
}

impl<P: Packet> L7<P> {
    /// A stage that serves nothing yet.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config, log: None, running: None }
    }

    /// Hands in a record of each request.
    #[must_use]
    pub fn with_log(mut self, log: Arc<Log>) -> Self {
        self.log = Some(log);
        self
    }
}

impl<A: PacketPool> Stage<A> for L7<A::Packet> {
    fn adopt(&mut self, now: Time, snapshot: &Snapshot) {
        let services = Services::of(&snapshot.l7);
        if self.running.is_none() && services.is_empty() {
            return;
        }
        let (config, log) = (&self.config, &self.log);
        let running = self.running.get_or_insert_with(|| Running::new(config, log.as_ref(), now));
        running.to_backends.mtu = snapshot.ports.iter().map(|port| port.mtu).min().unwrap_or(1_500);
        running.listening.adopt(&mut running.stack, services, running.to_backends.mtu);
        running.proxy.adopt(tcp_time(now), &snapshot.backends);
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

    fn answer(&mut self, now: Time, question: &mut (dyn Any + Send)) {
        let Some(running) = &mut self.running else { return };
        if let Some(query) = question.downcast_mut::<Query>() {
            running.answer(query);
        } else if let Some(survey) = question.downcast_mut::<Survey>() {
            running.answer_survey(survey, tcp_time(now));
        }
    }

    fn publish(&mut self) {}
}

impl<P: Packet> Running<P> {
    fn new(config: &Config, log: Option<&Arc<Log>>, now: Time) -> Self {
        let now = tcp_time(now);
        let stack = evenkeel_tcp::Config {
            max_connections: config.connections,
            max_time_wait: config.connections,
            memory: config.memory,
            // Ports differ in what they verify and complete: where packets come and go, that is seen to.
            checksums: Checksums::Offloaded,
            ..evenkeel_tcp::Config::default()
        };
        let to_backends = Settings {
            fin_wait: FIN_WAIT,
            receive_buffer: BACKEND_BUFFER,
            ..settings(&Settings::towards_backends())
        };
        let mut proxy = TlsProxy::new(config.connections, 0, config.seed, now);
        log.into_iter().for_each(|log| proxy.proxy_mut().log_to(Arc::clone(log)));
        Self {
            stack: Stack::new(&stack, config.seed, now),
            proxy,
            listening: Listening::default(),
            upstreams: Upstreams::default(),
            to_backends,
            accepting: None,
            segments: Vec::with_capacity(BURST),
            spare: None,
            has_more: false,
        }
    }

    /// When there is something to do.
    fn deadline(&self) -> Option<evenkeel_tcp::Time> {
        if self.has_more {
            return Some(evenkeel_tcp::Time(0));
        }
        let deadlines = [self.stack.deadline(), self.proxy.deadline(), self.upstreams.deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn is_due(&self, now: Time) -> bool {
        self.deadline().is_some_and(|deadline| deadline.0 <= now.0)
    }

    fn turn<A: PacketPool<Packet = P>>(&mut self, turn: &mut Turn<'_, A>) -> bool {
        let now = tcp_time(turn.now);
        let mut work = Work(EVENTS);
        self.stack.advance(now);
        let ways = Ways {
            upstreams: &mut self.upstreams,
            pipeline: &mut *turn.pipeline,
            snapshot: turn.snapshot,
            now: turn.now,
        };
        let settings = self.to_backends.clone();
        let mut net = OnStack { stack: &mut self.stack, local: ways, settings };
        self.proxy.advance(&mut net, now, &mut work);
        while work.0 > 0 {
            if let Some(id) = self.accepting {
                let connection = net.stack.accept(id);
                match connection.zip(self.listening.listener(id)) {
                    Some((connection, listener)) => {
                        work.take();
                        began(&mut net.local.pipeline.counters, listener.slot);
                        self.proxy.accept(now, connection, listener);
                    }
                    None => self.accepting = None,
                }
                continue;
            }
            match net.stack.next_event() {
                None => break,
                Some(Event::Acceptable(id)) => self.accepting = Some(id),
                Some(event) => {
                    work.take();
                    self.proxy.event(&mut net, now, event, &mut work);
                }
            }
        }
        while let Some(slot) = self.proxy.ended() {
            ended(&mut turn.pipeline.counters, slot);
        }
        let is_sent = departure::depart(&mut self.stack, turn, &mut self.spare);
        self.upstreams.forget_some(&self.stack, turn.pipeline, turn.now);
        self.has_more = work.0 == 0 || !is_sent;
        true
    }
}

/// Counts a client's connection that begins.
fn began(counters: &mut Counters, slot: ServiceSlot) {
    if let Some(row) = counters.service(slot.0) {
        row[ServiceCounter::FlowsOpened as usize] += 1;
        row[ServiceCounter::FlowsActive as usize] += 1;
    }
}

/// Counts a client's connection that has ended.
fn ended(counters: &mut Counters, slot: ServiceSlot) {
    if let Some(row) = counters.service(slot.0) {
        let active = &mut row[ServiceCounter::FlowsActive as usize];
        *active = active.saturating_sub(1);
    }
}

/// What all connections have in common, as far as it is not `of_kind`.
fn settings(of_kind: &Settings) -> Settings {
    Settings {
        initial_send_buffer: SEND_BUFFER,
        send_buffer: LARGEST_SEND_BUFFER,
        initial_window: RECEIVE_BUFFER,
        receive_buffer: RECEIVE_BUFFER,
        no_delay: true,
        user_timeout: Some(USER_TIMEOUT),
        ..of_kind.clone()
    }
}

/// The time as the stack has it.
const fn tcp_time(time: Time) -> evenkeel_tcp::Time {
    evenkeel_tcp::Time(time.0)
}
