//! The state machine without a kernel: routes and neighbours in, next hops and questions out.

mod translate;
mod ways;

use std::collections::BTreeMap;
use std::net::IpAddr;

use evenkeel_config::{Neighbor, Prefix, Route};
use evenkeel_datapath::fib::{Fib, NextHop};
use evenkeel_datapath::snapshot::{MacAddress, PortId};
use proptest::prelude::*;

use super::event::{Event, Family, KernelHop, KernelRoute, Neighbour, Outdated, Reach};
use super::table::{Table, Upkeep};
use super::{Link, MAX_NEIGHBOURS, MAX_ROUTES, prefix_of};
use crate::next_hops::{NeighborState, Wanted};

const WAN: PortId = PortId(0);
const LAN: PortId = PortId(1);
/// A port without a twin.
const RIG: PortId = PortId(2);
const WAN_INDEX: u32 = 10;
const LAN_INDEX: u32 = 20;
/// An interface that is nobody's twin.
const OTHER_INDEX: u32 = 2;

fn mac(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, last])
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    let (addr, length) = text.split_once('/').unwrap();
    Prefix { addr: address(addr), length: length.parse().unwrap() }
}

fn links() -> Vec<Link> {
    let link = |port, name: &str, twin: Option<&str>, subnets: [&str; 2]| Link {
        port,
        name: name.to_owned(),
        twin: twin.map(str::to_owned),
        mtu: 1500,
        addresses: subnets.map(prefix).to_vec(),
    };
    vec![
        link(WAN, "wan", Some("ek-wan"), ["10.1.0.1/24", "fd01::1/64"]),
        link(LAN, "lan", Some("ek-lan"), ["10.2.0.1/24", "fd02::1/64"]),
        link(RIG, "rig", None, ["10.3.0.1/24", "fd03::1/64"]),
    ]
}

fn hop(interface: u32, gateway: Option<&str>) -> KernelHop {
    KernelHop { interface, gateway: gateway.map(address), usable: true }
}

fn route(to: &str, hops: &[KernelHop]) -> KernelRoute {
    KernelRoute { prefix: prefix_of(prefix(to)), metric: 0, mtu: None, hops: hops.to_vec() }
}

fn subnets(family: Family) -> Vec<KernelRoute> {
    match family {
        Family::V4 => {
            vec![route("10.1.0.0/24", &[hop(WAN_INDEX, None)]), route("10.2.0.0/24", &[hop(LAN_INDEX, None)])]
        }
        Family::V6 => vec![
            route("fd01::/64", &[hop(WAN_INDEX, None)]),
            route("fd02::/64", &[hop(LAN_INDEX, None)]),
            route("fe80::/64", &[hop(WAN_INDEX, None)]),
        ],
    }
}

fn alive(last: u8) -> Neighbour {
    Neighbour { mac: Some(mac(last)), reach: Reach::Confirmed, managed: false, in_vain: false }
}

fn silent(reach: Reach) -> Neighbour {
    Neighbour { mac: None, reach, managed: false, in_vain: reach == Reach::Failed }
}

fn learn(table: &mut Table, interface: u32, of: &str, neighbour: Neighbour) -> bool {
    table.apply(&Event::Neighbour { interface, address: address(of), neighbour })
}

fn forget(table: &mut Table, interface: u32, of: &str) -> bool {
    table.apply(&Event::NeighbourGone { interface, address: address(of) })
}

fn add_routes(table: &mut Table, routes: &[KernelRoute]) {
    table.replace_routes(Family::V4, [subnets(Family::V4), routes.to_vec()].concat());
}

/// A table that has read what two twins come with.
fn table(wanted: Wanted) -> Table {
    let interfaces = BTreeMap::from([(WAN_INDEX, WAN), (LAN_INDEX, LAN)]);
    let mut table = Table::new(links(), interfaces, wanted);
    assert_eq!(table.take_outdated(), Outdated::ALL, "nothing was read yet");
    table.replace_neighbours([]);
    table.replace_routes(Family::V4, subnets(Family::V4));
    table.replace_routes(Family::V6, subnets(Family::V6));
    assert_eq!(table.take_outdated(), Outdated::default());
    table
}

