//! Clients, balancer and backends together in virtual time, over links that lose, reorder and damage packets: what clients
//! get is what backends answered, octet by octet, or one of the proxy's own words.

#![allow(clippy::unwrap_used, reason = "a test")]

mod actions;
#[path = "../tls/authority.rs"]
#[allow(dead_code, reason = "shared: another test revokes")]
mod authority;
mod cast;
mod failures;
mod front;
mod hostile;
#[path = "../../tcp/tests/hosts/mod.rs"]
mod hosts;
mod line;
#[path = "../../tcp/tests/network/mod.rs"]
mod network;
mod secure;
mod seen;
mod tunnels;
mod world;

use std::time::Duration;

use evenkeel_tcp::{Config, Time};

use front::{Balancer, site};
use hosts::Host;
use network::{Model, Network};
use world::{Visit, World, body};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const BACKENDS: [&str; 2] = ["10.0.1.1:8080", "10.0.1.2:8080"];

pub(crate) type Everything = Network<Host<World>, Host<Balancer>>;

pub(crate) fn quick() -> Model {
    Model::delay(Duration::from_micros(100))
}

pub(crate) fn lossy() -> Model {
    Model::delay(Duration::from_millis(5)).with_rate(100_000_000, 200).spoiled()
}

/// Lets clients visit until each has what it waits for, or its connection has ended.
fn visit(model: Model, seed: u64, balancer: Balancer, listening: &[&str], visits: Vec<Visit>) -> Everything {
    run(model, seed, balancer, World::new(listening, visits))
}

pub(crate) fn run(model: Model, seed: u64, balancer: Balancer, world: World) -> Everything {
    let now = Time(SECOND);
    let world = Host::new(&Config::default(), seed, now, world);
    let balancer = Host::new(&Config::default(), seed + 1, now, balancer);
    let mut network = Network::new(world, balancer, model, seed);
    network.skip_to(now.0);
    let done = network.run_until(1000 * SECOND, |world, _, _| world.application.is_done());
    assert!(done, "seed {seed}: {:?}", network.left.application.outcomes);
    network
}

fn simply(visits: Vec<Visit>) -> Everything {
    visit(quick(), 1, Balancer::new(site(&BACKENDS, 100, 10)), &BACKENDS, visits)
}

/// The statuses that a visit brought.
pub(crate) fn statuses(network: &Everything, index: usize) -> Vec<u16> {
    let outcome = network.left.application.outcomes[index].as_ref().unwrap();
    outcome.got.iter().map(|got| got.status).collect()
}

pub(crate) fn body_of(network: &Everything, index: usize, number: usize) -> &[u8] {
    &network.left.application.outcomes[index].as_ref().unwrap().got[number].body
}

#[test]
fn responses_of_every_framing_come_through() {
    for (seed, model) in [(1, quick()), (2, lossy()), (3, lossy())] {
        let targets = [
            "/length/0",
            "/length/5",
            "/chunked/0",
            "/chunked/10000",
            "/length/300000",
            "/chunked/100000",
            "/close/20000",
        ];
        let network = visit(
            model,
            seed,
            Balancer::new(site(&BACKENDS, 100, 10)),
            &BACKENDS,
            vec![Visit::to(&targets); 3],
        );
        for index in 0..3 {
            assert_eq!(statuses(&network, index), [200; 7], "seed {seed}");
            for (number, length) in [0, 5, 0, 10_000, 300_000, 100_000, 20_000].into_iter().enumerate() {
                assert!(body_of(&network, index, number) == body(length), "seed {seed}, {}", targets[number]);
            }
        }
    }
}

