//! From the kernel's main table to the best route for each prefix: only by twins, within a bound, longest match.
//!
//! Invariant: at most [`MAX_ROUTES`] routes are kept, and what is left out is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use evenkeel_datapath::fib::Prefix;
use evenkeel_datapath::key::Addr;
use evenkeel_datapath::snapshot::{MacAddress, PortId};

use super::event::{KernelHop, KernelRoute};
use super::{Link, MAX_ROUTES, link_of, prefix_of};

/// A way that a route goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hop {
    pub(crate) port: PortId,
    /// `None`: on-link.
    pub(crate) gateway: Option<IpAddr>,
}

/// A route as far as it goes by ports; without hops it leads nowhere on purpose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    pub(crate) mtu: Option<u32>,
    pub(crate) hops: Vec<Hop>,
}

/// The ports, and which interfaces are their twins.
#[derive(Clone, Copy)]
pub(crate) struct Ports<'a> {
    pub(crate) links: &'a [Link],
    pub(crate) interfaces: &'a BTreeMap<u32, PortId>,
    /// Static neighbours: on-link by word of the configuration, whatever the subnets say.
    pub(crate) statics: &'a BTreeMap<IpAddr, (PortId, MacAddress)>,
}

/// The best route to each prefix.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    routes: HashMap<Prefix, Route>,
    /// Lengths of the prefixes in `routes`, longest first, by family.
    lengths: [Vec<u8>; 2],
    left_out: u64,
}

impl Routes {
    /// The configured routes of ports without a twin, and the kernel's of the others.
    pub(crate) fn new<'a>(
        ports: Ports<'_>,
        configured: &[evenkeel_config::Route],
        kernel: impl Iterator<Item = &'a KernelRoute>,
    ) -> Self {
        let mut routes = of_configuration(ports, configured);
        let mut left_out = 0;
        let mut candidates: Vec<&KernelRoute> = kernel.collect();
        candidates.sort_by_key(|route| rank(route));
        for candidate in candidates {
            let Some(route) = by_ports(candidate, ports.interfaces) else { continue };
            if routes.contains_key(&candidate.prefix) {
                continue;
            }
            if routes.len() >= MAX_ROUTES {
                left_out += 1;
                continue;
            }
            routes.insert(candidate.prefix, route);
        }
        let lengths = [true, false].map(|v4| {
            let of_family = routes.keys().filter(|prefix| is_v4(prefix) == v4);
            let distinct: BTreeSet<u8> = of_family.map(|prefix| prefix.length).collect();
            distinct.into_iter().rev().collect()
        });
        Self { routes, lengths, left_out }
    }

    /// The most specific route to `address`.
    pub(crate) fn to(&self, address: Addr) -> Option<&Route> {
        let lengths = &self.lengths[usize::from(!address.is_v4())];
        lengths.iter().find_map(|&length| self.routes.get(&Prefix::new(address, length)))
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Prefix, &Route)> {
        self.routes.iter()
    }

    /// How many the bound left out.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// The order in which routes are taken: subnets and default routes first, then the more specific, and by metric among
/// those to one prefix. A table that is too large loses its least specific routes to the default route, not its
/// neighbours and not the way to the world.
fn rank(route: &KernelRoute) -> (bool, u8, Prefix, u32) {
    let is_default = route.prefix.length == if is_v4(&route.prefix) { 96 } else { 0 };
    let is_subnet = route.hops.iter().any(|hop| hop.gateway.is_none());
    (!(is_default || is_subnet), 128 - route.prefix.length, route.prefix, route.metric)
}

/// Subnets and routes of ports without a twin, of which the kernel knows nothing.
fn of_configuration(ports: Ports<'_>, configured: &[evenkeel_config::Route]) -> HashMap<Prefix, Route> {
    let Ports { links, statics, .. } = ports;
    let link_of_static = |gateway| {
        let &(port, _) = statics.get(&gateway)?;
        links.iter().find(|link| link.port == port)
    };
    let mut routes = HashMap::new();
    for link in links.iter().filter(|link| link.twin.is_none()) {
        for subnet in &link.addresses {
            let hops = vec![Hop { port: link.port, gateway: None }];
            routes.insert(prefix_of(*subnet), Route { mtu: None, hops });
        }
    }
    for route in configured {
        let link = link_of(links, route.via).or_else(|| link_of_static(route.via));
        if let Some(link) = link.filter(|link| link.twin.is_none()) {
            let hops = vec![Hop { port: link.port, gateway: Some(route.via) }];
            routes.entry(prefix_of(route.to)).or_insert(Route { mtu: None, hops });
        }
    }
    routes
}

/// The route as far as it goes by twins; `None` if it does not.
fn by_ports(route: &KernelRoute, interfaces: &BTreeMap<u32, PortId>) -> Option<Route> {
    let hop = |hop: &KernelHop| {
        let port = *interfaces.get(&hop.interface).filter(|_| hop.usable)?;
        Some(Hop { port, gateway: hop.gateway })
    };
    let hops: Vec<Hop> = route.hops.iter().filter_map(hop).collect();
    (hops.is_empty() == route.hops.is_empty()).then_some(Route { mtu: route.mtu, hops })
}

fn is_v4(prefix: &Prefix) -> bool {
    prefix.addr.is_v4() && prefix.length >= 96
}
