//! Peers that are there no more: those that remain notice, and let everything go.

use std::time::Duration;

use evenkeel_tcp::{Keepalive, Settings};

use crate::network::{Loss, Model, Network};
use crate::scene::{self, HOUR, Pair, SECOND};

const GONE: Model = Model::delay(Duration::ZERO).with_loss(Loss::Random { share: 1.0 });

/// A transfer of ten megabytes, half a second old.
fn under_way(settings: &Settings, seed: u64) -> Pair {
    let flows = vec![scene::flow(true, [10_000_000], seed)];
    let clients = scene::clients(true, settings, flows, seed, 0);
    let model = Model::delay(Duration::from_millis(10)).with_rate(20_000_000, 100);
    let mut network = Network::new(clients, scene::server(settings, 3, 0), model, seed);
    network.run_until(SECOND / 2, |_, _, _| false);
    assert_eq!(network.right.stack.connections(), 1);
    assert!(network.right.stack.memory() > 0);
    network
}

#[test]
fn a_sender_whose_peer_vanishes_gives_up() {
    for settings in
        [Settings::default(), Settings { user_timeout: Some(Duration::from_secs(30)), ..Settings::default() }]
    {
        let mut network = under_way(&settings, 1);
        network.relink(GONE, GONE, 1);
        let limit = if settings.user_timeout.is_some() { SECOND * 50 } else { HOUR / 2 };
        network.run_until(limit, |_, _, _| false);
        scene::nothing_is_left(&network.right, "server");
        assert_eq!(network.right.application.open(), 0, "the application was told");
    }
}

#[test]
fn a_receiver_whose_peer_vanishes_finds_out_if_it_asks() {
    let keepalive = Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 5 };
    let settings = Settings { keepalive: Some(keepalive), ..Settings::default() };
    let mut network = under_way(&settings, 2);
    network.relink(GONE, GONE, 1);
    network.run_until(SECOND * 200, |_, _, _| false);
    scene::nothing_is_left(&network.left, "client");
    assert_eq!(network.left.application.broken, 1);
}

#[test]
fn a_peer_that_comes_back_without_its_memory_resets_what_it_does_not_know() {
    let mut network = under_way(&Settings::default(), 3);
    let now = network.now();
    network.left = scene::clients(true, &Settings::default(), Vec::new(), 9, now);
    network.run_until(now + SECOND * 10, |_, _, _| false);
    scene::nothing_is_left(&network.right, "server");
    assert_eq!(network.right.application.open(), 0);
}
