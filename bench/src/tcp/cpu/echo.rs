//! Cases `echo-*`: nanoseconds that a stack takes to answer 200 octets with 200, on one of ever more connections.

use anyhow::{Result, ensure};
use evenkeel_datapath::machine;

use super::ours::Ours;
use super::peers::Peers;
use super::smol::Smol;
use super::{BASELINE, Contender, OCTETS};
use crate::median;
use crate::network::Random;
use crate::report::{Figure, Goal, Report};
use crate::tcp::Options;

/// Segments that arrive at once.
const BURST: usize = 32;
const BURSTS: usize = 1_000;

pub(super) fn run(report: &mut Report, options: &Options) -> Result<()> {
    for (name, flows, goal) in
        [("echo-1", 1, 120.0), ("echo-1k", 1_000, 180.0), ("echo-100k", 100_000, 500.0)]
    {
        if !options.wants(name) {
            continue;
        }
        let (mut ours, mut smol) = (Rig::open(Ours::new(flows), flows)?, Rig::open(Smol::new(flows), flows)?);
        let mut nothing = Rig { peers: Peers::new(flows), stack: Nothing::default(), flows };
        let (mut a, mut b, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..options.rounds as u64 {
            a.push(ours.round(round)?);
            b.push(smol.round(round)?);
            floor.push(nothing.round(round)?);
        }
        let note = format!("floor of the rig {:.0} ns", median(&mut floor));
        let figure = Figure::new(name, median(&mut a), "ns/echo").beside(BASELINE, median(&mut b));
        report.print(&figure.goal(Goal::AtMost(goal)).note(note))?;
    }
    Ok(())
}

struct Rig<C> {
    peers: Peers,
    stack: C,
    flows: u32,
}

impl<C: Contender> Rig<C> {
    fn open(stack: C, flows: u32) -> Result<Self> {
        let mut rig = Self { peers: Peers::new(flows), stack, flows };
        rig.peers.open(&mut rig.stack, 0..flows)?;
        Ok(rig)
    }

    /// Nanoseconds an echo: the median over bursts, which leaves out those that another process cut into.
    fn round(&mut self, seed: u64) -> Result<f64> {
        let mut random = Random(seed);
        let (mut times, before) = (Vec::with_capacity(BURSTS), self.peers.octets);
        let mut asked = 0;
        for _ in 0..BURSTS {
            let burst = self.burst(&mut random);
            let start = machine::now();
            // One connection has one question at a time.
            if self.flows == 1 {
                for flow in &burst {
                    self.peers.ask(&mut self.stack, std::slice::from_ref(flow));
                }
            } else {
                self.peers.ask(&mut self.stack, &burst);
            }
            times.push(machine::now().nanos_since(start) as f64 / burst.len() as f64);
            asked += (burst.len() * OCTETS) as u64;
        }
        self.peers.check()?;
        let answered = self.peers.octets - before;
        ensure!(answered == asked, "{answered} of {asked} octets came back");
        Ok(median(&mut times))
    }

    /// Different flows, in random order.
    fn burst(&self, random: &mut Random) -> Vec<u32> {
        if self.flows == 1 {
            return vec![0; BURST];
        }
        let mut burst: Vec<u32> = Vec::with_capacity(BURST);
        while burst.len() < BURST {
            let flow = random.below(u64::from(self.flows)) as u32;
            if !burst.contains(&flow) {
                burst.push(flow);
            }
        }
        burst
    }
}

/// Turns packets around, without any stack.
#[derive(Default)]
struct Nothing(Vec<Vec<u8>>, Vec<Vec<u8>>);

impl Contender for Nothing {
    fn give(&mut self, _: u32, packet: &[u8]) {
        let mut answer = self.1.pop().unwrap_or_default();
        answer.clear();
        answer.extend_from_slice(packet);
        self.0.push(answer);
    }

    fn answer(&mut self, mut sent: impl FnMut(&[u8], usize)) {
        for mut packet in self.0.drain(..) {
            let octet = |packet: &[u8], at: usize| packet[at];
            let words: [[u8; 4]; 4] =
                [12, 20, 24, 28].map(|at| std::array::from_fn(|n| octet(&packet, at + n)));
            let [source, ports, sequence, acknowledged] = words;
            let next = u32::from_be_bytes(sequence).wrapping_add(OCTETS as u32);
            packet[16..20].copy_from_slice(&source);
            packet[22..24].copy_from_slice(&ports[..2]);
            packet[24..28].copy_from_slice(&acknowledged);
            packet[28..32].copy_from_slice(&next.to_be_bytes());
            sent(&packet[..40], packet.len() - 40);
            self.1.push(packet);
        }
    }

    fn pass(&mut self, _: u64) {}
}