#[test]
fn content_of_requests_comes_through() {
    let large = body(200_000);
    let by_length = [
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", large.len()).into_bytes(),
        large.clone(),
    ]
    .concat();
    let mut chunked = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in large.chunks(777) {
        chunked.extend(format!("{:x};x=y\r\n", chunk.len()).bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\nA: b\r\n\r\n");
    for (seed, model) in [(1, quick()), (2, lossy())] {
        let visits = vec![Visit { pieces: vec![by_length.clone(), chunked.clone()], ..Visit::default() }; 2];
        let network = visit(model, seed, Balancer::new(site(&BACKENDS, 100, 10)), &BACKENDS, visits);
        for index in 0..2 {
            assert_eq!(statuses(&network, index), [200, 200]);
            assert!((0..2).all(|number| body_of(&network, index, number) == large), "seed {seed}");
        }
    }
}

#[test]
fn connections_to_backends_are_used_again() {
    let network = simply(vec![Visit::to(&["/length/10"; 20])]);
    let world = &network.left.application;
    assert_eq!(world.heads.len(), 20);
    assert_eq!(world.accepted, 2, "one for each backend, in turn");
    assert_eq!(world.heads.iter().filter(|(backend, _)| *backend == 0).count(), 10);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let requests: String = (0..50).map(|n| format!("GET /length/{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let last = "GET /length/50 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut visit = Visit::raw(requests + last);
    visit.pieces.extend([Vec::new()].into_iter().cycle().take(50));
    let network = simply(vec![visit]);
    assert_eq!(statuses(&network, 0), [200; 51]);
    assert!((0..51).all(|number| body_of(&network, 0, number).len() == number));
}

#[test]
fn a_backend_sees_what_the_proxy_wrote() {
    let request = "GET /a/../length/1?q=%41 HTTP/1.1\r\nhost: A.example:8080\r\nX-Forwarded-For: 1.2.3.4\r\nconnection: x-a, keep-alive\r\n\
        X-A: 1\r\naccept:  */* \r\nKeep-Alive: 5\r\n\r\n";
    let network = simply(vec![Visit::raw(request)]);
    let (_, head) = &network.left.application.heads[0];
    let (before, id) = head.split_once("X-Request-Id: ").unwrap();
    let (id, after) = id.split_once('\r').unwrap();
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    assert_eq!(
        format!("{before}X-Request-Id: ID\r{after}"),
        "GET /length/1?q=%41 HTTP/1.1\r\nHost: A.example:8080\r\nAccept: */*\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: http\r\n\
        X-Forwarded-Host: A.example:8080\r\nX-Forwarded-Port: 80\r\nForwarded: for=198.51.100.7;host=\"A.example:8080\";proto=http\r\n\
        X-Request-Id: ID\r\nVia: 1.1 evenkeel\r\n\r\n"
    );
}

#[test]
fn the_proxy_answers_by_itself() {
    let raw = |text: &str| Visit::raw(text.as_bytes());
    let network = simply(vec![
        Visit::to(&["/fixed", "/fixed/x", "/length/1"]),
        raw("GET / HTTP/1.1\r\n\r\n"),
        raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        raw("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Visit { is_head: true, ..raw("HEAD /fixed HTTP/1.1\r\nHost: a\r\n\r\n") },
        raw("GET /.. HTTP/1.1\r\nHost: a\r\n\r\n"),
        raw("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
    ]);
    let expected: [&[u16]; 7] = [&[418, 418, 200], &[400], &[400], &[405], &[418], &[400], &[400]];
    for (index, statuses_expected) in expected.into_iter().enumerate() {
        assert_eq!(statuses(&network, index), statuses_expected, "visit {index}");
    }
    let outcome = network.left.application.outcomes[1].as_ref().unwrap();
    assert_eq!(outcome.got[0].body, b"There is no Host.\n");
    assert!(outcome.got[0].head.contains("Connection: close"));
}

#[test]
fn head_and_interim_responses() {
    let head = Visit { is_head: true, ..Visit::raw("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n") };
    let network =
        simply(vec![head, Visit::to(&["/hints", "/length/3"]), Visit::raw("GET /hints HTTP/1.0\r\n\r\n")]);
    assert!(
        network.left.application.outcomes[0].as_ref().unwrap().got[0].head.contains("Content-Length: 12345")
    );
    assert_eq!(statuses(&network, 1), [103, 200, 200]);
    assert_eq!(statuses(&network, 2), [200], "HTTP/1.0 knows no interim responses");
}

#[test]
fn old_clients_get_what_they_understand() {
    let network = simply(vec![
        Visit { closes: true, ..Visit::raw("GET /chunked/5000 HTTP/1.0\r\n\r\n") },
        Visit::raw("GET /length/10 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    ]);
    assert!(body_of(&network, 0, 0) == body(5000));
    let heads =
        [0, 1].map(|index| network.left.application.outcomes[index].as_ref().unwrap().got[0].head.clone());
    assert!(!heads[0].contains("chunked") && heads[0].contains("Connection: close"));
    assert!(heads[1].contains("Connection: keep-alive"));
}

#[test]
fn what_backends_do_wrong_reaches_no_other_request() {
    let network = simply(vec![
        Visit::to(&["/garbage", "/length/1"]),
        Visit::to(&["/reset", "/length/2"]),
        Visit { closes: true, ..Visit::to(&["/short"]) },
        Visit::to(&["/more", "/length/3", "/length/4", "/length/5"]),
    ]);
    assert_eq!(statuses(&network, 0), [502, 200]);
    assert_eq!(statuses(&network, 1), [502, 200]);
    let short = network.left.application.outcomes[2].as_ref().unwrap();
    assert!(
        short.got.is_empty() && short.rest.ends_with(b"half") && short.has_ended,
        "cut, and seen to be cut"
    );
    assert_eq!(statuses(&network, 3), [200; 4]);
    assert!(
        [2, 3, 4, 5]
            .into_iter()
            .enumerate()
            .all(|(number, length)| body_of(&network, 3, number).len() == length)
    );
    assert!(
        network.left.application.outcomes[3]
            .as_ref()
            .unwrap()
            .got
            .iter()
            .all(|got| !got.head.contains("Smuggled"))
    );
}

#[test]
fn a_backend_that_is_not_there_is_passed_over() {
    let network = visit(
        quick(),
        1,
        Balancer::new(site(&BACKENDS, 100, 10)),
        &BACKENDS[1..],
        vec![Visit::to(&["/length/1"; 6])],
    );
    assert_eq!(statuses(&network, 0), [200; 6]);
    let nobody =
        visit(quick(), 1, Balancer::new(site(&BACKENDS, 100, 10)), &[], vec![Visit::to(&["/length/1"; 2])]);
    assert_eq!(statuses(&nobody, 0), [503, 503], "after all were tried");
}

#[test]
fn waits_have_ends() {
    let network = simply(vec![
        Visit::to(&["/never"]),
        Visit { closes: false, ..Visit::raw("GET / HTTP/1.1\r\nHos") },
        Visit::raw("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"),
    ]);
    assert_eq!(statuses(&network, 0), [504]);
    assert_eq!(statuses(&network, 1), [408]);
    assert_eq!(statuses(&network, 2), [408]);
}

#[test]
fn there_are_no_more_connections_than_allowed_and_the_rest_waits_its_turn() {
    let visits = vec![Visit::to(&["/length/50000"; 5]); 12];
    let network = visit(lossy(), 5, Balancer::new(site(&BACKENDS, 2, 100)), &BACKENDS, visits);
    assert!((0..12).all(|index| statuses(&network, index) == [200; 5]));
    assert!(network.left.application.accepted <= 8, "{}", network.left.application.accepted);
    let busy = visit(
        quick(),
        5,
        Balancer::new(site(&BACKENDS[..1], 1, 2)),
        &BACKENDS,
        vec![Visit::to(&["/never"]); 6],
    );
    let mut all: Vec<u16> = (0..6).flat_map(|index| statuses(&busy, index)).collect();
    all.sort_unstable();
    assert_eq!(
        all,
        [503, 503, 503, 503, 503, 504],
        "three at once, two when they had waited, and one that was sent"
    );
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let vanishing = |text: &str| Visit { vanishes: true, ..Visit::raw(text) };
    let visits = vec![
        vanishing("GET /never HTTP/1.1\r\nHost: a\r\n\r\n"),
        vanishing("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc"),
        vanishing("GET / HT"),
        Visit::to(&["/length/100000"]),
    ];
    let mut network = simply(visits);
    assert!(network.run_until(2000 * SECOND, |_, balancer, _| balancer.stack.connections() == 0));
    assert_eq!(network.right.stack.memory(), 0);
}

#[test]
fn the_same_seed_does_the_same() {
    let run = |seed| {
        let visits = vec![Visit::to(&["/chunked/30000", "/length/20000"]); 4];
        let network = visit(lossy(), seed, Balancer::new(site(&BACKENDS, 2, 100)), &BACKENDS, visits);
        (network.now(), network.counts())
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}
