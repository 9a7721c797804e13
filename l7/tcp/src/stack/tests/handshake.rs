//! How connections begin (RFC 9293, section 3.5).

use super::peer::{ACK, FIN, LOCAL, Peer, REMOTE, RST, SYN, TUPLE, mss};
use crate::segment::Options;
use crate::{Counter, Ending, Event, ListenerConfig, Settings, State};

const NONE: Options = Options::NONE;

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
