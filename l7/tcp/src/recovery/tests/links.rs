//! Whole transfers over links that lose and reorder: everything arrives, and nothing goes needlessly.

use super::simulation::{Link, Loss, Scenario, World};
use crate::Time;
use crate::congestion::Algorithm;
use crate::recovery::{RtoPolicy, Settings};

const FOREVER: Time = Time(1 << 50);

fn scenario(link: Link, octets: u64, seed: u64) -> Scenario {
    Scenario {
        link,
        settings: Settings { mss: 1_448, ..Settings::default() },
        timestamps: true,
        window: 1 << 20,
        octets,
        seed,
    }
}

#[test]
fn everything_arrives_with_every_setting() {
    for seed in 0..24 {
        for sack in [true, false] {
            let loss = if seed % 2 == 0 { Loss::Random(0.03) } else { Loss::Burst(0.05, 4.0) };
            let mut link = Link::new(100, 50, [1, 20, 100][seed as usize % 3], loss);
            (link.late, link.late_nanos) = ([0.0, 0.02][(seed as usize / 2) % 2], 3_000_000);
            let settings = Settings {
                mss: [536, 1_448, 8_948][(seed as usize / 4) % 3],
                sack,
                rto: [RtoPolicy::CLIENT, RtoPolicy::BACKEND][(seed as usize / 8) % 2],
                algorithm: [Algorithm::Cubic, Algorithm::NewReno][(seed as usize / 3) % 2],
            };
            let scenario = Scenario { settings, timestamps: seed % 5 != 0, ..scenario(link, 400_000, seed) };
            let mut world = World::new(scenario);
            let report = world.run(FOREVER);
            assert_eq!(report.delivered, 400_000, "{seed} {sack}");
            assert_eq!(world.recovery.outstanding(), 0);
        }
    }
}

#[test]
fn with_sack_and_no_reordering_only_what_was_dropped_goes_again() {
    for seed in 0..10 {
        let link = Link::new(1_000, 1_000, 20, Loss::Random(0.01));
        let report = World::new(scenario(link, 3_000_000, seed)).run(FOREVER);
        let again: u64 = report.resent.iter().sum();
        assert!(again <= report.dropped + report.resent[3] + report.resent[4], "{report:?}");
        assert!(report.dropped > 10 && report.resent[4] == 0, "{report:?}");
    }
}

#[test]
fn reordering_is_learned_and_costs_little() {
    let mut link = Link::new(100, 1_000, 20, Loss::Random(0.0));
    (link.late, link.late_nanos) = (0.02, 2_000_000);
    let report = World::new(scenario(link, 10_000_000, 1)).run(FOREVER);
    let again: u64 = report.resent.iter().sum();
    assert!(again * 200 < report.sent, "{report:?}");
    let seconds = report.finished.unwrap().0 as f64 / 1e9;
    assert!(10_000_000.0 * 8.0 / seconds > 60e6, "{seconds} s");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let link = Link::new(100, 50, 20, Loss::Burst(0.02, 3.0));
        World::new(scenario(link, 1_000_000, 7)).run(FOREVER)
    };
    assert_eq!(run(), run());
}

#[test]
fn as_good_as_linux_where_it_matters() {
    // Goodput in Mbit/s that Linux CUBIC reached on such links (1 Gbit/s), as a floor.
    for (rtt, probability, floor) in [(1, 0.01, 54.0), (1, 0.05, 12.0), (20, 0.01, 6.0), (20, 0.05, 2.1)] {
        let megabits: f64 = (0..2)
            .map(|seed| {
                let link = Link::new(1_000, 1_000, rtt, Loss::Random(probability));
                let scenario = Scenario { window: 6 << 20, ..scenario(link, u64::MAX, seed) };
                World::new(scenario).run(Time(5_000_000_000)).delivered as f64 * 8.0 / 5e6 / 2.0
            })
            .sum();
        assert!(megabits >= floor, "{rtt} ms {probability}: {megabits}");
    }
}

#[test]
fn a_short_queue_is_filled_and_not_flooded() {
    let link = Link::new(100, 100, 20, Loss::Random(0.0));
    let scenario = Scenario { window: 6 << 20, ..scenario(link, u64::MAX, 1) };
    let report = World::new(scenario).run(Time(5_000_000_000));
    let megabits = report.delivered as f64 * 8.0 / 5e6;
    assert!(megabits > 92.0 && report.resent[4] == 0, "{megabits} {report:?}");
}
