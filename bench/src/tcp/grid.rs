//! Cases `grid-*`: goodput and completion times over lossy and short paths, in real time over the relay, beside Linux with CUBIC
//! on both sides.
//!
//! Of three kinds: ours on both sides (`grid-`), our server and the kernel's client (`grid-to-linux-`), and the other way
//! around (`grid-from-linux-`). Both stacks meet the same losses, and run in turn.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Options;
use super::cell::{Cell, cells};
use super::pair::{Load, Pair, Rig};
use super::relay::Account;
use crate::hosts::Fetched;
use crate::network::Random;
use crate::report::{Figure, Goal, Report};

const BASELINE: &str = "linux-cubic";
const LINUX: Pair = Pair::Linux { congestion: "cubic" };

/// What begins the names of figures, and whom they are of.
const KINDS: [(&str, Pair); 3] = [
    ("grid", Pair::Ours),
    ("grid-to-linux", Pair::OursToLinux),
    ("grid-from-linux", Pair::LinuxToOurs { congestion: "cubic" }),
];

/// How long one transfer may take: then it counts as long as that.
const LIMIT: Duration = Duration::from_secs(40);

/// Runs the cases.
///
/// # Errors
/// When bytes are wrong, and when this is not root.
pub fn run(report: &mut Report, options: &Options) -> Result<()> {
    let mut rig = None;
    for (kind, pair) in KINDS {
        let mut ratios = [Vec::new(), Vec::new()];
        for cell in cells() {
            for measure in Measure::all(&cell, options) {
                let name = format!("{kind}-{}-{}", cell.name, measure.name);
                if !options.wants(&name) {
                    continue;
                }
                let rig = match &mut rig {
                    Some(rig) => rig,
                    none => none.insert(Rig::new()?),
                };
                let contest = contest(rig, pair, &cell, &measure, options);
                let contest = contest.with_context(|| format!("case {name}"))?;
                report.print(&contest.figure(name, &cell, &measure))?;
                ratios[usize::from(measure.octets.is_some())].push(contest.ratio(&measure));
            }
        }
        for (ratios, what) in ratios.iter().zip(["goodput", "completion"]) {
            if ratios.len() > 1 {
                let worst = ratios.iter().copied().fold(f64::INFINITY, f64::min);
                let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
                let figure = Figure::new(format!("{kind}-mean-{what}"), mean, "ratio of linux-cubic");
                let note =
                    format!("geometric mean of {} cells, the worst of which has {worst:.2}", ratios.len());
                report.print(&figure.goal(Goal::AtLeast(1.0)).note(note))?;
            }
        }
    }
    Ok(())
}

/// What is measured in a cell.
struct Measure {
    name: &'static str,
    /// Of each transfer, whose time counts; none where what arrives until the limit does.
    octets: Option<u64>,
    requests: usize,
    limit: Duration,
}

impl Measure {
    fn all(cell: &Cell, options: &Options) -> [Self; 4] {
        // Fifty round trips at least, so that the start is not all that counts.
        let slot = options.slot.max(cell.round_trip * 50);
        // Short ones show only in numbers what a lost SYN does.
        let times = match cell.round_trip.as_millis() {
            0..50 => 4,
            _ => 2,
        };
        let transfer = |name, octets, requests| Self { name, octets: Some(octets), requests, limit: LIMIT };
        [
            Self { name: "goodput", octets: None, requests: 1, limit: slot },
            transfer("10k", 10_000, 10 * times),
            transfer("100k", 100_000, 4 * times),
            transfer("1m", 1_000_000, times),
        ]
    }

    const fn unit(&self) -> &'static str {
        if self.octets.is_some() { "ms" } else { "Mbit/s" }
    }

    fn value(&self, fetched: &Fetched) -> f64 {
        match self.octets {
            Some(_) => fetched.completion.unwrap_or(LIMIT).as_secs_f64() * 1e3,
            None => fetched.octets as f64 * 8e-6 / self.limit.as_secs_f64(),
        }
    }
}

/// What both brought, over all rounds.
#[derive(Default)]
struct Contest {
    ours: Vec<f64>,
    linux: Vec<f64>,
    account: Account,
}

fn contest(rig: &mut Rig, pair: Pair, cell: &Cell, measure: &Measure, options: &Options) -> Result<Contest> {
    let load = Load { octets: measure.octets, requests: measure.requests, limit: measure.limit };
    let mut random = Random(options.seed);
    let seeds: Vec<u64> = (0..options.rounds).map(|_| random.number()).collect();
    let mut contest = Contest::default();
    for seeds in seeds.chunks(cell.at_once) {
        for (pair, values) in [(pair, &mut contest.ours), (LINUX, &mut contest.linux)] {
            let (fetched, account) = rig.batch(pair, [cell.model; 2], seeds, load)?;
            values.extend(fetched.iter().flatten().map(|fetched| measure.value(fetched)));
            contest.account.add(&account);
        }
    }
    Ok(contest)
}

impl Contest {
    fn means(&self) -> (f64, f64) {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        (mean(&self.ours), mean(&self.linux))
    }

    /// How many times as good as the baseline.
    fn ratio(&self, measure: &Measure) -> f64 {
        let (ours, linux) = self.means();
        if measure.octets.is_some() { linux / ours } else { ours / linux }
    }

    fn figure(&self, name: String, cell: &Cell, measure: &Measure) -> Figure {
        let (ours, linux) = self.means();
        let goal = match measure.octets {
            Some(_) => Goal::AtMost(linux / cell.goal),
            None => Goal::AtLeast(linux * cell.goal),
        };
        let [most, almost_all] = [0.99, 0.999].map(|share| self.account.lateness_us(share));
        let note =
            format!("ratio {:.2}; relay late by {most}/{almost_all} us (99/99.9 %)", self.ratio(measure));
        Figure::new(name, ours, measure.unit()).beside(BASELINE, linux).goal(goal).note(note)
    }
}
