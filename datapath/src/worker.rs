//! A worker: one pinned thread that polls its queues, forwards, and carries the verdicts out.
//!
//! Start at [`Worker::turn`]. In a steady-state turn nothing is allocated, locked, logged or asked of the system
//! (drivers and idling aside). Packets and commands are all that workers exchange, over bounded rings. What is above layer 4
//! is a [`Stage`]'s, which the worker feeds and drives; a worker without one has `()`.

mod exits;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Release};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use crate::command::{Command, Reply};
use crate::counters::{Bounds, Published, WorkerCounter};
use crate::machine;
use crate::packet::{Packet, PacketPool};
use crate::parse::Parsed;
use crate::pipeline::{Origin, Outcome, Pipeline};
use crate::port::{BURST, Queue};
use crate::snapshot::{PortId, Snapshot, WorkerId};
use crate::stage::{Stage, Turn};
use crate::time::Time;

use exits::Exits;

/// The control thread's end of one worker: rings both ways, and what the worker publishes.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Which worker it is.
    pub id: WorkerId,
    /// The core that it is pinned to, if it is.
    pub core: Option<usize>,
    /// To the worker.
    pub commands: Arc<ArrayQueue<Command>>,
    /// From the worker.
    pub replies: Arc<ArrayQueue<Reply>>,
    /// Its counters.
    pub published: Arc<Published>,
    /// The generation of the snapshot that it forwards by, stored with release after the old one is no longer read.
    pub generation: Arc<AtomicU64>,
}

impl Handle {
    /// That of a worker that is yet to be made, with rings of `commands` places each way and counters for `bounds`.
    #[must_use]
    pub fn new(id: WorkerId, core: Option<usize>, commands: usize, bounds: Bounds) -> Self {
        Self {
            id,
            core,
            commands: Arc::new(ArrayQueue::new(commands)),
            replies: Arc::new(ArrayQueue::new(commands)),
            published: Arc::new(Published::new(bounds)),
            generation: Arc::default(),
        }
    }
}

/// The rings that packets travel by between workers, and between workers and the kernel's twins.
#[derive(Debug)]
pub struct Links<P> {
    /// By worker: packets handed over to it. This worker takes from its own and puts into the others.
    pub inboxes: Vec<Arc<ArrayQueue<P>>>,
    /// By port: packets for the kernel's twin; `None` where the port has no twin.
    pub to_kernel: Vec<Option<Arc<ArrayQueue<P>>>>,
    /// Packets that twins of this worker's share of the ports send, each marked with its port.
    pub from_kernel: Vec<Arc<ArrayQueue<P>>>,
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Idle {
    /// Poll on: lowest latency, and a core at 100 %.
    #[default]
    Poll,
    /// After some hundred empty turns, sleep for 50 us between turns.
    Backoff,
}

const EMPTY_TURNS_BEFORE_SLEEP: u32 = 500;
const SLEEP: Duration = Duration::from_micros(50);

/// Counters are published once in so many turns.
const TURNS_PER_PUBLICATION: u32 = 64;

/// Packets that a stage sends in one turn at most.
const STAGE_BURST: usize = BURST;

/// Commands taken in one turn at most.
const COMMANDS_PER_TURN: usize = 4;

/// See the module. `Q` is a queue of each port, `A` the pool for packets that the balancer originates, `S` the stage above layer 4.
#[derive(Debug)]
pub struct Worker<Q: Queue, A: PacketPool<Packet = Q::Packet>, S = ()> {
    handle: Handle,
    pipeline: Pipeline,
    snapshot: Arc<Snapshot>,
    pool: A,
    exits: Exits<Q>,
    inbox: Option<Arc<ArrayQueue<Q::Packet>>>,
    from_kernel: Vec<Arc<ArrayQueue<Q::Packet>>>,
    burst: Vec<Q::Packet>,
    outcome: Outcome<Q::Packet>,
    stage: S,
    for_l7: Vec<Q::Packet>,
    /// What the stage sends.
    out: Vec<(Q::Packet, PortId)>,
    /// An answer that the ring had no room for; nothing else is taken from the ring of commands before it is gone.
    unanswered: Option<Reply>,
    turns_to_publication: u32,
    stopped: bool,
}

impl<Q: Queue, A: PacketPool<Packet = Q::Packet>> Worker<Q, A> {
    /// A worker with one queue for each port, in the order of [`crate::snapshot::PortId`], and without a stage above layer 4.
    #[must_use]
    pub fn new(
        handle: Handle,
        pipeline: Pipeline,
        queues: Vec<Q>,
        pool: A,
        links: Links<Q::Packet>,
        snapshot: Arc<Snapshot>,
    ) -> Self {
        handle.generation.store(snapshot.generation, Release);
        let inbox = links.inboxes.get(usize::from(handle.id.0)).cloned();
        Self {
            handle,
            pipeline,
            snapshot,
            pool,
            exits: Exits::new(queues, links.inboxes, links.to_kernel),
            inbox,
            from_kernel: links.from_kernel,
            burst: Vec::with_capacity(BURST),
            outcome: Outcome::new(),
            stage: (),
            for_l7: Vec::with_capacity(BURST),
            out: Vec::with_capacity(STAGE_BURST),
            unanswered: None,
            turns_to_publication: TURNS_PER_PUBLICATION,
            stopped: false,
        }
    }

