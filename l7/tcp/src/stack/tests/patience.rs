//! How long is waited: timeouts, R1 and R2, keepalive (RFC 9293, sections 3.8.1, 3.8.3 and 3.8.4).

use core::time::Duration;

use super::peer::{ACK, Peer};
use super::sending::with;
use crate::segment::Options;
use crate::{Counter, Ending, Event, HeapBuf, Keepalive, Settings, State};

const NONE: Options = Options::NONE;

#[test]
fn data_that_nobody_acknowledges_is_repeated_told_about_and_given_up() {
    let (mut peer, id) = with(&Settings { retries: 5, ..Settings::default() });
    peer.stack.send(id, HeapBuf::from(b"anybody?")).unwrap();
    peer.take();
    let repeated = peer.wait_ms(600_000);
    assert!((5..=6).contains(&repeated.len()), "{}", repeated.len());
    assert!(repeated.iter().all(|sent| sent.payload == b"anybody?"));
    assert_eq!(peer.events(), [Event::Struggling(id), Event::Closed(id, Ending::TimedOut)]);
    assert_eq!(peer.stack.counters().value(Counter::AbortOnTimeout), 1);
    peer.stack.release(id);
    assert_eq!((peer.stack.connections(), peer.stack.memory()), (0, 0));
}

#[test]
fn the_user_timeout_ends_it_earlier() {
    let (mut peer, id) =
        with(&Settings { user_timeout: Some(Duration::from_secs(3)), ..Settings::default() });
    peer.stack.send(id, HeapBuf::from(b"anybody?")).unwrap();
    peer.wait_ms(2_500);
    assert_eq!(peer.stack.state(id), Some(State::Established));
    peer.wait_ms(1_000);
    assert_eq!(peer.events().last(), Some(&Event::Closed(id, Ending::TimedOut)));
}

#[test]
fn silence_is_probed_only_if_asked_for() {
    let (mut peer, _) = with(&Settings::default());
    assert_eq!(peer.wait_ms(8_000_000), []);
    let keepalive = Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 3 };
    let (mut peer, id) = with(&Settings { keepalive: Some(keepalive), ..Settings::default() });
    assert_eq!(peer.wait_ms(50_000), []);
    peer.data(b"alive", 1);
    peer.take();
    assert_eq!(peer.wait_ms(59_000), []);
    let probe = peer.wait_ms(2_000);
    assert_eq!(probe.len(), 1);
    assert_eq!((probe[0].sequence, probe[0].payload.len()), (0, 0));
    // An answer is enough; without any, three probes are (MUST-26: never one alone).
    peer.put(ACK, 6, 1, b"", NONE);
    assert_eq!(peer.wait_ms(58_000), []);
    assert_eq!(peer.wait_ms(90_000).len(), 3);
    assert_eq!(peer.events().last(), Some(&Event::Closed(id, Ending::TimedOut)));
}

#[test]
fn a_keepalive_probe_is_answered() {
    let (mut peer, _) = Peer::plain();
    peer.put(ACK, 0, 1, b"", NONE);
    peer.acknowledges(1, 1);
    // With an octet of garbage, as some send it (MUST-29 asks for none, but it is to be interoperable).
    peer.put(ACK, 0, 1, b"x", NONE);
    peer.acknowledges(1, 1);
}
