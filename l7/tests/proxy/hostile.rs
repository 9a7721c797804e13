//! TLS and those who do not speak it as they should: what they get is an end, and nobody else notices.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_l7::proxy::UpstreamTls;
use evenkeel_l7::proxy::site::{Action, Forward, Prefixes};
use evenkeel_l7::tls::server::ClientCertificates;
use evenkeel_tcp::{Config, Time};
use rustls::pki_types::ServerName;

use crate::cast::{Cast, forgets, upload};
use crate::front::{Balancer, cluster, route, site_of};
use crate::hosts::Host;
use crate::network::{Network, Random};
use crate::world::{Visit, World, body};
use crate::{BACKENDS, Everything, SECOND, body_of, lossy, quick, run, statuses};

/// What somebody gets who does not speak TLS: an alert, unexpected_message.
const UNEXPECTED: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];

fn simply(cast: &Cast, visits: Vec<Visit>) -> Everything {
    run(quick(), 1, Balancer::new(cast.site()), World::new(&BACKENDS, visits))
}

#[test]
fn a_response_that_is_cut_is_not_taken_for_a_whole_one() {
    let cast = Cast::new();
    for cuts in [false, true] {
        let backends = cast.server(&cast.backend, ClientCertificates::Off);
        let world = World::new(&BACKENDS, vec![cast.visit(Visit::to(&["/close/5000"]))]);
        let world = world.with_tls(Some(backends));
        let world = if cuts { world.cutting() } else { world };
        let site = cast.site_to(cast.client(None), "backend.example");
        let network = run(lossy(), 1, Balancer::new(site), world);
        let outcome = network.left.application.outcomes[0].as_ref().unwrap();
        assert_eq!(outcome.got.len(), usize::from(!cuts));
        assert_eq!(outcome.rest.is_empty(), !cuts, "the client sees that it is not whole");
        assert!(cuts || body_of(&network, 0, 0) == body(5000));
        assert_eq!(network.right.application.proxy.counts().backends.cut, u64::from(cuts));
        forgets(network);
    }
}

#[test]
fn a_client_that_breaks_off_is_gone() {
    let cast = Cast::new();
    let half = upload(50_000)[..30_000].to_vec();
    let mut visit = cast.visit(Visit { pieces: vec![half], closes: true, ..Visit::default() });
    visit.secrecy.as_mut().unwrap().cuts = true;
    let network = simply(&cast, vec![visit, cast.visit(Visit::to(&["/length/10"]))]);
    let world = &network.left.application;
    assert!(world.outcomes[0].as_ref().unwrap().got.is_empty() && world.heads.len() == 1);
    assert_eq!(network.right.application.proxy.counts().clients.cut, 1);
    assert_eq!(statuses(&network, 1), [200]);
    forgets(network);
}

#[test]
fn who_speaks_no_tls_is_told_so() {
    let cast = Cast::new();
    let long = [22, 3, 1, 0x48, 1];
    let network = simply(
        &cast,
        vec![
            Visit::raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            Visit::raw(long),
            Visit::raw([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]),
            Visit { closes: true, ..Visit::raw([22, 3, 1, 0, 200, 1]) },
            cast.visit(Visit::raw("GET /length/1")),
            cast.visit(Visit::to(&["/length/1"])),
        ],
    );
    let outcomes: Vec<_> = network.left.application.outcomes.iter().flatten().collect();
    assert_eq!(outcomes[0].rest, UNEXPECTED);
    assert_eq!(outcomes[1].rest, [21, 3, 3, 0, 2, 2, 22], "record_overflow");
    assert!(outcomes[2].rest.is_empty() && outcomes[2].has_ended, "by the deadline of a head");
    assert!(outcomes[3].rest.is_empty() && outcomes[3].has_ended);
    assert_eq!(statuses(&network, 4), [408]);
    assert_eq!(statuses(&network, 5), [200]);
    let counts = network.right.application.proxy.counts().clients;
    assert_eq!((counts.not_tls, counts.failed, counts.handshakes), (1, 1, 2));
    forgets(network);
}

