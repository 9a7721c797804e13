//! Transfers over links that lose, reorder, repeat and damage what they carry.

use evenkeel_tcp::Settings;

use crate::hosts::{Application, Flow};
use crate::network::{Model, Network, Random};
use crate::scene::{self, HOUR, MINUTE, Pair, SECOND};

/// Runs these flows to their end, and what is left of their connections to theirs.
fn run(settings: &Settings, is_v4: bool, flows: &[Flow], models: [Model; 2], seed: u64) -> Pair {
    let clients = scene::clients(is_v4, settings, flows.to_vec(), seed, SECOND);
    let server = scene::server(settings, seed + 1, SECOND);
    let mut network = Network::new(clients, server, models[0], seed);
    network.relink(models[0], models[1], seed);
    network.skip_to(SECOND);
    let is_done = network.run_until(6 * HOUR, |clients, _, _| clients.application.is_done());
    assert!(is_done, "seed {seed}: not done at {} s", network.now() / SECOND);
    scene::all_is_there(&network.left.application, flows);
    // The longest that an end without an answer goes on asking.
    let end = network.now() + 30 * MINUTE;
    network.run_until(end, |_, _, _| false);
    scene::nothing_is_left(&network.left, "clients");
    scene::nothing_is_left(&network.right, "server");
    network
}

#[test]
fn every_byte_arrives_whatever_the_link_does() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let is_v4 = random.happens(0.5);
        let models = [scene::troubled(&mut random), scene::troubled(&mut random)];
        let mut sizes = || (0..1 + random.below(3)).map(|_| 1 << random.below(18)).collect::<Vec<u64>>();
        let flows: Vec<Flow> = (0..3).map(|n| scene::flow(is_v4, sizes(), seed * 10 + n)).collect();
        run(&Settings::default(), is_v4, &flows, models, seed);
    }
}

#[test]
fn peers_without_options_are_served_as_well() {
    for seed in 0..48 {
        let settings = Settings {
            sack: seed & 1 != 0,
            timestamps: seed & 2 != 0,
            window_scaling: seed & 4 != 0,
            no_delay: seed & 8 != 0,
            mtu: if seed & 16 != 0 { 576 } else { 1_500 },
            ..Settings::default()
        };
        let mut random = Random(seed);
        let models = [scene::troubled(&mut random), scene::troubled(&mut random)];
        run(&settings, true, &[scene::flow(true, [200_000], seed)], models, seed);
    }
}

#[test]
fn small_buffers_only_slow_things_down() {
    for seed in 0..24 {
        let settings = Settings {
            send_buffer: 1 << (11 + seed % 6),
            initial_window: 1 << (11 + seed % 5),
            receive_buffer: 1 << (11 + seed % 7),
            ..Settings::default()
        };
        let mut random = Random(seed);
        let models = [scene::troubled(&mut random), scene::troubled(&mut random)];
        run(&settings, false, &[scene::flow(false, [60_000, 1, 3_000], seed)], models, seed);
    }
}

#[test]
fn one_seed_gives_one_course_of_events() {
    let course = || {
        let mut random = Random(5);
        let models = [scene::troubled(&mut random), scene::troubled(&mut random)];
        let network = run(&Settings::default(), true, &[scene::flow(true, [500_000], 5)], models, 5);
        (network.now(), network.counts())
    };
    assert_eq!(course(), course());
}