fn way(table: &Table, to: &str) -> Option<NextHop> {
    let fib = Fib::new(table.next_hops());
    fib.lookup(address(to).into()).and_then(|id| fib.next_hop(id)).copied()
}

fn state(table: &Table, of: &str) -> Option<NeighborState> {
    table.neighbors().iter().find(|known| known.address == address(of)).map(|known| known.state)
}

#[test]
fn lost_events_lead_to_new_dumps() {
    let mut table = table(Wanted::default());
    learn(&mut table, WAN_INDEX, "10.1.0.7", alive(7));
    assert!(table.apply(&Event::Overrun));
    assert_eq!(table.take_outdated(), Outdated::ALL);
    assert!(!table.take_outdated().any(), "it is being read");
    // While it is read something happens that the dump does not show yet; the event comes after the dump.
    table.replace_neighbours([(LAN_INDEX, address("10.2.0.8"), alive(8))]);
    assert_eq!(way(&table, "10.1.0.7"), None, "it was gone, and the event that said so was lost");
    learn(&mut table, LAN_INDEX, "10.2.0.8", alive(9));
    assert_eq!(way(&table, "10.2.0.8").unwrap().mac, mac(9));
    // A failed dump has to be done again.
    table.mark_outdated(Outdated { routes_v6: true, ..Outdated::default() });
    assert!(table.take_outdated().routes_v6);
}

#[test]
fn a_changed_route_only_makes_its_family_outdated() {
    let mut table = table(Wanted::default());
    assert!(table.apply(&Event::Routes(Family::V6)));
    assert_eq!(table.take_outdated(), Outdated { routes_v6: true, ..Outdated::default() });
    assert!(table.apply(&Event::Link { interface: LAN_INDEX }));
    assert_eq!(table.take_outdated(), Outdated::ALL, "routes go silently when their interface goes down");
}

#[test]
fn the_configuration_alone_is_enough_for_ports_without_a_twin() {
    let known = |of: &str, last, port: &str| Neighbor {
        address: address(of),
        mac: evenkeel_config::MacAddress(mac(last).0),
        port: port.to_owned(),
    };
    let wanted = Wanted {
        backends: ["10.3.0.3", "10.3.0.4", "203.0.113.9"].map(address).into(),
        routes: vec![
            Route { to: prefix("0.0.0.0/0"), via: address("10.3.0.254") },
            Route { to: prefix("198.18.0.0/15"), via: address("192.168.7.1") },
        ],
        neighbors: vec![
            known("10.3.0.254", 0xfe, "rig"),
            known("10.3.0.3", 3, "rig"),
            known("192.168.7.1", 7, "rig"),
            known("10.2.0.5", 5, "lan"),
        ],
        ..Wanted::default()
    };
    let mut table = Table::new(links(), BTreeMap::new(), wanted);
    assert!(!table.take_outdated().any(), "there is no kernel to ask");
    assert_eq!(way(&table, "10.3.0.3"), Some(NextHop { port: RIG, mac: mac(3), mtu: 1500 }));
    assert_eq!(way(&table, "203.0.113.9"), Some(NextHop { port: RIG, mac: mac(0xfe), mtu: 1500 }));
    let outside_any_subnet = Some(NextHop { port: RIG, mac: mac(7), mtu: 1500 });
    assert_eq!(way(&table, "198.18.0.1"), outside_any_subnet);
    assert_eq!(way(&table, "10.2.0.5"), Some(NextHop { port: LAN, mac: mac(5), mtu: 1500 }));
    assert_eq!(way(&table, "10.3.0.4"), None);
    let states = ["10.3.0.3", "10.3.0.254", "10.3.0.4"].map(|of| state(&table, of).unwrap());
    assert_eq!(states, [NeighborState::Static, NeighborState::Static, NeighborState::Probing]);
    assert_eq!(table.upkeep(), Upkeep::default(), "nobody can be asked");
}

