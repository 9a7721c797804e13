use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::HeapBuf;

const NEXT: SequenceNumber = SequenceNumber(u32::MAX - 20);
const AMPLE: Limits =
    Limits { window_end: SequenceNumber(10_000), true_size: 1 << 30, gaps: 1000, sack: true };

/// One end of a connection, numbers counted from its first octet.
struct Receiver {
    assembler: Assembler<HeapBuf>,
    spares: Spares<HeapBuf>,
    limits: Limits,
}

impl Receiver {
    fn new(limits: Limits) -> Self {
        Self { assembler: Assembler::new(NEXT), spares: Spares::new(2), limits }
    }

    fn takes(&mut self, at: u32, octets: &[u8], is_last: bool) -> Inserted {
        // As in a packet, the payload is not all that the buffer holds.
        let buf = HeapBuf::from([b"head", octets, b"tail"].concat());
        let arrival = Arrival { sequence: NEXT + at, buf, place: 4..4 + octets.len(), is_last };
        self.assembler.insert(arrival, &self.limits, &mut self.spares)
    }

    fn unread(&self) -> Vec<u8> {
        self.assembler.pieces().flat_map(|piece| piece.octets().to_vec()).collect()
    }

    fn blocks(&mut self) -> Vec<(u32, u32)> {
        let blocks = self.assembler.sack_blocks(4);
        self.assembler.reported(&mut self.spares);
        blocks.as_slice().iter().map(|block| (block.start - NEXT, block.end - NEXT)).collect()
    }

    fn at(&self) -> u32 {
        self.assembler.next() - NEXT
    }
}

fn in_order(octets: u32, filled_gap: bool) -> Inserted {
    Inserted::InOrder { octets, filled_gap }
}

#[test]
fn the_head_is_small_and_empty_when_idle() {
    assert!(size_of::<Assembler<HeapBuf>>() <= 16);
    let mut receiver = Receiver::new(AMPLE);
    assert_eq!(receiver.takes(0, b"abc", false), in_order(3, false));
    assert!(receiver.assembler.true_size() > 0);
    assert_eq!(receiver.assembler.consume(2, &mut receiver.spares), 2);
    assert_eq!(receiver.unread(), b"c");
    assert_eq!(receiver.assembler.consume(9, &mut receiver.spares), 1);
    assert!(receiver.assembler.queue.is_none());
    // A duplicate has to be reported, and then that is forgotten too.
    assert_eq!(receiver.takes(1, b"b", false), Inserted::Duplicate);
    assert_eq!(receiver.blocks(), [(1, 2)]);
    assert_eq!(receiver.blocks(), []);
    assert!(receiver.assembler.queue.is_none());
}

#[test]
fn a_gap_is_filled() {
    let mut receiver = Receiver::new(AMPLE);
    assert_eq!(receiver.takes(6, b"gh", false), Inserted::OutOfOrder);
    assert_eq!(receiver.takes(2, b"cd", false), Inserted::OutOfOrder);
    assert!(receiver.assembler.has_gaps());
    assert_eq!((receiver.at(), receiver.blocks()), (0, vec![(2, 4), (6, 8)]));
    assert_eq!(receiver.takes(0, b"ab", false), in_order(4, true));
    assert_eq!((receiver.unread(), receiver.blocks()), (b"abcd".to_vec(), vec![(6, 8)]));
    assert_eq!(receiver.takes(3, b"XefX", false), in_order(4, true));
    assert_eq!(receiver.unread(), b"abcdefgh");
    assert!(!receiver.assembler.has_gaps());
}

#[test]
fn what_arrived_first_wins() {
    let mut receiver = Receiver::new(AMPLE);
    receiver.takes(2, b"c", false);
    receiver.takes(5, b"f", false);
    // One segment covers both and fills all around them; the attacker's octets do not replace what is there.
    assert_eq!(receiver.takes(0, b"abXdeXg", false), in_order(7, true));
    assert_eq!(receiver.takes(0, b"XXXXXXXh", false), in_order(1, false));
    assert_eq!(receiver.unread(), b"abcdefgh");
}

/// RFC 2018, section 4: the first block is the one that the latest segment belongs to, then those reported before.
#[test]
fn blocks_are_in_the_order_of_their_last_change() {
    let mut receiver = Receiver::new(AMPLE);
    for at in [10, 20, 30, 40, 50] {
        receiver.takes(at, b"xxxx", false);
    }
    assert_eq!(receiver.blocks(), [(50, 54), (40, 44), (30, 34), (20, 24)]);
    receiver.takes(14, b"x", false);
    assert_eq!(receiver.blocks(), [(10, 15), (50, 54), (40, 44), (30, 34)]);
    receiver.takes(34, b"xxxxxx", false);
    assert_eq!(receiver.blocks(), [(30, 44), (10, 15), (50, 54)]);
    receiver.takes(0, b"xxxxxxxxxx", false);
    assert_eq!((receiver.at(), receiver.blocks()), (15, vec![(30, 44), (50, 54)]));
}

