//! Picks, by their shares and by who is left out.

use std::collections::BTreeMap;

use evenkeel_datapath::maglev;
use proptest::prelude::*;

use super::*;
use crate::balance::Ended;

const POLICIES: [Policy; 6] = [
    Policy::PowerOfTwo,
    Policy::PeakEwma,
    Policy::RoundRobin,
    Policy::LeastRequests,
    Policy::Random,
    Policy::Maglev,
];

const START: Time = Time(100_000_000_000);

fn group(policy: Policy, weights: &[u16]) -> Group {
    let candidates: Vec<Candidate> =
        weights.iter().zip(0..).map(|(weight, slot)| Candidate { slot, weight: *weight }).collect();
    let of_table = |candidate: &Candidate| maglev::Candidate {
        identity: u64::from(candidate.slot) + 1,
        weight: u32::from(candidate.weight),
        slot: candidate.slot,
    };
    let table = maglev::Maglev::build(1009, &candidates.iter().map(of_table).collect::<Vec<_>>());
    Group::new(policy, &candidates, Arc::new(table), Duration::from_secs(10))
}

/// Asks so many questions, and counts the picks. `after` may note each in the loads.
fn picks(
    group: &Group,
    loads: &mut Loads,
    count: u64,
    usable: impl Fn(u16) -> bool,
    mut after: impl FnMut(&mut Loads, u16),
) -> BTreeMap<u16, u64> {
    let (mut turns, mut picked) = (Turns::default(), BTreeMap::new());
    for number in 0..count {
        let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let question = Question { now: START, random: !hash, hash };
        if let Some(slot) = group.pick(question, loads, &mut turns, &usable) {
            *picked.entry(slot).or_default() += 1;
            after(loads, slot);
        }
    }
    picked
}

#[test]
fn weights_are_shares_under_every_policy() {
    for policy in POLICIES {
        let picked = picks(&group(policy, &[1, 3, 0, 4]), &mut Loads::new(4), 8000, |_| true, |_, _| {});
        for (slot, share) in [(0, 1000), (1, 3000), (3, 4000)] {
            let count = picked.get(&slot).copied().unwrap_or_default();
            assert!((share * 9 / 10..=share * 11 / 10).contains(&count), "{policy:?}: {picked:?}");
        }
        assert!(!picked.contains_key(&2), "{policy:?}: {picked:?}");
    }
}

#[test]
fn requests_under_way_are_spread_by_weight() {
    for policy in [Policy::PowerOfTwo, Policy::LeastRequests] {
        let mut loads = Loads::new(3);
        // None of them is answered.
        picks(&group(policy, &[1, 2, 5]), &mut loads, 8000, |_| true, Loads::began);
        for (slot, share) in [(0, 1000), (1, 2000), (2, 5000)] {
            let count = loads.of(slot).under_way;
            assert!((share * 19 / 20..=share * 21 / 20).contains(&count), "{policy:?}: {count} of {slot}");
        }
    }
}

#[test]
fn the_busy_and_the_slow_are_avoided() {
    let mut loads = Loads::new(10);
    for _ in 0..50 {
        loads.began(3);
    }
    for policy in [Policy::PowerOfTwo, Policy::LeastRequests] {
        let picked = picks(&group(policy, &[1; 10]), &mut loads, 10_000, |_| true, |_, _| {});
        assert!(picked.get(&3).copied().unwrap_or_default() < 50, "{policy:?}: {picked:?}");
    }
    let mut loads = Loads::new(10);
    for slot in 0..10 {
        let latency = Duration::from_millis(if slot == 3 { 500 } else { 5 });
        loads.ended(slot, START, Ended::Answered(latency));
    }
    let picked = picks(&group(Policy::PeakEwma, &[1; 10]), &mut loads, 10_000, |_| true, |_, _| {});
    assert!(picked.get(&3).copied().unwrap_or_default() < 50, "{picked:?}");
    // A failure is no quick answer.
    loads.ended(4, START, Ended::Failed);
    let picked = picks(&group(Policy::PeakEwma, &[1; 10]), &mut loads, 10_000, |_| true, |_, _| {});
    assert!(picked.get(&4).copied().unwrap_or_default() < 50, "{picked:?}");
}

#[test]
fn who_is_unknown_gets_one_request_to_learn_from() {
    let mut loads = Loads::new(4);
    (0..3).for_each(|slot| loads.ended(slot, START, Ended::Answered(Duration::from_millis(1))));
    let all = |_| true;
    let picked = picks(&group(Policy::PeakEwma, &[1; 4]), &mut loads, 1000, all, |loads, slot| {
        if slot == 3 {
            loads.began(slot);
        }
    });
    assert_eq!(picked.get(&3), Some(&1));
}

#[test]
fn who_is_new_starts_slowly() {
    for policy in [Policy::PowerOfTwo, Policy::Random, Policy::LeastRequests] {
        let mut loads = Loads::new(4);
        loads.came(2, Some(Time(START.0 - 2_000_000_000)));
        let picked = picks(&group(policy, &[1; 4]), &mut loads, 10_000, |_| true, |_, _| {});
        // A fifth of a full share: 0.2 of 3.2.
        let count = picked.get(&2).copied().unwrap_or_default();
        assert!((500..=750).contains(&count), "{policy:?}: {picked:?}");
    }
    let mut loads = Loads::new(1);
    loads.came(0, Some(START));
    let picked = picks(&group(Policy::PowerOfTwo, &[1]), &mut loads, 100, |_| true, |_, _| {});
    assert_eq!(picked.get(&0), Some(&100), "there is no other");
}

#[test]
fn by_hash_only_those_move_whose_backend_is_gone() {
    let group = group(Policy::Maglev, &[1; 10]);
    let (loads, mut turns) = (Loads::new(10), Turns::default());
    let mut pick = |hash: u64, usable: &dyn Fn(u16) -> bool| {
        let question = Question { now: START, random: !hash, hash };
        group.pick(question, &loads, &mut turns, usable).unwrap()
    };
    let mut heirs = BTreeMap::<u16, u32>::new();
    for number in 0..10_000_u64 {
        let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (before, after) = (pick(hash, &|_| true), pick(hash, &|slot| slot != 7));
        if before == 7 {
            *heirs.entry(after).or_default() += 1;
        } else {
            assert_eq!(after, before);
        }
    }
    assert_eq!(heirs.len(), 9, "{heirs:?}");
    assert!(heirs.values().all(|count| (70..160).contains(count)), "{heirs:?}");
}

proptest! {
    #[test]
    fn a_pick_may_be_used_and_there_is_one_as_long_as_any_may(
        policy in prop::sample::select(&POLICIES[..]),
        weights in prop::collection::vec(0_u16..4, 0..12),
        usable in any::<u16>(),
        under_way in prop::collection::vec(0_u8..3, 12),
        random in any::<u64>(),
    ) {
        let group = group(policy, &weights);
        let mut loads = Loads::new(weights.len());
        for (slot, count) in (0..).zip(&under_way) {
            (0..*count).for_each(|_| loads.began(slot));
        }
        let may = |slot: u16| usable >> slot & 1 == 1;
        let question = Question { now: START, random, hash: random };
        let picked = group.pick(question, &loads, &mut Turns::default(), may);
        let any = weights.iter().zip(0..).any(|(weight, slot)| *weight > 0 && may(slot));
        prop_assert_eq!(picked.is_some(), any);
        if let Some(slot) = picked {
            prop_assert!(may(slot) && weights[usize::from(slot)] > 0);
        }
    }
}
