//! RFC 9293, section 3.10.7: a segment arrives, in each state.

use super::peer::{ACK, FIN, Peer, RST, SYN, mss};
use crate::segment::{Flags, Options, Segment};
use crate::{Counter, Ending, Event, HeapBuf, ListenerConfig, SendError, SequenceNumber, Settings, State};

const NONE: Options = Options::NONE;

#[test]
fn closed_answers_with_a_reset_that_fits() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    let mut segment = Segment { source_port: 9, destination_port: 81, ..Segment::default() };
    for (flags, payload, expected) in [
        (SYN, 0, Some((RST | ACK, 0, 7 + 1))),
        (FIN, 3, Some((RST | ACK, 0, 7 + 4))),
        (ACK, 3, Some((RST, 99, 0))),
        (SYN | ACK, 0, Some((RST, 99, 0))),
        (RST, 0, None),
        (RST | ACK, 0, None),
    ] {
        segment.flags = flags;
        segment.sequence = SequenceNumber(7);
        segment.acknowledgement = SequenceNumber(99);
        peer.put_segment(&segment, &vec![0; payload]);
        let answer = peer.stack.poll_transmit(peer.now).map(|out| {
            let segment = Segment::read(out.header).unwrap();
            (segment.flags, segment.sequence.0, segment.acknowledgement.0)
        });
        assert_eq!(answer, expected, "{flags:?}");
    }
}

#[test]
fn listen_takes_a_syn_and_nothing_else() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    peer.put(RST, 0, 0, &[], NONE);
    peer.put(FIN, 0, 0, &[], NONE);
    peer.put(Flags(0), 0, 0, b"data", NONE);
    peer.silence();
    peer.put(ACK, 0, 5, &[], NONE);
    assert_eq!(peer.one().flags, RST);
    assert_eq!(peer.stack.connections(), 0);
    peer.put(SYN, 0, 0, &[], mss(1000));
    let answer = peer.one();
    assert_eq!((answer.flags, answer.acknowledgement), (SYN | ACK, 1));
    assert_eq!(answer.options.mss, Some(1460));
}

#[test]
fn a_reset_ends_a_connection_only_with_the_very_number() {
    for (offset, is_reset, is_challenged) in
        [(0, true, false), (1, false, true), (65_534, false, true), (70_000, false, false)]
    {
        let (mut peer, id) = Peer::plain();
        peer.put(RST, 1 + offset, 0, &[], NONE);
        let expected = if is_reset { State::Closed } else { State::Established };
        assert_eq!(peer.stack.state(id), Some(expected), "{offset}");
        if is_challenged {
            peer.acknowledges(1, 1);
        } else {
            peer.silence();
        }
        if is_reset {
            assert_eq!(peer.events(), [Event::Closed(id, Ending::Reset)]);
            assert_eq!(peer.stack.send(id, HeapBuf::from(b"x")).unwrap_err().0, SendError::Closed);
        }
    }
}

#[test]
fn a_syn_amid_a_connection_is_challenged_wherever_it_lies() {
    for sequence in [0, 1, 2, 30_000, 1 << 30, 3 << 30] {
        for flags in [SYN, SYN | ACK] {
            let (mut peer, id) = Peer::plain();
            peer.put(flags, sequence, 1, &[], NONE);
            peer.acknowledges(1, 1);
            assert_eq!(peer.stack.state(id), Some(State::Established));
        }
    }
}

#[test]
fn data_without_an_acknowledgement_is_nothing() {
    let (mut peer, id) = Peer::plain();
    peer.put(Flags(0), 1, 0, b"data", NONE);
    peer.silence();
    assert_eq!(peer.stack.readable(id), 0);
}

#[test]
fn acknowledgements_of_the_unsent_and_of_the_long_past_are_challenged() {
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(b"abc")).unwrap();
    assert_eq!(peer.one().payload, b"abc");
    for (acknowledgement, is_fine) in
        [(5, false), (1 << 31, false), (0u32.wrapping_sub(70_000), false), (1, true), (4, true)]
    {
        peer.put(ACK, 1, acknowledgement, b"", NONE);
        if is_fine { peer.silence() } else { peer.acknowledges(4, 1) }
    }
    // Data that comes with such a number is not taken (RFC 5961, section 5).
    peer.put(ACK, 1, 5, b"injected", NONE);
    peer.acknowledges(4, 1);
    assert_eq!(peer.stack.readable(id), 0);
}

#[test]
fn what_lies_outside_of_the_window_is_acknowledged_and_dropped() {
    let (mut peer, id) = Peer::plain();
    for (sequence, length) in [(1u32.wrapping_sub(10), 10), (70_000, 10), (1 << 31, 1), (3 << 30, 100)] {
        peer.put(ACK, sequence, 1, &vec![7; length], NONE);
        peer.acknowledges(1, 1);
    }
    assert_eq!(peer.stack.readable(id), 0);
    // What overlaps the window is trimmed.
    peer.put(ACK, 0u32.wrapping_sub(1), 1, b"xyabc", NONE);
    assert_eq!(peer.stack.read(id).flatten().copied().collect::<Vec<_>>(), b"abc");
}

#[test]
fn acknowledgements_urgent_data_and_resets_are_taken_with_a_window_of_zero() {
    // MUST-66; section 3.10.7.4, first: here with a probe of one octet, which is not taken.
    let settings =
        Settings { initial_window: 1_000, receive_buffer: 1_000, timestamps: false, ..Settings::default() };
    let (mut peer, id) = Peer::open(&ListenerConfig { settings, ..ListenerConfig::default() }, mss(1000));
    peer.stack.send(id, HeapBuf::from(b"answer")).unwrap();
    peer.data(&[0; 1_000], 1);
    assert_eq!(peer.take().last().map(|sent| sent.window), Some(0));
    peer.events();
    let probe = Segment {
        source_port: 40_000,
        destination_port: 80,
        sequence: super::peer::PEER_ISN + 1_001,
        acknowledgement: peer.isn + 7,
        flags: ACK | Flags::URG,
        window: 1_000,
        urgent_pointer: 9,
        ..Segment::default()
    };
    peer.put_segment(&probe, b"x");
    assert_eq!(peer.one().acknowledgement, 1_001);
    assert_eq!((peer.stack.unacknowledged(id), peer.stack.readable(id)), (0, 1_000));
    assert_eq!(peer.events(), [Event::Urgent(id)]);
    assert_eq!(peer.stack.counters().value(Counter::ZeroWindowDrop), 1);
    peer.put(RST, 1_001, 0, &[], NONE);
    assert_eq!(peer.stack.state(id), Some(State::Closed));
}
