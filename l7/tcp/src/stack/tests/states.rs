//! RFC 9293, section 3.10.7: a segment arrives, in each state.

use super::peer::{ACK, FIN, LOCAL, Peer, REMOTE, RST, SYN, TUPLE, mss};
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
fn syn_received_ends_quietly_with_a_reset_and_answers_a_syn_again() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    peer.put(SYN, 0, 0, &[], mss(1000));
    let first = peer.one();
    peer.put(SYN, 0, 0, &[], mss(1000));
    assert_eq!(peer.one(), first);
    // An acknowledgement of something else is refused, and changes nothing.
    peer.put(ACK, 1, 2, &[], NONE);
    let reset = peer.one();
    assert_eq!((reset.flags, reset.sequence), (RST, 2));
    peer.put(RST, 1, 0, &[], NONE);
    peer.silence();
    assert_eq!(peer.stack.connections(), 0);
    assert_eq!(peer.events(), []);
    assert_eq!(peer.stack.counters().value(Counter::AttemptFails), 1);
}

#[test]
fn the_answer_to_a_syn_is_repeated_ever_slower_and_given_up() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    peer.put(SYN, 0, 0, &[], mss(1000));
    assert_eq!(peer.wait_ms(1_000 + 2_000 + 3_900).len(), 3);
    let rest = peer.wait_ms(300_000);
    assert!(rest.iter().all(|sent| sent.flags == SYN | ACK));
    assert_eq!(rest.len(), usize::from(Settings::default().syn_retries) - 2);
    assert_eq!(peer.stack.connections(), 0);
}

/// A stack that has sent a SYN.
fn opening() -> (Peer, crate::ConnectionId) {
    let mut peer = Peer::listening(&ListenerConfig::default());
    let id = peer.stack.connect(peer.now, TUPLE, &Settings::default()).unwrap();
    let syn = peer.one();
    assert_eq!((syn.flags, syn.options.sack_permitted), (SYN, true));
    assert!(syn.options.timestamps.is_some() && syn.options.window_scale.is_some());
    (peer, id)
}

#[test]
fn syn_sent_believes_only_what_acknowledges_its_syn() {
    let (mut peer, id) = opening();
    for (flags, acknowledgement, answer) in [
        (SYN | ACK, 0, Some(RST)),
        (ACK, 2, Some(RST)),
        (RST | ACK, 2, None),
        (RST, 0, None),
        (ACK, 1, None),
        (FIN, 0, None),
    ] {
        peer.put(flags, 0, acknowledgement, &[], NONE);
        assert_eq!(peer.take().first().map(|sent| sent.flags), answer, "{flags:?}");
        assert_eq!(peer.stack.state(id), Some(State::SynSent), "{flags:?}");
    }
    peer.put(SYN | ACK, 0, 1, &[], mss(1000));
    assert_eq!(peer.events(), [Event::Connected(id)]);
    peer.acknowledges(1, 1);
}

#[test]
fn syn_sent_is_refused_by_a_reset_that_acknowledges() {
    let (mut peer, id) = opening();
    peer.put(RST | ACK, 0, 1, &[], NONE);
    assert_eq!(peer.events(), [Event::Closed(id, Ending::Refused)]);
    peer.silence();
    peer.stack.release(id);
    assert_eq!(peer.stack.connections(), 0);
}

#[test]
fn both_may_open_at_the_same_time() {
    let (mut peer, id) = opening();
    peer.put(SYN, 0, 0, &[], mss(1000));
    assert_eq!(peer.stack.state(id), Some(State::SynReceived));
    let again = peer.one();
    assert_eq!((again.flags, again.sequence, again.acknowledgement), (SYN | ACK, 0, 1));
    peer.put(SYN | ACK, 0, 1, &[], mss(1000));
    // The other side's answer acknowledges, too: it comes as an old segment, or as the acknowledgement that follows.
    peer.put(ACK, 1, 1, &[], NONE);
    assert_eq!(peer.stack.state(id), Some(State::Established));
    assert_eq!(peer.events(), [Event::Connected(id)]);
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
fn this_side_closes_first() {
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(b"bye")).unwrap();
    peer.stack.close(id);
    let last = peer.one();
    assert_eq!((last.flags, &last.payload[..]), (FIN | ACK | Flags::PSH, &b"bye"[..]));
    assert_eq!(peer.stack.state(id), Some(State::FinWait1));
    assert_eq!(peer.stack.send(id, HeapBuf::from(b"more")).unwrap_err().0, SendError::Closed);
    peer.data(b"half", 5);
    assert_eq!(peer.stack.state(id), Some(State::FinWait2));
    peer.take();
    peer.put(FIN | ACK, peer.next, 5, b"", NONE);
    peer.acknowledges(5, 6);
    assert_eq!(peer.stack.state(id), Some(State::Closed));
    assert_eq!(peer.events(), [Event::Readable(id), Event::Closed(id, Ending::Closed)]);
    assert_eq!(peer.stack.read(id).flatten().copied().collect::<Vec<_>>(), b"half");
    peer.stack.release(id);
    assert_eq!((peer.stack.connections(), peer.stack.time_wait()), (0, 1));
}