    /// The same with a stage above layer 4, which adopts the snapshot now.
    #[must_use]
    pub fn with_stage<S: Stage<A>>(self, mut stage: S, now: Time) -> Worker<Q, A, S> {
        stage.adopt(now, &self.snapshot);
        let Self { handle, pipeline, snapshot, pool, exits, inbox, from_kernel, burst, outcome, .. } = self;
        let Self { for_l7, out, unanswered, turns_to_publication, stopped, .. } = self;
        Worker {
            handle,
            pipeline,
            snapshot,
            pool,
            exits,
            inbox,
            from_kernel,
            burst,
            outcome,
            stage,
            for_l7,
            out,
            unanswered,
            turns_to_publication,
            stopped,
        }
    }
}

impl<Q: Queue, A: PacketPool<Packet = Q::Packet>, S: Stage<A>> Worker<Q, A, S> {
    /// Turns until told to stop.
    pub fn run(mut self, idle: Idle) {
        use WorkerCounter as C;
        machine::sleep_precisely();
        let mut empty_turns = 0;
        let mut start = machine::cycles();
        while !self.stopped {
            let useful = self.turn(machine::now());
            empty_turns = if useful { 0 } else { empty_turns + 1 };
            if idle == Idle::Backoff && empty_turns > EMPTY_TURNS_BEFORE_SLEEP {
                empty_turns = EMPTY_TURNS_BEFORE_SLEEP;
                self.sleep();
            }
            let end = machine::cycles();
            let (turns, cycles) =
                if useful { (C::UsefulTurns, C::UsefulCycles) } else { (C::EmptyTurns, C::EmptyCycles) };
            self.pipeline.counters.add(turns, 1);
            self.pipeline.counters.add(cycles, end.wrapping_sub(start));
            start = end;
        }
        self.pipeline.counters.publish_all(&self.handle.published);
        self.stage.publish();
    }

    /// When a turn is wanted even if nothing arrives until then, for the sake of the stage.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.stage.deadline()
    }

    /// Sleeps for a little while, or until the stage wants to work.
    fn sleep(&self) {
        let until = self.deadline().map_or(u64::MAX, |deadline| deadline.nanos_since(machine::now()));
        let duration = SLEEP.min(Duration::from_nanos(until));
        if !duration.is_zero() {
            std::thread::sleep(duration);
        }
    }

    /// One turn: commands, every port, other workers, the kernel, and a little housekeeping. True if a packet moved.
    pub fn turn(&mut self, now: Time) -> bool {
        self.take_commands(now);
        let mut moved = 0;
        for port in 0..self.exits.ports() {
            self.burst.clear();
            if self.exits.receive(port, &mut self.burst) > 0 {
                let octets = self.burst.iter().map(Packet::total_len).sum::<usize>();
                self.pipeline.counters.add(WorkerCounter::Received, self.burst.len() as u64);
                self.pipeline.counters.add(WorkerCounter::ReceivedBytes, octets as u64);
                moved += self.forward(now, Origin::Port);
            }
        }
        if let Some(inbox) = self.inbox.as_ref().filter(|inbox| !inbox.is_empty()) {
            self.burst.clear();
            self.burst.extend(std::iter::from_fn(|| inbox.pop()).take(BURST));
            if !self.burst.is_empty() {
                self.pipeline.counters.add(WorkerCounter::HandedIn, self.burst.len() as u64);
                moved += self.forward(now, Origin::Worker);
            }
        }
        for ring in self.from_kernel.iter().filter(|ring| !ring.is_empty()) {
            for packet in std::iter::from_fn(|| ring.pop()).take(BURST) {
                self.pipeline.counters.add(WorkerCounter::FromKernel, 1);
                let port = packet.port();
                self.exits.transmit(packet, port, &mut self.pipeline.counters);
                moved += 1;
            }
        }
        moved += usize::from(self.drive_stage(now));
        self.sweep(now);
        self.exits.flush(&mut self.pipeline.counters);
        self.keep_house();
        moved > 0
    }

