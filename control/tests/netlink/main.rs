//! Next hops against the real kernel: each test runs as root in a network namespace of its own, and says so loudly
//! where it cannot.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

#[path = "../../../datapath/tests/namespace/mod.rs"]
mod namespace;
mod wire;

use std::time::Duration;

use evenkeel_config::{Neighbor, Prefix, Route};
use evenkeel_control::netlink::{Follower, Link, NetlinkError, fixed};
use evenkeel_control::next_hops::{NeighborState, NextHopReader, NextHops, Wanted, channel};
use evenkeel_datapath::fib::NextHop;
use evenkeel_datapath::snapshot::{MacAddress, PortId};
use namespace::{inside, inside_namespace, ip};
use wire::Wire;

const WAN: PortId = PortId(0);
const LAN: PortId = PortId(1);

fn mac(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, last])
}

fn prefix(text: &str) -> Prefix {
    let (addr, length) = text.split_once('/').unwrap();
    Prefix { addr: addr.parse().unwrap(), length: length.parse().unwrap() }
}

fn link(port: PortId, name: &str, addresses: &[&str]) -> Link {
    let addresses = addresses.iter().map(|text| prefix(text)).collect();
    Link { port, name: name.to_owned(), twin: Some(format!("ek-{name}")), mtu: 1500, addresses }
}

fn links() -> Vec<Link> {
    vec![link(WAN, "wan", &["10.1.0.1/24", "fd01::1/64"]), link(LAN, "lan", &["10.2.0.1/24", "fd02::1/64"])]
}

fn wires() -> (Wire, Wire) {
    (Wire::new("ek-wan", WAN, mac(0xa)), Wire::new("ek-lan", LAN, mac(0xb)))
}

fn start(wanted: Wanted) -> (Follower, Watch) {
    let (reader, writer) = channel(fixed(links(), wanted.clone()), wanted);
    let follower = Follower::start(links(), writer).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    (follower, Watch { reader, runtime })
}

/// Next hops, to wait for.
struct Watch {
    reader: NextHopReader,
    runtime: tokio::runtime::Runtime,
}

impl Watch {
    fn until(&mut self, what: &str, done: impl Fn(&NextHops) -> bool) {
        let next_hops = &mut self.reader.next_hops;
        let in_time = self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), next_hops.wait_for(done)).await.is_ok()
        });
        assert!(in_time, "{what}: not within 20 s; at last {:#?}", next_hops.borrow().neighbors);
    }

    fn until_way(&mut self, address: &str, expected: Option<(PortId, MacAddress, u16)>) {
        let expected = expected.map(|(port, mac, mtu)| NextHop { port, mac, mtu });
        self.until(&format!("{address} by {expected:?}"), |next_hops| way(next_hops, address) == expected);
    }

    fn want(&self, change: impl FnOnce(&mut Wanted)) {
        self.reader.wanted.send_modify(change);
    }
}

fn way(next_hops: &NextHops, address: &str) -> Option<NextHop> {
    let address: std::net::IpAddr = address.parse().unwrap();
    next_hops.fib.lookup(address.into()).and_then(|id| next_hops.fib.next_hop(id)).copied()
}

fn state(next_hops: &NextHops, address: &str) -> Option<NeighborState> {
    let address: std::net::IpAddr = address.parse().unwrap();
    next_hops.neighbors.iter().find(|known| known.address == address).map(|known| known.state)
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within 10 s");
        std::thread::yield_now();
    }
}

#[test]
fn backends_are_resolved_and_kept_alive() {
    if !inside_namespace("backends_are_resolved_and_kept_alive") {
        return;
    }
    let (_wan, lan) = wires();
    lan.set("10.2.0.3", Some(mac(3)));
    lan.set("fd02::3", Some(mac(4)));
    let (_follower, mut watch) = start(Wanted::default());
    watch.want(|wanted| wanted.backends = ["10.2.0.3", "fd02::3"].map(|text| text.parse().unwrap()).into());
    watch.until_way("10.2.0.3", Some((LAN, mac(3), 1500)));
    watch.until_way("fd02::3", Some((LAN, mac(4), 1500)));
    for address in ["10.2.0.3", "fd02::3"] {
        wait_for("kept by the kernel", || {
            let shown = ip(&format!("neigh show {address} dev ek-lan"));
            shown.contains("managed") && shown.contains("extern_learn")
        });
    }
    // One that is not needed any more is an ordinary neighbour again, and still known.
    watch.want(|wanted| wanted.backends.clear());
    wait_for("released", || {
        let shown = ip("neigh show 10.2.0.3 dev ek-lan");
        !shown.contains("managed") && !shown.contains("extern_learn")
    });
    watch.until_way("10.2.0.3", Some((LAN, mac(3), 1500)));
}

