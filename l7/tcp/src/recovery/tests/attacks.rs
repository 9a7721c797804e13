//! Peers that lie: each attack on a sender, and what it gains.

use super::scene::{MSS, Scene, segments};
use crate::SequenceNumber;
use crate::recovery::{Action, Cause, Range, Stage};

#[test]
fn acknowledgements_of_what_was_never_sent_change_nothing() {
    let mut scene = Scene::new(true);
    scene.send(4);
    for next in [5, 1_000, 0x8000_0000 / MSS] {
        assert_eq!(scene.ack(next, &[]), Default::default());
    }
    assert_eq!(scene.recovery.outstanding(), 4 * MSS);
}

#[test]
fn absurd_blocks_are_refused_one_by_one() {
    let mut scene = Scene::new(true);
    scene.send(8);
    let table = [
        (segments(0, 2), "covers SND.UNA"),
        (segments(7, 9), "beyond SND.NXT"),
        (segments(100, 200), "far beyond"),
        (segments(5, 5), "empty"),
        (segments(6, 5), "backwards"),
        (Range::new(segments(1, 1).start, 0x9000_0000), "half the circle"),
    ];
    for (block, what) in table {
        // An ordinary block first, so that none is taken for a DSACK.
        let outcome = scene.ack_with(0, &[segments(3, 4), block], None);
        assert_eq!(outcome.sack_refused, 1, "{what}");
        assert_eq!(scene.recovery.info().sacked, MSS, "{what}");
    }
}

#[test]
fn blocks_of_single_octets_cut_only_so_many_runs() {
    // A flood of SACK, meant to make the scoreboard large and slow.
    let mut scene = Scene::new(true);
    scene.send(100);
    let start = segments(0, 0).start;
    for octet in 0..50_000 {
        let block = Range::new(start + 1 + 2 * octet, 1);
        if block.end.follows(start + 100 * MSS) {
            break;
        }
        scene.ack_with(0, &[block], None);
        let runs = scene.recovery.flight.as_ref().unwrap().scoreboard.runs.len();
        assert!(runs <= 64 + 100 * MSS as usize / 256 + 4, "{runs}");
    }
}

#[test]
fn a_thousand_acknowledgements_for_a_segment_open_the_window_by_one() {
    // Savage et al. 1999: ACK division.
    let mut scene = Scene::new(true);
    scene.send(10);
    scene.pass(100);
    let start = segments(0, 0).start;
    for octet in 1..=1_000 {
        let ack = crate::recovery::Ack { number: start + octet, ..Default::default() };
        scene.recovery.acknowledged(&mut scene.pool, &ack, scene.now);
    }
    assert_eq!(scene.recovery.window(), 11 * MSS);
}

#[test]
fn optimistic_acknowledgements_gain_no_more_than_octets_in_flight() {
    // Savage et al. 1999: acknowledged at once, a hundredth of a millisecond after each segment.
    let mut scene = Scene::new(true);
    for _ in 0..20 {
        let before = scene.recovery.window();
        scene.transmit();
        let outstanding = scene.recovery.outstanding();
        scene.now = scene.now.plus_micros(10);
        scene.ack(scene.next, &[]);
        assert!(scene.recovery.window() <= before + outstanding);
    }
    assert!(scene.recovery.rto() >= 200_000, "the timeout keeps its margin");
}

#[test]
fn a_peer_that_reneges_is_sent_everything_again() {
    // RFC 2018, section 8: it SACKs 1..10, then acknowledges 0 alone and asks for 1.
    let mut scene = Scene::new(true);
    scene.send(10);
    scene.pass(100);
    scene.ack(0, &[(1, 10)]);
    scene.transmit();
    scene.pass(100);
    scene.ack(1, &[]);
    let before = scene.now;
    assert_eq!(scene.wait(), Action::Timeout(1));
    assert!(scene.now.micros_since(before) <= 60_000);
    assert_eq!(scene.recovery.info().sacked, 0);
    let mut again = scene.transmit().0;
    for next in 2..10 {
        scene.pass(100);
        scene.ack(next, &[]);
        again.extend(scene.transmit().0);
    }
    let mut firsts: Vec<u32> =
        again.iter().filter(|(_, cause)| *cause == Cause::Timeout).map(|&(first, _)| first).collect();
    firsts.dedup();
    assert_eq!(firsts.first(), Some(&1));
    assert!((1..10).all(|segment| firsts.contains(&segment)), "{firsts:?}");
}

#[test]
fn duplicates_reported_without_end_widen_patience_only_so_far() {
    let mut scene = Scene::new(true);
    for _ in 0..1_000 {
        scene.send(2);
        scene.pass(100);
        scene.ack(scene.next - 1, &[(scene.next - 2, scene.next - 1)]);
        scene.ack(scene.next, &[]);
    }
    scene.send(5);
    scene.pass(100);
    scene.ack(scene.next - 5, &[(scene.next - 4, scene.next)]);
    scene.wait();
    assert_eq!(scene.recovery.stage(), Stage::Recovery);
}

#[test]
fn a_forged_echo_of_the_future_or_the_far_past_leaves_the_timeout_in_bounds() {
    let mut scene = Scene::new(true);
    scene.send(2);
    while !matches!(scene.wait(), Action::Timeout(_)) {}
    scene.transmit();
    for echo in [0_u32, u32::MAX, 0x8000_0000] {
        scene.ack_echo(1, echo);
        assert!(scene.recovery.rto() <= 60_000_000 && scene.recovery.rto() >= 200_000);
    }
    assert_eq!(scene.recovery.outstanding(), MSS);
    assert_ne!(segments(1, 1).start, SequenceNumber(0));
}
