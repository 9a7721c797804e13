//! Suite `rig`: the shipped binary beside DPDK's own forwarders, on devices that replay a capture for ever.
//!
//! Each figure is packets sent per second of CPU time that the worker's thread really got, so that a busy machine
//! disturbs less; programs run in turn, A B A B, and the figure is the median of the pairwise ratios. The baseline is l3fwd with an
//! exact-match rule for each flow. Devices are `net_pcap` with `infinite_rx`: receiving copies a frame, sending frees it.

pub mod balancer;
pub mod config;
pub mod frames;
pub mod others;
pub mod program;
pub mod telemetry;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::median;
use crate::pages::HugePages;
use crate::report::{Figure, Goal, Report};
use balancer::{Balancer, Traffic};
use frames::{Pair, Random, Segment};
use others::Lookup;
use program::Program;

/// How a run of the rig is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The balancer's binary.
    pub binary: PathBuf,
    /// Cases to run; all when empty.
    pub cases: Vec<String>,
    /// Length of a program's turn.
    pub slot: Duration,
    /// Turns of each program.
    pub rounds: usize,
    /// The core that every worker runs on.
    pub core: usize,
}

struct Case {
    name: &'static str,
    flows: usize,
    mode: &'static str,
    traffic: Traffic,
    goal: f64,
}

const fn case(name: &'static str, flows: usize, mode: &'static str, traffic: Traffic, goal: f64) -> Case {
    Case { name, flows, mode, traffic, goal }
}

const CASES: [Case; 8] = [
    case("dsr-512", 512, "dsr-mac", Traffic::Data, 0.85),
    case("nat-512", 512, "nat", Traffic::Data, 0.7),
    case("fullnat-512", 512, "full-nat", Traffic::Data, 0.7),
    case("dsr-60k", 60_000, "dsr-mac", Traffic::Data, 1.0),
    case("nat-60k", 60_000, "nat", Traffic::Data, 0.9),
    case("fullnat-60k", 60_000, "full-nat", Traffic::Data, 0.9),
    case("fullnat-reply-60k", 60_000, "full-nat", Traffic::Replies, 0.9),
    case("fullnat-open-60k", 60_000, "full-nat", Traffic::Opens, 0.3),
];

/// The baseline of every case.
const BASELINE: &str = "l3fwd-em";

/// Huge pages for l3fwd's tables and pool, the balancer's, and another's beside them.
const PAGES: u64 = 2_048;

/// A folder of capture files, removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the suite.
///
/// # Errors
/// When a program does not start or forwards nothing, and when this is not root.
pub fn run(report: &mut Report, options: &Options) -> Result<()> {
    let wanted = |name: &str| options.cases.is_empty() || options.cases.iter().any(|case| case == name);
    let l3fwd = others::build_l3fwd()?;
    let _pages = HugePages::reserve(PAGES)?;
    let folder = Folder(std::env::temp_dir().join(format!("evenkeel-rig-{}", std::process::id())));
    fs::create_dir_all(&folder.0)?;
    for (count, size) in [(512, "512"), (60_000, "60k")] {
        let anchors = ["testpmd-macswap", "l3fwd-lpm"].map(|name| format!("{name}-{size}"));
        let cases: Vec<&Case> =
            CASES.iter().filter(|case| case.flows == count && wanted(case.name)).collect();
        if cases.is_empty() && !anchors.iter().any(|anchor| wanted(anchor)) {
            continue;
        }
        let flows = frames::flows(count, &config::tcp_vips(), &mut Random(count as u64));
        let capture = folder.0.join("data.pcap");
        let data = flows.iter().map(|&flow| frames::frame(frames::device_mac(0), flow, Segment::Data));
        frames::write_pcap(&capture, data)?;
        let mut baseline =
            others::l3fwd(&l3fwd, Lookup::ExactMatch, &folder.0, &capture, &flows, options.core)?;
        baseline.pause()?;
        if wanted(&anchors[0]) {
            let mut other = others::testpmd(&folder.0, &capture, count, options.core)?;
            report.print(&compare(&anchors[0], &mut other, &mut baseline, options)?.0)?;
        }
        if wanted(&anchors[1]) {
            let mut other =
                others::l3fwd(&l3fwd, Lookup::LongestPrefix, &folder.0, &capture, &flows, options.core)?;
            report.print(&compare(&anchors[1], &mut other, &mut baseline, options)?.0)?;
        }
        for case in cases {
            balancer_beside(case, &flows, &folder.0, &mut baseline, report, options)
                .with_context(|| format!("case {}", case.name))?;
        }
    }
    Ok(())
}

fn balancer_beside(
    case: &Case,
    flows: &[Pair],
    folder: &Path,
    baseline: &mut Program,
    report: &mut Report,
    options: &Options,
) -> Result<()> {
    let mut balancer =
        Balancer::start(&options.binary, case.mode, case.traffic, flows, folder, options.core)?;
    let before = balancer.counts()?;
    let (figure, ours, theirs) = compare(case.name, balancer.program(), baseline, options)?;
    let after = balancer.counts()?;
    let lost = after.dropped - before.dropped;
    let all = after.received - before.received;
    anyhow::ensure!(lost * 1_000 <= all, "{lost} of {all} packets were dropped: {:?}", balancer.drops()?);
    if case.traffic == Traffic::Opens {
        // Half of the packets open a flow and half end one: a figure of opens.
        let share = (after.opened - before.opened) as f64 / all as f64;
        let opens = Figure::new(case.name, figure.value * share, "ratio of opens/s to packets/s")
            .beside(BASELINE, theirs)
            .goal(Goal::AtLeast(case.goal));
        return Ok(report.print(&opens.note(format!("{:.2} M opens/s", ours * share)))?);
    }
    Ok(report.print(&figure.goal(Goal::AtLeast(case.goal)))?)
}

/// Both programs in turn: the figure (median of the pairwise ratios) and the medians of each in Mpps per second of CPU time.
fn compare(
    case: &str,
    ours: &mut Program,
    baseline: &mut Program,
    options: &Options,
) -> Result<(Figure, f64, f64)> {
    ours.pause()?;
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let (left, right) = (ours.slot(options.slot)?.mpps(), baseline.slot(options.slot)?.mpps());
        a.push(left);
        b.push(right);
        ratios.push(left / right);
    }
    let (a, b) = (median(&mut a), median(&mut b));
    let figure = Figure::new(case, median(&mut ratios), "ratio of Mpps/CPU-s")
        .beside(BASELINE, b)
        .note(format!("{a:.1} Mpps/CPU-s, {} {:.1} ns", ours.name(), 1_000.0 / a));
    Ok((figure, a, b))
}
