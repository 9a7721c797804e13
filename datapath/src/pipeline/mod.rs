//! Forwarding: a burst of packets in, a verdict for each out.
//!
//! [`Pipeline::forward`] is a pure function of the burst, the flow table, the snapshot, the time and the seed. It makes
//! three passes, so that the memory that one packet needs is on its way while others are worked on:
//!
//! 1. `Pipeline::classify`: parse, find the owner, hash, prefetch the bucket of the flow table;
//! 2. look into the bucket, prefetch the flow;
//! 3. `Pipeline::decide`: find or open the flow, rewrite the packet.

mod cut;
mod errors;
mod open;
mod query;
mod transport;

use std::io;

pub use query::{NewFlow, new_flow};

use crate::counters::{Bounds, Counters, DropReason, WorkerCounter};
use crate::flow::{Direction, FlowState};
use crate::flow_table::{FlowId, FlowTable};
use crate::hash::{FlowHasher, Random};
use crate::icmp::answer_echo;
use crate::limit::Limiter;
use crate::packet::{Packet, PacketPool};
use crate::parse::{Content, Parsed};
use crate::port::BURST;
use crate::snapshot::{PortId, Snapshot, WorkerId};
use crate::steering::Steering;
use crate::time::Time;

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Send it by this port.
    Transmit(PortId),
    /// Give it to the worker that owns it.
    HandOver(WorkerId),
    /// Pass it to the kernel's twin of this port.
    Kernel(PortId),
    /// Count it under this reason, and let it go.
    Drop(DropReason),
}

/// Where a burst comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A port.
    Port,
    /// Other workers, who found that this one owns the packets.
    Worker,
}

/// What a pipeline is made with.
#[derive(Clone, Copy, Debug)]
pub struct PipelineConfig {
    /// The worker that it belongs to.
    pub worker: WorkerId,
    /// Flows that its table can hold.
    pub flows: u32,
    /// Sizes of the counters.
    pub bounds: Bounds,
    /// Of the flow table's hash and the choice of local ports. Secret where packets may be hostile.
    pub seed: u64,
}

/// The state of one worker's forwarding.
#[derive(Debug)]
pub struct Pipeline {
    worker: WorkerId,
    table: FlowTable,
    /// What it counts.
    pub counters: Counters,
    hasher: FlowHasher,
    random: Random,
    to_kernel: Limiter,
    resets: Limiter,
    prompts: Limiter,
    icmp: Limiter,
    unresolved: query::Unresolved,
    sweep: query::Sweep,
    lanes: Box<[Lane]>,
}

/// What pass 1 found out about a packet.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Lane {
    parsed: Parsed,
    hash: u64,
    /// The flow that the packet most likely belongs to.
    guess: Option<(FlowId, Direction)>,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// There is nothing left to find out.
    Decided(Verdict),
    /// TCP or UDP of this worker.
    Transport,
    /// An ICMP message that may concern the datapath.
    Icmp,
}

/// What the decisions of one burst share.
struct Turn<'a, A: PacketPool> {
    snapshot: &'a Snapshot,
    now: Time,
    /// The same, as flows remember it.
    now_ms: u32,
    /// By state of a flow: how long it may be silent.
    idle_limits_ms: [u32; FlowState::COUNT],
    pool: &'a mut A,
    originated: &'a mut Vec<(A::Packet, PortId)>,
}

impl<'a, A: PacketPool> Turn<'a, A> {
    #[inline]
    fn new(
        snapshot: &'a Snapshot,
        now: Time,
        pool: &'a mut A,
        originated: &'a mut Vec<(A::Packet, PortId)>,
    ) -> Self {
        let (now_ms, idle_limits_ms) = (now.wrapping_millis(), snapshot.timeouts.by_state());
        Self { snapshot, now, now_ms, idle_limits_ms, pool, originated }
    }
}

/// What [`Pipeline::forward`] answers: memory that is used again for every burst.
#[derive(Debug)]
pub struct Outcome<P> {
    /// One for each packet of the burst.
    pub verdicts: Vec<Verdict>,
    /// Packets that the balancer sends of its own, beside those of the burst, and the ports to send them by. They are
    /// added to what is there, up to the capacity.
    pub originated: Vec<(P, PortId)>,
}

impl<P> Outcome<P> {
    /// Room for the verdicts on a burst.
    #[must_use]
    pub fn new() -> Self {
        Self { verdicts: Vec::with_capacity(BURST), originated: Vec::with_capacity(BURST) }
    }
}

