//! The ways out, as whoever follows the kernel tells the control thread, and what the control thread wants to be known.
//!
//! Invariant: values overtake each other. A reader sees the newest and no history.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use evenkeel_config::{Config, Neighbor as StaticNeighbor, Route};
use evenkeel_datapath::fib::Fib;
use evenkeel_datapath::snapshot::{MacAddress, PortId};
use tokio::sync::{mpsc, watch};

/// Hints under way at most.
const MISSED: usize = 64;

/// Routes and neighbours at one time.
#[derive(Clone, Debug, Default)]
pub struct NextHops {
    /// What packets are forwarded by: the same `Arc` as before when only neighbours' states changed.
    pub fib: Arc<Fib>,
    /// Every neighbour that is known or looked for, for `next-hop list`.
    pub neighbors: Vec<Neighbor>,
}

/// A host on the subnet of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbor {
    /// Its network-layer address.
    pub address: IpAddr,
    /// The port that it is behind.
    pub port: PortId,
    /// Its Ethernet address, once it is known.
    pub mac: Option<MacAddress>,
    /// How it is known.
    pub state: NeighborState,
}

/// How a neighbour is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NeighborState {
    /// From the configuration.
    Static,
    /// It has answered.
    Resolved,
    /// It is being asked.
    Probing,
    /// It did not answer, and is asked again now and then.
    Failed,
}

impl NeighborState {
    /// The word in JSON and on the terminal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Resolved => "resolved",
            Self::Probing => "probing",
            Self::Failed => "failed",
        }
    }
}

/// What the control thread wants of whoever follows the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// The addresses of all backends: the ways to them are to be resolved and kept alive.
    pub backends: BTreeSet<IpAddr>,
    /// VIPs and local addresses of full NAT: every twin carries them, so that Linux answers for them.
    pub carried: BTreeSet<IpAddr>,
    /// `[[route]]`.
    pub routes: Vec<Route>,
    /// `[[neighbor]]`.
    pub neighbors: Vec<StaticNeighbor>,
}

impl Wanted {
    /// What the file says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let services = &config.services;
        let backends = services.iter().flat_map(|service| &service.backends);
        let vips = services.iter().map(|service| service.vip.ip());
        Self {
            backends: backends.map(|backend| backend.address.ip()).collect(),
            carried: vips.chain(config.full_nat.local_addresses.iter().copied()).collect(),
            routes: config.routes.clone(),
            neighbors: config.neighbors.clone(),
        }
    }
}

/// The control thread's end: reads next hops, says what it wants.
#[derive(Debug)]
pub struct NextHopReader {
    /// The newest next hops.
    pub next_hops: watch::Receiver<NextHops>,
    /// What is wanted from now on.
    pub wanted: watch::Sender<Wanted>,
    /// Hosts on links of ours that packets were for and whose Ethernet addresses are not known: to be asked for. A hint,
    /// given again with later packets, so that it may be lost.
    pub missed: mpsc::Sender<IpAddr>,
}

/// The other end, of whoever follows the kernel.
#[derive(Debug)]
pub struct NextHopWriter {
    /// The newest next hops.
    pub next_hops: watch::Sender<NextHops>,
    /// What the control thread wants.
    pub wanted: watch::Receiver<Wanted>,
    /// Hosts that packets were for and that are not known.
    pub missed: mpsc::Receiver<IpAddr>,
}

/// Both ends, beginning with `next_hops` (what the configuration says) and `wanted`.
#[must_use]
pub fn channel(next_hops: NextHops, wanted: Wanted) -> (NextHopReader, NextHopWriter) {
    let (next_hops_in, next_hops) = watch::channel(next_hops);
    let (wanted, wanted_out) = watch::channel(wanted);
    let (missed, missed_out) = mpsc::channel(MISSED);
    let writer = NextHopWriter { next_hops: next_hops_in, wanted: wanted_out, missed: missed_out };
    (NextHopReader { next_hops, wanted, missed }, writer)
}
