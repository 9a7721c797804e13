//! Segments by hand.

use super::*;
use crate::HeapBuf;

mod properties;

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