#[test]
fn a_backend_that_comes_late_is_found() {
    if !inside_namespace("a_backend_that_comes_late_is_found") {
        return;
    }
    let (_wan, lan) = wires();
    let wanted = Wanted { backends: ["10.2.0.3".parse().unwrap()].into(), ..Wanted::default() };
    let (_follower, mut watch) = start(wanted);
    assert_eq!(state(&watch.reader.next_hops.borrow(), "10.2.0.3"), Some(NeighborState::Probing));
    watch.until("failed", |next_hops| state(next_hops, "10.2.0.3") == Some(NeighborState::Failed));
    lan.set("10.2.0.3", Some(mac(3)));
    watch.until_way("10.2.0.3", Some((LAN, mac(3), 1500)));
    assert_eq!(state(&watch.reader.next_hops.borrow(), "10.2.0.3"), Some(NeighborState::Resolved));
}

#[test]
fn neighbours_are_followed() {
    if !inside_namespace("neighbours_are_followed") {
        return;
    }
    let _wires = wires();
    let (_follower, mut watch) = start(Wanted::default());
    for (address, port, device) in [("10.1.0.7", WAN, "ek-wan"), ("fd02::7", LAN, "ek-lan")] {
        ip(&format!("neigh add {address} lladdr 02:00:00:00:00:07 dev {device}"));
        watch.until_way(address, Some((port, mac(7), 1500)));
        ip(&format!("neigh replace {address} lladdr 02:00:00:00:00:08 dev {device}"));
        watch.until_way(address, Some((port, mac(8), 1500)));
        ip(&format!("neigh del {address} dev {device}"));
        watch.until_way(address, None);
    }
    // One that somebody set for good stays as it is, though a backend has its address.
    ip("neigh add 10.2.0.9 lladdr 02:00:00:00:00:09 dev ek-lan nud permanent");
    watch.until_way("10.2.0.9", Some((LAN, mac(9), 1500)));
    watch.want(|wanted| wanted.backends = ["10.2.0.9", "10.2.0.10"].map(|text| text.parse().unwrap()).into());
    watch.until("asked", |next_hops| state(next_hops, "10.2.0.10").is_some());
    wait_for("the other one is asked for", || ip("neigh show 10.2.0.10").contains("managed"));
    assert!(ip("neigh show 10.2.0.9").contains("PERMANENT"));
}

#[test]
fn a_storm_of_events_is_gathered() {
    if !inside_namespace("a_storm_of_events_is_gathered") {
        return;
    }
    const STORM: u32 = 4000;
    let _wires = wires();
    let (_follower, mut watch) = start(Wanted::default());
    let host = |n: u32| std::net::Ipv4Addr::from(0x0a02_0000 + n);
    ip("address add 10.2.0.1/16 dev ek-lan");
    let lines = (256..256 + STORM)
        .map(|n| format!("neigh add {} lladdr 02:00:00:00:00:07 nud permanent dev ek-lan\n", host(n)));
    let batch = std::env::temp_dir().join(format!("evenkeel-test-{}", std::process::id()));
    std::fs::write(&batch, lines.collect::<String>()).unwrap();
    watch.reader.next_hops.mark_unchanged();
    let began = std::time::Instant::now();
    ip(&format!("-batch {}", batch.display()));
    std::fs::remove_file(&batch).unwrap();

    // Where the socket overruns, the last of them may be known before all are.
    let updates = watch.runtime.block_on(async {
        let mut updates = 0;
        while watch.reader.next_hops.borrow_and_update().neighbors.len() < STORM as usize {
            let changed = watch.reader.next_hops.changed();
            tokio::time::timeout(Duration::from_secs(20), changed).await.expect("in time").unwrap();
            updates += 1;
        }
        updates
    });
    assert!(updates <= began.elapsed().as_millis() / 20 + 1, "{updates} in {:?}", began.elapsed());
    let next_hops = watch.reader.next_hops.borrow();
    let lost: Vec<_> =
        (256..256 + STORM).map(|n| host(n).to_string()).filter(|of| way(&next_hops, of).is_none()).collect();
    assert_eq!(lost, [""; 0], "all of them lead somewhere");
}

