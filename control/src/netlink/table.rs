//! Routes and neighbours, from events and dumps to next hops: a state machine without sockets or clocks.
//!
//! Invariants:
//! - What the kernel says of interfaces that are not twins changes nothing.
//! - Routes are never patched: a change of a route only says that the routes are to be read anew, since the kernel does
//!   not tell of every route that goes (those of an interface that went down).
//! - A neighbour counts only where a route says that its address is on-link on that port.
//! - At most [`MAX_NEIGHBOURS`] neighbours are kept, besides those of backends; what is left out is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use evenkeel_datapath::fib::{NextHop, Prefix};
use evenkeel_datapath::key::Addr;
use evenkeel_datapath::snapshot::{MacAddress, PortId};

use super::event::{Event, Family, KernelRoute, Neighbour, Outdated, Reach};
use super::routes::{Hop, Ports, Route, Routes};
use super::{Link, MAX_NEIGHBOURS};
use crate::next_hops::{Neighbor, NeighborState, Wanted};

/// What has to be done so that the neighbours on the way to backends stay alive, each by interface and address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Upkeep {
    /// To ask for, and to have the kernel keep alive from now on.
    pub(crate) keep: Vec<(u32, IpAddr)>,
    /// To ask for once and leave to the kernel's ordinary ways: those that need not be kept any more, and those that the
    /// kernel forgot (it sees no traffic, so it forgets clients on its wire that are in use).
    pub(crate) ask: Vec<(u32, IpAddr)>,
}

impl Upkeep {
    pub(crate) fn is_empty(&self) -> bool {
        self.keep.is_empty() && self.ask.is_empty()
    }
}

/// Who is asked for a MAC address on the way to some address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Way {
    port: PortId,
    /// The address itself, or the gateway.
    neighbour: IpAddr,
    mtu: Option<u32>,
}

/// Everything that next hops follow from.
#[derive(Debug, Default)]
pub(crate) struct Table {
    links: Vec<Link>,
    wanted: Wanted,
    /// Static neighbours.
    statics: BTreeMap<IpAddr, (PortId, MacAddress)>,
    interfaces: BTreeMap<u32, PortId>,
    neighbours: HashMap<(PortId, IpAddr), Neighbour>,
    neighbours_left_out: u64,
    kernel_routes: [Vec<KernelRoute>; 2],
    routes: Routes,
    kept: BTreeSet<(u32, IpAddr)>,
    forgotten: BTreeSet<(u32, IpAddr)>,
    outdated: Outdated,
}

impl Table {
    /// Before anything was read: it says itself that all is outdated. `interfaces` are the twins by index.
    pub(crate) fn new(links: Vec<Link>, interfaces: BTreeMap<u32, PortId>, wanted: Wanted) -> Self {
        let outdated = if interfaces.is_empty() { Outdated::default() } else { Outdated::ALL };
        let mut table = Self { links, interfaces, outdated, ..Self::default() };
        table.set_wanted(wanted);
        table
    }

    /// Takes what is wanted from now on.
    pub(crate) fn set_wanted(&mut self, wanted: Wanted) {
        let of = |known: &evenkeel_config::Neighbor| {
            let link = self.links.iter().find(|link| link.name == known.port)?;
            Some((known.address, (link.port, MacAddress(known.mac.0))))
        };
        self.statics = wanted.neighbors.iter().filter_map(of).collect();
        self.wanted = wanted;
        self.select_routes();
    }

    /// True for a twin.
    pub(crate) fn has_interface(&self, interface: u32) -> bool {
        self.interfaces.contains_key(&interface)
    }

    /// What is to be read anew; it counts as read from now on, and what happens meanwhile makes it outdated again.
    pub(crate) fn take_outdated(&mut self) -> Outdated {
        std::mem::take(&mut self.outdated)
    }

    /// Reading failed: it has to be done again.
    pub(crate) fn mark_outdated(&mut self, outdated: Outdated) {
        self.outdated.routes_v4 |= outdated.routes_v4;
        self.outdated.routes_v6 |= outdated.routes_v6;
        self.outdated.neighbours |= outdated.neighbours;
    }

    /// Takes note of `event`; true if next hops may follow that differ.
    pub(crate) fn apply(&mut self, event: &Event) -> bool {
        match *event {
            Event::Neighbour { interface, address, neighbour } => {
                let Some(&port) = self.interfaces.get(&interface) else { return false };
                self.learn(port, address, neighbour)
            }
            Event::NeighbourGone { interface, address } => {
                let Some(&port) = self.interfaces.get(&interface) else { return false };
                let gone = self.neighbours.remove(&(port, address));
                let was_alive = gone.is_some_and(|gone| gone.mac.is_some() && gone.reach != Reach::Fixed);
                if was_alive && self.forgotten.len() < MAX_NEIGHBOURS {
                    self.forgotten.insert((interface, address));
                }
                gone.is_some()
            }
            Event::Routes(Family::V4) => {
                self.outdated.routes_v4 = true;
                true
            }
            Event::Routes(Family::V6) => {
                self.outdated.routes_v6 = true;
                true
            }
            Event::Link { interface } => {
                let ours = self.interfaces.contains_key(&interface);
                if ours {
                    self.mark_outdated(Outdated::ALL);
                }
                ours
            }
            Event::LinkGone { interface } => {
                let Some(port) = self.interfaces.remove(&interface) else { return false };
                self.neighbours.retain(|(of, _), _| *of != port);
                self.mark_outdated(Outdated::ALL);
                true
            }
            Event::Overrun => {
                self.mark_outdated(Outdated::ALL);
                true
            }
        }
    }

