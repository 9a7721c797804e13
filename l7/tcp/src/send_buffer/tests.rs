use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// A buffer whose number of references can be asked for.
struct Counted(Rc<Vec<u8>>);

impl Buf for Counted {
    fn octets(&self) -> &[u8] {
        &self.0
    }

    fn share(&self) -> Self {
        Self(Rc::clone(&self.0))
    }

    fn true_size(&self) -> u32 {
        100
    }
}

const FIRST: SequenceNumber = SequenceNumber(u32::MAX - 5);

fn pushed(records: &[&[u8]]) -> (SendBuffer<Counted>, Spares<Counted>) {
    let mut spares = Spares::default();
    let mut buffer = SendBuffer::new(FIRST);
    for record in records {
        let buf = Counted(Rc::new(record.to_vec()));
        assert_eq!(buffer.push(buf, 0..record.len(), &mut spares).ok(), Some(record.len() as u32));
    }
    (buffer, spares)
}

fn octets(buffer: &SendBuffer<Counted>, from: u32, length: u32) -> Vec<u8> {
    buffer.pieces(Range::new(FIRST + from, length)).flat_map(|piece| piece.octets().to_vec()).collect()
}

#[test]
fn the_head_is_small_and_empty_when_idle() {
    assert!(size_of::<SendBuffer<Counted>>() <= 24);
    let (mut buffer, mut spares) = pushed(&[b"abc", b"def"]);
    assert_eq!(buffer.true_size(), 200);
    assert_eq!(buffer.acknowledge(FIRST + 6, &mut spares), 6);
    assert!(buffer.is_empty() && matches!(buffer.held, Held::Nothing));
    assert_eq!(buffer.end(), FIRST + 6);
}

#[test]
fn what_lies_in_one_buffer_takes_no_queue() {
    let (mut buffer, mut spares) = pushed(&[b"abcdef"]);
    assert!(matches!(buffer.held, Held::One { .. }));
    assert_eq!(buffer.acknowledge(FIRST + 2, &mut spares), 2);
    assert!(buffer.push(Counted(Rc::new(b"gh".to_vec())), 0..2, &mut spares).is_ok());
    assert!(matches!(buffer.held, Held::Several(_)) && buffer.true_size() == 200);
    assert_eq!((octets(&buffer, 2, 100), octets(&buffer, 3, 4)), (b"cdefgh".to_vec(), b"defg".to_vec()));
    buffer.mark_urgent(&mut spares);
    assert_eq!(buffer.urgent_end(), Some(FIRST + 8));
    assert_eq!(buffer.acknowledge(FIRST + 8, &mut spares), 6);
    let (mut urgent, mut spares) = pushed(&[b"abc"]);
    urgent.mark_urgent(&mut spares);
    assert_eq!((urgent.urgent_end(), octets(&urgent, 1, 9)), (Some(FIRST + 3), b"bc".to_vec()));
}

#[test]
fn a_segment_spans_chunks_and_the_wrap_of_numbers() {
    let (buffer, _) = pushed(&[b"abc", b"defghi", b"j"]);
    assert_eq!(octets(&buffer, 0, 100), b"abcdefghij");
    assert_eq!(octets(&buffer, 2, 3), b"cde");
    assert_eq!(octets(&buffer, 4, 2), b"ef");
    assert_eq!(octets(&buffer, 9, 1), b"j");
    assert_eq!(octets(&buffer, 10, 5), b"");
    let piece = buffer.pieces(Range::new(FIRST + 4, 2)).next().unwrap();
    assert_eq!((piece.place(), piece.buf().octets()), (1..3, &b"defghi"[..]));
}

