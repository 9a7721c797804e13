//! Setting up twins: addresses, routes, and what Linux must not do on them by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use evenkeel_config::Prefix;
use evenkeel_datapath::snapshot::PortId;
use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{Error, Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use tracing::warn;

use super::{Link, NetlinkError, link_of};
use crate::next_hops::Wanted;

/// Per interface, below `/proc/sys/net/ipv4/conf/NAME`.
const IPV4_SETTINGS: &[(&str, &str)] = &[
    // Answer ARP only for addresses of this twin. Every twin carries the VIPs, so they are answered for, and addresses
    // of the host's other interfaces are not.
    ("arp_ignore", "1"),
    // Ask from the port's own address in the neighbour's subnet, never from a VIP.
    ("arp_announce", "2"),
    // An address that goes does not take the others of its subnet along.
    ("promote_secondaries", "1"),
];

/// Per interface, below `/proc/sys/net/ipv6/conf/NAME`.
const IPV6_SETTINGS: &[(&str, &str)] = &[
    // Addresses and routes come from the configuration, not from whoever sends advertisements.
    ("accept_ra", "0"),
    ("autoconf", "0"),
    // The twin's addresses are usable at once, and come without probing noise.
    ("accept_dad", "0"),
    ("dad_transmits", "0"),
    // Neighbours are asked from the link-local address: it has to be there.
    ("addr_gen_mode", "0"),
];

/// An address on an interface. Those that are carried (VIPs) come without a route, and Linux does not choose them as
/// source of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Placed {
    interface: u32,
    subnet: Prefix,
    carried: bool,
}

/// A route on an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Routed {
    interface: u32,
    to: Prefix,
    via: IpAddr,
}

/// The twins and what was put on them.
pub(crate) struct Twins {
    handle: Handle,
    links: Vec<Link>,
    /// By index of the interface.
    pub(crate) interfaces: BTreeMap<u32, PortId>,
    addresses: BTreeSet<Placed>,
    routes: BTreeSet<Routed>,
}

impl Twins {
    /// Finds the twins of `links` and brings them up, with nothing on them yet.
    pub(crate) async fn new(handle: Handle, links: &[Link]) -> Result<Self, NetlinkError> {
        let mut interfaces = BTreeMap::new();
        for link in links {
            if let Some(name) = &link.twin {
                let index = index_of(&handle, name).await?;
                quieten(name, link.addresses.iter().any(|own| own.addr.is_ipv6()))?;
                let up = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
                let result = handle.link().set(up).execute().await;
                result.map_err(|error| refused(format!("bring the interface {name} up"), &error))?;
                interfaces.insert(index, link.port);
            }
        }
        let (addresses, routes) = (BTreeSet::new(), BTreeSet::new());
        Ok(Self { handle, links: links.to_vec(), interfaces, addresses, routes })
    }

    /// Puts on the twins what is wanted and takes off what no longer is. On an error everything is as it was before, as
    /// far as the kernel lets it.
    pub(crate) async fn place(&mut self, wanted: &Wanted) -> Result<(), NetlinkError> {
        let (addresses, routes) = self.targets(wanted);
        let before = (self.addresses.clone(), self.routes.clone());
        let result = self.change(&addresses, &routes).await;
        if result.is_err()
            && let Err(error) = self.change(&before.0, &before.1).await
        {
            warn!(%error, "a change of addresses or routes failed, and so did taking it back");
        }
        result
    }

    fn targets(&self, wanted: &Wanted) -> (BTreeSet<Placed>, BTreeSet<Routed>) {
        let (mut addresses, mut routes) = (BTreeSet::new(), BTreeSet::new());
        for (&interface, port) in &self.interfaces {
            let Some(link) = self.links.iter().find(|link| link.port == *port) else { continue };
            let own = link.addresses.iter().map(|&subnet| Placed { interface, subnet, carried: false });
            addresses.extend(own);
            let is_own = |address| link.addresses.iter().any(|subnet| subnet.addr == address);
            for &address in wanted.carried.iter().filter(|address| !is_own(**address)) {
                let length = if address.is_ipv4() { 32 } else { 128 };
                addresses.insert(Placed {
                    interface,
                    subnet: Prefix { addr: address, length },
                    carried: true,
                });
            }
            let by_link = wanted.routes.iter().filter(|route| link_of(&self.links, route.via) == Some(link));
            routes.extend(by_link.map(|route| Routed { interface, to: route.to, via: route.via }));
        }
        (addresses, routes)
    }

