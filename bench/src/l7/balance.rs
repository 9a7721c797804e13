//! How long requests take with one slow backend of ten, by policy, in virtual time: requests come at random (Poisson) and wait at their backend,
//! which serves a few at a time. Nothing is measured but the picks: each is the shipped code's.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use evenkeel_datapath::maglev::Maglev;
use evenkeel_l7::balance::{Candidate, Ended, Group, Loads, Policy, Question, Turns};
use evenkeel_l7::tcp::Time;
use hdrhistogram::Histogram;

use crate::network::Random;
use crate::report::{Figure, Goal, Report};

const BACKENDS: u16 = 10;
/// Requests that one backend serves at a time.
const AT_A_TIME: usize = 4;
/// What serving takes on average, and at the slow one.
const SERVICE_MICROS: f64 = 1_000.0;
const SLOW: f64 = 3.0;
/// Of what all would serve if none were slow. The slow one is not overloaded by its full share, or round robin would have no percentiles at all.
const LOAD: f64 = 0.3;
const REQUESTS: usize = 300_000;

/// Prints the 99th percentile of each policy beside round robin's.
pub(super) fn run(report: &mut Report) -> Result<()> {
    let baseline = p99_ms(Policy::RoundRobin)?;
    for (name, policy) in [
        ("power-of-two", Policy::PowerOfTwo),
        ("peak-ewma", Policy::PeakEwma),
        ("least-requests", Policy::LeastRequests),
        ("random", Policy::Random),
    ] {
        let mut figure =
            Figure::new(format!("balance-p99-{name}"), p99_ms(policy)?, "ms").beside("round-robin", baseline);
        if matches!(policy, Policy::PowerOfTwo | Policy::PeakEwma) {
            figure = figure.goal(Goal::AtMost(0.7 * baseline));
        }
        report.print(&figure)?;
    }
    Ok(())
}

/// What waits at a backend: when it came.
#[derive(Default)]
struct Backend {
    waiting: VecDeque<u64>,
    served: usize,
}

struct Simulation {
    random: Random,
    backends: Vec<Backend>,
    /// When service ends, where, and when the request had come, in nanoseconds.
    ends: BinaryHeap<Reverse<(u64, u16, u64)>>,
}

impl Simulation {
    /// A time drawn from the exponential distribution with this mean, in nanoseconds.
    fn exponential(&mut self, mean_micros: f64) -> u64 {
        (-(1.0 - self.random.fraction()).ln() * mean_micros * 1e3) as u64
    }

    fn serve(&mut self, now: u64, at: u16) {
        let backend = &mut self.backends[usize::from(at)];
        if backend.served == AT_A_TIME {
            return;
        }
        let Some(came) = backend.waiting.pop_front() else { return };
        backend.served += 1;
        let slowness = if at == 0 { SLOW } else { 1.0 };
        let end = now + self.exponential(SERVICE_MICROS * slowness);
        self.ends.push(Reverse((end, at, came)));
    }
}

fn p99_ms(policy: Policy) -> Result<f64> {
    let candidates: Vec<Candidate> = (0..BACKENDS).map(|slot| Candidate { slot, weight: 1 }).collect();
    let group = Group::new(policy, &candidates, Arc::new(Maglev::default()), Duration::ZERO);
    let (mut loads, mut turns) = (Loads::new(usize::from(BACKENDS)), Turns::default());
    let mut simulation = Simulation {
        random: Random(1),
        backends: (0..BACKENDS).map(|_| Backend::default()).collect(),
        ends: BinaryHeap::new(),
    };
    let between_micros = SERVICE_MICROS / (f64::from(BACKENDS) * AT_A_TIME as f64 * LOAD);
    let mut histogram = Histogram::<u64>::new(3)?;
    let mut next = 1_u64;
    for _ in 0..REQUESTS {
        while let Some(Reverse((end, at, came))) =
            simulation.ends.peek().copied().filter(|Reverse((end, ..))| *end <= next)
        {
            simulation.ends.pop();
            let took = Duration::from_nanos(end - came);
            loads.ended(at, Time(end), Ended::Answered(took));
            histogram.record(took.as_nanos() as u64)?;
            simulation.backends[usize::from(at)].served -= 1;
            simulation.serve(end, at);
        }
        let question = Question { now: Time(next), random: simulation.random.number(), hash: 0 };
        let at = group.pick(question, &loads, &mut turns, |_| true).unwrap_or_default();
        loads.began(at);
        simulation.backends[usize::from(at)].waiting.push_back(next);
        simulation.serve(next, at);
        next += simulation.exponential(between_micros);
    }
    Ok(histogram.value_at_quantile(0.99) as f64 / 1e6)
}
