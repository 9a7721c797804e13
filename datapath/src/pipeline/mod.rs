//! Forwarding: a burst of packets in, a verdict for each out.
//!
//! [`Pipeline::forward`] is a pure function of the burst, the flow table, the snapshot, the time and the seed. It makes
//! three passes, so that the memory that one packet needs is on its way while others are worked on:
//!
//! 1. `Pipeline::classify`: parse, find the owner, hash, prefetch the bucket of the flow table;
//! 2. look into the bucket, prefetch the flow;
//! 3. `Pipeline::decide_burst`: find or open the flow, rewrite the packet; plain and quiet ones in runs.

mod cut;
mod errors;
mod l7;
mod open;
mod plain;
mod plain_open;
mod query;
mod transport;

use std::io;

use plain::Way;
use plain_open::Opening;
pub use query::{NewFlow, new_flow};

use crate::counters::{Bounds, Counters, DropReason, WorkerCounter};
use crate::flow::FlowState;
use crate::flow_table::{FlowTable, Guess};
use crate::hash::{FlowHasher, Random};
use crate::icmp::answer_echo;
use crate::key::FlowKey;
use crate::limit::Limiter;
use crate::packet::{ChecksumStatus, Packet, PacketPool};
use crate::parse::{Content, Parsed};
use crate::plain::Plain;
use crate::port::BURST;
use crate::rewrite::has_l4_checksum;
use crate::snapshot::{PortId, Snapshot, WorkerId};
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
    /// Pass it to the layer 7 stage, with the next of [`Outcome::parsed`].
    L7,
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
    openings: Box<[Opening]>,
}

/// What pass 1 found out about a packet.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Lane {
    /// Of TCP and UDP: of the tuple.
    hash: u64,
    /// Of plain packets.
    plain: Plain,
    /// The flow that the packet most likely belongs to.
    guess: Guess,
    step: Step,
    /// Where it is decided.
    verdict: Verdict,
    /// Of plain packets of known flows.
    way: Way,
    /// Of others, and of plain ones that turn out to need more.
    parsed: Parsed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Step {
    /// TCP or UDP of this worker, plain and quiet: zero.
    Plain = 0,
    /// There is nothing left to find out.
    Decided,
    /// Not plain, and not looked at yet.
    Other,
    /// The same with SYN, FIN or RST.
    Signal,
    /// Plain, and prepared to open a flow.
    Opening,
    /// Plain, and the layer 7 stage's.
    L7,
    /// Plain, of a known flow, to get another tuple.
    Translate,
    /// Plain, of a known flow, to keep its tuple.
    PassOn,
    /// Other TCP or UDP of this worker.
    Transport,
    /// An ICMP message that may concern the datapath.
    Icmp,
}

impl Lane {
    fn decided(&mut self, verdict: Verdict) -> Step {
        self.verdict = verdict;
        Step::Decided
    }
}

/// What the decisions of one burst share.
struct Turn<'a, A: PacketPool> {
    snapshot: &'a Snapshot,
    now: Time,
    /// The same, as flows remember it.
    now_ms: u32,
    /// By state of a flow: how long it may be silent.
    idle_limits_ms: [u32; FlowState::COUNT],
    /// The same as the time that it was last seen at the earliest.
    earliest_ms: [u32; FlowState::COUNT],
    pool: &'a mut A,
    originated: &'a mut Vec<(A::Packet, PortId)>,
    /// Of the packets for the layer 7 stage.
    parsed: &'a mut Vec<Parsed>,
}

impl<'a, A: PacketPool> Turn<'a, A> {
    #[inline]
    fn new(
        snapshot: &'a Snapshot,
        now: Time,
        pool: &'a mut A,
        originated: &'a mut Vec<(A::Packet, PortId)>,
        parsed: &'a mut Vec<Parsed>,
    ) -> Self {
        let (now_ms, idle_limits_ms) = (now.wrapping_millis(), snapshot.timeouts.by_state());
        let earliest_ms = idle_limits_ms.map(|limit_ms| now_ms.wrapping_sub(limit_ms.min(u32::MAX / 2)));
        Self { snapshot, now, now_ms, idle_limits_ms, earliest_ms, pool, originated, parsed }
    }