    async fn change(
        &mut self,
        addresses: &BTreeSet<Placed>,
        routes: &BTreeSet<Routed>,
    ) -> Result<(), NetlinkError> {
        if (addresses, routes) == (&self.addresses, &self.routes) {
            return Ok(());
        }
        for route in self.routes.clone().difference(routes) {
            let result = self.handle.route().del(route.message()).execute().await;
            unless(result, &[libc::ESRCH], || format!("remove the route to {}", route.to))?;
            self.routes.remove(route);
        }
        for address in self.addresses.clone().difference(addresses) {
            let result = self.handle.address().del(self.message(address)).execute().await;
            unless(result, &[libc::EADDRNOTAVAIL], || format!("remove the address {}", address.subnet))?;
            self.addresses.remove(address);
        }
        for address in addresses.difference(&self.addresses.clone()) {
            let mut request =
                self.handle.address().add(address.interface, address.subnet.addr, address.subnet.length);
            *request.message_mut() = self.message(address);
            unless(request.execute().await, &[libc::EEXIST], || {
                format!("add the address {}", address.subnet)
            })?;
            self.addresses.insert(*address);
        }
        // All of them: an address that went may have taken routes along.
        for route in routes {
            let result = self.handle.route().add(route.message()).replace().execute().await;
            result.map_err(|error| {
                refused(format!("add the route to {} via {}", route.to, route.via), &error)
            })?;
            self.routes.insert(*route);
        }
        Ok(())
    }

    fn message(&self, placed: &Placed) -> AddressMessage {
        let Prefix { addr: address, length } = placed.subnet;
        let mut request = self.handle.address().add(placed.interface, address, length);
        let message = request.message_mut();
        let mut flags = AddressFlags::empty();
        if address.is_ipv6() {
            flags |= AddressFlags::Nodad;
        }
        if placed.carried {
            flags |= AddressFlags::Noprefixroute;
            if address.is_ipv6() {
                // Deprecated at once: still answered for, but not chosen as a source.
                let mut lifetimes = CacheInfo::default();
                lifetimes.ifa_valid = u32::MAX;
                message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
            }
        }
        message.attributes.push(AddressAttribute::Flags(flags));
        message.clone()
    }
}

impl Routed {
    fn message(&self) -> RouteMessage {
        // Both fail only for addresses of mixed families, which the kernel then refuses.
        let (to, via, interface) = (self.to, self.via, self.interface);
        match (to.network().unwrap_or(to.addr), via) {
            (IpAddr::V6(network), IpAddr::V6(via)) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(network, to.length)
                .gateway(via)
                .output_interface(interface)
                .build(),
            (IpAddr::V4(network), IpAddr::V4(via)) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(network, to.length)
                .gateway(via)
                .output_interface(interface)
                .build(),
            _ => RouteMessage::default(),
        }
    }
}

async fn index_of(handle: &Handle, name: &str) -> Result<u32, NetlinkError> {
    match handle.link().get().match_name(name).execute().try_next().await {
        Ok(Some(link)) => Ok(link.header.index),
        Ok(None) => Err(NetlinkError::NoInterface { name: name.to_owned() }),
        Err(error) if errno(&error) == Some(libc::ENODEV) => {
            Err(NetlinkError::NoInterface { name: name.to_owned() })
        }
        Err(error) => Err(refused(format!("find the interface {name}"), &error)),
    }
}

/// Tells Linux what not to do on the interface by itself.
fn quieten(name: &str, ipv6: bool) -> Result<(), NetlinkError> {
    let folder = |family: &str| Path::new("/proc/sys/net").join(family).join("conf").join(name);
    let mut settings: Vec<_> = IPV4_SETTINGS.iter().map(|setting| (folder("ipv4"), setting)).collect();
    if folder("ipv6").exists() {
        if ipv6 {
            settings.push((folder("ipv6"), &("disable_ipv6", "0")));
        }
        settings.extend(IPV6_SETTINGS.iter().map(|setting| (folder("ipv6"), setting)));
    } else if ipv6 {
        return Err(NetlinkError::NoIpv6 { name: name.to_owned() });
    }
    for (folder, (key, value)) in settings {
        let path = folder.join(key);
        if let Err(error) = std::fs::write(&path, value) {
            // Read-only in some containers; what matters there has to be set from outside.
            warn!(path = %path.display(), value, %error, "cannot change a setting of the interface");
        }
    }
    Ok(())
}

/// An error, unless it is one of those that mean that it is already so.
fn unless(
    result: Result<(), Error>,
    already: &[i32],
    doing: impl FnOnce() -> String,
) -> Result<(), NetlinkError> {
    match result {
        Err(error) if errno(&error).is_some_and(|errno| already.contains(&errno)) => Ok(()),
        other => other.map_err(|error| refused(doing(), &error)),
    }
}

fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => Some(-message.raw_code()),
        _ => None,
    }
}

pub(crate) fn refused(doing: String, error: &Error) -> NetlinkError {
    match errno(error) {
        Some(libc::EPERM | libc::EACCES) => NetlinkError::Permission { doing },
        Some(errno) => NetlinkError::Refused { doing, source: io::Error::from_raw_os_error(errno) },
        None => NetlinkError::Refused { doing, source: io::Error::other(error.to_string()) },
    }
}