#[test]
fn a_buffer_is_let_go_with_its_last_octet() {
    let memory = Rc::new(b"abcdef".to_vec());
    let mut spares = Spares::default();
    let mut buffer = SendBuffer::new(FIRST);
    buffer.push(Counted(Rc::clone(&memory)), 1..5, &mut spares).ok().unwrap();
    assert_eq!(octets(&buffer, 0, 9), b"bcde");
    assert_eq!(buffer.acknowledge(FIRST + 3, &mut spares), 3);
    assert_eq!((Rc::strong_count(&memory), octets(&buffer, 0, 9)), (2, b"e".to_vec()));
    // Old, absurd and FIN's acknowledgements.
    assert_eq!(buffer.acknowledge(FIRST, &mut spares), 0);
    assert_eq!(buffer.acknowledge(FIRST + 5, &mut spares), 1);
    assert_eq!(buffer.acknowledge(FIRST + 5, &mut spares), 0);
    assert_eq!((Rc::strong_count(&memory), buffer.start()), (1, FIRST + 4));
}

#[test]
fn what_empties_the_buffer_is_pushed() {
    let mut spares = Spares::default();
    let mut buffer = SendBuffer::new(FIRST);
    for record in [b"ab", b"cd", b"ef"] {
        buffer.push(Counted(Rc::new(record.to_vec())), 0..2, &mut spares).ok().unwrap();
    }
    let cases = [(0, 2, false), (0, 4, false), (4, 5, false), (4, 6, true), (0, 6, true)];
    for (from, to, expected) in cases {
        assert_eq!(
            buffer.is_pushed(Range { start: FIRST + from, end: FIRST + to }),
            expected,
            "{from}..{to}"
        );
    }
}

#[test]
fn what_is_too_much_comes_back() {
    let (mut buffer, mut spares) = pushed(&[b"abc"]);
    buffer.length = MOST_OCTETS;
    let buf = Counted(Rc::new(vec![1]));
    assert!(buffer.push(buf, 0..1, &mut spares).is_err());
    let (mut buffer, mut spares) = pushed(&[]);
    let buf = Counted(Rc::new(vec![1]));
    assert_eq!(buffer.push(buf, 5..9, &mut spares).ok(), Some(0));
    assert!(matches!(buffer.held, Held::Nothing));
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>, u8),
    Acknowledge(u32),
    Renumber(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let octets = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        3 => (octets, 0..4u8).prop_map(|(octets, skip)| Step::Push(octets, skip)),
        2 => (0..40u32).prop_map(Step::Acknowledge),
        1 => any::<u32>().prop_map(Step::Renumber),
    ]
}

proptest! {
    #[test]
    fn a_send_buffer_is_a_vector_of_octets(
        first: u32, steps in prop::collection::vec(step(), 1..60), from in 0..60u32, length in 0..60u32,
    ) {
        let mut spares = Spares::new(2);
        let mut buffer = SendBuffer::new(SequenceNumber(first));
        let mut start = first;
        let mut model: Vec<u8> = Vec::new();
        for step in steps {
            match step {
                Step::Push(octets, skip) => {
                    let skip = usize::from(skip).min(octets.len());
                    let last = octets.len();
                    model.extend(&octets[skip..]);
                    let taken = buffer.push(Counted(Rc::new(octets)), skip..last, &mut spares);
                    prop_assert_eq!(taken.ok(), Some((last - skip) as u32));
                }
                Step::Acknowledge(octets) => {
                    let expected = octets.min(model.len() as u32);
                    prop_assert_eq!(buffer.acknowledge(SequenceNumber(start) + octets, &mut spares), expected);
                    model.drain(..expected as usize);
                    start = start.wrapping_add(expected);
                }
                Step::Renumber(first) => {
                    buffer.renumber(SequenceNumber(first));
                    start = first;
                }
            }
            prop_assert_eq!(buffer.len() as usize, model.len());
            prop_assert_eq!(matches!(buffer.held, Held::Nothing), model.is_empty());
            let range = Range::new(SequenceNumber(start) + from, length);
            let seen: Vec<u8> = buffer.pieces(range).flat_map(|piece| piece.octets().to_vec()).collect();
            let expected = model.iter().skip(from as usize).take(length as usize);
            prop_assert_eq!(seen, expected.copied().collect::<Vec<_>>());
            let is_last = (from + length) as usize >= model.len();
            prop_assert_eq!(buffer.is_pushed(range), is_last);
        }
    }
}
