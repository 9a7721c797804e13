//! The relay: a thread that moves packets between two ends in real time as a link would.
//!
//! Invariants: each flow, told by its server's port, has a link of its own, so that flows do not disturb each other. The
//! relay looks at both ends and at the clock in turn, waits in the kernel only while nothing is due for long, and says by how
//! much packets were late.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use super::port::{Port, ports};
use crate::network::{Counts, Flight, Link, Model, Random};

/// Packets that one end may send before the other has its turn.
const BURST: usize = 32;
/// What is due so soon is waited for by looking at the clock, since the kernel wakes nobody more exactly.
const SPIN: Duration = Duration::from_micros(60);
/// The longest rest, so that an end of the run is seen.
const REST: Duration = Duration::from_millis(1);

/// What carries the packets of a run.
#[derive(Debug)]
pub struct Wires {
    /// The server's port of the first flow; the next flow's is the next.
    pub first_port: u16,
    /// From the client to the server and back, for each flow.
    links: Vec<[Link; 2]>,
    /// True if all flows share the first link.
    is_shared: bool,
}

impl Wires {
    /// A link for each of `seeds`, which says what happens on it.
    #[must_use]
    pub fn separate(first_port: u16, [up, down]: [Model; 2], seeds: impl IntoIterator<Item = u64>) -> Self {
        let pair = |seed| {
            let mut random = Random(seed);
            [Link::new(up, random.number()), Link::new(down, random.number())]
        };
        Self { first_port, links: seeds.into_iter().map(pair).collect(), is_shared: false }
    }

    /// One link that all flows of the ports from `first_port` on share.
    #[must_use]
    pub fn shared(first_port: u16, models: [Model; 2], seed: u64) -> Self {
        Self { is_shared: true, ..Self::separate(first_port, models, [seed]) }
    }

    /// The link that a packet of the client (0) or the server (1) takes; none for remains of another run.
    fn link(&mut self, end: usize, packet: &[u8]) -> Option<&mut Link> {
        let (source, destination) = ports(packet)?;
        let port = if end == 0 { destination } else { source };
        let flow = usize::from(port.checked_sub(self.first_port)?);
        let flow = if self.is_shared { 0 } else { flow };
        Some(&mut self.links.get_mut(flow)?[end])
    }
}

/// What a relay did.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Packets of the client and of the server, over all flows.
    pub counts: [Counts; 2],
    /// By how many microseconds packets arrived late, each count at its number.
    lateness: Vec<u64>,
}

impl Account {
    /// The microseconds that this share of the packets was not later than.
    #[must_use]
    pub fn lateness_us(&self, share: f64) -> f64 {
        let all: u64 = self.lateness.iter().sum();
        let mut left = (all as f64 * share) as u64;
        for (late, &count) in self.lateness.iter().enumerate() {
            if count > left {
                return late as f64;
            }
            left -= count;
        }
        self.lateness.len().saturating_sub(1) as f64
    }

    /// Adds what another did.
    pub fn add(&mut self, other: &Self) {
        for (sum, counts) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.plus(counts);
        }
        self.lateness.resize(self.lateness.len().max(other.lateness.len()), 0);
        for (sum, count) in self.lateness.iter_mut().zip(&other.lateness) {
            *sum += count;
        }
    }

    fn late(&mut self, nanos: u64) {
        const MOST: usize = 100_000;
        let at = ((nanos / 1_000) as usize).min(MOST);
        if self.lateness.len() <= at {
            self.lateness.resize(at + 1, 0);
        }
        self.lateness[at] += 1;
    }
}

/// The clock of the relay when it starts, in nanoseconds.
pub const START: u64 = 1_000_000_000;

/// Relays between the client's and the server's end until `stop`, or until the client is done.
///
/// # Errors
/// When an end is gone.
pub fn relay(client: impl Port, server: impl Port, mut wires: Wires, stop: &AtomicBool) -> Result<Account> {
    let (mut client, mut server) = (client, server);
    let mut account = Account::default();
    let mut flight: Flight<(usize, Vec<u8>)> = Flight::default();
    let mut spare: Vec<Vec<u8>> = Vec::new();
    let zero = Instant::now();
    let clock = || START + zero.elapsed().as_nanos() as u64;
    while !stop.load(Relaxed) && !client.is_done() {
        let mut is_moving = false;
        for end in 0..2 {
            for _ in 0..BURST {
                let mut packet = spare.pop().unwrap_or_default();
                let now = clock();
                let is_there =
                    if end == 0 { client.take(now, &mut packet)? } else { server.take(now, &mut packet)? };
                if !is_there {
                    spare.push(packet);
                    break;
                }
                is_moving = true;
                if let Some(link) = wires.link(end, &packet) {
                    link.send(now, packet, |arrival, packet| flight.add(arrival, (1 - end, packet)));
                }
            }
        }
        for _ in 0..2 * BURST {
            let now = clock();
            let Some((arrival, (end, packet))) = flight.arrived(now) else { break };
            is_moving = true;
            account.late(now - arrival);
            if end == 0 {
                client.give(now, &packet)?;
            } else {
                server.give(now, &packet)?;
            }
            spare.push(packet);
        }
        if !is_moving {
            let due = [flight.next_arrival(), client.deadline(), server.deadline()];
            let due = due.into_iter().flatten().min().map(|due| due.saturating_sub(clock()));
            rest(due.map(Duration::from_nanos), [client.descriptor(), server.descriptor()])?;
        }
    }
    for links in &wires.links {
        for (sum, link) in account.counts.iter_mut().zip(links) {
            *sum = sum.plus(&link.counts);
        }
    }
    Ok(account)
}

/// Waits until shortly before something is due, or until one of `ends` has a packet.
fn rest(due: Option<Duration>, ends: [Option<BorrowedFd<'_>>; 2]) -> Result<()> {
    let rest = due.map_or(REST, |due| due.saturating_sub(SPIN)).min(REST);
    if rest.is_zero() {
        return Ok(());
    }
    let mut ends: Vec<PollFd<'_>> =
        ends.into_iter().flatten().map(|end| PollFd::new(end, PollFlags::POLLIN)).collect();
    match ppoll(&mut ends, Some(rest.into()), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
