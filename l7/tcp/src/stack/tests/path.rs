//! What the path carries: MSS, its options, and ICMP (RFC 9293, sections 3.7 and 3.9.2.2; RFC 1191; RFC 8201).

use super::peer::{Peer, TUPLE};
use crate::{HeapBuf, IcmpError, State};

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
