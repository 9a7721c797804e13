//! Suite `update`: how many turns of its loop a worker needs to have a change in force while it forwards, what such a turn
//! costs, and what is dropped meanwhile.
//!
//! Two workers on wires in memory take full bursts of open full-NAT flows in every turn and hand over to each other what
//! they do not own. Each change drains one backend and makes another one active again, whose flows go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire};

use anyhow::{Context, Result, ensure};
use crossbeam::queue::ArrayQueue;
use evenkeel_datapath::command::{Command, Reply};
use evenkeel_datapath::counters::{Bounds, Published, WorkerCounter};
use evenkeel_datapath::machine;
use evenkeel_datapath::packet::{HeapPacket, HeapPool};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::port::{BURST, MemoryQueue};
use evenkeel_datapath::snapshot::{BackendState, Mode, PortId, Snapshot, SnapshotParts, WorkerId};
use evenkeel_datapath::steering::Steering;
use evenkeel_datapath::worker::{Handle, Links, Worker};

use crate::median;
use crate::report::{Figure, Goal, Report};
use crate::rig::frames::{Random, Segment};
use crate::scene;

const WORKERS: u8 = 2;
const FLOWS: u32 = 10_000;
const CHANGES: u64 = 2_000;
const BOUNDS: Bounds = Bounds { services: 256, backends: 4_096 };

/// Runs the suite.
///
/// # Errors
/// When a worker never takes a change, and when packets are lost.
pub fn run(report: &mut Report) -> Result<()> {
    let mut fleet = Fleet::new()?;
    for first in (0..FLOWS).step_by(BURST) {
        fleet.turn(first..(first + BURST as u32).min(FLOWS), Segment::Syn);
    }
    fleet.turn(0..0, Segment::Data);
    let opened = fleet.count(WorkerCounter::FlowsActive);
    ensure!(opened == u64::from(FLOWS), "{opened} of {FLOWS} flows are open");
    let mut random = Random(7);
    let (mut plain, mut changing) = (Vec::new(), Vec::new());
    let mut most_turns = 0;
    for change in 1..=CHANGES {
        plain.push(fleet.traffic(&mut random));
        let generation = fleet.change(change)?;
        for turns in 1.. {
            let nanos = fleet.traffic(&mut random);
            if turns == 1 {
                changing.push(nanos);
            }
            if fleet.handles.iter().all(|handle| handle.generation.load(Acquire) == generation) {
                most_turns = most_turns.max(turns);
                break;
            }
            ensure!(turns < 1_000, "generation {generation} is not in force after {turns} turns");
        }
    }
    let dropped: u64 = fleet.workers.iter().map(|worker| worker.pipeline().counters.total_drops()).sum();
    let handed = fleet.count(WorkerCounter::HandedOut);
    ensure!(handed > 0, "nothing was handed over");
    let note =
        format!("{CHANGES} changes, {} packets, {handed} handed over", fleet.count(WorkerCounter::Received));
    report.print(
        &Figure::new("turns-to-force", f64::from(most_turns), "turns, the most")
            .goal(Goal::AtMost(1.0))
            .note(note),
    )?;
    report.print(&Figure::new("dropped", dropped as f64, "packets").goal(Goal::AtMost(0.0)))?;
    let (with, without) = (median(&mut changing), median(&mut plain));
    Ok(report.print(&Figure::new("turn-with-change", with, "ns").beside("turn without", without))?)
}

struct Fleet {
    snapshot: SnapshotParts,
    handles: Vec<Handle>,
    workers: Vec<Worker<MemoryQueue<HeapPacket>, HeapPool>>,
}

impl Fleet {
    fn new() -> Result<Self> {
        let steering = Arc::new(Steering::Software { workers: WORKERS });
        let snapshot = SnapshotParts { steering, ..scene::snapshot(Mode::FullNat) };
        let inboxes: Vec<_> = (0..WORKERS).map(|_| Arc::new(ArrayQueue::new(4 * BURST))).collect();
        let first = Arc::new(Snapshot::from(snapshot.clone()));
        let mut fleet = Self { snapshot, handles: Vec::new(), workers: Vec::new() };
        for id in (0..WORKERS).map(WorkerId) {
            let handle = Handle {
                id,
                core: None,
                commands: Arc::new(ArrayQueue::new(64)),
                replies: Arc::new(ArrayQueue::new(64)),
                published: Arc::new(Published::new(BOUNDS)),
                generation: Arc::new(AtomicU64::new(0)),
            };
            let config = PipelineConfig { worker: id, flows: 2 * FLOWS, bounds: BOUNDS, seed: 7 };
            let links = Links { inboxes: inboxes.clone(), to_kernel: vec![None], from_kernel: Vec::new() };
            let (pipeline, queues) = (Pipeline::new(&config)?, vec![MemoryQueue::default()]);
            fleet.workers.push(Worker::new(
                handle.clone(),
                pipeline,
                queues,
                HeapPool,
                links,
                Arc::clone(&first),
            ));
            fleet.handles.push(handle);
        }
        Ok(fleet)
    }

    /// One turn of each worker, with a packet of each of these flows for the first one and none for the others; nanoseconds
    /// that a worker's turn took.
    fn turn(&mut self, flows: impl IntoIterator<Item = u32>, segment: Segment) -> f64 {
        let first = self.workers.first_mut().and_then(|worker| worker.queue_mut(PortId(0)));
        if let Some(queue) = first {
            queue.incoming.extend(flows.into_iter().map(|flow| {
                let mut packet = scene::blank();
                scene::fill(&mut packet, flow, segment);
                packet
            }));
        }
        let start = machine::now();
        for worker in &mut self.workers {
            worker.turn(machine::now());
        }
        let nanos = machine::now().nanos_since(start) as f64 / f64::from(WORKERS);
        for worker in &mut self.workers {
            if let Some(queue) = worker.queue_mut(PortId(0)) {
                queue.outgoing.clear();
            }
        }
        nanos
    }

    fn traffic(&mut self, random: &mut Random) -> f64 {
        let flows: [u32; BURST] = std::array::from_fn(|_| random.below(u64::from(FLOWS)) as u32);
        self.turn(flows, Segment::Data)
    }

    /// Gives every worker a snapshot in which another backend than before drains; its generation.
    fn change(&mut self, number: u64) -> Result<u64> {
        for (slot, backend) in self.snapshot.backends.iter_mut().enumerate() {
            let drains = slot as u64 == number % 600;
            let state = if drains { BackendState::Draining { until: None } } else { BackendState::Active };
            if let Some(backend) = backend {
                backend.state = state;
            }
        }
        self.snapshot.generation += 1;
        let snapshot = Arc::new(Snapshot::from(self.snapshot.clone()));
        for handle in &self.handles {
            while let Some(Reply::Returned(old)) = handle.replies.pop() {
                drop(old);
            }
            handle.commands.push(Command::Adopt(Arc::clone(&snapshot))).ok().context("the ring is full")?;
        }
        Ok(snapshot.generation)
    }

    fn count(&self, counter: WorkerCounter) -> u64 {
        self.workers.iter().map(|worker| worker.pipeline().counters.value(counter)).sum()
    }
}