/// Wherever one octet of what a client sends is another: an error of the handshake or of a record, and never anything else.
#[test]
fn a_stream_that_is_spoiled_anywhere_ends() {
    let cast = Cast::new();
    let client = cast.client(None);
    let visits: Vec<Visit> = (0..900)
        .step_by(3)
        .map(|at| {
            let mut visit = cast.by(&client, Visit { pieces: vec![upload(300)], ..Visit::default() });
            visit.secrecy.as_mut().unwrap().spoils = Some(at);
            visit
        })
        .collect();
    let count = visits.len();
    let network = simply(&cast, visits);
    let spoiled = (0..count).filter(|index| statuses(&network, *index).is_empty()).count();
    // Some octets mean nothing: the version of the first record, an extension that nobody knows, what is behind the end of the request.
    assert!(spoiled > count / 2, "{spoiled} of {count}");
    for index in 0..count {
        assert!(statuses(&network, index).iter().all(|status| *status == 200));
    }
    forgets(network);
}

#[test]
fn anything_at_all_ends() {
    let cast = Cast::new();
    let mut random = Random(7);
    let mut junk = || -> Visit {
        let mut octets = Vec::new();
        for _ in 0..1 + random.number() % 4 {
            let length = (random.number() % 300) as u16;
            let kind = [22, 22, 20, 21, 23, random.number() as u8][(random.number() % 6) as usize];
            let said = if random.number().is_multiple_of(4) { length / 2 } else { length };
            octets.extend([kind, 3, (random.number() % 5) as u8]);
            octets.extend(said.to_be_bytes());
            octets.push([1, 2, 11, 20, random.number() as u8][(random.number() % 5) as usize]);
            octets.extend((1..length).map(|_| random.number() as u8));
        }
        let closes = random.number().is_multiple_of(2);
        Visit { closes, ..Visit::raw(octets) }
    };
    let visits: Vec<Visit> = (0..400).map(|_| junk()).collect();
    let network = run(lossy(), 3, Balancer::new(cast.site()), World::new(&BACKENDS, visits));
    assert_eq!(network.left.application.heads, []);
    forgets(network);
}

#[test]
fn a_thousand_that_are_opened_and_left_leave_nothing_behind() {
    let cast = Cast::new();
    let client = cast.client(None);
    let hello = Visit { vanishes: true, ..Visit::raw([22, 3, 1, 0, 200, 1, 0, 0, 196]) };
    let visits: Vec<Visit> = (0..1000)
        .map(|number| match number % 4 {
            0 => cast.by(&client, Visit { vanishes: true, ..Visit::to(&["/length/1"]) }),
            1 => cast.by(&client, Visit::to(&["/length/1"])),
            _ => hello.clone(),
        })
        .collect();
    let mut site = cast.site();
    (site.clusters[0].queue, site.clusters[0].pending) = (1000, 1000);
    let network = run(quick(), 1, Balancer::new(site), World::new(&BACKENDS, visits));
    assert!((0..1000).skip(1).step_by(4).all(|index| statuses(&network, index) == [200]));
    forgets(network);
}

#[test]
fn who_takes_nothing_makes_the_balancer_hold_little() {
    let cast = Cast::new();
    let backends = cast.server(&cast.backend, ClientCertificates::Off);
    let visits = vec![cast.visit(Visit { deaf: true, ..Visit::to(&["/length/20000000"]) }); 2];
    let now = Time(SECOND);
    let world = World::new(&BACKENDS, visits).with_tls(Some(backends));
    let world = Host::new(&Config::default(), 1, now, world);
    let site = cast.site_to(cast.client(None), "backend.example");
    let balancer = Host::new(&Config::default(), 2, now, Balancer::new(site));
    let mut network = Network::new(world, balancer, quick(), 1);
    network.skip_to(now.0);
    let mut most = 0;
    let is_over = network.run_until(100 * SECOND, |world, balancer, _| {
        most = most.max(balancer.application.proxy.held());
        world.application.is_done()
    });
    assert!(is_over, "the deadline has cut them");
    // For each side of each: a window, a record that was begun before it was full, and as much on its way out.
    assert!((40_000..4 * 80_000).contains(&most), "{most}");
    forgets(network);
}

