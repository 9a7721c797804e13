use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const TICK: u64 = 1 << TICK_SHIFT;

fn expired(wheel: &mut Wheel, now: Time) -> Vec<u32> {
    std::iter::from_fn(|| wheel.expire(now, &mut u32::MAX.clone())).collect()
}

#[test]
fn an_entry_is_twelve_octets() {
    assert_eq!(size_of::<Entry>(), 12);
}

#[test]
fn a_timer_expires_once_and_not_before_its_deadline() {
    let mut wheel = Wheel::new(4, Time(5));
    wheel.set(3, Time::from_millis(200));
    assert!(wheel.is_set(3) && wheel.len() == 1);
    assert_eq!(expired(&mut wheel, Time(200_000_000 - 1)), []);
    assert_eq!(expired(&mut wheel, Time(200_000_000 + TICK)), [3]);
    assert!(wheel.is_empty() && wheel.next_deadline().is_none());
}

#[test]
fn a_timer_that_is_set_again_to_the_past_waits_for_the_next_tick() {
    let mut wheel = Wheel::new(1, Time(0));
    let now = Time(10 * TICK);
    wheel.set(0, Time(TICK));
    let mut turns = 0;
    while let Some(index) = wheel.expire(now, &mut 100) {
        wheel.set(index, Time(0));
        turns += 1;
    }
    assert_eq!(turns, 10);
    assert_eq!(wheel.next_deadline(), Some(Time(11 * TICK)));
}

#[test]
fn many_timers_of_one_moment_are_moved_a_few_at_a_time() {
    let mut wheel = Wheel::new(1000, Time(0));
    let deadline = Time::from_millis(7_200_000);
    (0..1000).for_each(|index| wheel.set(index, deadline));
    let late = Time(deadline.0 + TICK);
    let mut calls = 0;
    let mut seen = BTreeSet::new();
    while !wheel.is_empty() {
        let mut work = 64;
        while let Some(index) = wheel.expire(late, &mut work) {
            assert!(seen.insert(index));
        }
        assert!(wheel.next_deadline().is_none_or(|at| at <= late));
        calls += 1;
    }
    assert_eq!(seen.len(), 1000);
    assert!((1000 / 64..=4 * 1000 / 64 + 1).contains(&calls), "{calls} calls");
}

#[test]
fn what_is_too_far_away_expires_early_and_not_never() {
    let mut wheel = Wheel::new(1, Time(u64::from(u32::MAX) * TICK));
    wheel.set(0, Time::NEVER);
    let after = Time((u64::from(u32::MAX) + HORIZON + 1) * TICK);
    assert_eq!(expired(&mut wheel, after), [0]);
}

#[test]
fn what_moves_down_does_not_overtake_what_is_left_above() {
    // Both hang in the slot that begins at tick 2^16; the one that is set last is looked at first, and moves down a level.
    let mut wheel = Wheel::new(2, Time(0));
    wheel.set(1, Time(TICK << 16));
    wheel.set(0, Time((TICK << 16) + (TICK << 8)));
    assert_eq!(expired(&mut wheel, Time(TICK << 16)), [1]);
    assert_eq!(wheel.next_deadline(), Some(Time((TICK << 16) + (TICK << 8))));
}

#[test]
fn time_goes_on_while_no_timer_is_set() {
    let mut wheel = Wheel::new(1, Time(0));
    let now = (HORIZON - 5) * TICK;
    assert_eq!(expired(&mut wheel, Time(now)), []);
    wheel.set(0, Time(now + 10 * TICK));
    assert_eq!(expired(&mut wheel, Time(now + 9 * TICK)), []);
    assert_eq!(expired(&mut wheel, Time(now + 10 * TICK)), [0]);
}

#[test]
fn put_off_lazily() {
    let mut wheel = Wheel::new(1, Time(0));
    wheel.set_no_later(0, Time(100 * TICK));
    wheel.set_no_later(0, Time(200 * TICK));
    assert_eq!(wheel.next_deadline(), Some(Time(100 * TICK)));
    wheel.set_no_later(0, Time(50 * TICK));
    assert_eq!(expired(&mut wheel, Time(50 * TICK)), [0]);
}

#[derive(Clone, Debug)]
enum Step {
    Set(u32, u64),
    NoLater(u32, u64),
    Cancel(u32),
    Pass(u64),
    /// Asks with little to work with.
    Work(u32),
}

fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![0..20 * TICK, 0..TICK << 9, 0..TICK << 17, 0..TICK << 25, 0..TICK << 31]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..20u32, distance()).prop_map(|(index, distance)| Step::Set(index, distance)),
        1 => (0..20u32, distance()).prop_map(|(index, distance)| Step::NoLater(index, distance)),
        1 => (0..20u32).prop_map(Step::Cancel),
        2 => distance().prop_map(Step::Pass),
        1 => (0..4u32).prop_map(Step::Work),
    ]
}

proptest! {
    /// Against a map from index to deadline: everything due expires, nothing else does, and nobody sleeps too long.
    #[test]
    fn a_wheel_is_a_map_of_deadlines(start: u32, past_wrap: bool, steps in prop::collection::vec(step(), 1..120)) {
        let start = u64::from(start) << if past_wrap { TICK_SHIFT } else { 3 };
        let mut now = start;
        let mut wheel = Wheel::new(8, Time(now));
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(index, distance) => {
                    wheel.set(index, Time(now + distance));
                    model.insert(index, now + distance);
                }
                Step::NoLater(index, distance) => {
                    wheel.set_no_later(index, Time(now + distance));
                    let deadline = model.entry(index).or_insert(u64::MAX);
                    *deadline = (now + distance).min(*deadline);
                }
                Step::Cancel(index) => {
                    wheel.cancel(index);
                    model.remove(&index);
                }
                Step::Pass(distance) => {
                    now += distance;
                    let mut seen = BTreeSet::new();
                    while let Some(index) = wheel.expire(Time(now), &mut 100_000) {
                        prop_assert!(seen.insert(index));
                        let deadline = model.remove(&index);
                        prop_assert!(deadline.is_some_and(|deadline| deadline <= now));
                    }
                    // A deadline that had passed when it was set is due with the tick after it.
                    prop_assert!(model.values().all(|deadline| *deadline + 2 * TICK > now));
                }
                Step::Work(mut work) => {
                    while let Some(index) = wheel.expire(Time(now), &mut work) {
                        prop_assert!(model.remove(&index).is_some_and(|deadline| deadline <= now));
                    }
                }
            }
            prop_assert_eq!(wheel.len() as usize, model.len());
            if let Some(first) = model.values().min() {
                let wake = wheel.next_deadline().map_or(u64::MAX, |time| time.0);
                prop_assert!(wake < first + TICK || wake <= now + TICK, "wakes at {} for {}", wake, first);
            }
        }
    }
}
