//! Scenes: what the RFCs say, segment by segment.

use super::scene::{Scene, segments};
use crate::recovery::{Action, Cause, Retransmission, Stage, Undo};

#[test]
fn a_box_is_only_held_while_something_is_in_flight() {
    let mut scene = Scene::new(true);
    scene.send(1);
    scene.pass(10);
    scene.send(1);
    assert_eq!((scene.recovery.outstanding(), scene.pool.idle()), (2_000, 0));
    scene.pass(90);
    let outcome = scene.ack(2, &[]);
    assert_eq!((outcome.acknowledged, outcome.rtt), (2_000, Some(100_000)));
    assert_eq!((scene.recovery.outstanding(), scene.pool.idle()), (0, 1));
    assert_eq!(scene.recovery.deadline(), None);
}

#[test]
fn what_goes_out_at_once_and_arrives_whole_needs_no_box() {
    let mut scene = Scene::new(true);
    scene.send(10);
    assert!(scene.recovery.flight.is_none());
    assert_eq!((scene.recovery.outstanding(), scene.recovery.in_flight()), (10_000, 10_000));
    // Two round trips and a millisecond (RFC 8985, section 7.2).
    assert_eq!(scene.recovery.deadline(), Some(scene.now.plus_millis(201)));
    assert_eq!(scene.transmit(), (vec![], 0), "the window is full");
    scene.pass(100);
    let outcome = scene.ack(10, &[]);
    assert_eq!((outcome.acknowledged, outcome.delivered, outcome.rtt), (10_000, 10_000, Some(100_000)));
    assert_eq!((scene.recovery.outstanding(), scene.pool.idle(), scene.recovery.window()), (0, 0, 20_000));
    // What happens to the box is the same as if it had been there from the start.
    scene.send(20);
    scene.pass(100);
    assert_eq!(scene.ack(20, &[]).rtt, Some(100_000));
    assert_eq!((scene.recovery.outstanding(), scene.recovery.window()), (10_000, 30_000));
    assert_eq!(scene.recovery.deadline(), Some(scene.now.plus_millis(201)));
}

#[test]
fn three_sacked_segments_mark_the_hole_and_prr_leads_the_window() {
    // RFC 8985, section 3.4, and RFC 6675.
    let mut scene = Scene::new(true);
    scene.send(10);
    scene.pass(100);
    assert_eq!(scene.ack(0, &[(1, 2)]).lost, 0);
    assert_eq!(scene.transmit(), (vec![], 1), "limited transmit (RFC 3042)");
    assert_eq!(scene.ack(0, &[(1, 3)]).lost, 0);
    let outcome = scene.ack(0, &[(1, 4)]);
    assert_eq!((outcome.lost, outcome.entered_recovery), (1_000, true));
    assert_eq!(scene.transmit().0, [(0, Cause::Rack)]);
    assert_eq!((scene.recovery.stage(), scene.recovery.threshold()), (Stage::Recovery, 7_000));
    scene.ack(0, &[(1, 10)]);
    scene.transmit();
    scene.pass(100);
    assert!(scene.ack(scene.next, &[]).left_recovery);
    assert_eq!(scene.recovery.window(), 7_000);
}

#[test]
fn a_single_sacked_segment_starts_the_reordering_timer() {
    // RFC 8985, section 6.2: a quarter of the least round trip, with fewer than three SACKed.
    let mut scene = Scene::new(true);
    scene.send(2);
    scene.pass(100);
    scene.ack(0, &[(1, 2)]);
    let before = scene.now;
    assert_eq!(scene.wait(), Action::Transmit);
    assert_eq!(scene.now.micros_since(before), 25_000);
    assert_eq!(scene.transmit().0, [(0, Cause::Rack)]);
}

#[test]
fn a_retransmission_that_is_lost_too_goes_again_without_a_timeout() {
    let mut scene = Scene::new(true);
    scene.send(10);
    scene.pass(100);
    scene.ack(0, &[(1, 4)]);
    assert_eq!(scene.transmit().0, [(0, Cause::Rack)]);
    scene.pass(1);
    scene.ack(0, &[(1, 10)]);
    let (_, new) = scene.transmit();
    assert!(new > 0);
    // What was sent after the retransmission arrives, the retransmission does not.
    scene.pass(100);
    assert_eq!(scene.ack(0, &[(1, 11)]).lost, 1_000);
    assert_eq!(scene.transmit().0, [(0, Cause::Rack)]);
}