/// More than the stack takes at once: when the proxy is done with a client that said that it asks no more, the rest is still to go.
#[test]
fn what_was_given_to_send_goes_before_the_connection_does() {
    let cast = Cast::new();
    let visit = cast.visit(Visit { closes: true, ..Visit::to(&["/length/4600000"]) });
    let network = run(lossy(), 1, Balancer::new(cast.site()), World::new(&BACKENDS, vec![visit]));
    assert!(body_of(&network, 0, 0) == body(4_600_000));
    forgets(network);
}

#[test]
fn who_says_the_end_and_takes_nothing_is_cut_too() {
    let cast = Cast::new();
    // The response of one of these at least is taken by all but the client: it waits in what TLS holds, and the proxy has let go.
    let visits = (0..12)
        .map(|number| {
            let target = format!("/length/{}", (4 << 20) + number * 8_000);
            cast.visit(Visit { deaf: true, closes: true, ..Visit::to(&[&target]) })
        })
        .collect();
    let network = simply(&cast, visits);
    forgets(network);
}

#[test]
fn connections_made_otherwise_serve_no_others() {
    let cast = Cast::new();
    for (most, opened) in [(1, 6), (10, 2)] {
        let mut clusters = vec![cluster("a", 0, &BACKENDS[..1]), cluster("b", 0, &BACKENDS[..1])];
        for cluster in &mut clusters {
            let name = ServerName::try_from("backend.example").unwrap();
            cluster.tls = Some(Arc::new(UpstreamTls { config: cast.client(None), name }));
            cluster.connections = most;
        }
        let forward = |cluster| Action::Forward(Box::new(Forward::to(cluster)));
        let mut site = site_of(vec![route("/length", forward(0)), route("/", forward(1))], clusters);
        site.rest_time = Duration::from_secs(5);
        let visits = vec![Visit::to(&[
            "/length/1",
            "/chunked/1",
            "/length/1",
            "/chunked/1",
            "/length/1",
            "/chunked/1",
        ])];
        let backends = cast.server(&cast.backend, ClientCertificates::Off);
        let world = World::new(&BACKENDS, visits).with_tls(Some(backends));
        let network = run(quick(), 1, Balancer::new(site), world);
        assert_eq!(statuses(&network, 0), [200; 6]);
        assert_eq!(network.left.application.accepted, opened);
        forgets(network);
    }
}

#[test]
fn what_is_announced_comes_before_tls() {
    let cast = Cast::new();
    let mut site = cast.site();
    site.announced_by = Some(Prefixes::new(vec![evenkeel_datapath::fib::Prefix::new(
        evenkeel_datapath::key::Addr::from_v4([198, 51, 100, 0]),
        120,
    )]));
    let mut announced = cast.visit(Visit::to(&["/length/1"]));
    announced.secrecy.as_mut().unwrap().before = "PROXY TCP4 203.0.113.9 192.0.2.10 1234 443\r\n";
    let silent = cast.visit(Visit::to(&["/length/1"]));
    let network = run(quick(), 1, Balancer::new(site), World::new(&BACKENDS, vec![announced, silent]));
    assert_eq!(statuses(&network, 0), [200]);
    assert_eq!(statuses(&network, 1), []);
    let heads = &network.left.application.heads;
    assert!(heads.len() == 1 && heads[0].1.contains("X-Forwarded-For: 203.0.113.9\r\n"), "{heads:?}");
    forgets(network);
}
