//! What the path carries: MSS, its options, and ICMP (RFC 9293, sections 3.7 and 3.9.2.2; RFC 1191; RFC 8201).

use super::peer::{ACK, Peer, TUPLE};
use crate::segment::Options;
use crate::{Ending, Event, HeapBuf, IcmpError, ListenerConfig, Settings, State};

#[test]
fn icmp_is_believed_about_what_is_in_flight_and_ends_nothing() {
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(vec![0; 30_000])).unwrap();
    peer.take();
    let (isn, now) = (peer.isn, peer.now);
    let mss = |peer: &Peer| peer.stack.info(id).unwrap().send_mss;
    for (quoted, error) in [
        (0, IcmpError::TooBig { mtu: 600 }),
        (50_000, IcmpError::TooBig { mtu: 600 }),
        (1, IcmpError::Refused),
        (1, IcmpError::Unreachable),
        (1, IcmpError::TooBig { mtu: 9_000 }),
    ] {
        peer.stack.icmp(now, &TUPLE, isn + quoted, error);
        assert_eq!((mss(&peer), peer.stack.state(id)), (1_000, Some(State::Established)));
    }
    peer.stack.icmp(now, &TUPLE, isn + 1, IcmpError::TooBig { mtu: 900 });
    assert_eq!(mss(&peer), 860);
    // Nor is it made smaller than what every path carries, and without a figure one step down.
    peer.stack.icmp(now, &TUPLE, isn + 1, IcmpError::TooBig { mtu: 0 });
    assert_eq!(mss(&peer), 512);
    peer.stack.icmp(now, &TUPLE, isn + 1, IcmpError::TooBig { mtu: 68 });
    assert_eq!(mss(&peer), 512);
}

#[test]
fn the_application_hears_of_icmp_errors_that_end_nothing() {
    // SHLD-25.
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(b"data")).unwrap();
    peer.take();
    for error in [IcmpError::Unreachable, IcmpError::Refused] {
        peer.stack.icmp(peer.now, &TUPLE, peer.isn + 1, error);
        assert_eq!(peer.events(), [Event::Struggling(id)]);
        assert_eq!(peer.stack.state(id), Some(State::Established));
    }
}

#[test]
fn a_hard_icmp_error_ends_what_is_being_opened_and_a_soft_one_does_not() {
    // SHLD-26, MUST-56.
    let mut peer = Peer::listening(&ListenerConfig::default());
    let id = peer.stack.connect(peer.now, TUPLE, &Settings::default()).unwrap();
    peer.one();
    peer.stack.icmp(peer.now, &TUPLE, peer.isn, IcmpError::Unreachable);
    assert_eq!((peer.events(), peer.stack.state(id)), (vec![Event::Struggling(id)], Some(State::SynSent)));
    peer.stack.icmp(peer.now, &TUPLE, peer.isn, IcmpError::Refused);
    assert_eq!(peer.events(), [Event::Closed(id, Ending::Unreachable)]);
}

/// Has data sent and acknowledged; the largest segment of it.
fn send_some(peer: &mut Peer, id: crate::ConnectionId) -> Option<usize> {
    peer.stack.send(id, HeapBuf::from(vec![0; 3_000])).unwrap();
    let largest = peer.take().iter().map(|sent| sent.payload.len()).max();
    acknowledge_all(peer, id);
    largest
}

fn acknowledge_all(peer: &mut Peer, id: crate::ConnectionId) {
    let unacknowledged = peer.stack.numbers(id).unwrap().1;
    let end = unacknowledged + peer.stack.info(id).unwrap().unacknowledged;
    peer.put(ACK, 1, end - peer.isn, b"", Options::NONE);
    peer.take();
}

#[test]
fn a_path_found_narrow_is_tried_again_after_ten_minutes() {
    // RFC 1191, section 6.3; RFC 8201, section 4.
    let (mut peer, id) = Peer::plain();
    assert_eq!(send_some(&mut peer, id), Some(1_000));
    let narrow = |peer: &mut Peer, mtu| {
        peer.stack.send(id, HeapBuf::from(vec![0; 500])).unwrap();
        peer.take();
        let quoted = peer.stack.numbers(id).unwrap().1;
        peer.stack.icmp(peer.now, &TUPLE, quoted, IcmpError::TooBig { mtu });
    };
    narrow(&mut peer, 900);
    acknowledge_all(&mut peer, id);
    peer.wait_ms(300_000);
    narrow(&mut peer, 800);
    acknowledge_all(&mut peer, id);
    peer.wait_ms(599_000);
    assert_eq!(send_some(&mut peer, id), Some(760));
    peer.wait_ms(2_000);
    assert_eq!(send_some(&mut peer, id), Some(1_000));
    // And what was known of it goes with the connection.
    narrow(&mut peer, 900);
    peer.stack.abort(id);
    assert_eq!(peer.stack.shared.narrow.len(), 0);
}
