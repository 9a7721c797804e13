//! Neighbours and routes: Linux resolves and holds them on the ports' twins, and here they are followed by netlink and
//! turned into next hops.
//!
//! Invariants:
//! - The first [`NextHops`] that [`Follower::start`] writes already follow from complete dumps.
//! - Lost events (an overrun of the socket) lead to new dumps, never to a table that stays wrong.
//! - Nothing here touches an interface that is not a twin.

mod event;
mod follow;
mod keep;
mod read;
mod routes;
mod setup;
mod table;
#[cfg(test)]
mod tests;
mod translate;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use evenkeel_config::Config;
use evenkeel_datapath::fib::{Fib, Prefix};
use evenkeel_datapath::key::Addr;
use evenkeel_datapath::port::PortCapabilities;
use evenkeel_datapath::snapshot::PortId;

use crate::next_hops::{NextHops, Wanted};

pub use follow::Follower;

/// Routes that are kept at most. Subnets and default routes come first, then the more specific ones.
pub const MAX_ROUTES: usize = 16_384;

/// Neighbours that are kept at most, besides those of backends.
pub const MAX_NEIGHBOURS: usize = 16_384;

/// A port and its twin, as far as routes and neighbours have to do with them. It stays for the life of the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// The port.
    pub port: PortId,
    /// Its name in the configuration.
    pub name: String,
    /// The interface that is its twin; without one its neighbours are static.
    pub twin: Option<String>,
    /// Largest network-layer packet, in octets.
    pub mtu: u16,
    /// The balancer's own addresses on it, with their subnets.
    pub addresses: Vec<evenkeel_config::Prefix>,
}

impl Link {
    /// All ports of `config`, in order; `ports` says what they turned out to be able to do (nothing, for `replay`).
    #[must_use]
    pub fn all(config: &Config, ports: &[PortCapabilities]) -> Vec<Self> {
        let link = |(id, port): (u8, &evenkeel_config::Port)| Self {
            port: PortId(id),
            name: port.name.clone(),
            twin: port.kernel.clone(),
            mtu: ports.get(usize::from(id)).map_or(port.mtu, |able| able.mtu.min(port.mtu)),
            addresses: port.addresses.clone(),
        };
        (0..=u8::MAX).zip(&config.ports).map(link).collect()
    }
}

/// What follows from the configuration alone: for `replay` and rigs, and before the kernel was asked. No socket is opened,
/// and ports with a twin have no more than their static neighbours.
#[must_use]
pub fn fixed(links: Vec<Link>, wanted: Wanted) -> NextHops {
    let table = table::Table::new(links, BTreeMap::new(), wanted);
    NextHops { fib: Arc::new(Fib::new(table.next_hops())), neighbors: table.neighbors() }
}

/// Why neighbours and routes cannot be set up or followed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The process may not configure interfaces.
    #[error("no permission to {doing}: CAP_NET_ADMIN is needed")]
    Permission {
        /// What was tried.
        doing: String,
    },
    /// A twin is not there.
    #[error("the interface {name} does not exist")]
    NoInterface {
        /// The interface.
        name: String,
    },
    /// IPv6 addresses are to be put on an interface that has no IPv6.
    #[error("IPv6 is off for the interface {name}, which has IPv6 addresses to carry")]
    NoIpv6 {
        /// The interface.
        name: String,
    },
    /// The kernel refused.
    #[error("cannot {doing}: {source}")]
    Refused {
        /// What was tried.
        doing: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// The port whose subnet holds `gateway`.
fn link_of(links: &[Link], gateway: IpAddr) -> Option<&Link> {
    links.iter().find(|link| link.addresses.iter().any(|subnet| subnet.contains(gateway)))
}

/// A prefix of either family as the datapath has it.
fn prefix_of(prefix: evenkeel_config::Prefix) -> Prefix {
    let mapped = if prefix.addr.is_ipv4() { 96 } else { 0 };
    Prefix::new(Addr::from(prefix.addr), prefix.length.saturating_add(mapped))
}