    /// Decides on the burst and carries the verdicts out; returns how many packets it was.
    fn forward(&mut self, now: Time, origin: Origin) -> usize {
        let Self { pipeline, snapshot, pool, exits, burst, outcome, for_l7, .. } = self;
        let count = burst.len();
        pipeline.forward(snapshot, now, origin, burst, pool, outcome);
        exits.carry_out_all(burst, &outcome.verdicts, &mut pipeline.counters, for_l7);
        for (packet, port) in outcome.originated.drain(..) {
            exits.transmit(packet, port, &mut pipeline.counters);
        }
        if !for_l7.is_empty() {
            self.feed_stage(now);
        }
        count
    }

    /// Gives the stage what the last burst brought it.
    fn feed_stage(&mut self, now: Time) {
        self.with_stage_turn(now, |stage, turn, packets, parsed| stage.receive(turn, packets, parsed));
    }

    /// Lets the stage work and send; true if it did.
    fn drive_stage(&mut self, now: Time) -> bool {
        self.with_stage_turn(now, |stage, turn, _, _| stage.turn(turn))
    }

    fn with_stage_turn<T>(
        &mut self,
        now: Time,
        work: impl FnOnce(&mut S, &mut Turn<'_, A>, &mut Vec<Q::Packet>, &[Parsed]) -> T,
    ) -> T {
        let Self { pipeline, snapshot, pool, exits, outcome, stage, for_l7, out, .. } = self;
        let mut turn = Turn { now, snapshot, pool, pipeline: &mut *pipeline, out, unresolved: None };
        let result = work(stage, &mut turn, for_l7, &outcome.parsed);
        if let Some(addr) = turn.unresolved {
            pipeline.miss(addr, now);
        }
        pipeline.counters.add(WorkerCounter::Originated, out.len() as u64);
        for (packet, port) in out.drain(..) {
            exits.transmit(packet, port, &mut pipeline.counters);
        }
        result
    }

    fn take_commands(&mut self, now: Time) {
        // To look at a ring costs less than to take nothing from it.
        if self.unanswered.is_none() && self.handle.commands.is_empty() {
            return;
        }
        for _ in 0..COMMANDS_PER_TURN {
            if let Some(reply) = self.unanswered.take() {
                self.unanswered = self.handle.replies.push(reply).err();
                if self.unanswered.is_some() {
                    return;
                }
            }
            match self.handle.commands.pop() {
                None => return,
                Some(Command::Adopt(snapshot)) => {
                    let generation = snapshot.generation;
                    let old = std::mem::replace(&mut self.snapshot, snapshot);
                    self.handle.generation.store(generation, Release);
                    self.stage.adopt(now, &self.snapshot);
                    self.pipeline.counters.add(WorkerCounter::SnapshotSwaps, 1);
                    self.unanswered = Some(Reply::Returned(old));
                }
                Some(Command::Flows(mut query)) => {
                    self.pipeline.answer(&self.snapshot, now, &mut query);
                    self.unanswered = Some(Reply::Flows(query));
                }
                Some(Command::Ask(mut question)) => {
                    self.stage.answer(now, question.as_mut());
                    self.unanswered = Some(Reply::Answered(question));
                }
                Some(Command::Stop) => {
                    self.stopped = true;
                    return;
                }
            }
        }
    }

    fn sweep(&mut self, now: Time) {
        let Self { pipeline, snapshot, pool, exits, outcome, .. } = self;
        pipeline.sweep(snapshot, now, pool, &mut outcome.originated);
        for (packet, port) in outcome.originated.drain(..) {
            exits.transmit(packet, port, &mut pipeline.counters);
        }
    }

    fn keep_house(&mut self) {
        if let Some(addr) = self.pipeline.take_unresolved() {
            // A full ring loses a hint; the next packet gives another.
            let _ = self.handle.replies.push(Reply::Unresolved(addr));
        }
        self.turns_to_publication -= 1;
        if self.turns_to_publication == 0 {
            self.turns_to_publication = TURNS_PER_PUBLICATION;
            self.pipeline.counters.publish(&self.handle.published);
            self.stage.publish();
        }
    }

    /// Which worker this is.
    #[must_use]
    pub const fn id(&self) -> WorkerId {
        self.handle.id
    }

    /// The pipeline, for tests and `replay`.
    #[must_use]
    pub const fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The queue of a port, for tests and `replay`.
    pub fn queue_mut(&mut self, port: PortId) -> Option<&mut Q> {
        self.exits.queue_mut(port)
    }
}