/// RFC 2883, section 4: name, what is there, the segment that comes, what is reported.
#[test]
fn duplicates_are_reported_once_and_first() {
    type Segments<'a> = &'a [(u32, u32)];
    let cases: &[(&str, Segments<'_>, (u32, u32), Segments<'_>)] = &[
        ("4.1.1, a duplicate of what was acknowledged", &[(0, 10)], (5, 10), &[(5, 10)]),
        ("4.1.2, beside a gap", &[(0, 10), (15, 20)], (5, 10), &[(5, 10), (15, 20)]),
        (
            "4.1.3, of what lies behind a gap",
            &[(0, 10), (15, 20), (25, 30)],
            (15, 20),
            &[(15, 20), (15, 20), (25, 30)],
        ),
        ("4.2.1, a part of a segment", &[(0, 10), (12, 14)], (8, 12), &[(8, 10)]),
        ("4.2.2, a part of what lies behind a gap", &[(10, 15)], (12, 20), &[(12, 15), (10, 20)]),
        ("4.2.3, two parts: the first", &[(10, 15), (18, 20)], (10, 20), &[(10, 15), (10, 20)]),
    ];
    for (name, there, comes, expected) in cases {
        let mut receiver = Receiver::new(AMPLE);
        for (start, end) in *there {
            receiver.takes(*start, &vec![1; (end - start) as usize], false);
        }
        receiver.blocks();
        receiver.takes(comes.0, &vec![1; (comes.1 - comes.0) as usize], false);
        assert_eq!(receiver.blocks(), *expected, "{name}");
        assert_eq!(receiver.blocks(), expected[1..], "{name}");
    }
    let mut receiver = Receiver::new(Limits { sack: false, ..AMPLE });
    receiver.takes(0, b"ab", false);
    assert_eq!(receiver.takes(0, b"ab", false), Inserted::Duplicate);
    assert_eq!(receiver.blocks(), []);
}

#[test]
fn a_fin_ends_the_stream_where_it_stands() {
    let mut receiver = Receiver::new(AMPLE);
    assert_eq!(receiver.takes(4, b"ef", true), Inserted::OutOfOrder);
    assert_eq!(receiver.blocks(), [(4, 7)]);
    // Octets behind it and another FIN elsewhere do not exist.
    assert_eq!(receiver.takes(6, b"Xgh", false), Inserted::Refused);
    assert_eq!(receiver.takes(2, b"c", true), Inserted::OutOfOrder);
    assert_eq!(receiver.takes(0, b"ab", false), in_order(3, true));
    assert!(!receiver.assembler.is_finished());
    assert_eq!(receiver.takes(3, b"d", false), in_order(4, true));
    assert!(receiver.assembler.is_finished());
    assert_eq!((receiver.at(), receiver.unread()), (7, b"abcdef".to_vec()));
    assert_eq!(receiver.takes(4, b"ef", true), Inserted::Duplicate);
    assert_eq!(receiver.takes(7, b"more", false), Inserted::Refused);
    assert_eq!(receiver.assembler.consume(9, &mut receiver.spares), 6);
    receiver.blocks();
    assert!(receiver.assembler.queue.is_none());
}

#[test]
fn a_fin_alone_and_one_that_contradicts_what_is_there() {
    let mut receiver = Receiver::new(AMPLE);
    assert_eq!(receiver.takes(8, b"ij", false), Inserted::OutOfOrder);
    assert_eq!(receiver.takes(4, b"", true), Inserted::Nothing);
    assert_eq!(receiver.takes(10, b"", true), Inserted::OutOfOrder);
    assert_eq!(receiver.takes(0, b"abcdefgh", false), in_order(11, true));
    assert!(receiver.assembler.is_finished());
    assert_eq!(receiver.unread(), b"abcdefghij");
    let mut receiver = Receiver::new(AMPLE);
    assert_eq!(receiver.takes(0, b"", true), in_order(1, false));
    assert!(receiver.assembler.is_finished() && receiver.assembler.queue.is_none());
}

