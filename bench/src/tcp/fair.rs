//! Cases `fair-*`: how two flows that begin at once share a bottleneck, over the relay.
//!
//! `fair-ours-` both of ours, `fair-linux-` one of ours and one of the kernel's with CUBIC, beside two of the kernel's.

use anyhow::{Context, Result};

use super::Options;
use super::cell::Cell;
use super::pair::{Load, Pair, Rig};
use crate::network::Random;
use crate::report::{Figure, Goal, Report};

const LINUX: Pair = Pair::Linux { congestion: "cubic" };
const KINDS: [(&str, Pair); 2] =
    [("fair-ours", Pair::Ours), ("fair-linux", Pair::Both { congestion: "cubic" })];

/// No run is shorter than so many round trips: flows take some losses until each has its share.
const ROUND_TRIPS: u32 = 500;

/// Runs the cases.
///
/// # Errors
/// When bytes are wrong, and when this is not root.
pub(super) fn run(report: &mut Report, options: &Options) -> Result<()> {
    let mut rig = None;
    for (kind, pair) in KINDS {
        for cell in super::cell::bottlenecks() {
            let name = format!("{kind}-{}", cell.name);
            if !options.wants(&name) {
                continue;
            }
            let rig = match &mut rig {
                Some(rig) => rig,
                none => none.insert(Rig::new()?),
            };
            let figure = shares(rig, pair, &cell, options, name.clone());
            report.print(&figure.with_context(|| format!("case {name}"))?)?;
        }
    }
    Ok(())
}

fn shares(rig: &mut Rig, pair: Pair, cell: &Cell, options: &Options, name: String) -> Result<Figure> {
    let limit = options.slot.max(cell.round_trip * ROUND_TRIPS);
    let load = Load { octets: None, requests: 1, limit };
    let mut random = Random(options.seed);
    let (mut ours, mut linux, mut used, mut first) = (0.0, 0.0, 0.0, 0.0);
    let rounds = options.rounds as f64;
    for _ in 0..options.rounds {
        let (seed, seeds) = (random.number(), [random.number(), random.number()]);
        for (pair, share) in [(pair, &mut ours), (LINUX, &mut linux)] {
            let (fetched, _) = rig.share(pair, [cell.model; 2], seed, &seeds, load)?;
            let octets: Vec<f64> = fetched.iter().flatten().map(|fetched| fetched.octets as f64).collect();
            let all: f64 = octets.iter().sum();
            *share += octets.iter().copied().fold(0.0, f64::max) / all.max(1.0) * 100.0 / rounds;
            if pair != LINUX {
                used += all * 8e-6 / limit.as_secs_f64() / rounds;
                first += octets.first().copied().unwrap_or(0.0) / all.max(1.0) * 100.0 / rounds;
            }
        }
    }
    let note = format!("the larger share; the first flow has {first:.0} %; together {used:.1} Mbit/s");
    Ok(Figure::new(name, ours, "%").beside("linux-cubic", linux).goal(Goal::AtMost(60.0)).note(note))
}
