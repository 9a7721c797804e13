//! Connections that go on with another protocol.

use std::time::Duration;

use evenkeel_l7::proxy::Cause;
use evenkeel_l7::proxy::Site;
use evenkeel_l7::proxy::site::{Action, Cluster, Forward};

use crate::front::{Balancer, cluster, route, site_of};
use crate::world::{Visit, body};
use crate::{BACKENDS, Everything, lossy, quick, statuses, visit};

fn one_site(change: impl FnOnce(&mut Forward, &mut Cluster)) -> Site {
    let (mut forward, mut cluster) = (Forward::to(0), cluster("all", 0, &BACKENDS));
    change(&mut forward, &mut cluster);
    site_of(vec![route("/", Action::Forward(Box::new(forward)))], vec![cluster])
}

fn upgrade(protocol: &str, content: &[u8]) -> Visit {
    let request = format!(
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    );
    Visit { pieces: vec![request.into_bytes(), content.to_vec()], closes: true, ..Visit::default() }
}

fn rest(network: &Everything, index: usize) -> &[u8] {
    &network.left.application.outcomes[index].as_ref().unwrap().rest
}

#[test]
fn octets_pass_both_ways_until_both_have_closed() {
    for (seed, model) in [(1, quick()), (2, lossy()), (3, lossy())] {
        let content = body(300_000);
        let visits = vec![upgrade("websocket", &content), upgrade("WebSocket", b"")];
        let network = visit(model, seed, Balancer::new(one_site(|_, _| {})), &BACKENDS, visits);
        assert_eq!((statuses(&network, 0), statuses(&network, 1)), (vec![101], vec![101]));
        assert!(rest(&network, 0) == content && rest(&network, 1).is_empty(), "seed {seed}");
        let outcome = network.left.application.outcomes[0].as_ref().unwrap();
        let head = &outcome.got[0].head;
        assert!(
            head.contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n") && head.contains("X-Tunnel")
        );
        let heads = &network.left.application.heads;
        assert!(heads[0].1.contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), "{}", heads[0].1);
        let tally = network.right.application.served.route(0).unwrap();
        assert_eq!((tally.tunnels, tally.received, tally.sent), (2, 300_000, 300_000));
    }
}

#[test]
fn what_is_said_behind_the_request_is_not_lost() {
    let mut early = upgrade("websocket", b"");
    early.pieces = vec![[&early.pieces[0][..], b"early"].concat()];
    let network = visit(quick(), 1, Balancer::new(one_site(|_, _| {})), &BACKENDS, vec![early]);
    assert_eq!(rest(&network, 0), b"early");
}

#[test]
fn only_protocols_that_are_allowed_are_gone_on_with() {
    let site = |upgrades: &[&str]| {
        one_site(|forward, _| forward.upgrades = upgrades.iter().map(|&name| name.to_owned()).collect())
    };
    for (protocol, allowed) in [("other", &["websocket"][..]), ("h2c", &["h2c"]), ("websocket", &[])] {
        let network =
            visit(quick(), 1, Balancer::new(site(allowed)), &BACKENDS, vec![upgrade(protocol, b"")]);
        // This backend goes on whether or not it was asked to.
        assert_eq!(statuses(&network, 0), [502], "{protocol}");
        assert!(!network.left.application.heads[0].1.contains("Upgrade"), "{protocol}");
    }
    let network = visit(quick(), 1, Balancer::new(site(&["other"])), &BACKENDS, vec![upgrade("other", b"")]);
    assert_eq!(statuses(&network, 0), [502], "another protocol than was wanted");
}

#[test]
fn tunnels_take_no_places_of_requests() {
    let site = one_site(|_, cluster| (cluster.connections, cluster.queue, cluster.tunnels) = (1, 0, 2));
    let open = |after| Visit { closes: false, after, ..upgrade("websocket", b"a") };
    let mut visits = vec![open(None); 6];
    visits.push(Visit { after: Some(5), ..Visit::to(&["/length/1"; 4]) });
    let network = visit(quick(), 1, Balancer::new(site), &BACKENDS, visits);
    let all: Vec<Vec<u16>> = (0..6).map(|index| statuses(&network, index)).collect();
    assert_eq!(all.iter().filter(|statuses| **statuses == [101]).count(), 4, "{all:?}");
    assert_eq!(all.iter().filter(|statuses| statuses[0] == 503).count(), 2, "{all:?}");
    assert_eq!(statuses(&network, 6), [200; 4], "though as many tunnels are open as may be");
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed() {
    let site = one_site(|forward, _| forward.timeouts.idle = Duration::from_secs(5));
    let quiet = Visit { closes: false, ..upgrade("websocket", b"a") };
    let mut network = visit(quick(), 1, Balancer::new(site), &BACKENDS, vec![quiet]);
    assert!(network.run_until(30_000_000_000, |_, balancer, _| balancer.stack.connections() == 0));
    assert_eq!(network.right.application.served.route(0).unwrap().of(Cause::IdleTime), 1);
    assert_eq!(rest(&network, 0), b"a");
}