#[test]
fn the_other_side_closes_first() {
    let (mut peer, id) = Peer::plain();
    peer.put(FIN | ACK, 1, 1, b"last", NONE);
    peer.acknowledges(1, 6);
    assert_eq!(peer.stack.state(id), Some(State::CloseWait));
    assert_eq!(peer.events(), [Event::Readable(id)]);
    assert!(!peer.stack.is_at_end(id));
    peer.stack.consume(id, 4);
    assert!(peer.stack.is_at_end(id));
    // Data may still be sent; text that comes behind the FIN is ignored.
    peer.stack.send(id, HeapBuf::from(b"answer")).unwrap();
    assert_eq!(peer.one().payload, b"answer");
    peer.put(ACK, 6, 7, b"nonsense", NONE);
    assert_eq!(peer.stack.readable(id), 0);
    peer.take();
    peer.stack.release(id);
    assert_eq!(peer.one().flags, FIN | ACK);
    peer.put(ACK, 6, 8, b"", NONE);
    peer.silence();
    assert_eq!((peer.stack.connections(), peer.stack.time_wait()), (0, 0));
}

#[test]
fn both_close_at_the_same_time() {
    let (mut peer, id) = Peer::plain();
    peer.stack.close(id);
    assert_eq!(peer.one().flags, FIN | ACK);
    peer.put(FIN | ACK, 1, 1, b"", NONE);
    assert_eq!(peer.stack.state(id), Some(State::Closing));
    peer.acknowledges(2, 2);
    peer.put(ACK, 2, 2, b"", NONE);
    assert_eq!(peer.stack.state(id), Some(State::Closed));
    assert_eq!(peer.stack.time_wait(), 1);
}

#[test]
fn time_wait_acknowledges_a_fin_again_and_is_not_assassinated() {
    let (mut peer, id) = Peer::plain();
    peer.stack.release(id);
    assert_eq!(peer.one().flags, FIN | ACK);
    peer.put(FIN | ACK, 1, 2, b"", NONE);
    peer.acknowledges(2, 2);
    assert_eq!((peer.stack.connections(), peer.stack.time_wait()), (0, 1));
    peer.put(RST, 2, 0, b"", NONE);
    peer.put(ACK, 2, 2, b"", NONE);
    peer.silence();
    peer.put(FIN | ACK, 1, 2, b"", NONE);
    peer.acknowledges(2, 2);
    // A SYN with an old number is not believed; one with a newer number opens a connection anew (RFC 9293, MAY-2).
    peer.put(SYN, 0, 0, b"", mss(1000));
    peer.acknowledges(2, 2);
    peer.put(SYN, 3, 0, b"", mss(1000));
    let answer = peer.take();
    assert_eq!(answer.last().map(|sent| sent.flags), Some(SYN | ACK));
    assert_eq!(peer.stack.counters().value(Counter::TimeWaitRecycled), 1);
}

#[test]
fn what_was_not_read_when_the_application_lets_go_is_told_by_a_reset() {
    let (mut peer, id) = Peer::plain();
    peer.data(b"unread", 1);
    peer.take();
    peer.stack.release(id);
    assert_eq!(peer.one().flags, RST | ACK);
    assert_eq!((peer.stack.connections(), peer.stack.memory()), (0, 0));
    // And so is data that comes after that.
    let (mut peer, id) = Peer::plain();
    peer.stack.release(id);
    assert_eq!(peer.one().flags, FIN | ACK);
    peer.data(b"late", 2);
    assert_eq!(peer.one().flags, RST | ACK);
    assert_eq!(peer.stack.connections(), 0);
}

#[test]
fn abort_resets_and_forgets() {
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(b"never mind")).unwrap();
    peer.stack.abort(id);
    let reset = peer.one();
    assert_eq!((reset.flags, reset.sequence), (RST | ACK, 1));
    assert_eq!(peer.stack.state(id), None);
    assert_eq!((peer.stack.connections(), peer.stack.memory()), (0, 0));
}

#[test]
fn a_released_connection_does_not_wait_for_ever() {
    let (mut peer, id) = Peer::plain();
    peer.stack.release(id);
    assert_eq!(peer.one().flags, FIN | ACK);
    peer.put(ACK, 1, 2, b"", NONE);
    assert_eq!(peer.stack.connections(), 1);
    peer.wait_ms(61_000);
    assert_eq!(peer.stack.connections(), 0);
}

#[test]
fn endpoints_that_are_nobodys_cannot_be_opened() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    for tuple in [
        crate::Tuple { local: LOCAL, remote: crate::Endpoint::v4([224, 0, 0, 1], 5) },
        crate::Tuple { local: LOCAL, remote: crate::Endpoint { port: 0, ..REMOTE } },
        crate::Tuple { local: LOCAL, remote: LOCAL },
    ] {
        assert_eq!(
            peer.stack.connect(peer.now, tuple, &Settings::default()),
            Err(crate::ConnectError::Unusable)
        );
    }
    peer.stack.connect(peer.now, TUPLE, &Settings::default()).unwrap();
    assert_eq!(peer.stack.connect(peer.now, TUPLE, &Settings::default()), Err(crate::ConnectError::InUse));
}
