//! A bottleneck that marks instead of dropping (RFC 3168): nothing is lost, and the line stays in use.

use std::time::Duration;

use evenkeel_tcp::{Counter, Settings};

use crate::network::{Model, Network};
use crate::scene::{self, SECOND};

/// Two flows over 20 Mbit/s and 20 ms: octets that arrived, packets marked and dropped, segments sent again.
fn share(settings: &Settings, is_v4: bool) -> (u64, u64, u64, u64) {
    let flows = (0..2).map(|n| scene::flow(is_v4, [u64::MAX], n)).collect();
    let clients = scene::clients(is_v4, settings, flows, 1, 0);
    // A queue that is never filled, marking at about half of what the path holds.
    let model = Model::delay(Duration::from_millis(10)).with_rate(20_000_000, 400).with_marking(20);
    let mut network = Network::new(clients, scene::server(settings, 1, 0), model, 1);
    network.run_until(30 * SECOND, |_, _, _| false);
    let octets = network.left.application.progress().iter().sum();
    let counts = network.counts()[1];
    let again = network.right.stack.counters().value(Counter::RetransSegs);
    (octets, counts.marked, counts.dropped, again)
}

#[test]
fn marks_keep_a_queue_short_and_lose_nothing() {
    for is_v4 in [true, false] {
        let (octets, marked, dropped, again) = share(&Settings::default(), is_v4);
        assert!(marked > 100, "{marked}");
        assert_eq!((dropped, again), (0, 0));
        // Of 75 MB that the line carries in that time, headers included.
        assert!(octets > 60_000_000, "{octets}");
    }
}

#[test]
fn who_does_not_offer_it_is_not_marked() {
    let (_, marked, ..) = share(&Settings { ecn: false, ..Settings::default() }, true);
    assert_eq!(marked, 0);
}
