//! What is received: when it is acknowledged, and what is urgent (RFC 9293, sections 3.8.5 and 3.8.6.3).

use super::peer::{ACK, LOCAL, PEER_ISN, Peer, REMOTE};
use crate::segment::{Flags, Options, Segment};
use crate::{Counter, Event, HeapBuf};

#[test]
fn acknowledgements_wait_for_company_but_not_for_long() {
    let (mut peer, id) = Peer::plain();
    // The first ones of a connection do not wait.
    peer.data(b"question", 1);
    peer.acknowledges(1, 9);
    peer.data(b"question", 1);
    peer.stack.send(id, HeapBuf::from(b"answer")).unwrap();
    assert_eq!(peer.one().acknowledgement, 17);
    // From then on the application is given time to answer.
    peer.data(b"question", 7);
    peer.silence();
    let late = peer.wait_ms(500);
    assert_eq!(late.len(), 1);
    assert_eq!(peer.stack.counters().value(Counter::DelayedAcks), 1);
    // Of two segments the second is acknowledged at once (SHLD-19, MUST-58).
    peer.data(b"question", 7);
    peer.silence();
    peer.data(b"question", 7);
    peer.acknowledges(7, 41);
}

#[test]
fn urgent_data_is_announced_and_sent_in_line() {
    let (mut peer, id) = Peer::plain();
    let urgent = crate::segment::Segment {
        source_port: 40_000,
        destination_port: 80,
        sequence: super::peer::PEER_ISN + 1,
        acknowledgement: peer.isn + 1,
        flags: ACK | Flags::URG,
        window: 1_000,
        urgent_pointer: 4,
        ..Default::default()
    };
    peer.put_segment(&urgent, b"ab");
    assert_eq!(peer.events(), [Event::Urgent(id), Event::Readable(id)]);
    assert_eq!(peer.stack.urgent(id), Some(4));
    peer.take();
    peer.stack.send(id, HeapBuf::from(b"urgent")).unwrap();
    peer.stack.mark_urgent(id).unwrap();
    assert!(peer.one().flags.contains(Flags::URG));
}

#[test]
fn a_burst_is_acknowledged_once() {
    // MUST-58 and MUST-59: all that has come is looked at before anything goes.
    let (mut peer, id) = Peer::plain();
    for _ in 0..30 {
        peer.data(&[0; 1_000], 1);
    }
    peer.acknowledges(1, 30_001);
    // And with the answer, if there is one.
    peer.data(b"question", 1);
    peer.stack.send(id, HeapBuf::from(b"answer")).unwrap();
    assert_eq!(peer.one().acknowledgement, 30_009);
}

#[test]
fn what_comes_out_of_order_is_kept_and_acknowledged_at_once() {
    // SHLD-31 and MAY-13.
    let (mut peer, id) = Peer::plain();
    peer.put(ACK, 4, 1, b"def", Options::NONE);
    peer.acknowledges(1, 1);
    peer.put(ACK, 1, 1, b"abc", Options::NONE);
    peer.acknowledges(1, 7);
    assert_eq!(peer.stack.read(id).flatten().copied().collect::<Vec<_>>(), b"abcdef");
}

/// A segment with an urgent pointer.
fn urgent(peer: &mut Peer, sequence: u32, pointer: u16, payload: &[u8]) {
    let segment = Segment {
        source_port: REMOTE.port,
        destination_port: LOCAL.port,
        sequence: PEER_ISN + sequence,
        acknowledgement: peer.isn + 1,
        flags: ACK | Flags::URG,
        window: 60_000,
        urgent_pointer: pointer,
        ..Segment::default()
    };
    peer.put_segment(&segment, payload);
}

#[test]
fn urgent_data_may_be_of_any_length_and_the_application_hears_whenever_its_end_moves() {
    // MUST-31 to MUST-33, MUST-62.
    let (mut peer, id) = Peer::plain();
    urgent(&mut peer, 1, 65_535, b"ab");
    assert_eq!(peer.events(), [Event::Urgent(id), Event::Readable(id)]);
    assert_eq!(peer.stack.urgent(id), Some(65_535));
    // The same end is no news, nor is one before it.
    urgent(&mut peer, 3, 65_533, b"c");
    urgent(&mut peer, 4, 2, b"");
    assert_eq!(peer.events(), [Event::Readable(id)]);
    urgent(&mut peer, 4, 65_535, b"");
    assert_eq!((peer.events(), peer.stack.urgent(id)), (vec![Event::Urgent(id)], Some(65_538)));
    peer.stack.consume(id, 3);
    assert_eq!(peer.stack.urgent(id), Some(65_535));
    peer.take();
    // What goes: the pointer is that of the octet after the last urgent one, as far as it reaches.
    peer.stack.send(id, HeapBuf::from(vec![0; 70_000])).unwrap();
    peer.stack.mark_urgent(id).unwrap();
    let sent = peer.take_segments();
    assert!(sent.len() > 5);
    for segment in &sent {
        let end = (peer.isn + 70_001) - segment.sequence;
        assert!(segment.flags.contains(Flags::URG));
        assert_eq!(u32::from(segment.urgent_pointer), end.min(65_535));
    }
}

#[test]
fn an_urgent_pointer_to_what_was_read_or_to_nothing_says_nothing() {
    let (mut peer, id) = Peer::plain();
    peer.data(b"question", 1);
    peer.events();
    urgent(&mut peer, 9, 0, b"");
    urgent(&mut peer, 1, 8, b"");
    assert_eq!((peer.events(), peer.stack.urgent(id)), (vec![], None));
}