impl<P> Default for Outcome<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipeline {
    /// A pipeline without flows, in memory near the calling thread.
    ///
    /// # Errors
    /// Not enough memory.
    pub fn new(config: &PipelineConfig) -> io::Result<Self> {
        let mut random = Random::new(config.seed ^ (u64::from(config.worker.0) << 56));
        let step = Step::Decided(Verdict::Drop(DropReason::NoPort));
        let lane = Lane { parsed: Parsed::default(), hash: 0, guess: None, step };
        Ok(Self {
            worker: config.worker,
            table: FlowTable::new(config.flows)?,
            counters: Counters::new(config.bounds),
            hasher: FlowHasher::new(random.next()),
            random,
            to_kernel: Limiter::default(),
            resets: Limiter::default(),
            prompts: Limiter::default(),
            icmp: Limiter::default(),
            unresolved: query::Unresolved::default(),
            sweep: query::Sweep::default(),
            lanes: vec![lane; BURST].into_boxed_slice(),
        })
    }

    /// The flow table.
    #[must_use]
    pub const fn table(&self) -> &FlowTable {
        &self.table
    }

    /// Decides on the packets of `burst`, at most [`BURST`], and rewrites those that go on.
    pub fn forward<A: PacketPool>(
        &mut self,
        snapshot: &Snapshot,
        now: Time,
        origin: Origin,
        burst: &mut [A::Packet],
        pool: &mut A,
        outcome: &mut Outcome<A::Packet>,
    ) {
        let mut lanes = core::mem::take(&mut self.lanes);
        for (lane, packet) in lanes.iter_mut().zip(&*burst) {
            lane.step = self.classify(snapshot, origin, packet, lane);
        }
        for (lane, _) in lanes.iter_mut().zip(&*burst) {
            if let Step::Transport = lane.step {
                lane.guess = self.table.guess(lane.hash);
            }
        }
        outcome.verdicts.clear();
        let mut turn = Turn::new(snapshot, now, pool, &mut outcome.originated);
        let decisions = lanes.iter().zip(burst).map(|(lane, packet)| self.decide(&mut turn, packet, lane));
        outcome.verdicts.extend(decisions);
        self.lanes = lanes;
    }

    /// Fills the lane of a packet, and tells the next step. With a verdict, `parsed` and `hash` do not count.
    #[inline]
    fn classify<P: Packet>(&self, snapshot: &Snapshot, origin: Origin, packet: &P, lane: &mut Lane) -> Step {
        let port = packet.port();
        let received = packet.received();
        let Some(info) = snapshot.ports.get(usize::from(port.0)) else {
            return Step::Decided(Verdict::Drop(DropReason::NoPort));
        };
        if let Err(reason) = lane.parsed.read(packet.bytes(), packet.total_len(), received, &info.mac) {
            return Step::Decided(Verdict::Drop(reason));
        }
        let is_transport = matches!(lane.parsed.content, Content::Transport);
        if !is_transport {
            match lane.parsed.content {
                Content::Transport | Content::IcmpError { .. } => {}
                Content::EchoRequest => return Step::Icmp,
                Content::Other => return Step::Decided(Verdict::Kernel(port)),
            }
        }
        if !matches!(*snapshot.steering, Steering::Single) {
            let rss_hash = received.rss_hash.filter(|_| is_transport);
            let owner = snapshot.steering.owner(snapshot, &lane.parsed.key, rss_hash);
            if let Some(owner) = owner.filter(|&owner| owner != self.worker) {
                return Step::Decided(match origin {
                    Origin::Port => Verdict::HandOver(owner),
                    Origin::Worker => Verdict::Drop(DropReason::HandOverLoop),
                });
            }
        }
        lane.hash = self.hasher.hash(&lane.parsed.key);
        self.table.prefetch(lane.hash);
        if is_transport { Step::Transport } else { Step::Icmp }
    }

    #[inline]
    fn decide<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Verdict {
        let is_transport = matches!(lane.step, Step::Transport);
        let verdict = if is_transport {
            self.transport(turn, packet, lane)
        } else {
            self.no_transport(turn, packet, lane)
        };
        match verdict {
            Verdict::Kernel(_) if !self.to_kernel.allows(turn.snapshot.limits.to_kernel, turn.now) => {
                Verdict::Drop(DropReason::KernelLimit)
            }
            verdict => verdict,
        }
    }

    #[inline(never)]
    fn no_transport<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Verdict {
        match (lane.step, lane.parsed.content) {
            (Step::Decided(verdict), _) => verdict,
            (_, Content::IcmpError { l3, l4 }) => self.icmp_error(turn, packet, lane, (l3, l4)),
            _ => self.echo(turn, packet, &lane.parsed),
        }
    }

    fn echo<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
    ) -> Verdict {
        if !turn.snapshot.vip_addresses.contains(&parsed.key.destination.addr) {
            return Verdict::Kernel(packet.port());
        }
        if !self.icmp.allows(turn.snapshot.limits.icmp, turn.now) {
            return Verdict::Drop(DropReason::IcmpLimit);
        }
        answer_echo(packet, parsed);
        self.counters.add(WorkerCounter::EchoReplies, 1);
        Verdict::Transmit(packet.port())
    }
}
