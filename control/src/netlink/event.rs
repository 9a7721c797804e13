//! What the kernel tells, in our words.

use std::net::IpAddr;

use evenkeel_datapath::fib::Prefix;
use evenkeel_datapath::snapshot::MacAddress;

/// The two families, each of which is dumped by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

/// How sure the kernel is of a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// Set by somebody for good: not to be touched.
    Fixed,
    /// Reachable, or being confirmed right now.
    Confirmed,
    /// Not heard of lately, or never asked for.
    Stale,
    /// Being asked for.
    Asked,
    /// Did not answer.
    Failed,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Neighbour {
    /// Its Ethernet address; `None` where the kernel has none that may be used.
    pub(crate) mac: Option<MacAddress>,
    pub(crate) reach: Reach,
    /// The kernel keeps it alive itself.
    pub(crate) managed: bool,
    /// It did not answer the last time that all questions had been asked, and has not answered since.
    pub(crate) in_vain: bool,
}

impl Neighbour {
    /// True if nobody asks for it as somebody should: it failed, or it gets stale in a kernel that does not keep
    /// neighbours alive by itself.
    pub(crate) fn wants_question(&self) -> bool {
        match self.reach {
            Reach::Fixed | Reach::Confirmed | Reach::Asked => false,
            Reach::Stale => !self.managed || self.mac.is_none(),
            Reach::Failed => true,
        }
    }
}

/// One way of a route as the kernel has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KernelHop {
    pub(crate) interface: u32,
    pub(crate) gateway: Option<IpAddr>,
    /// False for dead links and encapsulations that the datapath does not do.
    pub(crate) usable: bool,
}

/// A route of the main table. Without hops it leads nowhere on purpose (blackhole, unreachable, prohibit).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KernelRoute {
    pub(crate) prefix: Prefix,
    pub(crate) metric: u32,
    pub(crate) mtu: Option<u32>,
    pub(crate) hops: Vec<KernelHop>,
}

/// What the kernel tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A neighbour is new or has changed.
    Neighbour { interface: u32, address: IpAddr, neighbour: Neighbour },
    /// A neighbour is forgotten.
    NeighbourGone { interface: u32, address: IpAddr },
    /// A route of the main table came, changed or went.
    Routes(Family),
    /// An interface went up or down.
    Link { interface: u32 },
    /// An interface is no more.
    LinkGone { interface: u32 },
    /// Events were lost.
    Overrun,
}

/// What has to be read from the kernel again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outdated {
    pub(crate) routes_v4: bool,
    pub(crate) routes_v6: bool,
    pub(crate) neighbours: bool,
}

impl Outdated {
    pub(crate) const ALL: Self = Self { routes_v4: true, routes_v6: true, neighbours: true };

    pub(crate) fn any(self) -> bool {
        self.routes_v4 || self.routes_v6 || self.neighbours
    }
}
