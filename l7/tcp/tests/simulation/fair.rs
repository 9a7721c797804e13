//! Flows that share a bottleneck share it fairly.

use std::time::Duration;

use evenkeel_tcp::Settings;

use crate::network::{Model, Network};
use crate::scene::{self, SECOND};

#[test]
fn two_flows_share_a_bottleneck_within_60_to_40() {
    for seed in 0..2 {
        let flows = (0..2).map(|n| scene::flow(true, [u64::MAX], seed * 2 + n)).collect();
        let clients = scene::clients(true, &Settings::default(), flows, seed, 0);
        let model = Model::delay(Duration::from_millis(10)).with_rate(20_000_000, 50);
        let server = scene::server(&Settings::default(), seed, 0);
        let mut network = Network::new(clients, server, model, seed);
        network.run_until(30 * SECOND, |_, _, _| false);
        let octets = network.left.application.progress();
        let share = octets[0].max(octets[1]) as f64 / (octets[0] + octets[1]) as f64;
        assert!(share <= 0.6, "seed {seed}: {octets:?}");
        // Of 75 MB that the line carries in that time.
        assert!(octets[0] + octets[1] > 65_000_000, "seed {seed}: {octets:?}");
    }
}