#[test]
fn neighbours_of_backends_and_gateways_are_kept_alive() {
    let backends = ["10.2.0.3", "fd02::3", "198.51.100.9"].map(address);
    let mut table = table(Wanted { backends: backends.into(), ..Wanted::default() });
    add_routes(&mut table, &[route("0.0.0.0/0", &[hop(WAN_INDEX, Some("10.1.0.254"))])]);
    let asked = [(WAN_INDEX, "10.1.0.254"), (LAN_INDEX, "10.2.0.3"), (LAN_INDEX, "fd02::3")];
    let asked = asked.map(|(index, text)| (index, address(text)));
    let (gateway, backend, backend_v6) = (asked[0], asked[1], asked[2]);
    assert_eq!(table.upkeep().keep, asked);
    assert_eq!(state(&table, "10.1.0.254"), Some(NeighborState::Probing));

    let managed = |neighbour| Neighbour { managed: true, ..neighbour };
    learn(&mut table, gateway.0, "10.1.0.254", managed(alive(0xfe)));
    learn(&mut table, backend.0, "10.2.0.3", managed(silent(Reach::Asked)));
    learn(&mut table, backend_v6.0, "fd02::3", managed(Neighbour { reach: Reach::Stale, ..alive(3) }));
    assert!(table.upkeep().is_empty(), "the kernel does it all");

    learn(&mut table, backend.0, "10.2.0.3", managed(silent(Reach::Failed)));
    assert_eq!(state(&table, "10.2.0.3"), Some(NeighborState::Failed));
    assert_eq!(table.upkeep().keep, [backend], "asked again");
    learn(&mut table, backend.0, "10.2.0.3", managed(silent(Reach::Asked)));
    assert_eq!(state(&table, "10.2.0.3"), Some(NeighborState::Failed), "until it answers");
    learn(&mut table, backend.0, "10.2.0.3", managed(alive(3)));
    assert_eq!(state(&table, "10.2.0.3"), Some(NeighborState::Resolved));

    learn(&mut table, backend.0, "10.2.0.3", Neighbour { reach: Reach::Stale, ..alive(3) });
    assert_eq!(
        table.upkeep().keep,
        [backend],
        "an old kernel does not manage, so it is asked when it gets stale"
    );
    forget(&mut table, backend.0, "10.2.0.3");
    assert_eq!(table.upkeep().keep, [backend], "somebody deleted it");

    table.set_wanted(Wanted { backends: [backends[0]].into(), ..Wanted::default() });
    let upkeep = table.upkeep();
    assert_eq!(upkeep.ask, [backend_v6], "not needed any more");
    assert_eq!(upkeep.keep, [backend], "still not there");

    learn(&mut table, backend.0, "10.2.0.3", Neighbour { reach: Reach::Fixed, ..alive(3) });
    table.set_wanted(Wanted::default());
    assert!(table.upkeep().is_empty(), "what somebody set for good is left alone");
}

#[test]
fn a_client_that_the_kernel_forgot_is_asked_for() {
    let mut table = table(Wanted::default());
    learn(&mut table, WAN_INDEX, "10.1.0.7", Neighbour { reach: Reach::Stale, ..alive(7) });
    learn(&mut table, WAN_INDEX, "10.1.0.8", silent(Reach::Failed));
    learn(&mut table, WAN_INDEX, "10.1.0.9", Neighbour { reach: Reach::Fixed, ..alive(9) });
    for of in ["10.1.0.7", "10.1.0.8", "10.1.0.9"] {
        forget(&mut table, WAN_INDEX, of);
    }
    assert_eq!(table.upkeep().ask, [(WAN_INDEX, address("10.1.0.7"))], "the one that was alive");
    assert!(table.upkeep().is_empty(), "once");
}

#[test]
fn a_client_that_packets_miss_is_asked_for() {
    let mut table = table(Wanted::default());
    learn(&mut table, WAN_INDEX, "10.1.0.7", alive(7));
    learn(&mut table, WAN_INDEX, "10.1.0.8", silent(Reach::Failed));
    assert!(!table.miss(address("10.1.0.7")), "it is known");
    assert!(!table.miss(address("203.0.113.1")), "there is no way to it");
    assert!(table.miss(address("10.1.0.8")) && table.miss(address("10.1.0.9")));
    assert!(!table.miss(address("10.1.0.9")), "it will be asked for already");
    let asked = [(WAN_INDEX, address("10.1.0.8")), (WAN_INDEX, address("10.1.0.9"))];
    assert_eq!(table.upkeep().ask, asked);
    assert!(table.upkeep().is_empty(), "once");
}

