//! Short transfers take as many round trips as slow start needs, and no more.

use std::time::Duration;

use evenkeel_tcp::Settings;

use crate::hosts::{Clients, Host};
use crate::network::{Endpoint, Model, Network};
use crate::scene::{self, SECOND};

const ROUND_TRIP: Duration = Duration::from_millis(20);

/// A host that looks after what has arrived once a millisecond, and so acknowledges many segments at a time.
struct Bursts {
    host: Host<Clients>,
    arrived: Vec<Vec<u8>>,
    due: u64,
}

impl Endpoint for Bursts {
    fn receive(&mut self, now: u64, packet: Vec<u8>) {
        if self.arrived.is_empty() {
            self.due = now + 1_000_000;
        }
        self.arrived.push(packet);
    }

    fn transmit(&mut self, now: u64) -> Option<Vec<u8>> {
        if now >= self.due {
            self.arrived.drain(..).for_each(|packet| self.host.take(now, &packet));
        }
        self.host.transmit(now)
    }

    fn deadline(&self) -> Option<u64> {
        let due = (!self.arrived.is_empty()).then_some(self.due);
        due.into_iter().chain(self.host.deadline()).min()
    }
}

/// How long a transfer of so many octets takes over a gigabit with room for all.
fn completion(octets: u64) -> Duration {
    let flows = vec![scene::flow(true, [octets], 1)];
    let host = scene::clients(true, &Settings::default(), flows, 1, 0);
    let clients = Bursts { host, arrived: Vec::new(), due: 0 };
    let model = Model::delay(ROUND_TRIP / 2).with_rate(1_000_000_000, 1_000);
    let mut network = Network::new(clients, scene::server(&Settings::default(), 1, 0), model, 1);
    assert!(network.run_until(SECOND, |clients, _, _| clients.host.application.are_done()));
    network.left.host.application.fetched[0][0].completion.expect("it is done")
}

#[test]
fn windows_double_also_when_many_segments_are_acknowledged_at_once() {
    // 70 segments: a round trip for the handshake, then 10, 20 and 40; each round trip is up to a millisecond longer.
    let took = completion(100_000);
    assert!(took < ROUND_TRIP * 4 + Duration::from_millis(5), "{took:?}");
}

#[test]
fn the_pace_of_a_window_that_doubles_costs_a_third_of_a_round_trip_at_most() {
    // 691 segments: a round trip for the handshake, six for windows of 10 to 320, a seventh for the rest, which takes what a gigabit
    // takes for a megabyte at the most.
    let took = completion(1_000_000);
    assert!(took < ROUND_TRIP * 8 + ROUND_TRIP / 3 + Duration::from_millis(16), "{took:?}");
    assert!(took > ROUND_TRIP * 8, "{took:?}");
}

/// How long 20 megabytes take over this path, and the most that the server held meanwhile, by true size.
fn bulk(model: Model, settings: &Settings) -> (Duration, u64) {
    let clients = scene::clients(true, &Settings::default(), vec![scene::flow(true, [20_000_000], 1)], 1, 0);
    let mut network = Network::new(clients, scene::server(settings, 1, 0), model, 1);
    let mut most = 0;
    let is_done = network.run_until(60 * SECOND, |clients, server, _| {
        most = server.stack.memory().max(most);
        clients.application.are_done()
    });
    assert!(is_done);
    (network.left.application.fetched[0][0].completion.expect("it is done"), most)
}

#[test]
fn a_send_buffer_grows_as_far_as_the_path_has_use_for_it() {
    let wide = Model::delay(ROUND_TRIP / 2).with_rate(1_000_000_000, 2_000);
    let small = Settings { send_buffer: 64 << 10, ..Settings::default() };
    let [(held_up, _), (took, most)] = [&small, &Settings::default()].map(|settings| bulk(wide, settings));
    // 2.5 MB are on their way at a time; 64 KiB a round trip make 306 of those.
    assert!(held_up > ROUND_TRIP * 300, "{held_up:?}");
    assert!(took < ROUND_TRIP * 30, "{took:?}");
    assert!((2_500_000..=4 << 20).contains(&most), "{most}");
    // Of what a slow line and its queue hold, twice as much is enough: 25 and 75 kB.
    let narrow = Model::delay(ROUND_TRIP / 2).with_rate(10_000_000, 50);
    let (took, most) = bulk(narrow, &Settings::default());
    assert!(took < Duration::from_millis(18_000), "{took:?}");
    assert!(most < 400_000, "{most}");
}
