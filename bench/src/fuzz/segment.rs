//! A TCP segment as octets from the wire.

use evenkeel_tcp::Addr;
use evenkeel_tcp::checksum::Sum;
use evenkeel_tcp::segment::{Flags, MAX_HEADER, MAX_OPTIONS, MIN_HEADER, Options, Segment};

/// A segment is refused, or all that is read of it lies in it and survives being written and read again; its checksum, once
/// put right, is right whole and in slices, and wrong when a bit changes.
pub fn segment(data: &[u8]) {
    let Ok(read) = Segment::read(data) else {
        let says = data.get(12).map_or(0, |octet| usize::from(octet >> 4) * 4);
        assert!(data.len() < MIN_HEADER || says < MIN_HEADER || says > data.len());
        return;
    };
    let start = usize::from(read.payload_start);
    assert!((MIN_HEADER..=MAX_HEADER).contains(&start) && start % 4 == 0);
    assert_eq!(start + read.payload_length as usize, data.len());
    assert_eq!(read.sequence_length() - read.payload_length, {
        u32::from(read.flags.contains(Flags::SYN)) + u32::from(read.flags.contains(Flags::FIN))
    });

    let options = &read.options;
    let is_syn = read.flags.contains(Flags::SYN);
    assert!(is_syn || options.mss.is_none() && options.window_scale.is_none() && !options.sack_permitted);
    assert!(!is_syn || options.sack.is_empty());
    assert!(options.window_scale.is_none_or(|shift| shift <= 14));
    assert!(!options.are_malformed || *options == Options { are_malformed: true, ..Options::NONE });
    assert!(options.length() <= MAX_OPTIONS && options.length() % 4 == 0);

    // What a peer can say in a header, we can.
    let mut header = [0xa5; MAX_HEADER];
    let length = read.write(&mut header);
    assert_eq!(length, MIN_HEADER + options.length());
    let written = [&header[..length], &data[start..]].concat();
    let expected = Segment {
        payload_start: length as u8,
        options: Options { are_malformed: false, ..*options },
        ..read
    };
    assert_eq!(Segment::read(&written), Ok(expected));

    let addresses = [Addr::from_v4([192, 0, 2, 1]), Addr::from_v4([192, 0, 2, 2])];
    let pseudo = Sum::pseudo_header(&addresses[0], &addresses[1], written.len() as u32);
    let sum = pseudo.slices([&header[..length], &data[start..]]);
    assert_eq!(sum.checksum(), pseudo.octets(&written).checksum());
    let mut right = written;
    right[16..18].copy_from_slice(&sum.checksum());
    assert!(pseudo.octets(&right).is_right());
    let at = usize::from(read.window) % right.len();
    right[at] ^= 1 << (read.urgent_pointer % 8);
    assert!(!pseudo.octets(&right).is_right());
}