#[test]
fn too_many_routes_leave_out_the_least_specific() {
    let mut table = table(Wanted::default());
    learn(&mut table, WAN_INDEX, "10.1.0.254", alive(0xfe));
    learn(&mut table, WAN_INDEX, "10.1.0.253", alive(0xfd));
    let by = |to: String, gateway| route(&to, &[hop(WAN_INDEX, Some(gateway))]);
    let host = |n: u32| by(format!("{}/32", std::net::Ipv4Addr::from(0xc000_0000 + n)), "10.1.0.253");
    let mut routes =
        vec![by("0.0.0.0/0".to_owned(), "10.1.0.254"), by("100.0.0.0/8".to_owned(), "10.1.0.253")];
    routes.extend((0..u32::try_from(MAX_ROUTES).unwrap()).map(host));
    add_routes(&mut table, &routes);
    let (left_out, _) = table.left_out();
    // The subnets (two of each family and link-local, and two of the rig) and the default route have their places.
    assert_eq!(left_out, 1 + 1 + 5 + 2);
    assert_eq!(way(&table, "10.1.0.254").unwrap().mac, mac(0xfe), "subnets are kept");
    assert_eq!(way(&table, "192.0.0.0").unwrap().mac, mac(0xfd), "hosts are kept");
    assert_eq!(way(&table, "100.0.0.1").unwrap().mac, mac(0xfe), "the short one went to the default route");
}

#[test]
fn too_many_neighbours_leave_out_all_but_backends() {
    let mut table = table(Wanted { backends: [address("fd02::3")].into(), ..Wanted::default() });
    let crowd = (0..=u16::try_from(MAX_NEIGHBOURS).unwrap()).map(|n| {
        let [high, low] = n.to_be_bytes();
        (LAN_INDEX, IpAddr::from([0xfd02, 0, 0, 0, 1, 0, 0, u16::from_be_bytes([high, low])]), alive(1))
    });
    table.replace_neighbours(crowd);
    assert_eq!(table.left_out().1, 1);
    assert!(learn(&mut table, LAN_INDEX, "fd02::3", alive(3)));
    assert_eq!(way(&table, "fd02::3").unwrap().mac, mac(3));
}

fn any_event() -> impl Strategy<Value = Event> {
    let interface = prop_oneof![Just(WAN_INDEX), Just(LAN_INDEX), Just(OTHER_INDEX)];
    let of = prop_oneof![Just("10.1.0.7"), Just("10.2.0.7"), Just("fd02::7"), Just("10.1.0.254")];
    let neighbour =
        prop_oneof![(1..4_u8).prop_map(alive), Just(silent(Reach::Asked)), Just(silent(Reach::Failed)),];
    (interface, of, proptest::option::of(neighbour)).prop_map(|(interface, of, neighbour)| match neighbour {
        Some(neighbour) => Event::Neighbour { interface, address: address(of), neighbour },
        None => Event::NeighbourGone { interface, address: address(of) },
    })
}

proptest! {
    /// However it got there: a table that followed events goes the ways of one that read the outcome, and one that says
    /// that nothing changed means it.
    #[test]
    fn events_and_dumps_agree(events in proptest::collection::vec(any_event(), 0..40)) {
        let routes = [route("0.0.0.0/0", &[hop(WAN_INDEX, Some("10.1.0.254"))])];
        let (mut followed, mut read) = (table(Wanted::default()), table(Wanted::default()));
        add_routes(&mut followed, &routes);
        add_routes(&mut read, &routes);
        let mut outcome = BTreeMap::new();
        for event in events {
            let before = followed.next_hops();
            let news = followed.apply(&event);
            prop_assert!(news || before == followed.next_hops());
            match event {
                Event::Neighbour { interface, address, neighbour } => {
                    outcome.insert((interface, address), neighbour);
                }
                Event::NeighbourGone { interface, address } => {
                    outcome.remove(&(interface, address));
                }
                _ => {}
            }
        }
        read.replace_neighbours(outcome.into_iter().map(|((interface, address), of)| (interface, address, of)));
        prop_assert_eq!(followed.next_hops(), read.next_hops());
    }
}
