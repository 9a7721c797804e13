//! Suite `flows`: the pure pipeline, from bytes in to bytes out, over ever more flows, beside the same pipeline on hashbrown.
//!
//! Packets come in bursts of 64 of random flows and lie in the nearest cache, as they do when a NIC has just delivered them;
//! only forwarding them is timed. Flows are open: SYN and the backend's answer have passed. Both programs run in turn
//! over the same packets, and their memory is on the same kind of pages (see [`crate::pages`]).

mod lines;
mod yardstick;

use anyhow::{Result, ensure};
use evenkeel_datapath::counters::{Bounds, WorkerCounter};
use evenkeel_datapath::machine;
use evenkeel_datapath::packet::{HeapPacket, HeapPool};
use evenkeel_datapath::pipeline::{Origin, Outcome, Pipeline, PipelineConfig, Verdict};
use evenkeel_datapath::port::BURST;
use evenkeel_datapath::snapshot::{Mode, Snapshot, WorkerId};
use evenkeel_datapath::time::Time;

use crate::median;
use crate::report::{Figure, Goal, Report};
use crate::rig::frames::{Random, Segment};
use crate::scene;
pub use lines::insert_under_observation;
use yardstick::Yardstick;

/// Huge pages for ten million flows in both.
pub const PAGES: u64 = 1_500;

const BASELINE: &str = "hashbrown";
const BOUNDS: Bounds = Bounds { services: 256, backends: 4_096 };
/// Packets of one program's turn.
const BURSTS: usize = 4_096;
const ROUNDS: usize = 9;
/// The default capacity of a table.
const CAPACITY: u32 = 1_000_000;

/// Runs the suite.
///
/// # Errors
/// When memory is short, or packets are not forwarded as they should be.
pub fn run(report: &mut Report, cases: &[String]) -> Result<()> {
    let wanted = |name: &str| cases.is_empty() || cases.iter().any(|case| case == name);
    let hits: [(_, _, _, Option<f64>); 7] = [
        ("hit-1", Mode::FullNat, 1, None),
        ("hit-1k", Mode::FullNat, 1_000, Some(25.0)),
        ("hit-64k", Mode::FullNat, 64_000, Some(45.0)),
        ("hit-512k", Mode::FullNat, 512_000, Some(70.0)),
        ("dsr-hit-1k", Mode::DsrMac, 1_000, Some(19.0)),
        ("dsr-hit-64k", Mode::DsrMac, 64_000, Some(40.0)),
        ("hit-10m", Mode::FullNat, 10_000_000, Some(100.0)),
    ];
    for (name, mode, flows, goal) in hits {
        let held = name == "hit-10m" && (wanted("bytes-per-flow") || wanted("flows-held"));
        if !wanted(name) && !held {
            continue;
        }
        let mut contest = Contest::new(mode, flows.max(CAPACITY))?;
        contest.open(flows)?;
        if held {
            let octets = |octets: usize| octets as f64 / f64::from(flows);
            let figure = Figure::new("bytes-per-flow", octets(contest.pipeline.table().octets()), "octets")
                .beside(BASELINE, octets(contest.yardstick.octets()))
                .goal(Goal::AtMost(64.0));
            report.print(&figure)?;
            let count = f64::from(contest.pipeline.table().len());
            report.print(&Figure::new("flows-held", count, "flows").goal(Goal::AtLeast(10e6)).note(
                "full NAT has 64,512 ports for each pair of local address and backend: 155 pairs or more",
            ))?;
        }
        if wanted(name) {
            let (ours, theirs) = contest.hits(flows)?;
            let figure = Figure::new(name, ours, "ns/packet").beside(BASELINE, theirs);
            report.print(&match goal {
                Some(goal) => figure.goal(Goal::AtMost(goal)),
                None => figure,
            })?;
        }
    }
    if wanted("miss-insert") {
        let (ours, theirs) = misses()?;
        report.print(
            &Figure::new("miss-insert", ours, "ns/packet").beside(BASELINE, theirs).goal(Goal::AtMost(200.0)),
        )?;
    }
    if wanted("worst-insert-lines") {
        lines::run(report)?;
    }
    Ok(())
}

/// The pipeline and the yardstick, with the same flows.
struct Contest {
    snapshot: Snapshot,
    pipeline: Pipeline,
    yardstick: Yardstick,
    burst: Vec<HeapPacket>,
    outcome: Outcome<HeapPacket>,
    clock: Clock,
}

impl Contest {
    fn new(mode: Mode, capacity: u32) -> Result<Self> {
        let config = PipelineConfig { worker: WorkerId(0), flows: capacity, bounds: BOUNDS, seed: 7 };
        Ok(Self {
            snapshot: scene::snapshot(mode).into(),
            pipeline: Pipeline::new(&config)?,
            yardstick: Yardstick::new(capacity, BOUNDS, mode),
            burst: (0..BURST).map(|_| scene::blank()).collect(),
            outcome: Outcome::new(),
            clock: Clock::calibrated(),
        })
    }

