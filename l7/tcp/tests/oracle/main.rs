//! smoltcp as an oracle: another TCP, written by others from the same texts, at the other end of a link that does everything links do.

#![forbid(unsafe_code)]

#[path = "../hosts/mod.rs"]
mod hosts;
#[path = "../network/mod.rs"]
mod network;

mod plan;
mod smol;
mod talker;

use evenkeel_tcp::Ending;
use hosts::Host;
use network::{Loss, Model, Network, Random};
use plan::{Plan, plans};
use smol::Smol;
use talker::Talker;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;

/// A link of some trouble.
fn troubled(random: &mut Random) -> Model {
    let mut share = |most: f64| if random.happens(0.5) { random.fraction() * most } else { 0.0 };
    let (reordering, duplication, corruption, lost) = (share(0.2), share(0.1), share(0.03), share(0.08));
    let loss = if lost > 0.0 { Loss::Random { share: lost } } else { Loss::Never };
    let mut millis = |most: u64| std::time::Duration::from_millis(random.below(most));
    let (delay, lateness) = (millis(50), millis(40));
    let model =
        Model { reordering, lateness, duplication, corruption, ..Model::delay(delay) }.with_loss(loss);
    if random.happens(0.5) {
        model.with_rate(2_000_000 << random.below(6), 10 + random.below(100) as usize)
    } else {
        model
    }
}

type Pair = Network<Host<Talker>, Smol>;

/// Both ends talk as planned, until both are done or a day has passed.
fn talk(ours: Plan, theirs: Plan, models: [Model; 2], seed: u64) -> Pair {
    let random = &mut Random(seed);
    let left = talker::host(ours, random, SECOND);
    let right = Smol::new(theirs, random, SECOND);
    let mut network = Network::new(left, right, models[0], seed);
    network.relink(models[0], models[1], seed);
    network.skip_to(SECOND);
    let is_done =
        network.run_until(24 * HOUR, |left, right, _| left.application.is_over() && right.is_over());
    assert!(is_done, "seed {seed}: {:?} and {}", left_state(&network), network.right.state());
    network
}

fn left_state(network: &Pair) -> (u64, Option<Ending>) {
    (network.left.application.received, network.left.application.ending)
}

fn nothing_is_left(network: &mut Pair, seed: u64) {
    let end = network.now() + HOUR;
    network.run_until(end, |_, _, _| false);
    let stack = &network.left.stack;
    assert_eq!((stack.connections(), stack.memory(), stack.time_wait()), (0, 0, 0), "seed {seed}");
}

#[test]
fn all_bytes_go_both_ways_and_either_side_closes_first() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let models = [troubled(&mut random), troubled(&mut random)];
        let [ours, theirs] = plans(&mut random);
        let mut network = talk(ours, theirs, models, seed);
        let application = &network.left.application;
        assert_eq!(
            (application.received, application.ending),
            (theirs.octets, Some(Ending::Closed)),
            "seed {seed}"
        );
        assert_eq!((network.right.received, network.right.was_reset), (ours.octets, false), "seed {seed}");
        nothing_is_left(&mut network, seed);
    }
}

#[test]
fn a_reset_ends_both_sides_wherever_it_falls() {
    let mut resets = [0; 2];
    for seed in 0..150 {
        let mut random = Random(seed ^ 0xffff);
        let models = [troubled(&mut random), troubled(&mut random)];
        let [mut ours, mut theirs] = plans(&mut random);
        let (who, most) =
            if random.happens(0.5) { (&mut ours, theirs.octets) } else { (&mut theirs, ours.octets) };
        who.aborts_after = Some(1 + random.below(most.max(1)));
        let mut network = talk(ours, theirs, models, seed);
        // What came before is right, which the applications see to; who aborts may be late, and all was over before.
        let (received, ending) = left_state(&network);
        assert!(received <= theirs.octets && network.right.received <= ours.octets);
        match ending {
            Some(Ending::Reset) => resets[0] += 1,
            Some(Ending::Aborted) => resets[1] += 1,
            Some(Ending::Closed) => {}
            _ => panic!("seed {seed}: {ending:?}"),
        }
        nothing_is_left(&mut network, seed);
    }
    // By them and by us; talk() has seen to it that the other side heard.
    assert!(resets.iter().all(|&count| count > 20), "{resets:?}");
}
