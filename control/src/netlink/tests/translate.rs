//! Netlink messages as the kernel words them.

use rtnetlink::packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteLwTunnelEncap, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::super::translate::{event, neighbour, route as translated};
use super::*;

fn message(inner: RouteNetlinkMessage) -> NetlinkMessage<RouteNetlinkMessage> {
    NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(inner))
}

fn neighbour_message(state: NeighbourState, lladdr: &[u8]) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = WAN_INDEX;
    message.header.state = state;
    message.attributes = vec![
        NeighbourAttribute::Destination(address("10.1.0.7").into()),
        NeighbourAttribute::LinkLayerAddress(lladdr.to_vec()),
    ];
    message
}

fn route_message(to: &str, kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let to = prefix(to);
    let mut message = RouteMessage::default();
    message.header.address_family =
        if to.addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = to.length;
    message.header.table = 254;
    message.header.kind = kind;
    message.attributes = attributes;
    if to.length > 0 {
        message.attributes.push(RouteAttribute::Destination(to.addr.into()));
    }
    message
}

#[test]
fn states_of_neighbours() {
    let cases = [
        (NeighbourState::Reachable, Some(Reach::Confirmed), true),
        (NeighbourState::Delay, Some(Reach::Confirmed), true),
        (NeighbourState::Probe, Some(Reach::Confirmed), true),
        (NeighbourState::Stale, Some(Reach::Stale), true),
        (NeighbourState::Permanent, Some(Reach::Fixed), true),
        (NeighbourState::Noarp, Some(Reach::Fixed), true),
        (NeighbourState::Incomplete, Some(Reach::Asked), false),
        (NeighbourState::Failed, Some(Reach::Failed), false),
        (NeighbourState::None, Some(Reach::Stale), false),
    ];
    for (state, reach, has_mac) in cases {
        let translated = neighbour(&neighbour_message(state, &mac(7).0)).map(|(_, _, neighbour)| neighbour);
        assert_eq!(translated.map(|neighbour| neighbour.reach), reach, "{state:?}");
        assert_eq!(translated.unwrap().mac, has_mac.then_some(mac(7)), "{state:?}");
    }
}

#[test]
fn what_is_no_neighbour() {
    let plain = || neighbour_message(NeighbourState::Noarp, &mac(7).0);
    let group = neighbour_message(NeighbourState::Noarp, &[0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(neighbour(&group), None, "a group's address");
    let mut multicast = plain();
    multicast.attributes[0] = NeighbourAttribute::Destination(address("224.0.0.22").into());
    assert_eq!(neighbour(&multicast), None, "a group");
    let mut proxy = plain();
    proxy.header.flags = NeighbourFlags::Proxy;
    assert_eq!(neighbour(&proxy), None, "one that the kernel answers for");
    let mut nameless = plain();
    nameless.attributes.remove(0);
    assert_eq!(neighbour(&nameless), None, "no address");
    let short = neighbour_message(NeighbourState::Reachable, &[1, 2, 3]);
    assert_eq!(neighbour(&short).unwrap().2.mac, None, "not Ethernet");
    let zeros = neighbour_message(NeighbourState::Reachable, &[0; 6]);
    assert_eq!(neighbour(&zeros).unwrap().2.mac, None, "zeros");
}

#[test]
fn the_managed_flag() {
    let mut kept = neighbour_message(NeighbourState::Reachable, &mac(7).0);
    kept.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    assert!(neighbour(&kept).unwrap().2.managed);
    let ordinary = neighbour_message(NeighbourState::Reachable, &mac(7).0);
    assert!(!neighbour(&ordinary).unwrap().2.managed);
}

#[test]
fn routes_in_all_their_forms() {
    let gateway = |text| RouteAttribute::Gateway(address(text).into());
    let by = |index| RouteAttribute::Oif(index);
    let unicast = RouteType::Unicast;
    let mut dead = route_message("10.9.0.0/16", unicast, vec![by(WAN_INDEX), gateway("10.1.0.254")]);
    dead.header.flags = RouteFlags::Linkdown;
    let one = |index, flags, attributes| {
        let mut next_hop = RouteNextHop::default();
        (next_hop.interface_index, next_hop.flags, next_hop.attributes) = (index, flags, attributes);
        next_hop
    };
    let many = vec![
        one(WAN_INDEX, RouteNextHopFlags::Dead, vec![gateway("10.1.0.254")]),
        one(LAN_INDEX, RouteNextHopFlags::Onlink, vec![gateway("10.2.0.254")]),
    ];
    let unusable = |hop: KernelHop| KernelHop { usable: false, ..hop };
    let cases = [
        (
            "on-link",
            route_message("10.1.0.0/24", unicast, vec![by(WAN_INDEX)]),
            route("10.1.0.0/24", &[hop(WAN_INDEX, None)]),
        ),
        (
            "default, with metric and MTU",
            route_message(
                "0.0.0.0/0",
                unicast,
                vec![
                    by(WAN_INDEX),
                    gateway("10.1.0.254"),
                    RouteAttribute::Priority(100),
                    RouteAttribute::Metrics(vec![RouteMetric::Hoplimit(3), RouteMetric::Mtu(1400)]),
                ],
            ),
            KernelRoute {
                metric: 100,
                mtu: Some(1400),
                ..route("0.0.0.0/0", &[hop(WAN_INDEX, Some("10.1.0.254"))])
            },
        ),
        (
            "IPv6 default",
            route_message("::/0", unicast, vec![by(WAN_INDEX), gateway("fe80::1")]),
            route("::/0", &[hop(WAN_INDEX, Some("fe80::1"))]),
        ),
        (
            "IPv4 by an IPv6 gateway",
            route_message(
                "10.9.0.0/16",
                unicast,
                vec![by(WAN_INDEX), RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap()))],
            ),
            route("10.9.0.0/16", &[hop(WAN_INDEX, Some("fe80::1"))]),
        ),
        ("a link that is down", dead, route("10.9.0.0/16", &[unusable(hop(WAN_INDEX, Some("10.1.0.254")))])),
        (
            "many hops",
            route_message("10.9.0.0/16", unicast, vec![RouteAttribute::MultiPath(many)]),
            route(
                "10.9.0.0/16",
                &[unusable(hop(WAN_INDEX, Some("10.1.0.254"))), hop(LAN_INDEX, Some("10.2.0.254"))],
            ),
        ),
        (
            "a tunnel is not for plain packets",
            route_message(
                "10.9.0.0/16",
                unicast,
                vec![by(WAN_INDEX), RouteAttribute::Encap(Vec::<RouteLwTunnelEncap>::new())],
            ),
            route("10.9.0.0/16", &[unusable(hop(WAN_INDEX, None))]),
        ),
        (
            "a black hole",
            route_message("10.9.0.0/16", RouteType::BlackHole, vec![]),
            route("10.9.0.0/16", &[]),
        ),
    ];
    for (name, message, expected) in cases {
        assert_eq!(translated(&message), Some(expected), "{name}");
    }
}

