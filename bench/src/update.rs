//! Suite `update`: how many turns of its loop a worker needs to have a change in force while it forwards, what such a turn
//! costs, and what is dropped meanwhile.
//!
//! Two workers, each on a thread and core of its own, take full bursts of open full-NAT flows from wires in memory in every turn
//! and hand over to each other what they do not own. Each change drains one backend and makes another one active again,
//! whose flows go on. The same traffic goes through a second fleet that is left in peace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crossbeam::queue::ArrayQueue;
use evenkeel_datapath::command::{Command, Reply};
use evenkeel_datapath::counters::{Bounds, WorkerCounter};
use evenkeel_datapath::machine;
use evenkeel_datapath::packet::{HeapPacket, HeapPool};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::port::{BURST, MemoryQueue};
use evenkeel_datapath::snapshot::{BackendState, Mode, PortId, Snapshot, SnapshotParts, WorkerId};
use evenkeel_datapath::steering::Steering;
use evenkeel_datapath::worker::{Handle, Links, Worker};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::median;
use crate::report::{Figure, Goal, Report};
use crate::rig::frames::{Random, Segment};
use crate::scene;

const WORKERS: u8 = 2;
const FLOWS: u32 = 10_000;
const CHANGES: u64 = 2_000;
const BOUNDS: Bounds = Bounds { services: 256, backends: 4_096 };

/// Packets that wait to be taken over, at most.
const HANDED_OVER: usize = 4_096;

/// Turns whose time is kept, of each worker.
const TIMED: usize = 200_000;

