//! An assembler is a map from numbers to octets, within budgets.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Insert { at: u32, octets: Vec<u8>, is_last: bool },
    Consume(u32),
    Take,
    Blocks(usize),
    Window(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let octets = prop::collection::vec(any::<u8>(), 0..12);
    prop_oneof![
        8 => (0..90u32, octets, prop::bool::weighted(0.05))
            .prop_map(|(at, octets, is_last)| Step::Insert { at, octets, is_last }),
        2 => (0..20u32).prop_map(Step::Consume),
        1 => Just(Step::Take),
        1 => (0..5usize).prop_map(Step::Blocks),
        1 => (0..30u32).prop_map(Step::Window),
    ]
}

/// The numbers that are there, with the octet or, for the FIN, none.
#[derive(Default)]
struct Model {
    there: BTreeMap<u32, Option<u8>>,
    read: u32,
}

impl Model {
    fn next(&self) -> u32 {
        (0..).find(|at| !self.there.contains_key(at)).unwrap()
    }

    fn fin(&self) -> Option<u32> {
        self.there.iter().find(|(_, octet)| octet.is_none()).map(|(at, _)| *at)
    }

    fn insert(&mut self, at: u32, octets: &[u8], is_last: bool, window_end: u32) {
        let fin = at + octets.len() as u32;
        let can_end = self.fin().map_or_else(
            || self.there.keys().next_back().is_none_or(|last| *last < fin),
            |known| known == fin,
        );
        let end = self.fin().unwrap_or(u32::MAX).min(window_end);
        for (at, octet) in (at..).zip(octets).filter(|(at, _)| *at < end) {
            self.there.entry(at).or_insert(Some(*octet));
        }
        if is_last && can_end && fin < window_end {
            self.there.entry(fin).or_insert(None);
        }
    }

    fn unread(&self) -> Vec<u8> {
        (self.read..self.next()).filter_map(|at| self.there[&at]).collect()
    }

    fn island(&self, at: u32) -> (u32, u32) {
        let start = (0..=at).rev().take_while(|at| self.there.contains_key(at)).last().unwrap();
        let end = (at..).find(|at| !self.there.contains_key(at)).unwrap();
        (start, end)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_assembler_is_a_map_of_octets(steps in prop::collection::vec(step(), 1..60)) {
        let mut receiver = Receiver::new(Limits { window_end: NEXT + 80, ..AMPLE });
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Insert { at, octets, is_last } => {
                    let before = model.next();
                    let was_there = model.there.len();
                    model.insert(at, &octets, is_last, receiver.limits.window_end - NEXT);
                    let inserted = receiver.takes(at, &octets, is_last);
                    let moved = model.next() - before;
                    match inserted {
                        Inserted::InOrder { octets, .. } => prop_assert_eq!(octets, moved),
                        Inserted::OutOfOrder => prop_assert!(moved == 0 && model.there.len() > was_there),
                        _ => prop_assert_eq!(model.there.len(), was_there),
                    }
                    if inserted == Inserted::OutOfOrder {
                        let duplicates = receiver.assembler.disorder().unwrap().duplicate.iter().count();
                        let (start, end) = receiver.blocks()[duplicates];
                        prop_assert_eq!((start, end), model.island(start));
                        prop_assert!(start <= at + octets.len() as u32 && at <= end);
                    }
                }
                Step::Consume(octets) => {
                    let expected = octets.min(model.unread().len() as u32);
                    prop_assert_eq!(receiver.assembler.consume(octets, &mut receiver.spares), expected);
                    model.read += expected;
                }
                Step::Take => {
                    if let Some(chunk) = receiver.assembler.take(&mut receiver.spares) {
                        prop_assert!(model.unread().starts_with(chunk.octets()));
                        model.read += chunk.len();
                    } else {
                        prop_assert!(model.unread().is_empty());
                    }
                }
                Step::Blocks(most) => {
                    let blocks = receiver.assembler.sack_blocks(most);
                    receiver.assembler.reported(&mut receiver.spares);
                    prop_assert!(blocks.as_slice().len() <= most);
                    for block in receiver.blocks() {
                        prop_assert!(block.0 > model.next());
                        prop_assert_eq!(block, model.island(block.0));
                    }
                }
                Step::Window(octets) => {
                    let end = NEXT + model.next() + octets;
                    receiver.limits.window_end = receiver.limits.window_end.latest(end);
                }
            }
            prop_assert_eq!(receiver.at(), model.next());
            prop_assert_eq!(receiver.unread(), model.unread());
            prop_assert_eq!(receiver.assembler.unread() as usize, model.unread().len());
            prop_assert_eq!(receiver.assembler.has_gaps(), model.there.keys().any(|at| *at > model.next()));
            prop_assert_eq!(receiver.assembler.is_finished(), model.fin().is_some_and(|fin| fin < model.next()));
        }
    }

    /// Whatever a budget drops, what is delivered is right, and the budget holds.
    #[test]
    fn budgets_hold_and_octets_stay_right(
        steps in prop::collection::vec((0..80u32, 0..12u32, 0..6u32), 1..100), true_size in 0..400u64, gaps in 0..5u16,
    ) {
        let mut receiver = Receiver::new(Limits { true_size, gaps, ..AMPLE });
        let mut read = 0;
        for (at, length, consumed) in steps {
            let octets: Vec<u8> = (at..at + length).map(|at| at as u8).collect();
            let before = receiver.at();
            let inserted = receiver.takes(at, &octets, at + length == 85);
            prop_assert!(receiver.assembler.true_size() <= true_size);
            let islands = receiver.assembler.disorder().map_or(0, |disorder| disorder.gaps());
            prop_assert!(islands <= usize::from(gaps));
            prop_assert_eq!(matches!(inserted, Inserted::InOrder { .. }), receiver.at() > before);
            let fin = u32::from(receiver.assembler.is_finished());
            prop_assert_eq!(receiver.at(), read + receiver.assembler.unread() + fin);
            let expected: Vec<u8> = (read..receiver.at() - fin).map(|at| at as u8).collect();
            prop_assert_eq!(receiver.unread(), expected);
            read += receiver.assembler.consume(consumed, &mut receiver.spares);
            if consumed == 0 {
                receiver.blocks();
            }
        }
    }

    /// Segments that the connection should not have let through do no harm either.
    #[test]
    fn no_numbers_break_it(
        steps in prop::collection::vec((any::<u32>(), 0..40usize, any::<bool>(), any::<u32>()), 1..40), near: bool,
    ) {
        let mut receiver = Receiver::new(Limits { true_size: 2_000, gaps: 4, ..AMPLE });
        for (at, length, is_last, window) in steps {
            receiver.limits.window_end = receiver.assembler.next() + (window >> 2);
            let at = if near { (at % 200).wrapping_sub(100) } else { at };
            receiver.takes(at, &vec![0; length], is_last);
            let pieces: usize = receiver.assembler.pieces().map(|piece| piece.octets().len()).sum();
            prop_assert_eq!(pieces, receiver.assembler.unread() as usize);
        }
    }
}