    /// True only if a flow in `state` has not been silent for too long: [`Entry::idle_ms`] in fewer steps.
    #[inline(always)]
    fn is_alive(&self, state: FlowState, last_seen_ms: u32) -> bool {
        last_seen_ms.wrapping_sub(self.earliest_ms[state as usize]).cast_signed() >= 0
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
    /// What was read of the packets of the burst that go to the layer 7 stage, in their order.
    pub parsed: Vec<Parsed>,
}

impl<P> Outcome<P> {
    /// Room for the verdicts on a burst.
    #[must_use]
    pub fn new() -> Self {
        Self {
            verdicts: Vec::with_capacity(BURST),
            originated: Vec::with_capacity(BURST),
            parsed: Vec::with_capacity(BURST),
        }
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
        let verdict = Verdict::Drop(DropReason::NoPort);
        let lane = Lane {
            hash: 0,
            plain: Plain::default(),
            guess: Guess::default(),
            step: Step::Decided,
            way: Way::default(),
            verdict,
            parsed: Parsed::default(),
        };
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
            openings: vec![Opening::default(); BURST].into_boxed_slice(),
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
        let count = burst.len().min(lanes.len());
        let (of_burst, single) = (&mut lanes[..count], snapshot.steering.is_single());
        self.classify_burst(snapshot, burst, of_burst);
        if !single {
            self.steer_burst(snapshot, origin, burst, of_burst);
        }
        let is_quiet = self.guess_burst(of_burst);
        if !is_quiet {
            self.classify_others(snapshot, origin, burst, of_burst);
            self.prepare_burst(snapshot, of_burst);
        }
        let mut turn = Turn::new(snapshot, now, pool, &mut outcome.originated, &mut outcome.parsed);
        outcome.verdicts.clear();
        turn.parsed.clear();
        self.decide_burst(&mut turn, is_quiet, burst, &mut lanes[..count], &mut outcome.verdicts);
        self.lanes = lanes;
    }

    // Each pass is a function of its own: together they need more registers than there are.

    /// Fills the lanes of plain packets.
    #[inline(never)]
    fn classify_burst<P: Packet>(&self, snapshot: &Snapshot, burst: &[P], lanes: &mut [Lane]) {
        for (lane, packet) in lanes.iter_mut().zip(burst) {
            lane.step = Step::Other;
            let _ = self.classify(snapshot, packet, lane);
        }
    }

    /// Decides on plain packets that other workers own.
    #[inline(never)]
    fn steer_burst<P: Packet>(&self, snapshot: &Snapshot, origin: Origin, burst: &[P], lanes: &mut [Lane]) {
        for (lane, packet) in lanes.iter_mut().zip(burst).filter(|(lane, _)| lane.step != Step::Other) {
            let (key, rss_hash) = (lane.plain.tuple.key(), packet.received().rss_hash);
            if let Some(elsewhere) = self.elsewhere(snapshot, origin, rss_hash, &key) {
                lane.step = lane.decided(elsewhere);
            }
        }
    }

    /// Fills the lanes of packets that are not plain, guesses included.
    #[inline(never)]
    fn classify_others<P: Packet>(
        &self,
        snapshot: &Snapshot,
        origin: Origin,
        burst: &[P],
        lanes: &mut [Lane],
    ) {
        for (lane, packet) in lanes.iter_mut().zip(burst).filter(|(lane, _)| lane.step == Step::Other) {
            lane.step = self.classify_other(snapshot, origin, packet, lane);
        }
        for lane in lanes.iter_mut().filter(|lane| matches!(lane.step, Step::Transport | Step::Icmp)) {
            lane.guess = self.table.guess(lane.hash);
        }
    }

    /// Guesses flows; true if all packets are quiet ones of flows.
    #[inline(never)]
    fn guess_burst(&self, lanes: &mut [Lane]) -> bool {
        let (mut steps, mut strangers) = (0, 0);
        for lane in lanes {
            // Of a packet that has no hash this is nonsense that nobody looks at.
            lane.guess = self.table.guess(lane.hash);
            steps |= lane.step as u8;
            strangers += u32::from(!lane.guess.is_some());
        }
        steps == Step::Plain as u8 && strangers == 0
    }

    #[inline(never)]
    fn decide_burst<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        is_quiet: bool,
        burst: &mut [A::Packet],
        lanes: &mut [Lane],
        verdicts: &mut Vec<Verdict>,
    ) {
        verdicts.resize(lanes.len(), Verdict::Drop(DropReason::NoPort));
        let mut start = 0;
        while start < lanes.len() {
            let is_other = |lane: &Lane| lane.step != Step::Plain;
            let end = if is_quiet { None } else { lanes[start..].iter().position(is_other) };
            let end = end.map_or(lanes.len(), |length| start + length);
            self.recognize_run(turn, &mut lanes[start..end]);
            let run = (&mut burst[start..end], &mut lanes[start..end], &mut verdicts[start..end]);
            self.rewrite_run(turn, run.0, run.1, run.2, start);
            start = end;
            while let (Some(lane), Some(packet)) = (lanes.get_mut(start), burst.get_mut(start))
                && lane.step != Step::Plain
            {
                verdicts[start] = self.decide(turn, packet, lane, start);
                start += 1;
            }
        }
    }

