//! Case `short-connection`: nanoseconds from SYN to the last acknowledgement of a FIN, with one question and its answer.

use anyhow::{Result, ensure};
use evenkeel_datapath::machine;

use super::ours::Ours;
use super::peers::{ACK, FIN, PSH, Peers, SYN};
use super::smol::Smol;
use super::{BASELINE, Contender, OCTETS};
use crate::median;
use crate::report::{Figure, Goal, Report};
use crate::tcp::Options;

const BURST: u32 = 16;
const CONNECTIONS: u32 = 16_384;

pub(super) fn run(report: &mut Report, options: &Options) -> Result<()> {
    if !options.wants("short-connection") {
        return Ok(());
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        a.push(round(Ours::new(BURST * 4), |flow| flow)?);
        b.push(round(Smol::new(BURST), |flow| flow % BURST)?);
    }
    let figure =
        Figure::new("short-connection", median(&mut a), "ns/connection").beside(BASELINE, median(&mut b));
    Ok(report.print(&figure.goal(Goal::AtMost(400.0)))?)
}

/// Sixteen connections at once, each of its own client; `place` says which socket it gets, where that has to be said.
fn round(mut stack: impl Contender, place: impl Fn(u32) -> u32) -> Result<f64> {
    let mut peers = Peers::new(CONNECTIONS);
    let mut times = Vec::new();
    for first in (0..CONNECTIONS).step_by(BURST as usize) {
        let flows = first..first + BURST;
        let start = machine::now();
        // The client closes first; answers to empty segments are none, else one for each.
        for (flags, octets) in [(SYN, 0), (ACK, 0), (ACK | PSH, OCTETS), (FIN | ACK, 0), (ACK, 0)] {
            for flow in flows.clone() {
                stack.give(place(flow), peers.packet(flow, flags, octets));
            }
            stack.answer(|headers, octets| peers.take(headers, octets));
            stack.pass(1);
        }
        times.push(machine::now().nanos_since(start) as f64 / f64::from(BURST));
    }
    peers.check()?;
    let all = u64::from(CONNECTIONS);
    ensure!(peers.ends == all, "{} of {all} connections were closed", peers.ends);
    ensure!(peers.octets == all * OCTETS as u64, "{} octets came back", peers.octets);
    Ok(median(&mut times))
}
