//! Visitors are led to backends: every octet comes through, whatever becomes of backends meanwhile, and nothing is left of it.

use std::time::Duration;

use evenkeel_datapath::snapshot::BackendState;
use evenkeel_tcp::{Config, Time};

use crate::balancer::{Balancer, VIP, VIP6};
use crate::browser::{Browser, Visit};
use crate::hosts::Host;
use crate::network::{Model, Network};
use crate::town::Town;
use crate::{SECOND, lossy, text};

type World = Network<Host<Town>, Balancer>;

const ACTIVE: BackendState = BackendState::Active;

fn world(model: Model, seed: u64, length: usize, visits: Vec<Visit>) -> World {
    let now = Time(SECOND);
    let town = Town::new(Browser::new(visits, text(length)), text(length));
    let client = Host::new(&Config::default(), seed, now, town);
    let mut network = Network::new(client, Balancer::leading(2, seed), model, seed);
    network.skip_to(now.0);
    network
}

fn visits(count: usize, times: usize) -> Vec<Visit> {
    (0..count).map(|number| Visit::new(if number % 2 == 0 { VIP } else { VIP6 }, times)).collect()
}

/// Lets everybody be satisfied, and all connections come to their end.
fn finish(network: &mut World, seed: u64, connections: u64) {
    assert!(
        network.run_until(600 * SECOND, |town, _, _| town.application.browser.is_satisfied()),
        "seed {seed}: {:?}",
        network.left.application.browser.complaints()
    );
    assert!(network.run_until(900 * SECOND, |_, balancer, _| balancer.is_at_rest()), "seed {seed}");
    network.right.check_led_books();
    assert_eq!(network.right.connections(), [connections, 0], "seed {seed}");
}

#[test]
fn answers_of_backends_come_through_and_nothing_is_left() {
    for (seed, model) in [(1, Model::delay(Duration::from_millis(1))), (2, lossy()), (3, lossy())] {
        let mut network = world(model, seed, 30_000, visits(10, 5));
        finish(&mut network, seed, 10);
        assert!(network.right.handed_over() > 0, "seed {seed}: no packet came to the wrong worker");
    }
}

/// Backends drain, go down and come back all the time; one of each family serves at any moment. Each answer fits into the first window, so
/// that none is in the midst of its way when its backend goes.
#[test]
fn backends_that_go_and_come_back_fail_no_request() {
    for seed in 0..6 {
        let mut network = world(Model::delay(Duration::from_millis(1 + seed)), seed, 600, visits(12, 40));
        let mut steps = 0;
        while !network
            .run_until(network.now() + SECOND / 50, |town, _, _| town.application.browser.is_satisfied())
            && steps < 2_000
        {
            let mut states = [ACTIVE; 3];
            let (first, second) = (steps % 3, (steps + 1) % 3);
            states[first] = BackendState::Down;
            states[second] = BackendState::Draining { until: None };
            network.right.change(network.now(), if steps % 4 == 3 { [ACTIVE; 3] } else { states });
            steps += 1;
        }
        assert!(steps > 3, "seed {seed}: it was over before anything had changed");
        finish(&mut network, seed, 12);
    }
}

#[test]
fn the_same_seed_does_the_same() {
    let run = |seed| {
        let mut network = world(lossy(), seed, 10_000, visits(4, 3));
        finish(&mut network, seed, 4);
        (network.now(), network.counts())
    };
    assert_eq!(run(11), run(11));
}
