//! The way to an address, as far as the file says: static neighbours, on-link subnets, routes.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::model::{Config, Prefix};

/// How an address is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Its Ethernet address is in the file.
    Neighbor,
    /// It is in the subnet of this port, where it or its gateway must be asked for.
    Link {
        /// Index of the port.
        port: usize,
        /// The address that is asked for.
        next_hop: IpAddr,
    },
    /// The file does not say.
    Unknown,
}

/// Prefixes by length, longest first, each with its network.
type ByLength<T> = Vec<((bool, u8), HashMap<IpAddr, T>)>;

/// The addresses of a configuration, arranged for look-up.
pub(super) struct Reach {
    subnets: ByLength<usize>,
    gateways: ByLength<IpAddr>,
    neighbors: HashSet<IpAddr>,
}

impl Reach {
    pub(super) fn new(config: &Config) -> Self {
        let ports = config.ports.iter().enumerate();
        Self {
            subnets: by_length(
                ports.flat_map(|(index, port)| port.addresses.iter().map(move |own| (*own, index))),
            ),
            gateways: by_length(config.routes.iter().map(|route| (route.to, route.via))),
            neighbors: config.neighbors.iter().map(|neighbor| neighbor.address).collect(),
        }
    }

    /// The port whose subnet holds `addr`; the longest prefix counts.
    pub(super) fn on_link(&self, addr: IpAddr) -> Option<usize> {
        longest(&self.subnets, addr)
    }

    /// True if its Ethernet address is in the file.
    pub(super) fn is_neighbor(&self, addr: IpAddr) -> bool {
        self.neighbors.contains(&addr)
    }

    /// The way to `addr`.
    pub(super) fn way(&self, addr: IpAddr) -> Way {
        self.direct(addr).or_else(|| self.direct(longest(&self.gateways, addr)?)).unwrap_or(Way::Unknown)
    }

    fn direct(&self, addr: IpAddr) -> Option<Way> {
        if self.is_neighbor(addr) {
            return Some(Way::Neighbor);
        }
        self.on_link(addr).map(|port| Way::Link { port, next_hop: addr })
    }
}

fn by_length<T>(prefixes: impl Iterator<Item = (Prefix, T)>) -> ByLength<T> {
    let mut lengths: HashMap<(bool, u8), HashMap<IpAddr, T>> = HashMap::new();
    for (prefix, value) in prefixes {
        if let Some(network) = prefix.network() {
            // Among equal prefixes the first counts; they are refused elsewhere.
            lengths
                .entry((prefix.addr.is_ipv4(), prefix.length))
                .or_default()
                .entry(network)
                .or_insert(value);
        }
    }
    let mut lengths: ByLength<T> = lengths.into_iter().collect();
    lengths.sort_by_key(|((_, length), _)| std::cmp::Reverse(*length));
    lengths
}

fn longest<T: Copy>(prefixes: &ByLength<T>, addr: IpAddr) -> Option<T> {
    prefixes.iter().filter(|((v4, _), _)| *v4 == addr.is_ipv4()).find_map(|((_, length), networks)| {
        networks.get(&Prefix { addr, length: *length }.network()?).copied()
    })
}
