use proptest::prelude::*;

use super::*;
use crate::Range;

fn block(start: u32, end: u32) -> Range {
    Range { start: SequenceNumber(start), end: SequenceNumber(end) }
}

fn blocks(list: &[Range]) -> SackBlocks {
    let mut blocks = SackBlocks::NONE;
    list.iter().for_each(|block| blocks.push(*block));
    blocks
}

fn with_options(list: &[u8], flags: Flags) -> Vec<u8> {
    let mut octets = vec![0; MIN_HEADER];
    octets[12] = ((MIN_HEADER + list.len()) as u8 / 4) << 4;
    octets[13] = flags.0;
    octets.extend_from_slice(list);
    octets
}

#[test]
fn fields_stand_where_the_rfc_draws_them() {
    let octets = *b"\x1f\x90\x00\x50\x01\x02\x03\x04\xa1\xa2\xa3\xa4\x50\x18\x20\x00\xbe\xef\x00\x07payload";
    let segment = Segment::read(&octets).unwrap();
    let expected = Segment {
        source_port: 8080,
        destination_port: 80,
        sequence: SequenceNumber(0x0102_0304),
        acknowledgement: SequenceNumber(0xa1a2_a3a4),
        flags: Flags::PSH | Flags::ACK,
        window: 0x2000,
        urgent_pointer: 7,
        payload_start: 20,
        payload_length: 7,
        options: Options::NONE,
    };
    assert_eq!(segment, expected);
    assert_eq!(segment.sequence_length(), 7);
    assert_eq!(Segment { flags: Flags::SYN | Flags::FIN, ..segment }.sequence_length(), 9);
    assert_eq!(format!("{:?}", segment.flags), "PSH|ACK");
}

#[test]
fn a_header_that_is_not_there_is_refused() {
    assert_eq!(Segment::read(&[]), Err(Malformed::Truncated));
    assert_eq!(Segment::read(&[0x50; 19]), Err(Malformed::Truncated));
    for (offset, expected) in [(0, false), (4, false), (5, true), (6, true), (7, false), (15, false)] {
        let mut octets = [0; 24];
        octets[12] = offset << 4 | 0x0f;
        assert_eq!(Segment::read(&octets).is_ok(), expected, "offset {offset}");
    }
}

/// Name, flags, the list as it comes, what is read.
#[test]
fn every_encoding_of_options() {
    let none = Options::NONE;
    let malformed = Options { are_malformed: true, ..none };
    let timestamps = Some(Timestamps { value: 0x0102_0304, echo: 0x0506_0708 });
    let (syn, ack) = (Flags::SYN, Flags::ACK);
    let cases: &[(&str, Flags, &[u8], Options)] = &[
        ("nothing", syn, &[], none),
        ("only padding", syn, &[1, 1, 1, 0], none),
        ("an end, and rubbish behind it", syn, &[0, 2, 9, 9], none),
        ("MSS", syn, &[2, 4, 5, 0xb4], Options { mss: Some(1460), ..none }),
        ("MSS of nothing", syn, &[2, 4, 0, 0], Options { mss: Some(0), ..none }),
        ("MSS beside no SYN", ack, &[2, 4, 5, 0xb4], none),
        ("MSS of a wrong length", syn, &[2, 3, 5, 1], none),
        ("MSS twice", syn, &[2, 4, 0, 1, 2, 4, 0, 2], Options { mss: Some(2), ..none }),
        ("window scale", syn, &[1, 3, 3, 7], Options { window_scale: Some(7), ..none }),
        (
            "window scale without padding before",
            syn,
            &[3, 3, 0, 0],
            Options { window_scale: Some(0), ..none },
        ),
        ("window scale of too much", syn, &[3, 3, 15, 1], Options { window_scale: Some(14), ..none }),
        ("window scale of 255", syn, &[3, 3, 255, 1], Options { window_scale: Some(14), ..none }),
        ("window scale beside no SYN", ack, &[3, 3, 7, 1], none),
        ("SACK permitted", syn, &[4, 2, 1, 1], Options { sack_permitted: true, ..none }),
        ("SACK permitted of a wrong length", syn, &[4, 3, 0, 1], none),
        ("SACK permitted beside no SYN", ack, &[4, 2, 1, 1], none),
        ("timestamps, aligned", ack, &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8], Options { timestamps, ..none }),
        (
            "timestamps, padded behind",
            ack,
            &[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0],
            Options { timestamps, ..none },
        ),
        (
            "timestamps beside SYN",
            syn,
            &[1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1],
            Options { timestamps, ..none },
        ),
        ("timestamps of a wrong length", ack, &[8, 9, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1], none),
        (
            "one SACK block",
            ack,
            &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9],
            Options { sack: blocks(&[block(1, 9)]), ..none },
        ),
        ("a SACK block beside SYN", syn, &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9], none),
        ("SACK without a block", ack, &[5, 2, 1, 1], none),
        ("SACK of one and a half", ack, &[5, 14, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 1], none),
        (
            "what Linux sends in a SYN",
            syn,
            &[2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7],
            Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, timestamps, ..none },
        ),
        (
            "what Windows sends in a SYN",
            syn,
            &[2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2],
            Options { mss: Some(1460), window_scale: Some(8), sack_permitted: true, ..none },
        ),
        ("unknown kinds are skipped", syn, &[254, 4, 0, 0, 30, 3, 0, 4, 2, 0, 0, 0], {
            Options { sack_permitted: true, ..none }
        }),
        ("a length of zero", syn, &[2, 4, 5, 0xb4, 9, 0, 1, 1], malformed),
        ("a length of one", syn, &[2, 4, 5, 0xb4, 9, 1, 1, 1], malformed),
        ("a length past the end", syn, &[4, 2, 9, 3], malformed),
        ("a kind without a length", syn, &[1, 1, 1, 2], malformed),
    ];
    for (name, flags, list, expected) in cases {
        let octets = with_options(list, *flags);
        let segment = Segment::read(&octets).unwrap();
        assert_eq!(segment.options, *expected, "{name}");
        assert_eq!((usize::from(segment.payload_start), segment.payload_length), (octets.len(), 0), "{name}");
    }
}

