//! Clients, a link and a balancer with two workers in virtual time: pages are fetched over HTTP through the datapath's verdict,
//! over a link that loses, reorders, repeats and damages packets, and every octet is checked.

#![allow(clippy::unwrap_used, reason = "a test")]

mod balancer;
mod browser;
#[path = "../../tcp/tests/hosts/mod.rs"]
mod hosts;
mod led;
#[path = "../../tcp/tests/network/mod.rs"]
mod network;
mod town;

use std::sync::Arc;
use std::time::Duration;

use evenkeel_l7::Page;
use evenkeel_tcp::{Config, Time};

use balancer::{Balancer, VIP, VIP6};
use browser::{Browser, Visit};
use hosts::Host;
use network::{Model, Network};

const SECOND: u64 = 1_000_000_000;

type World = Network<Host<Browser>, Balancer>;

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn page(length: usize) -> Arc<Page> {
    Arc::new(Page::new(200, "application/octet-stream", &text(length)))
}

/// Visitors of a page of `length` octets over links like `model`; panics unless all get all of it.
fn fetch(model: Model, seed: u64, length: usize, visits: Vec<Visit>) -> World {
    fetch_from(Balancer::new(2, &page(length), seed), model, seed, length, visits)
}

fn fetch_from(balancer: Balancer, model: Model, seed: u64, length: usize, visits: Vec<Visit>) -> World {
    let now = Time(SECOND);
    let connections = visits.len() as u64;
    let browser = Browser::new(visits, text(length));
    let client = Host::new(&Config::default(), seed, now, browser);
    let mut network = Network::new(client, balancer, model, seed);
    network.skip_to(now.0);
    assert!(
        network.run_until(600 * SECOND, |client, _, _| client.application.is_satisfied()),
        "seed {seed}: {:?}",
        network.left.application
    );
    // What is left of connections goes its way.
    assert!(network.run_until(900 * SECOND, |_, balancer, _| balancer.is_at_rest()), "seed {seed}");
    network.right.check_books();
    assert_eq!(network.right.connections(), [connections, 0], "seed {seed}");
    network
}

fn lossy() -> Model {
    Model::delay(Duration::from_millis(10)).with_rate(100_000_000, 200).spoiled()
}

#[test]
fn a_small_page_by_both_families_and_both_workers() {
    let visits = [VIP, VIP6].into_iter().flat_map(|vip| (0..8).map(move |_| Visit::new(vip, 1))).collect();
    let network = fetch(Model::delay(Duration::from_millis(1)), 1, 100, visits);
    assert!(network.right.handed_over() > 0, "no packet came to the wrong worker");
}

#[test]
fn a_large_page_over_one_connection_again_and_again() {
    fetch(Model::delay(Duration::from_millis(1)), 2, 1 << 20, vec![Visit::new(VIP, 5)]);
}

#[test]
fn many_at_once_over_a_link_that_does_its_worst() {
    for seed in 0..6 {
        let visits = (0..10).map(|number| Visit::new(if number % 2 == 0 { VIP } else { VIP6 }, 3)).collect();
        let network = fetch(lossy(), seed, 100_000, visits);
        let lost: u64 = network.counts().iter().map(|counts| counts.lost).sum();
        assert!(lost > 20, "seed {seed}: only {lost} packets were lost");
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let visit = Visit { pipelined: true, ..Visit::new(VIP, 50) };
    fetch(lossy(), 7, 3_000, vec![visit]);
}

#[test]
fn the_same_seed_does_the_same() {
    let run = |seed| {
        let visits = (0..4).map(|_| Visit::new(VIP, 2)).collect();
        let network = fetch(lossy(), seed, 30_000, visits);
        (network.now(), network.counts())
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}

/// The port takes packets of 1,500 octets, and the way to the clients does not.
#[test]
fn a_narrow_way_is_found_out_at_once() {
    for vip in [VIP, VIP6] {
        let balancer = Balancer::with_way(1, &page(300_000), 3, 1_300);
        let visits = vec![Visit::new(vip, 2)];
        let network = fetch_from(balancer, Model::delay(Duration::from_millis(5)), 3, 300_000, visits);
        let too_big = network.right.too_big();
        assert!((1..=10).contains(&too_big), "{vip}: {too_big} segments of the first window were too large");
    }
}