#[test]
fn a_tail_loss_is_probed_after_two_round_trips() {
    // RFC 8985, section 7.3.
    let mut scene = Scene::new(true);
    scene.send(3);
    let sent = scene.now;
    let probe = Retransmission { range: segments(2, 3), cause: Cause::Probe };
    assert_eq!(scene.wait(), Action::Probe(probe));
    assert_eq!(scene.now.micros_since(sent), 201_000);
    scene.send_range(probe.range);
    // The last two were lost: the probe's SACK shows it.
    scene.pass(100);
    let outcome = scene.ack(1, &[(2, 3)]);
    assert_eq!(outcome.acknowledged, 1_000);
    assert_eq!(scene.wait(), Action::Transmit);
    assert_eq!(scene.transmit().0, [(1, Cause::Rack)]);
}

#[test]
fn a_probe_that_repairs_a_loss_lowers_the_window_and_one_that_was_needless_does_not() {
    // RFC 8985, section 7.4.2.
    for needless in [false, true] {
        let mut scene = Scene::new(true);
        scene.send(3);
        let Action::Probe(probe) = scene.wait() else { panic!("no probe") };
        scene.send_range(probe.range);
        scene.send(2);
        scene.pass(100);
        if needless {
            scene.ack(3, &[(2, 3)]); // DSACK
        }
        let outcome = scene.ack(5, &[]);
        assert_eq!(outcome.probe_recovered, !needless);
        assert_eq!(scene.recovery.window() < 10_000, !needless);
    }
}

#[test]
fn timeouts_double_and_the_window_is_one_segment() {
    // RFC 6298, section 5.5; RFC 5681, section 3.1.
    let mut scene = Scene::new(false);
    scene.send(4);
    let mut last = scene.now;
    for times in 1..5 {
        assert_eq!(scene.wait(), Action::Timeout(times));
        assert_eq!(scene.now.micros_since(last), 300_000 << (times - 1));
        last = scene.now;
        assert_eq!(scene.transmit(), (vec![(0, Cause::Timeout)], 0));
        assert_eq!((scene.recovery.window(), scene.recovery.threshold()), (1_000, 7_000), "reduced once");
    }
    scene.pass(100);
    scene.ack(1, &[]);
    assert_eq!(scene.recovery.rtt().backoff(), 0);
}

#[test]
fn frto_takes_a_spurious_timeout_back() {
    // RFC 5682, section 3.1: the first acknowledgement moves SND.UNA, new data goes, the second covers an original.
    let mut scene = Scene::new(true);
    scene.send(10);
    while !matches!(scene.wait(), Action::Timeout(_)) {}
    assert_eq!(scene.transmit().0, [(0, Cause::Timeout)]);
    scene.pass(1);
    assert_eq!(scene.ack(1, &[]).undo, None);
    let (again, new) = scene.transmit();
    assert_eq!((again.len(), new > 0), (0, true), "new data first");
    let outcome = scene.ack(3, &[]);
    assert_eq!(outcome.undo, Some(Undo::Timeout));
    assert!(scene.recovery.window() >= 10_000 && scene.recovery.stage() == Stage::Open);
}

#[test]
fn frto_goes_on_with_a_timeout_that_was_right() {
    let mut scene = Scene::new(true);
    scene.send(10);
    while !matches!(scene.wait(), Action::Timeout(_)) {}
    scene.transmit();
    scene.pass(100);
    scene.ack(1, &[]);
    let (_, new) = scene.transmit();
    assert!(new > 0);
    scene.pass(100);
    // The new data arrives out of order: what is before it is lost.
    let outcome = scene.ack(1, &[(10, 11)]);
    assert_eq!(outcome.undo, None);
    assert_eq!(scene.transmit().0.first(), Some(&(1, Cause::Timeout)));
}

#[test]
fn eifel_takes_a_needless_fast_retransmission_back() {
    // RFC 3522, section 3.2: the acknowledgement echoes the original's timestamp.
    for (late, undo) in [(true, Some(Undo::Timestamp)), (false, None)] {
        let mut scene = Scene::new(true);
        let original = scene.timestamp();
        scene.send(10);
        scene.pass(100);
        scene.ack(0, &[(1, 5)]);
        let again = scene.timestamp();
        assert_eq!(scene.transmit().0, [(0, Cause::Rack)]);
        scene.pass(1);
        let outcome = scene.ack_echo(5, if late { original } else { again });
        assert_eq!(outcome.undo, undo);
        assert_eq!(scene.recovery.stage() == Stage::Open, late);
        assert_eq!(scene.recovery.window() >= 10_000, late);
    }
}

