//! The ways out, as whoever follows the kernel tells the control thread, and what the control thread wants to be known.
//!
//! Invariant: values overtake each other. A reader sees the newest and no history.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use evenkeel_datapath::fib::Fib;
use evenkeel_datapath::snapshot::{MacAddress, PortId};
use tokio::sync::watch;

/// Routes and neighbours at one time.
#[derive(Clone, Debug, Default)]
pub struct NextHops {
    /// What packets are forwarded by.
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

/// The control thread's end: reads next hops, says which addresses it needs the way to.
#[derive(Debug)]
pub struct NextHopReader {
    /// The newest next hops.
    pub next_hops: watch::Receiver<NextHops>,
    /// The addresses of all backends.
    pub wanted: watch::Sender<BTreeSet<IpAddr>>,
}

/// The other end, of whoever follows the kernel.
#[derive(Debug)]
pub struct NextHopWriter {
    /// The newest next hops.
    pub next_hops: watch::Sender<NextHops>,
    /// The addresses that need a way to them, to be probed and kept alive.
    pub wanted: watch::Receiver<BTreeSet<IpAddr>>,
}

/// Both ends, beginning with `next_hops` (what the configuration says) and no address wanted.
#[must_use]
pub fn channel(next_hops: NextHops) -> (NextHopReader, NextHopWriter) {
    let (next_hops_in, next_hops) = watch::channel(next_hops);
    let (wanted, wanted_out) = watch::channel(BTreeSet::new());
    (NextHopReader { next_hops, wanted }, NextHopWriter { next_hops: next_hops_in, wanted: wanted_out })
}
