//! Case by case: what the kernel says, and where packets go then.

use super::*;

/// Where packets to an address go: port, last octet of the Ethernet address, MTU.
type Way = Option<(PortId, u8, u16)>;

/// What happened, in words and in events; then where packets go.
type Case = (&'static str, fn(&mut Table), &'static [(&'static str, Way)]);

const CASES: &[Case] = &[
    ("nothing is known of anybody", |_| {}, &[("10.1.0.7", None), ("fd01::7", None), ("198.51.100.1", None)]),
    (
        "a neighbour is known",
        |table| {
            assert!(learn(table, WAN_INDEX, "10.1.0.7", alive(7)));
            assert!(!learn(table, WAN_INDEX, "10.1.0.7", alive(7)), "no news");
        },
        &[("10.1.0.7", Some((WAN, 7, 1500))), ("10.1.0.8", None)],
    ),
    (
        "both families",
        |table| {
            learn(table, LAN_INDEX, "fd02::7", alive(6));
        },
        &[("fd02::7", Some((LAN, 6, 1500))), ("fd02::8", None)],
    ),
    (
        "a neighbour's address changes",
        |table| {
            learn(table, WAN_INDEX, "10.1.0.7", alive(7));
            assert!(learn(table, WAN_INDEX, "10.1.0.7", alive(8)));
        },
        &[("10.1.0.7", Some((WAN, 8, 1500)))],
    ),
    (
        "a neighbour is getting stale, and still there",
        |table| {
            learn(table, WAN_INDEX, "10.1.0.7", Neighbour { reach: Reach::Stale, ..alive(7) });
        },
        &[("10.1.0.7", Some((WAN, 7, 1500)))],
    ),
    (
        "a neighbour fails",
        |table| {
            learn(table, WAN_INDEX, "10.1.0.7", alive(7));
            learn(table, WAN_INDEX, "10.1.0.7", silent(Reach::Failed));
        },
        &[("10.1.0.7", None)],
    ),
    (
        "a neighbour is forgotten",
        |table| {
            learn(table, WAN_INDEX, "10.1.0.7", alive(7));
            assert!(forget(table, WAN_INDEX, "10.1.0.7"));
            assert!(!forget(table, WAN_INDEX, "10.1.0.7"), "no news");
        },
        &[("10.1.0.7", None)],
    ),
    (
        "a neighbour on the wrong wire is not believed",
        |table| {
            learn(table, LAN_INDEX, "10.1.0.7", alive(7));
            learn(table, LAN_INDEX, "198.51.100.1", alive(7));
        },
        &[("10.1.0.7", None), ("198.51.100.1", None)],
    ),
    (
        "interfaces that are no twins",
        |table| {
            assert!(!learn(table, OTHER_INDEX, "10.1.0.7", alive(7)));
            assert!(!forget(table, OTHER_INDEX, "10.1.0.7"));
            assert!(!table.apply(&Event::Link { interface: OTHER_INDEX }));
            assert!(!table.apply(&Event::LinkGone { interface: OTHER_INDEX }));
            learn(table, WAN_INDEX, "10.1.0.254", alive(0xfe));
            add_routes(
                table,
                &[
                    route("0.0.0.0/0", &[hop(WAN_INDEX, Some("10.1.0.254"))]),
                    route("198.51.100.0/24", &[hop(OTHER_INDEX, Some("192.168.0.1"))]),
                ],
            );
        },
        &[("10.1.0.7", None), ("198.51.100.1", Some((WAN, 0xfe, 1500)))],
    ),
    (
        "a gateway is resolved",
        |table| {
            add_routes(table, &[route("0.0.0.0/0", &[hop(WAN_INDEX, Some("10.1.0.254"))])]);
            learn(table, WAN_INDEX, "10.1.0.254", alive(0xfe));
        },
        &[("198.51.100.1", Some((WAN, 0xfe, 1500))), ("10.2.0.3", None)],
    ),
    (
        "a gateway that is not resolved hides a shorter route",
        |table| {
            add_routes(
                table,
                &[
                    route("0.0.0.0/0", &[hop(WAN_INDEX, Some("10.1.0.254"))]),
                    route("198.51.100.0/24", &[hop(LAN_INDEX, Some("10.2.0.254"))]),
                ],
            );
            learn(table, WAN_INDEX, "10.1.0.254", alive(0xfe));
        },
        &[("198.51.100.1", None), ("203.0.113.1", Some((WAN, 0xfe, 1500)))],
    ),
    (
        "an IPv4 route by an IPv6 gateway (RFC 8950), and one by a link-local one",
        |table| {
            add_routes(table, &[route("0.0.0.0/0", &[hop(WAN_INDEX, Some("fe80::1"))])]);
            learn(table, WAN_INDEX, "fe80::1", alive(0xfe));
        },
        &[("198.51.100.1", Some((WAN, 0xfe, 1500))), ("fe80::1", None)],
    ),
    (
        "the route's MTU, unless the port's is less",
        |table| {
            let with = |mtu, route: KernelRoute| KernelRoute { mtu: Some(mtu), ..route };
            add_routes(
                table,
                &[
                    with(1400, route("198.51.100.0/24", &[hop(WAN_INDEX, Some("10.1.0.254"))])),
                    with(9000, route("203.0.113.0/24", &[hop(WAN_INDEX, Some("10.1.0.254"))])),
                    with(1300, route("10.1.0.128/25", &[hop(WAN_INDEX, None)])),
                ],
            );
            learn(table, WAN_INDEX, "10.1.0.254", alive(0xfe));
        },
        &[
            ("198.51.100.1", Some((WAN, 0xfe, 1400))),
            ("203.0.113.1", Some((WAN, 0xfe, 1500))),
            ("10.1.0.254", Some((WAN, 0xfe, 1300))),
        ],
    ),
    (
        "the least metric wins, as long as its link lives",
        |table| {
            let dead = KernelHop { usable: false, ..hop(LAN_INDEX, Some("10.2.0.254")) };
            let by_wan = route("198.51.100.0/24", &[hop(WAN_INDEX, Some("10.1.0.254"))]);
            let by_lan = route("203.0.113.0/24", &[hop(LAN_INDEX, Some("10.2.0.254"))]);
            add_routes(
                table,
                &[
                    KernelRoute { metric: 20, ..by_wan.clone() },
                    KernelRoute { metric: 10, hops: vec![dead], ..by_wan },
                    KernelRoute {
                        metric: 20,
                        hops: vec![hop(WAN_INDEX, Some("10.1.0.254"))],
                        ..by_lan.clone()
                    },
                    KernelRoute { metric: 10, ..by_lan },
                ],
            );
            learn(table, WAN_INDEX, "10.1.0.254", alive(0xfe));
            learn(table, LAN_INDEX, "10.2.0.254", alive(0xfc));
        },
        &[("198.51.100.1", Some((WAN, 0xfe, 1500))), ("203.0.113.1", Some((LAN, 0xfc, 1500)))],
    ),
    (
        "the first live hop of many",
        |table| {
            let hops = [
                hop(OTHER_INDEX, Some("192.168.0.1")),
                KernelHop { usable: false, ..hop(WAN_INDEX, Some("10.1.0.253")) },
                hop(WAN_INDEX, Some("10.1.0.254")),
                hop(LAN_INDEX, Some("10.2.0.254")),
            ];
            add_routes(table, &[route("198.51.100.0/24", &hops)]);
            learn(table, WAN_INDEX, "10.1.0.253", alive(0xfd));
            learn(table, WAN_INDEX, "10.1.0.254", silent(Reach::Failed));
            learn(table, LAN_INDEX, "10.2.0.254", alive(0xfc));
        },
        &[("198.51.100.1", Some((LAN, 0xfc, 1500)))],
    ),
    (
        "a black hole",
        |table| {
            let default = route("0.0.0.0/0", &[hop(WAN_INDEX, Some("10.1.0.254"))]);
            add_routes(table, &[default, route("198.51.100.0/24", &[])]);
            learn(table, WAN_INDEX, "10.1.0.254", alive(0xfe));
        },
        &[("198.51.100.1", None), ("203.0.113.1", Some((WAN, 0xfe, 1500)))],
    ),
    (
        "a twin is removed",
        |table| {
            learn(table, WAN_INDEX, "10.1.0.7", alive(7));
            learn(table, LAN_INDEX, "10.2.0.7", alive(7));
            assert!(table.apply(&Event::LinkGone { interface: WAN_INDEX }));
            assert!(table.take_outdated().any());
        },
        &[("10.1.0.7", None), ("10.2.0.7", Some((LAN, 7, 1500)))],
    ),
];

#[test]
fn packets_go_where_the_kernel_says() {
    for (name, happens, expected) in CASES {
        let mut table = table(Wanted::default());
        happens(&mut table);
        for (to, way_out) in *expected {
            let expected = way_out.map(|(port, last, mtu)| NextHop { port, mac: mac(last), mtu });
            assert_eq!(way(&table, to), expected, "{name}: to {to}");
        }
    }
}