    fn learn(&mut self, port: PortId, address: IpAddr, mut neighbour: Neighbour) -> bool {
        let full = self.neighbours.len() >= MAX_NEIGHBOURS;
        let known = self.neighbours.get(&(port, address)).copied();
        if full && known.is_none() && !self.wanted.backends.contains(&address) {
            self.neighbours_left_out += 1;
            return false;
        }
        // Asked again after it failed, it is still one that failed: else every second question would be news.
        neighbour.in_vain |= neighbour.mac.is_none() && known.is_some_and(|known| known.in_vain);
        self.neighbours.insert((port, address), neighbour);
        // Whether it is reachable or getting stale makes no difference to anybody.
        let seen = |neighbour: Neighbour| (neighbour.mac, neighbour.in_vain);
        known.map(seen) != Some(seen(neighbour))
    }

    /// Takes a complete dump of neighbours in place of what was known.
    pub(crate) fn replace_neighbours(&mut self, dump: impl IntoIterator<Item = (u32, IpAddr, Neighbour)>) {
        self.neighbours.clear();
        self.neighbours_left_out = 0;
        for (interface, address, neighbour) in dump {
            if let Some(&port) = self.interfaces.get(&interface) {
                self.learn(port, address, neighbour);
            }
        }
    }

    /// Takes a complete dump of one family's main table in place of what was known.
    pub(crate) fn replace_routes(&mut self, family: Family, dump: Vec<KernelRoute>) {
        self.kernel_routes[family as usize] = dump;
        self.select_routes();
    }

    fn select_routes(&mut self) {
        let ports = Ports { links: &self.links, interfaces: &self.interfaces, statics: &self.statics };
        self.routes = Routes::new(ports, &self.wanted.routes, self.kernel_routes.iter().flatten());
    }

    /// The first hop of `route` whose neighbour is known, or else the first.
    fn way(&self, route: &Route, address: IpAddr) -> Option<Way> {
        let way =
            |hop: &Hop| Way { port: hop.port, neighbour: hop.gateway.unwrap_or(address), mtu: route.mtu };
        let mut ways = route.hops.iter().map(way);
        ways.clone().find(|way| self.mac(way).is_some()).or_else(|| ways.next())
    }

    fn static_mac(&self, way: &Way) -> Option<MacAddress> {
        self.statics.get(&way.neighbour).filter(|(port, _)| *port == way.port).map(|(_, mac)| *mac)
    }

    fn mac(&self, way: &Way) -> Option<MacAddress> {
        self.static_mac(way).or_else(|| self.neighbours.get(&(way.port, way.neighbour))?.mac)
    }

    fn next_hop(&self, way: &Way) -> Option<NextHop> {
        let link = self.links.iter().find(|link| link.port == way.port)?;
        let mtu = way.mtu.and_then(|mtu| u16::try_from(mtu).ok()).filter(|&mtu| mtu > 0);
        let mtu = mtu.unwrap_or(link.mtu).min(link.mtu);
        Some(NextHop { port: way.port, mac: self.mac(way)?, mtu })
    }

    /// What forwarding goes by: each prefix once, in order. `None`: known, but leads nowhere now.
    pub(crate) fn next_hops(&self) -> Vec<(Prefix, Option<NextHop>)> {
        let mut next_hops = BTreeMap::new();
        for (prefix, route) in self.routes.iter().filter(|(prefix, _)| !is_link_local(prefix.addr)) {
            // On-link: the neighbours are listed one by one.
            let by_gateway = route.hops.iter().filter(|hop| hop.gateway.is_some()).cloned().collect();
            let by_gateway = Route { mtu: route.mtu, hops: by_gateway };
            let next_hop = self.way(&by_gateway, prefix.addr.into()).and_then(|way| self.next_hop(&way));
            next_hops.insert(*prefix, next_hop);
        }
        for &(port, neighbour) in self.neighbours.keys() {
            let addr = Addr::from(neighbour);
            let Some(route) = self.routes.to(addr).filter(|_| !is_link_local(addr)) else { continue };
            let is_on_link = route.hops.iter().any(|hop| hop.port == port && hop.gateway.is_none());
            let way = Way { port, neighbour, mtu: route.mtu };
            if let Some(next_hop) = self.next_hop(&way).filter(|_| is_on_link) {
                next_hops.insert(Prefix::new(addr, 128), Some(next_hop));
            }
        }
        for (&neighbour, &(port, _)) in &self.statics {
            let way = Way { port, neighbour, mtu: None };
            next_hops.insert(Prefix::new(neighbour.into(), 128), self.next_hop(&way));
        }
        next_hops.into_iter().collect()
    }

