//! A day of a server's life: links that change every quarter of an hour and break at times, clients that come back without
//! memory of what they were doing.

use std::time::Duration;

use evenkeel_tcp::{Keepalive, Settings};

use crate::hosts::{Application, Flow};
use crate::network::{Loss, Network, Random};
use crate::scene::{self, HOUR, MINUTE, SECOND};

/// What may be kept of memory that came and went: lists that have once been long, boxes that are used again.
const KEPT: i64 = 64 << 10;

/// The life of a server.
struct Life {
    network: scene::Pair,
    settings: Settings,
    random: Random,
    served: usize,
}

impl Life {
    fn begin() -> Self {
        let keepalive =
            Keepalive { idle: Duration::from_secs(120), interval: Duration::from_secs(30), probes: 4 };
        let settings = Settings { keepalive: Some(keepalive), ..Settings::default() };
        let mut random = Random(24);
        let model = scene::troubled(&mut random);
        let server = scene::server(&settings, 1, 0);
        let network = Network::new(scene::clients(true, &settings, Vec::new(), 0, 0), server, model, 0);
        Self { network, settings, random, served: 0 }
    }

    /// Twelve hours of trouble.
    fn half_a_day(&mut self) {
        self.come_anew();
        for _ in 0..12 * 4 {
            let quarter = self.network.now() + HOUR / 4;
            self.network.run_until(quarter, |_, _, _| false);
            let random = &mut self.random;
            let (mut there, mut back) = (scene::troubled(random), scene::troubled(random));
            if random.happens(0.1) {
                there = there.with_loss(Loss::Random { share: 1.0 });
            }
            if random.happens(0.1) {
                back = back.with_loss(Loss::Random { share: 1.0 });
            }
            self.network.relink(there, back, random.number());
            if random.happens(0.3) {
                self.come_anew();
            }
        }
    }

    /// Clients that know nothing of what those before them were doing.
    fn come_anew(&mut self) {
        self.served += answers(&self.network.left.application);
        self.network.left = clients(&self.settings, &mut self.random, self.network.now());
    }

    /// The day is over. Who still waits for an answer that got lost has half an hour to notice; then nothing is left.
    fn rest(&mut self) {
        self.served += answers(&self.network.left.application);
        self.network.left = scene::clients(true, &self.settings, Vec::new(), 0, self.network.now());
        let random = &mut self.random;
        self.network.relink(scene::troubled(random), scene::troubled(random), 0);
        let end = self.network.now() + 30 * MINUTE;
        self.network.run_until(end, |_, _, _| false);
        assert!(self.network.left.application.is_done());
        scene::nothing_is_left(&self.network.left, "clients");
        scene::nothing_is_left(&self.network.right, "server");
        assert_eq!(self.network.right.application.open(), 0);
    }
}

#[test]
fn a_day_ends_with_all_bytes_right_and_nothing_left() {
    let mut life = Life::begin();
    life.half_a_day();
    life.rest();
    let before = life.served;
    // By now all lists are as long as they get: the rest of the day takes no more memory than it gives back.
    let taken = allocation_counter::measure(|| {
        life.half_a_day();
        life.rest();
    });
    assert!(taken.bytes_current < KEPT, "{} octets were not given back", taken.bytes_current);
    assert!(before > 500 && life.served > 1_000, "{before} and {} requests were answered", life.served);
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
