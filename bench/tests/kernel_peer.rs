//! Our TCP against the kernel's, over TAP devices and a relay that delays, loses, repeats and damages packets, in both directions;
//! every byte is checked. Needs root.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use evenkeel_bench::network::{Loss, Model};
use evenkeel_bench::tcp::pair::{Load, Pair, Rig};
use evenkeel_bench::tcp::place::Family;

const BOTH_DIRECTIONS: [Pair; 2] = [Pair::OursToLinux, Pair::LinuxToOurs { congestion: "cubic" }];
/// How long anything that is awaited may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Some requests on some flows at once, all of which are answered whole.
fn every_byte_arrives(model: Model, octets: u64, requests: usize) {
    let mut rig = Rig::new().unwrap();
    for (family, pair) in
        [Family::V4, Family::V6].into_iter().flat_map(|family| BOTH_DIRECTIONS.map(|pair| (family, pair)))
    {
        rig.family = family;
        let load = Load { octets: Some(octets), requests, limit: PATIENCE };
        let (fetched, account) = rig.batch(pair, [model; 2], &[1, 2, 3, 4], load).unwrap();
        assert_eq!(fetched.len(), 4);
        for flow in &fetched {
            assert_eq!(flow.len(), requests, "{family:?} {pair:?}");
            assert!(flow.iter().all(|fetched| fetched.octets == octets), "{family:?} {pair:?}: {flow:?}");
        }
        assert!(account.counts.iter().all(|counts| counts.delivered > 0));
    }
}

#[test]
fn on_a_good_link() {
    every_byte_arrives(
        Model::delay(Duration::from_micros(500)).with_rate(1_000_000_000, 1_000),
        5_000_000,
        3,
    );
}

#[test]
fn through_a_short_queue() {
    every_byte_arrives(Model::delay(Duration::from_millis(5)).with_rate(50_000_000, 20), 2_000_000, 1);
}

#[test]
fn through_random_loss() {
    let loss = Loss::Random { share: 0.02 };
    every_byte_arrives(Model::delay(Duration::from_millis(2)).with_loss(loss), 300_000, 3);
}

#[test]
fn through_bursts_of_loss() {
    let loss = Loss::Burst { share: 0.02, length: 3.0 };
    every_byte_arrives(Model::delay(Duration::from_millis(2)).with_loss(loss), 300_000, 3);
}

#[test]
fn through_disorder_copies_and_damage() {
    let model = Model {
        reordering: 0.1,
        lateness: Duration::from_millis(4),
        duplication: 0.05,
        corruption: 0.01,
        ..Model::delay(Duration::from_millis(2))
    };
    every_byte_arrives(model, 300_000, 3);
}
