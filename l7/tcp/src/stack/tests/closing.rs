//! How connections end (RFC 9293, section 3.6), and what is remembered of them.

use super::peer::{ACK, FIN, Peer, RST, SYN, mss};
use crate::segment::{Flags, Options, Timestamps};
use crate::{Counter, Ending, Event, HeapBuf, ListenerConfig, SendError, Settings, State};

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

/// A connection without timestamps that has gone to TIME-WAIT, having sent so much.
fn departed(octets: usize, config: &ListenerConfig, options: Options) -> Peer {
    let (mut peer, id) = Peer::open(config, options);
    let echo = Options { mss: None, ..options };
    let mut left = octets;
    let mut acknowledged = 1;
    while left > 0 {
        let count = left.min(10_000);
        peer.stack.send(id, HeapBuf::from(vec![0; count])).unwrap();
        peer.take();
        acknowledged += count as u32;
        left -= count;
        peer.put(ACK, 1, acknowledged, b"", echo);
    }
    peer.stack.release(id);
    peer.take();
    peer.put(FIN | ACK, 1, acknowledged + 1, b"", echo);
    peer.take();
    assert_eq!((peer.stack.connections(), peer.stack.time_wait()), (0, 1));
    peer
}

#[test]
fn a_connection_after_time_wait_begins_after_the_last_number_of_the_one_before() {
    // MAY-2, first condition. The clock of initial numbers ticks every four microseconds; this one sent faster.
    let settings = Settings { timestamps: false, no_delay: true, ..Settings::default() };
    let config = ListenerConfig { settings, ..ListenerConfig::default() };
    for octets in [10, 1_000_000] {
        let mut peer = departed(octets, &config, mss(1000));
        let last = peer.stack.last_number_of_time_wait();
        peer.put(SYN, 100, 0, b"", mss(1000));
        assert_eq!(peer.one().flags, SYN | ACK);
        assert!(peer.isn.follows(last), "{octets}");
    }
}

#[test]
fn timestamps_end_time_wait_early() {
    // SHLD-4 and RFC 6191, section 2: those of the connection that was, of the SYN; its number counted from the FIN's; is it let in?
    let stamps = |value| Some(Timestamps { value, echo: 0 });
    for (before, syn, number, is_let_in) in [
        (stamps(1_000), stamps(1_001), -50, true),
        (stamps(1_000), stamps(1_000), -50, false),
        (stamps(1_000), stamps(1_000), 1, true),
        (stamps(1_000), stamps(999), 1, false),
        (stamps(1_000), None, 1, true),
        (stamps(1_000), None, -50, false),
        (None, stamps(5), -50, true),
        (None, None, -50, false),
        (None, None, 1, true),
    ] {
        let config = ListenerConfig::default();
        let mut peer = departed(10, &config, Options { timestamps: before, ..mss(1000) });
        let options = Options { timestamps: syn, ..mss(1000) };
        peer.put(SYN, 2u32.wrapping_add_signed(number), 0, b"", options);
        let answer = peer.one().flags;
        assert_eq!(answer == SYN | ACK, is_let_in, "{before:?} {syn:?} {number}");
    }
}

#[test]
fn time_wait_lasts_two_segment_lifetimes_and_begins_anew_with_each_fin() {
    // MUST-13.
    let mut peer = departed(10, &ListenerConfig::default(), mss(1000));
    peer.wait_ms(59_000);
    peer.put(FIN | ACK, 1, 12, b"", NONE);
    assert_eq!(peer.one().flags, ACK);
    peer.wait_ms(59_000);
    assert_eq!(peer.stack.time_wait(), 1);
    peer.wait_ms(2_000);
    assert_eq!(peer.stack.time_wait(), 0);
}

#[test]
fn a_reset_may_carry_data_and_the_application_learns_what_it_was() {
    // SHLD-2 and MUST-12: closed is one thing, aborted another.
    let (mut peer, id) = Peer::plain();
    peer.put(RST, 1, 0, b"why", NONE);
    assert_eq!(peer.events(), [Event::Closed(id, Ending::Reset)]);
    assert_eq!(peer.stack.readable(id), 0);
}