/// A worker that has not adopted a change in this time never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the suite.
///
/// # Errors
/// When a worker never takes a change, and when nothing is handed over.
pub fn run(report: &mut Report) -> Result<()> {
    let mut changed = Fleet::new()?;
    let mut turns_to_force = 0;
    let changed = changed.drive(|fleet, gauges| {
        for number in 1..=CHANGES {
            turns_to_force = turns_to_force.max(fleet.change(number, gauges)?);
        }
        Ok(())
    })?;
    let mut left = Fleet::new()?;
    let turns = changed.turns;
    let left = left.drive(|_, gauges| {
        while gauges.iter().map(|gauge| gauge.begun.load(Ordering::Relaxed)).sum::<u64>() < turns {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    })?;
    ensure!(changed.handed_over > 0, "nothing was handed over");
    let note = format!(
        "{CHANGES} changes, {} packets, {} handed over, {turns} turns on {WORKERS} threads",
        changed.received, changed.handed_over
    );
    report.print(
        &Figure::new("turns-to-force", turns_to_force as f64, "turns, the most of any worker")
            .goal(Goal::AtMost(1.0))
            .note(note),
    )?;
    let dropped = Figure::new("dropped", changed.dropped as f64, "packets");
    report.print(&dropped.beside("without changes", left.dropped as f64).goal(Goal::AtMost(0.0)))?;
    let [mut with, mut without] = [changed.with_change, changed.without];
    let figure = Figure::new("turn-with-change", median(&mut with), "ns");
    Ok(report.print(&figure.beside("turn without", median(&mut without)))?)
}

/// What a worker's thread tells while it runs.
#[derive(Debug, Default)]
struct Gauge {
    /// Turns begun.
    begun: AtomicU64,
    /// The turn that adopted the latest change.
    adopted_in: AtomicU64,
    /// The generation that it adopted; stored after that.
    adopted: AtomicU64,
}

/// What came out in the end.
#[derive(Debug, Default)]
struct Outcome {
    turns: u64,
    received: u64,
    handed_over: u64,
    dropped: u64,
    /// Nanoseconds of turns that adopted a change, and of others.
    with_change: Vec<f64>,
    without: Vec<f64>,
}

struct Fleet {
    snapshot: SnapshotParts,
    handles: Vec<Handle>,
    inboxes: Vec<Arc<ArrayQueue<HeapPacket>>>,
    drivers: Vec<Driver>,
}

impl Fleet {
    /// Workers with all flows open.
    fn new() -> Result<Self> {
        let steering = Arc::new(Steering::Software { workers: WORKERS });
        let snapshot = SnapshotParts { steering, ..scene::snapshot(Mode::FullNat) };
        let inboxes: Vec<_> = (0..WORKERS).map(|_| Arc::new(ArrayQueue::new(HANDED_OVER))).collect();
        let first = Arc::new(Snapshot::from(snapshot.clone()));
        let mut fleet = Self { snapshot, handles: Vec::new(), inboxes, drivers: Vec::new() };
        for id in (0..WORKERS).map(WorkerId) {
            let handle = Handle::new(id, None, 64, BOUNDS);
            let config = PipelineConfig { worker: id, flows: 2 * FLOWS, bounds: BOUNDS, seed: 7 };
            let inboxes = fleet.inboxes.clone();
            let links = Links { inboxes, to_kernel: vec![None], from_kernel: Vec::new() };
            let (pipeline, queues) = (Pipeline::new(&config)?, vec![MemoryQueue::default()]);
            let worker = Worker::new(handle.clone(), pipeline, queues, HeapPool, links, Arc::clone(&first));
            fleet.drivers.push(Driver {
                worker,
                handle: handle.clone(),
                random: Random(u64::from(id.0)),
                spare: Vec::new(),
            });
            fleet.handles.push(handle);
        }
        for first in (0..FLOWS).step_by(BURST) {
            let flows = first..(first + BURST as u32).min(FLOWS);
            for (driver, flows) in fleet.drivers.iter_mut().zip([flows, 0..0]) {
                driver.turn(flows, Segment::Syn);
            }
        }
        let opened = fleet.count(WorkerCounter::FlowsActive);
        ensure!(opened == u64::from(FLOWS), "{opened} of {FLOWS} flows are open");
        Ok(fleet)
    }

    /// Lets each worker turn on a thread of its own, with traffic, for as long as `work` takes.
    fn drive(&mut self, work: impl FnOnce(&mut Self, &[Gauge]) -> Result<()>) -> Result<Outcome> {
        let gauges: Vec<Gauge> = self.handles.iter().map(|_| Gauge::default()).collect();
        let stop = AtomicBool::new(false);
        let inboxes = self.inboxes.clone();
        let mut outcome = Outcome::default();
        let drivers = std::mem::take(&mut self.drivers);
        let done = thread::scope(|scope| {
            let threads: Vec<_> = drivers
                .into_iter()
                .zip(&gauges)
                .map(|(driver, gauge)| {
                    let (stop, inboxes) = (&stop, &inboxes);
                    scope.spawn(move || driver.drive(gauge, inboxes, stop))
                })
                .collect();
            let done = work(self, &gauges);
            stop.store(true, Ordering::Relaxed);
            for thread in threads {
                let (driver, times) = thread.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?;
                self.drivers.push(driver);
                outcome.with_change.extend(times.with_change);
                outcome.without.extend(times.without);
            }
            done
        });
        done?;
        outcome.turns = gauges.iter().map(|gauge| gauge.begun.load(Ordering::Relaxed)).sum();
        outcome.received = self.count(WorkerCounter::Received);
        outcome.handed_over = self.count(WorkerCounter::HandedOut);
        let drops = |driver: &Driver| driver.worker.pipeline().counters.total_drops();
        outcome.dropped = self.drivers.iter().map(drops).sum();
        Ok(outcome)
    }

    /// Gives every worker a snapshot in which another backend than before drains, and waits until it is in force on all. The most
    /// turns that any needed: none if the turn under way took it, one if the next did.
    fn change(&mut self, number: u64, gauges: &[Gauge]) -> Result<u64> {
        for (slot, backend) in self.snapshot.backends.iter_mut().enumerate() {
            let drains = slot as u64 == number % 600;
            let state = if drains { BackendState::Draining { until: None } } else { BackendState::Active };
            if let Some(backend) = backend {
                backend.state = state;
            }
        }
        self.snapshot.generation += 1;
        let generation = self.snapshot.generation;
        let snapshot = Arc::new(Snapshot::from(self.snapshot.clone()));
        let mut under_way = Vec::with_capacity(gauges.len());
        for (handle, gauge) in self.handles.iter().zip(gauges) {
            while let Some(Reply::Returned(old)) = handle.replies.pop() {
                drop(old);
            }
            handle.commands.push(Command::Adopt(Arc::clone(&snapshot))).ok().context("the ring is full")?;
            under_way.push(gauge.begun.load(Ordering::SeqCst));
        }
        let start = Instant::now();
        let mut most = 0;
        for (gauge, under_way) in gauges.iter().zip(under_way) {
            while gauge.adopted.load(Ordering::Acquire) != generation {
                ensure!(start.elapsed() < PATIENCE, "generation {generation} is not in force");
                thread::sleep(Duration::from_micros(50));
            }
            most = most.max(gauge.adopted_in.load(Ordering::Relaxed).saturating_sub(under_way));
        }
        Ok(most)
    }

    fn count(&self, counter: WorkerCounter) -> u64 {
        self.drivers.iter().map(|driver| driver.worker.pipeline().counters.value(counter)).sum()
    }
}

/// A worker and what comes to its port.
struct Driver {
    worker: Worker<MemoryQueue<HeapPacket>, HeapPool>,
    handle: Handle,
    random: Random,
    /// Packets to be filled again.
    spare: Vec<HeapPacket>,
}

impl Driver {
    /// Turns until told to stop; the times that turns took.
    fn drive(
        mut self,
        gauge: &Gauge,
        inboxes: &[Arc<ArrayQueue<HeapPacket>>],
        stop: &AtomicBool,
    ) -> (Self, Outcome) {
        let mut core = CpuSet::new();
        // Where there is no such core the scheduler finds one.
        if core.set(usize::from(self.handle.id.0)).is_ok() {
            let _ = sched_setaffinity(Pid::from_raw(0), &core);
        }
        let mut times = Outcome::default();
        let mut generation = self.handle.generation.load(Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) {
            // A worker whose core is another process's for a while must not lose what is handed over to it.
            let is_crowded = inboxes.iter().any(|inbox| inbox.len() > HANDED_OVER / 2);
            let flows: [u32; BURST] = std::array::from_fn(|_| self.random.below(u64::from(FLOWS)) as u32);
            let turn = gauge.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let nanos = self.turn(flows.into_iter().take(if is_crowded { 0 } else { BURST }), Segment::Data);
            let now = self.handle.generation.load(Ordering::Relaxed);
            if now != generation {
                generation = now;
                gauge.adopted_in.store(turn, Ordering::Relaxed);
                gauge.adopted.store(now, Ordering::Release);
                times.with_change.push(nanos);
            } else if times.without.len() < TIMED && !is_crowded {
                times.without.push(nanos);
            }
        }
        (self, times)
    }

    /// One turn with a packet of each of these flows; nanoseconds that it took.
    fn turn(&mut self, flows: impl IntoIterator<Item = u32>, segment: Segment) -> f64 {
        let Self { worker, spare, .. } = self;
        if let Some(queue) = worker.queue_mut(PortId(0)) {
            spare.append(&mut queue.outgoing);
            queue.incoming.extend(flows.into_iter().map(|flow| {
                let mut packet = spare.pop().unwrap_or_else(scene::blank);
                scene::fill(&mut packet, flow, segment);
                packet
            }));
        }
        let start = machine::now();
        worker.turn(start);
        machine::now().nanos_since(start) as f64
    }
}