    /// Every neighbour that is known or looked for, by port and address.
    pub(crate) fn neighbors(&self) -> Vec<Neighbor> {
        let of_kernel = |(&(port, address), known): (&(PortId, IpAddr), &Neighbour)| {
            let state = match known {
                Neighbour { mac: Some(_), .. } => NeighborState::Resolved,
                Neighbour { in_vain: true, .. } => NeighborState::Failed,
                _ => NeighborState::Probing,
            };
            ((port, address), Neighbor { address, port, mac: known.mac, state })
        };
        let asked = self.asked_ways().map(|Way { port, neighbour: address, .. }| {
            ((port, address), Neighbor { address, port, mac: None, state: NeighborState::Probing })
        });
        let fixed = self.statics.iter().map(|(&address, &(port, mac))| {
            ((port, address), Neighbor { address, port, mac: Some(mac), state: NeighborState::Static })
        });
        // What comes later replaces what came before.
        let all: BTreeMap<_, _> = asked.chain(self.neighbours.iter().map(of_kernel)).chain(fixed).collect();
        all.into_values().collect()
    }

    /// How many routes and neighbours the bounds leave out.
    pub(crate) fn left_out(&self) -> (u64, u64) {
        (self.routes.left_out(), self.neighbours_left_out)
    }

    /// Who has to be asked on the way to a backend.
    fn way_to(&self, address: IpAddr) -> Option<Way> {
        if let Some(&(port, _)) = self.statics.get(&address) {
            return Some(Way { port, neighbour: address, mtu: None });
        }
        self.way(self.routes.to(address.into())?, address)
    }

    /// What is to be done now so that neighbours on the way to backends, and all gateways, stay alive. It
    /// counts as done from now on, and comes again where it did not help.
    pub(crate) fn upkeep(&mut self) -> Upkeep {
        let known = |(interface, address): &(u32, IpAddr)| {
            self.neighbours.get(&(*self.interfaces.get(interface)?, *address))
        };
        let is_fixed = |at: &(u32, IpAddr)| known(at).is_some_and(|known| known.reach == Reach::Fixed);
        let mut wanted = self.asked_for();
        wanted.retain(|at| !is_fixed(at));
        let wants_question = |at: &(u32, IpAddr)| known(at).is_none_or(Neighbour::wants_question);
        let keep = wanted.iter().filter(|at| !self.kept.contains(at) || wants_question(at));
        let released = self.kept.difference(&wanted).filter(|at| known(at).is_some() && !is_fixed(at));
        let is_unknown = |at: &&(u32, IpAddr)| known(at).is_none_or(|known| known.mac.is_none());
        let forgotten = self.forgotten.difference(&wanted).filter(is_unknown);
        let upkeep =
            Upkeep { keep: keep.copied().collect(), ask: released.chain(forgotten).copied().collect() };
        self.kept = wanted;
        self.forgotten.clear();
        upkeep
    }

    /// Packets are for `address` and nobody knows the neighbour on the way: it is to be asked for. True if there is one.
    pub(crate) fn miss(&mut self, address: IpAddr) -> bool {
        let way = self.way_to(address).filter(|way| self.mac(way).is_none());
        let Some(missed) = way.and_then(|way| self.by_interface(way)) else { return false };
        self.forgotten.len() < MAX_NEIGHBOURS && self.forgotten.insert(missed)
    }

    fn asked_for(&self) -> BTreeSet<(u32, IpAddr)> {
        self.asked_ways().filter_map(|way| self.by_interface(way)).collect()
    }

    fn by_interface(&self, way: Way) -> Option<(u32, IpAddr)> {
        let (interface, _) = self.interfaces.iter().find(|(_, port)| **port == way.port)?;
        Some((*interface, way.neighbour))
    }

    /// The neighbours on the way to backends, and all gateways, as far as they are not static.
    fn asked_ways(&self) -> impl Iterator<Item = Way> {
        let backends = self.wanted.backends.iter().filter_map(|&address| self.way_to(address));
        let gateways = self.routes.iter().flat_map(|(_, route)| {
            let way = |hop: &Hop| Some(Way { port: hop.port, neighbour: hop.gateway?, mtu: None });
            route.hops.iter().filter_map(way)
        });
        backends.chain(gateways).filter(|way| self.static_mac(way).is_none())
    }
}

/// `fe80::/10`: the same addresses on every wire, so nothing is forwarded to them.
fn is_link_local(addr: Addr) -> bool {
    let [first, second, ..] = addr.octets();
    first == 0xfe && second & 0xc0 == 0x80
}