#[test]
fn nothing_is_taken_from_outside_of_the_window() {
    let mut receiver = Receiver::new(Limits { window_end: NEXT + 4, ..AMPLE });
    assert_eq!(receiver.takes(4, b"e", false), Inserted::Refused);
    assert_eq!(receiver.takes(2, b"cdef", true), Inserted::OutOfOrder);
    assert_eq!(receiver.takes(0, b"abcdef", true), in_order(4, true));
    assert!(!receiver.assembler.is_finished());
    assert_eq!((receiver.at(), receiver.unread()), (4, b"abcd".to_vec()));
    // A probe of the closed window.
    assert_eq!(receiver.takes(4, b"e", false), Inserted::Refused);
    assert_eq!(receiver.takes(4, b"", true), Inserted::Refused);
}

#[test]
fn a_flood_of_gaps_drops_what_reaches_furthest() {
    let mut receiver = Receiver::new(Limits { gaps: 3, ..AMPLE });
    for at in [2, 4, 6] {
        assert_eq!(receiver.takes(at, b"x", false), Inserted::OutOfOrder);
    }
    assert_eq!(receiver.takes(8, b"x", false), Inserted::Refused);
    assert_eq!(receiver.takes(7, b"x", false), Inserted::OutOfOrder);
    // A nearer one takes the place of the furthest.
    receiver.takes(9, b"x", false);
    receiver.limits.gaps = 4;
    receiver.takes(9, b"x", true);
    receiver.limits.gaps = 3;
    assert_eq!(receiver.takes(1, b"x", false), Inserted::OutOfOrder);
    assert_eq!(receiver.takes(0, b"x", false), in_order(3, true));
    assert_eq!(receiver.takes(3, b"x", false), in_order(2, true));
    assert_eq!((receiver.at(), receiver.assembler.is_finished()), (5, false));
}

#[test]
fn every_other_segment_of_a_large_window_is_lost_and_comes_again() {
    let mut receiver = Receiver::new(Limits { window_end: NEXT + (1 << 20), gaps: u16::MAX, ..AMPLE });
    for at in (0..20_000).filter(|at| at % 2 == 1) {
        assert_eq!(receiver.takes(at * 10, &[at as u8; 10], false), Inserted::OutOfOrder);
    }
    assert_eq!(receiver.blocks()[0], (199_990, 200_000));
    for at in (0..20_000).step_by(2) {
        assert_eq!(receiver.takes(at * 10, &[at as u8; 10], false), in_order(20, true));
        receiver.assembler.consume(20, &mut receiver.spares);
    }
    assert_eq!(receiver.at(), 200_000);
}

#[test]
fn tiny_segments_cost_what_their_buffers_take() {
    // Each takes 25 octets of memory for its one octet: payload, head and tail, and a header.
    let mut receiver = Receiver::new(Limits { true_size: 250, ..AMPLE });
    for at in (1..=19).step_by(2) {
        assert_eq!(receiver.takes(at, b"x", false), Inserted::OutOfOrder);
    }
    assert_eq!(receiver.takes(21, b"x", false), Inserted::Refused);
    assert_eq!(receiver.takes(2, b"x", false), Inserted::OutOfOrder);
    assert_eq!(receiver.assembler.true_size(), 250);
    // What is in order has precedence over all that is not, and is bounded itself.
    assert_eq!(receiver.takes(0, b"x", false), in_order(4, true));
    for at in 4..10 {
        assert!(matches!(receiver.takes(at, b"x", false), Inserted::InOrder { .. } | Inserted::Duplicate));
    }
    while let Inserted::InOrder { .. } = receiver.takes(receiver.at(), b"x", false) {}
    assert_eq!((receiver.at(), receiver.assembler.true_size()), (10, 250));
    receiver.assembler.consume(1, &mut receiver.spares);
    assert_eq!(receiver.takes(10, b"x", false), in_order(1, false));
}

#[test]
fn chunks_can_be_taken_with_their_buffers() {
    let mut receiver = Receiver::new(AMPLE);
    receiver.takes(3, b"def", false);
    assert!(receiver.assembler.take(&mut receiver.spares).is_none());
    receiver.takes(0, b"abc", false);
    receiver.assembler.consume(1, &mut receiver.spares);
    let (buf, place) = receiver.assembler.take(&mut receiver.spares).unwrap().into_parts();
    assert_eq!(&buf.octets()[place], b"bc");
    assert_eq!((receiver.assembler.unread(), receiver.unread()), (3, b"def".to_vec()));
    receiver.assembler.clear(&mut receiver.spares);
    assert_eq!((receiver.assembler.unread(), receiver.at()), (0, 6));
}

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
