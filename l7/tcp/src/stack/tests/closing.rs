//! How connections end (RFC 9293, section 3.6), and what is remembered of them.

use super::peer::{ACK, FIN, Peer, RST, SYN, mss};
use crate::segment::{Flags, Options};
use crate::{Counter, Ending, Event, HeapBuf, SendError, State};

const NONE: Options = Options::NONE;

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
