//! A day of a server's life: links that change every quarter of an hour and break at times, clients that come back without
//! memory of what they were doing.

use std::time::Duration;

use evenkeel_tcp::{Keepalive, Settings};

use crate::hosts::{Application, Flow};
use crate::network::{Loss, Network, Random};
use crate::scene::{self, HOUR, MINUTE, SECOND};

#[test]
fn a_day_ends_with_all_bytes_right_and_nothing_left() {
    let keepalive =
        Keepalive { idle: Duration::from_secs(120), interval: Duration::from_secs(30), probes: 4 };
    let settings = Settings { keepalive: Some(keepalive), ..Settings::default() };
    let mut random = Random(24);
    let model = scene::troubled(&mut random);
    let server = scene::server(&settings, 1, 0);
    let mut network = Network::new(clients(&settings, &mut random, 0), server, model, 0);
    let mut served = 0;
    for quarter in 1..=24 * 4 {
        network.run_until(quarter * HOUR / 4, |_, _, _| false);
        let (mut there, mut back) = (scene::troubled(&mut random), scene::troubled(&mut random));
        if random.happens(0.1) {
            there = there.with_loss(Loss::Random { share: 1.0 });
        }
        if random.happens(0.1) {
            back = back.with_loss(Loss::Random { share: 1.0 });
        }
        network.relink(there, back, random.number());
        if random.happens(0.3) {
            served += answers(&network.left.application);
            network.left = clients(&settings, &mut random, network.now());
        }
    }
    // The day is over. Who still waits for an answer that got lost has half an hour to notice.
    served += answers(&network.left.application);
    network.left = scene::clients(true, &settings, Vec::new(), 0, network.now());
    network.relink(scene::troubled(&mut random), scene::troubled(&mut random), 0);
    let end = network.now() + 30 * MINUTE;
    network.run_until(end, |_, _, _| false);
    assert!(network.left.application.is_done());
    scene::nothing_is_left(&network.left, "clients");
    scene::nothing_is_left(&network.right, "server");
    assert_eq!(network.right.application.open(), 0);
    assert!(served > 1_000, "{served} requests were answered");
}

/// Clients that have more to ask than a day is long.
fn clients(settings: &Settings, random: &mut Random, now: u64) -> crate::hosts::Host<crate::hosts::Clients> {
    let mut flow = |seconds| {
        let sizes: Vec<u64> = (0..90_000 / seconds).map(|_| 1 << random.below(15)).collect();
        let pause = Duration::from_secs(seconds);
        Flow { limit: Duration::from_secs(300), pause, ..scene::flow(true, sizes, random.number()) }
    };
    let flows = [40, 300, 900].map(&mut flow);
    scene::clients(true, settings, flows.to_vec(), now / SECOND, now)
}

fn answers(clients: &crate::hosts::Clients) -> usize {
    clients.fetched.iter().flatten().filter(|fetched| fetched.completion.is_some()).count()
}
