//! Case `idle-bytes`: octets of memory of a connection that has answered once and is silent since, all told.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::ours::Ours;
use super::peers::{ACK, Peers};
use super::smol::Smol;
use super::{BASELINE, Contender};
use crate::report::{Figure, Goal, Report};
use crate::tcp::Options;

/// Connections of ours, and of the baseline, whose size does not depend on their number.
const FLOWS: (u32, u32) = (1_000_000, 100_000);

pub(super) fn run(report: &mut Report, options: &Options) -> Result<()> {
    if !options.wants("idle-bytes") {
        return Ok(());
    }
    let [ours, smol] = ["ours", BASELINE].map(in_process_of_its_own);
    let (ours, smol) = (ours?, smol?);
    let figure = Figure::new("idle-bytes", ours, "octets").beside(BASELINE, smol);
    let note = format!(
        "of {} connections, and of {} of the baseline, whose buffers of 256 octets it includes",
        FLOWS.0, FLOWS.1
    );
    Ok(report.print(&figure.goal(Goal::AtMost(320.0)).note(note))?)
}

/// Memory that something else has used and given back would not count.
fn in_process_of_its_own(whose: &str) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .args(["idle-under-observation", "--case", whose])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the child")?;
    ensure!(output.status.success(), "measuring the memory of {whose} failed ({})", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Prints the octets of an idle connection of ours, or of the baseline.
///
/// # Errors
/// When a connection does not answer.
pub fn idle_under_observation(cases: &[String]) -> Result<()> {
    let octets = match cases {
        [whose] if whose == "ours" => octets(Ours::new, FLOWS.0)?,
        _ => octets(Smol::new, FLOWS.1)?,
    };
    println!("{octets}");
    Ok(())
}

/// What the process has grown by, for each of so many connections.
fn octets<C: Contender>(stack: impl FnOnce(u32) -> C, flows: u32) -> Result<f64> {
    let mut peers = Peers::new(flows);
    let before = resident()?;
    let mut stack = stack(flows);
    peers.open(&mut stack, 0..flows)?;
    for flow in 0..flows {
        peers.ask_at(&mut stack, flow, flow);
        stack.give(flow, peers.packet(flow, ACK, 0));
        stack.answer(|headers, octets| peers.take(headers, octets));
    }
    peers.check()?;
    // Timers run out.
    for _ in 0..100 {
        stack.pass(1_000_000);
        stack.answer(|headers, octets| peers.take(headers, octets));
    }
    peers.check()?;
    Ok((resident()? - before) / f64::from(flows))
}

/// Octets of this process that are in memory.
fn resident() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = text.split_whitespace().nth(1).context("statm has no second field")?.parse()?;
    Ok(pages * 4_096.0)
}