    /// Opens the first `flows` flows in both.
    fn open(&mut self, flows: u32) -> Result<()> {
        for ours in [true, false] {
            for first in (0..flows).step_by(BURST) {
                let numbers = first..flows.min(first + BURST as u32);
                self.pass(ours, numbers.clone(), Segment::Syn);
                let answered = &mut self.burst[..numbers.len()];
                answered.iter_mut().for_each(scene::answer);
                self.forward(ours, numbers.len());
            }
        }
        let open = self.pipeline.counters.value(WorkerCounter::FlowsActive);
        ensure!(open == u64::from(flows), "{open} of {flows} flows are open");
        Ok(())
    }

    /// Packets of these flows through one of the programs; cycles that it took, and how many went on.
    fn pass(&mut self, ours: bool, numbers: impl IntoIterator<Item = u32>, segment: Segment) -> (u64, usize) {
        let mut count = 0;
        for (packet, number) in self.burst.iter_mut().zip(numbers) {
            scene::fill(packet, number, segment);
            count += 1;
        }
        self.forward(ours, count)
    }

    fn forward(&mut self, ours: bool, count: usize) -> (u64, usize) {
        let now = machine::now();
        let start = machine::cycles();
        let sent =
            if ours { self.forward_by_pipeline(now, count) } else { self.forward_by_yardstick(now, count) };
        (machine::cycles() - start, sent)
    }

    // Two functions, so that a profiler tells them apart.

    #[inline(never)]
    fn forward_by_pipeline(&mut self, now: Time, count: usize) -> usize {
        let burst = &mut self.burst[..count];
        self.pipeline.forward(&self.snapshot, now, Origin::Port, burst, &mut HeapPool, &mut self.outcome);
        let sent = |verdict: &&Verdict| matches!(verdict, Verdict::Transmit(_));
        self.outcome.verdicts.iter().filter(sent).count()
    }

    #[inline(never)]
    fn forward_by_yardstick(&mut self, now: Time, count: usize) -> usize {
        self.yardstick.forward(&self.snapshot, now, &mut self.burst[..count])
    }

    /// Nanoseconds a packet of random flows among `flows`: medians over bursts, which leaves out those that another process
    /// cut into, and over rounds of both programs in turn.
    fn hits(&mut self, flows: u32) -> Result<(f64, f64)> {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            for (ours, times) in [(true, &mut a), (false, &mut b)] {
                let mut random = Random(round as u64);
                let (mut cycles, mut sent) = (Vec::with_capacity(BURSTS), 0);
                for _ in 0..BURSTS {
                    let numbers: [u32; BURST] =
                        std::array::from_fn(|_| random.below(u64::from(flows)) as u32);
                    let passed = self.pass(ours, numbers, Segment::Data);
                    cycles.push(passed.0 as f64);
                    sent += passed.1;
                }
                ensure!(sent == BURSTS * BURST, "{sent} of {} packets went on", BURSTS * BURST);
                times.push(self.clock.nanos(median(&mut cycles)) / BURST as f64);
            }
        }
        let opened = self.pipeline.counters.value(WorkerCounter::FlowsOpened);
        ensure!(opened == u64::from(flows), "flows were opened again: {opened} of {flows}");
        Ok((median(&mut a), median(&mut b)))
    }
}

/// Nanoseconds a SYN that opens a full-NAT flow, in tables that fill from empty to half: medians over parts of the way.
fn misses() -> Result<(f64, f64)> {
    const PART: u32 = 32_768;
    let mut contest = Contest::new(Mode::FullNat, CAPACITY)?;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for part in 0..CAPACITY / 2 / PART {
        for (ours, times) in [(true, &mut a), (false, &mut b)] {
            let (mut cycles, mut sent) = (Vec::new(), 0);
            for first in (part * PART..(part + 1) * PART).step_by(BURST) {
                let passed = contest.pass(ours, first..first + BURST as u32, Segment::Syn);
                cycles.push(passed.0 as f64);
                sent += passed.1;
            }
            ensure!(sent == PART as usize, "{sent} of {PART} SYNs went on");
            times.push(contest.clock.nanos(median(&mut cycles)) / BURST as f64);
        }
    }
    Ok((median(&mut a), median(&mut b)))
}

/// From cycles of the time-stamp counter to nanoseconds.
struct Clock {
    nanos_per_cycle: f64,
}

impl Clock {
    fn calibrated() -> Self {
        let (time, cycles) = (machine::now(), machine::cycles());
        while machine::now().nanos_since(time) < 20_000_000 {}
        let nanos = machine::now().nanos_since(time) as f64;
        Self { nanos_per_cycle: nanos / (machine::cycles() - cycles) as f64 }
    }

    fn nanos(&self, cycles: f64) -> f64 {
        cycles * self.nanos_per_cycle
    }
}