#[test]
fn gateways_are_asked_for_and_routes_followed() {
    if !inside_namespace("gateways_are_asked_for_and_routes_followed") {
        return;
    }
    let (wan, lan) = wires();
    let everywhere = Route { to: prefix("0.0.0.0/0"), via: "10.1.0.254".parse().unwrap() };
    let everywhere_v6 = Route { to: prefix("::/0"), via: "fd01::fe".parse().unwrap() };
    wan.set("10.1.0.254", Some(mac(0xfe)));
    wan.set("fd01::fe", Some(mac(0xfd)));
    lan.set("10.2.0.254", Some(mac(0xfc)));
    let (_follower, mut watch) =
        start(Wanted { routes: vec![everywhere, everywhere_v6], ..Wanted::default() });
    watch.until_way("198.51.100.1", Some((WAN, mac(0xfe), 1500)));
    watch.until_way("2001:db8::1", Some((WAN, mac(0xfd), 1500)));
    watch.until_way("10.2.0.3", None);

    // As a routing daemon would.
    ip("route add 198.51.100.0/24 via 10.2.0.254 mtu 1400");
    watch.until_way("198.51.100.1", Some((LAN, mac(0xfc), 1400)));
    ip("route replace 198.51.100.0/24 nexthop via 10.2.0.250 nexthop via 10.1.0.254");
    watch.until_way("198.51.100.1", Some((WAN, mac(0xfe), 1500)));
    ip("route replace blackhole 198.51.100.0/24");
    watch.until_way("198.51.100.1", None);
    ip("route del 198.51.100.0/24");
    watch.until_way("198.51.100.1", Some((WAN, mac(0xfe), 1500)));

    // What leaves by an interface that is no twin is none of our business.
    ip("link set lo up");
    ip("route add 203.0.113.0/24 dev lo");
    ip("route add 203.0.112.0/24 via 10.2.0.254");
    watch.until_way("203.0.112.1", Some((LAN, mac(0xfc), 1500)));
    assert_eq!(way(&watch.reader.next_hops.borrow(), "203.0.113.1").unwrap().mac, mac(0xfe));

    // The kernel does not say that routes went with their interface.
    ip("link set ek-lan down");
    watch.until_way("203.0.112.1", Some((WAN, mac(0xfe), 1500)));
    ip("link set ek-lan up");

    watch.want(|wanted| wanted.routes.clear());
    watch.until_way("198.51.100.1", None);
    watch.until_way("2001:db8::1", None);
}

#[test]
fn carried_addresses_come_and_go() {
    if !inside_namespace("carried_addresses_come_and_go") {
        return;
    }
    let (wan, _lan) = wires();
    wan.set("fd01::9", Some(mac(9)));
    let carried = ["192.0.2.10", "2001:db8::10", "10.1.0.1"].map(|text| text.parse().unwrap());
    let (follower, watch) = start(Wanted { carried: carried.into(), ..Wanted::default() });
    let shown = || ["ek-wan", "ek-lan"].map(|device| ip(&format!("-o address show dev {device}")));
    for shown in shown() {
        assert!(shown.contains("192.0.2.10/32"), "{shown}");
        assert!(shown.contains("2001:db8::10/128"), "{shown}");
        let mut global = shown.lines().filter(|line| line.contains("scope global"));
        assert!(global.all(|line| !line.contains("tentative")), "{shown}");
    }
    assert!(!shown()[0].contains("10.1.0.1/32"), "its own address is there already");
    // Linux's own traffic does not come from a VIP.
    assert!(ip("route get 10.1.0.9").contains("src 10.1.0.1"));
    assert!(ip("route get fd01::9").contains("src fd01::1"));

    watch.want(|wanted| {
        wanted.carried = ["192.0.2.11", "2001:db8::10"].map(|text| text.parse().unwrap()).into();
    });
    wait_for("one came and two went", || {
        shown().iter().all(|shown| {
            shown.contains("192.0.2.11/32")
                && !shown.contains("192.0.2.10/32")
                && shown.contains("2001:db8::10")
        })
    });
    assert!(shown()[0].contains("10.1.0.1/24"));
    drop(follower);
}

#[test]
fn static_neighbours_win() {
    if !inside_namespace("static_neighbours_win") {
        return;
    }
    let (_wan, lan) = wires();
    lan.set("10.2.0.3", Some(mac(3)));
    let known = |last| Neighbor {
        address: "10.2.0.3".parse().unwrap(),
        mac: evenkeel_config::MacAddress(mac(last).0),
        port: "lan".to_owned(),
    };
    let backends = ["10.2.0.3".parse().unwrap()].into();
    let (_follower, mut watch) = start(Wanted { backends, neighbors: vec![known(9)], ..Wanted::default() });
    watch.until_way("10.2.0.3", Some((LAN, mac(9), 1500)));
    watch.want(|wanted| wanted.neighbors = vec![known(8)]);
    watch.until_way("10.2.0.3", Some((LAN, mac(8), 1500)));
    watch.want(|wanted| wanted.neighbors.clear());
    watch.until_way("10.2.0.3", Some((LAN, mac(3), 1500)));
}

#[test]
fn errors_say_what_is_wrong() {
    if !inside_namespace("errors_say_what_is_wrong") {
        return;
    }
    let (_reader, writer) = channel(NextHops::default(), Wanted::default());
    let error = Follower::start(links(), writer).unwrap_err();
    assert!(matches!(&error, NetlinkError::NoInterface { name } if name == "ek-wan"), "{error}");
}

#[test]
fn without_the_capability_it_says_so() {
    let unprivileged = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
    if !inside("without_the_capability_it_says_so", &unprivileged) {
        return;
    }
    let (_reader, writer) = channel(NextHops::default(), Wanted::default());
    let loopback = Link { twin: Some("lo".to_owned()), ..link(WAN, "wan", &[]) };
    let error = Follower::start(vec![loopback], writer).unwrap_err();
    assert!(matches!(error, NetlinkError::Permission { .. }), "{error}");
    assert_eq!(error.to_string(), "no permission to bring the interface lo up: CAP_NET_ADMIN is needed");
}