#[test]
fn what_is_no_route_of_ours() {
    let plain = || route_message("10.9.0.0/16", RouteType::Unicast, vec![RouteAttribute::Oif(WAN_INDEX)]);
    type Change = fn(&mut RouteMessage);
    let changes: [(&str, Change); 6] = [
        ("another table", |message| message.header.table = 100),
        ("a table with a large number", |message| {
            message.header.table = 252;
            message.attributes.push(RouteAttribute::Table(1000));
        }),
        ("by type of service", |message| message.header.tos = 8),
        ("by source", |message| message.header.source_prefix_length = 64),
        ("a cached exception", |message| message.header.flags = RouteFlags::Cloned),
        ("an address of the host", |message| message.header.kind = RouteType::Local),
    ];
    assert!(translated(&plain()).is_some());
    for (name, change) in changes {
        let mut message = plain();
        change(&mut message);
        assert_eq!(translated(&message), None, "{name}");
    }
}

#[test]
fn events_as_they_come() {
    let lost = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::Overrun(Vec::new()));
    assert_eq!(event(lost), Some(Event::Overrun));

    let to = |kind, table| {
        let mut message = route_message("fd09::/64", kind, vec![RouteAttribute::Oif(WAN_INDEX)]);
        message.header.table = table;
        message
    };
    let gone = message(RouteNetlinkMessage::DelRoute(to(RouteType::Unicast, 254)));
    assert_eq!(event(gone), Some(Event::Routes(Family::V6)));
    let local = message(RouteNetlinkMessage::NewRoute(to(RouteType::Local, 255)));
    assert_eq!(event(local), None, "each VIP has one of these");

    let mut link = LinkMessage::default();
    link.header.index = WAN_INDEX;
    assert_eq!(
        event(message(RouteNetlinkMessage::NewLink(link.clone()))),
        Some(Event::Link { interface: WAN_INDEX })
    );
    assert_eq!(
        event(message(RouteNetlinkMessage::DelLink(link.clone()))),
        Some(Event::LinkGone { interface: WAN_INDEX })
    );
    link.header.interface_family = AddressFamily::Bridge;
    assert_eq!(event(message(RouteNetlinkMessage::DelLink(link))), None, "it only left a bridge");

    let forgotten = neighbour_message(NeighbourState::Failed, &[]);
    assert_eq!(
        event(message(RouteNetlinkMessage::DelNeighbour(forgotten))),
        Some(Event::NeighbourGone { interface: WAN_INDEX, address: address("10.1.0.7") })
    );
}
