//! What is received: when it is acknowledged, and what is urgent (RFC 9293, sections 3.8.5 and 3.8.6.3).

use super::peer::{ACK, Peer};
use crate::segment::Flags;
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
