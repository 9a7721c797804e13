//! From netlink messages to the events and routes of [`super::table`]. Pure; what is of no concern becomes `None`.

use std::net::IpAddr;

use evenkeel_datapath::snapshot::MacAddress;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::event::{Event, Family, KernelHop, KernelRoute, Neighbour, Reach};
use super::prefix_of;

/// What a multicast message tells.
pub(crate) fn event(message: NetlinkMessage<RouteNetlinkMessage>) -> Option<Event> {
    let inner = match message.payload {
        NetlinkPayload::InnerMessage(inner) => inner,
        NetlinkPayload::Overrun(_) => return Some(Event::Overrun),
        _ => return None,
    };
    match inner {
        RouteNetlinkMessage::NewNeighbour(message) => {
            let (interface, address, neighbour) = neighbour(&message)?;
            Some(Event::Neighbour { interface, address, neighbour })
        }
        RouteNetlinkMessage::DelNeighbour(message) => {
            let (interface, address, _) = neighbour(&message)?;
            Some(Event::NeighbourGone { interface, address })
        }
        RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
            let of_interest =
                is_in_main_table(&message) && !message.header.flags.contains(RouteFlags::Cloned);
            family(message.header.address_family).filter(|_| of_interest).map(Event::Routes)
        }
        RouteNetlinkMessage::NewLink(message) => Some(Event::Link { interface: message.header.index }),
        // A bridge tells of ports that leave it in the same words, with its own family.
        RouteNetlinkMessage::DelLink(message) => (message.header.interface_family == AddressFamily::Unspec)
            .then_some(Event::LinkGone { interface: message.header.index }),
        _ => None,
    }
}

/// A neighbour: its interface, its address, and what is known of it. Groups are no neighbours.
pub(crate) fn neighbour(message: &NeighbourMessage) -> Option<(u32, IpAddr, Neighbour)> {
    let header = &message.header;
    if header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::from(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        _ => None,
    })?;
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(octets) => <[u8; 6]>::try_from(octets.as_slice()).ok(),
        _ => None,
    });
    let managed = message.attributes.iter().any(|attribute| {
        matches!(attribute, NeighbourAttribute::ExtFlags(flags) if flags.contains(NeighbourExtFlags::Managed))
    });
    let (reach, usable) = match header.state {
        NeighbourState::Permanent | NeighbourState::Noarp => (Reach::Fixed, true),
        NeighbourState::Reachable | NeighbourState::Delay | NeighbourState::Probe => (Reach::Confirmed, true),
        NeighbourState::Stale => (Reach::Stale, true),
        NeighbourState::Incomplete => (Reach::Asked, false),
        NeighbourState::Failed => (Reach::Failed, false),
        _ => (Reach::Stale, false),
    };
    let is_group = |mac: &[u8; 6]| mac[0] & 1 != 0;
    if address.is_multicast() || mac.as_ref().is_some_and(is_group) {
        return None;
    }
    // An address of zeros is what loopback devices have.
    let mac = mac.filter(|mac| usable && *mac != [0; 6]).map(MacAddress);
    Some((header.ifindex, address, Neighbour { mac, reach, managed, in_vain: reach == Reach::Failed }))
}

/// A route of the main table that forwarding goes by. Policy (type of service, source prefixes) is not followed.
pub(crate) fn route(message: &RouteMessage) -> Option<KernelRoute> {
    let header = &message.header;
    let plain = header.tos == 0 && header.source_prefix_length == 0;
    if !plain || !is_in_main_table(message) || header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let unspecified = match family(header.address_family)? {
        Family::V4 => IpAddr::from([0; 4]),
        Family::V6 => IpAddr::from([0; 16]),
    };
    let (mut address, mut metric, mut mtu) = (unspecified, 0, None);
    let mut ways = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(destination)) => address = (*destination).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(destination)) => address = (*destination).into(),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            RouteAttribute::MultiPath(hops) => ways.extend(hops.iter().map(one_of_many)),
            _ => {}
        }
    }
    let hops = match header.kind {
        RouteType::Unicast if ways.is_empty() => vec![only_hop(message)?],
        RouteType::Unicast => ways,
        RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => Vec::new(),
        _ => return None,
    };
    let prefix =
        prefix_of(evenkeel_config::Prefix { addr: address, length: header.destination_prefix_length });
    Some(KernelRoute { prefix, metric, mtu, hops })
}

fn only_hop(message: &RouteMessage) -> Option<KernelHop> {
    let interface = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(interface) => Some(*interface),
        _ => None,
    })?;
    let dead = message.header.flags.intersects(RouteFlags::Dead | RouteFlags::Linkdown);
    Some(KernelHop {
        interface,
        gateway: gateway(&message.attributes),
        usable: !dead && !is_encapsulated(&message.attributes),
    })
}

fn one_of_many(hop: &RouteNextHop) -> KernelHop {
    let dead = hop.flags.intersects(RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown);
    KernelHop {
        interface: hop.interface_index,
        gateway: gateway(&hop.attributes),
        usable: !dead && !is_encapsulated(&hop.attributes),
    }
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(IpAddr::from(*gateway)),
        RouteAttribute::Gateway(RouteAddress::Inet6(gateway)) => Some(IpAddr::from(*gateway)),
        RouteAttribute::Via(RouteVia::Inet(gateway)) => Some(IpAddr::from(*gateway)),
        RouteAttribute::Via(RouteVia::Inet6(gateway)) => Some(IpAddr::from(*gateway)),
        _ => None,
    })
}

fn is_encapsulated(attributes: &[RouteAttribute]) -> bool {
    attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Encap(_)))
}

fn is_in_main_table(message: &RouteMessage) -> bool {
    let attribute = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    attribute.unwrap_or(u32::from(message.header.table)) == u32::from(RouteHeader::RT_TABLE_MAIN)
}

fn family(family: AddressFamily) -> Option<Family> {
    match family {
        AddressFamily::Inet => Some(Family::V4),
        AddressFamily::Inet6 => Some(Family::V6),
        _ => None,
    }
}