    /// The verdict on a packet that is not one of an open flow like nearly all are.
    #[inline(never)]
    fn decide<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &mut Lane,
        index: usize,
    ) -> Verdict {
        let plain = match lane.step {
            Step::Plain | Step::Signal => self.signal(turn, packet, lane),
            Step::Opening => self.open_plain(turn, packet, lane, index),
            Step::L7 => {
                lane.parsed = lane.plain.parsed();
                let slot = self.openings.get(index).map(|opening| opening.service).unwrap_or_default();
                return self.pass_to_l7(turn, &lane.parsed, slot);
            }
            _ => return self.decide_any(turn, packet, lane),
        };
        plain.unwrap_or_else(|| {
            lane.parsed = lane.plain.parsed();
            lane.step = Step::Transport;
            self.decide_any(turn, packet, lane)
        })
    }

    /// Fills the lane of a plain packet; `None` for others.
    #[inline(always)]
    fn classify<P: Packet>(&self, snapshot: &Snapshot, packet: &P, lane: &mut Lane) -> Option<()> {
        let input = snapshot.shortcuts.input(packet.port())?;
        let received = packet.received();
        if !input.is_trusted || received.l4_checksum == ChecksumStatus::Bad {
            return None;
        }
        let frame = packet.bytes().first_chunk()?;
        let plain = Plain::read(frame, packet.total_len(), received.ip_checksum, input.own)?;
        lane.hash = self.hasher.hash_v4(plain.tuple);
        self.table.prefetch(lane.hash);
        lane.plain = plain;
        lane.step = if plain.is_quiet() { Step::Plain } else { Step::Signal };
        Some(())
    }

    /// Fills the lane of a packet that is not plain, and tells the next step.
    #[inline(never)]
    fn classify_other<P: Packet>(
        &self,
        snapshot: &Snapshot,
        origin: Origin,
        packet: &P,
        lane: &mut Lane,
    ) -> Step {
        let Some(info) = snapshot.ports.get(usize::from(packet.port().0)) else {
            return lane.decided(Verdict::Drop(DropReason::NoPort));
        };
        let received = packet.received();
        if let Err(reason) = lane.parsed.read(packet.bytes(), packet.total_len(), received, &info.mac) {
            return lane.decided(Verdict::Drop(reason));
        }
        let is_wrong = received.l4_checksum == ChecksumStatus::Bad && !info.recompute_checksums;
        if is_wrong && has_l4_checksum(packet.bytes(), &lane.parsed) {
            return lane.decided(Verdict::Drop(DropReason::BadL4Checksum));
        }
        let step = match lane.parsed.content {
            Content::Transport => Step::Transport,
            Content::IcmpError { .. } => Step::Icmp,
            Content::EchoRequest => return Step::Icmp,
            Content::Other => return lane.decided(Verdict::Kernel(packet.port())),
        };
        let key = &lane.parsed.key;
        let rss_hash = received.rss_hash.filter(|_| matches!(step, Step::Transport));
        if let Some(elsewhere) = self.elsewhere(snapshot, origin, rss_hash, key) {
            return lane.decided(elsewhere);
        }
        lane.hash = self.hasher.hash(key);
        self.table.prefetch(lane.hash);
        step
    }

    /// The verdict on a packet that another worker owns; `None` for this one's. `rss_hash` is the device's, of `key`.
    #[inline(never)]
    fn elsewhere(
        &self,
        snapshot: &Snapshot,
        origin: Origin,
        rss_hash: Option<u32>,
        key: &FlowKey,
    ) -> Option<Verdict> {
        let owner = snapshot.steering.owner(snapshot, key, rss_hash)?;
        (owner != self.worker).then_some(match origin {
            Origin::Port => Verdict::HandOver(owner),
            Origin::Worker => Verdict::Drop(DropReason::HandOverLoop),
        })
    }

    /// The verdict on any packet, by what was parsed of it.
    fn decide_any<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Verdict {
        let verdict = match lane.step {
            Step::Decided => lane.verdict,
            Step::Icmp => self.icmp(turn, packet, lane),
            _ => self.transport(turn, packet, lane),
        };
        match verdict {
            Verdict::Kernel(_) if !self.to_kernel.allows(turn.snapshot.limits.to_kernel, turn.now) => {
                Verdict::Drop(DropReason::KernelLimit)
            }
            verdict => verdict,
        }
    }

    fn icmp<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Verdict {
        match lane.parsed.content {
            Content::IcmpError { l3, l4 } => self.icmp_error(turn, packet, lane, (l3, l4)),
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