#[test]
fn a_dsack_for_all_that_went_again_takes_the_reduction_back_even_when_all_is_acknowledged() {
    // RFC 3708, section 3.
    let mut scene = Scene::new(true);
    scene.send(10);
    scene.pass(100);
    scene.ack(0, &[(1, 5)]);
    assert_eq!(scene.transmit().0, [(0, Cause::Rack)]);
    scene.pass(1);
    let outcome = scene.ack(scene.next, &[]);
    assert!(outcome.left_recovery && scene.recovery.window() == 7_000);
    assert_eq!(scene.pool.idle(), 0, "the box waits");
    let outcome = scene.ack(scene.next, &[(0, 1)]);
    assert_eq!((outcome.undo, outcome.duplicate_sack), (Some(Undo::Dsack), true));
    assert_eq!(scene.recovery.window(), 10_000);
    assert_eq!((scene.pool.idle(), scene.recovery.deadline()), (1, None), "and goes back");
}

#[test]
fn the_box_that_waits_for_a_dsack_goes_back_after_a_timeout() {
    let mut scene = Scene::new(true);
    scene.send(10);
    scene.pass(100);
    scene.ack(0, &[(1, 5)]);
    scene.transmit();
    scene.pass(100);
    scene.ack(scene.next, &[]);
    assert_eq!(scene.wait(), Action::None);
    assert_eq!((scene.pool.idle(), scene.recovery.deadline()), (1, None));
}

#[test]
fn reordering_widens_the_window_in_which_nothing_is_lost() {
    // RFC 8985, section 6.2, steps 3 and 4: seen once, three SACKed segments prove nothing any more.
    let mut scene = Scene::new(true);
    scene.send(10);
    scene.pass(100);
    scene.ack(0, &[(1, 2)]);
    assert!(scene.ack(2, &[]).reordered);
    scene.pass(1);
    assert_eq!(scene.ack(2, &[(3, 9)]).lost, 0);
    assert_eq!(scene.wait(), Action::Transmit);
    assert_eq!(scene.transmit().0, [(2, Cause::Rack)]);
}

#[test]
fn new_reno_repairs_a_hole_a_round_trip() {
    // RFC 6582, section 3.2: segments 0 and 3 of 8 are lost, and the peer has no SACK.
    let mut scene = Scene::new(false);
    scene.send(8);
    scene.pass(100);
    for _ in 0..2 {
        assert!(!scene.ack(0, &[]).entered_recovery);
    }
    assert!(scene.ack(0, &[]).entered_recovery);
    assert_eq!(scene.transmit().0, [(0, Cause::Fast)]);
    for _ in 0..3 {
        scene.ack(0, &[]);
        scene.transmit();
    }
    scene.pass(100);
    let outcome = scene.ack(3, &[]);
    assert!(!outcome.left_recovery);
    assert_eq!(scene.transmit().0, [(3, Cause::Partial)]);
    scene.pass(100);
    assert!(scene.ack(scene.next, &[]).left_recovery);
    assert_eq!(scene.recovery.window(), 7_000);
}

#[test]
fn an_idle_time_shrinks_a_large_window() {
    // RFC 5681, section 4.1.
    let mut scene = Scene::new(true);
    for _ in 0..4 {
        scene.transmit();
        scene.pass(100);
        scene.ack(scene.next, &[]);
    }
    let large = scene.recovery.window();
    assert!(large >= 40_000, "{large}");
    scene.pass(60_000);
    assert_eq!(scene.recovery.may_send(scene.now, u32::MAX), 10_000);
    assert_eq!(scene.recovery.threshold(), u32::MAX);
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    // RFC 7661, in spirit.
    let mut scene = Scene::new(true);
    for _ in 0..100 {
        scene.send(1);
        scene.pass(100);
        scene.ack(scene.next, &[]);
    }
    assert_eq!(scene.recovery.window(), 10_000);
}

#[test]
fn ecn_lowers_the_window_once_a_round_trip_and_sends_nothing_again() {
    // RFC 3168, section 6.1.2.
    use crate::recovery::Ack;
    let mut scene = Scene::new(true);
    scene.send(10);
    scene.pass(100);
    let mut reductions = 0;
    for segment in 1..10 {
        let ack = Ack { number: segments(segment, segment).start, ecn_echo: true, ..Ack::default() };
        let outcome = scene.recovery.acknowledged(&mut scene.pool, &ack, scene.now);
        reductions += u32::from(outcome.congestion_experienced);
        assert!(scene.transmit().0.is_empty());
    }
    assert_eq!((reductions, scene.recovery.threshold()), (1, 7_000));
}

#[test]
fn samples_of_the_rate_are_the_applications_where_the_window_allows_more() {
    for (segments, is_limited) in [(4, true), (10, false)] {
        let mut scene = Scene::new(true);
        scene.send(1);
        scene.pass(10);
        scene.send(segments - 1);
        scene.recovery.application_limited();
        scene.pass(90);
        assert_eq!(scene.recovery.flight.as_ref().unwrap().delivered.is_limited(), is_limited, "{segments}");
    }
}