#[test]
fn four_blocks_fit_without_timestamps_and_three_with() {
    let four = blocks(&[block(1, 2), block(3, 4), block(5, 6), block(7, 8)]);
    let mut options = Options { sack: four, ..Options::NONE };
    let mut list = [0; MAX_OPTIONS];
    assert_eq!((options.length(), options.write(&mut list)), (36, 36));
    options.timestamps = Some(Timestamps::default());
    assert_eq!((options.length(), options.write(&mut list)), (40, 40));
    let read = Options::read(&list, Flags::ACK);
    assert_eq!(read.sack.as_slice(), &four.as_slice()[..3]);
}

#[test]
fn a_fifth_block_is_not_taken() {
    let mut five = blocks(&[block(1, 2); 4]);
    five.push(block(9, 10));
    assert_eq!(five.as_slice(), [block(1, 2); 4]);
    five.truncate(1);
    assert_eq!(five.as_slice().len(), 1);
}

fn options(is_syn: bool) -> impl Strategy<Value = Options> {
    let timestamps = prop::option::of((any::<u32>(), any::<u32>()));
    let sack = prop::collection::vec((any::<u32>(), any::<u32>()), 0..4);
    (any::<Option<u16>>(), prop::option::of(0..=14u8), any::<bool>(), timestamps, sack).prop_map(
        move |(mss, window_scale, permitted, timestamps, sack)| Options {
            mss: mss.filter(|_| is_syn),
            window_scale: window_scale.filter(|_| is_syn),
            sack_permitted: permitted && is_syn,
            timestamps: timestamps.map(|(value, echo)| Timestamps { value, echo }),
            sack: match is_syn {
                true => SackBlocks::NONE,
                false => blocks(&sack.iter().map(|(a, b)| block(*a, *b)).collect::<Vec<_>>()),
            },
            are_malformed: false,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        ports: [u16; 2], numbers: [u32; 2], words: [u16; 2], flags: u8,
        (syn, ack) in (options(true), options(false)),
        payload in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let flags = Flags(flags);
        let options = if flags.contains(Flags::SYN) { syn } else { ack };
        let segment = Segment {
            source_port: ports[0],
            destination_port: ports[1],
            sequence: SequenceNumber(numbers[0]),
            acknowledgement: SequenceNumber(numbers[1]),
            flags,
            window: words[0],
            urgent_pointer: words[1],
            payload_start: (MIN_HEADER + options.length()) as u8,
            payload_length: payload.len() as u32,
            options,
        };
        let mut header = [0xaa; MAX_HEADER];
        let length = segment.write(&mut header);
        prop_assert_eq!(length, usize::from(segment.payload_start));
        prop_assert_eq!(length % 4, 0);
        let octets = [&header[..length], &payload].concat();
        prop_assert_eq!(Segment::read(&octets), Ok(segment));
    }

    #[test]
    fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(segment) = Segment::read(&octets) {
            let end = u32::from(segment.payload_start) + segment.payload_length;
            prop_assert_eq!(end as usize, octets.len());
            let mut header = [0; MAX_HEADER];
            let length = segment.write(&mut header);
            let again = Segment::read(&header[..length]).unwrap();
            let expected = Options { are_malformed: false, ..segment.options };
            // A SYN may carry all but SACK blocks, so that there is always room for what was read.
            prop_assert_eq!(again.options, expected);
        }
    }
}
