//! Timestamps (RFC 7323, sections 3 to 5).

use super::peer::{ACK, Peer, mss};
use crate::segment::{Flags, Options, Timestamps};
use crate::{Counter, ListenerConfig, State};

const NONE: Options = Options::NONE;

#[test]
fn old_timestamps_are_refused_and_their_wrap_is_not() {
    let options = |value| Options { timestamps: Some(Timestamps { value, echo: 0 }), ..mss(1000) };
    let (mut peer, id) = Peer::open(&ListenerConfig::default(), options(0xffff_fff0));
    let bare = |value| Options { mss: None, ..options(value) };
    // Old (RFC 7323, section 5): acknowledged, not taken.
    peer.put(ACK, 1, 1, b"old", bare(0xffff_ff00));
    peer.acknowledges(1, 1);
    assert_eq!(peer.stack.readable(id), 0);
    // Without the option.
    peer.put(ACK, 1, 1, b"none", NONE);
    assert_eq!(peer.stack.readable(id), 0);
    peer.take();
    // Past the wrap.
    peer.put(ACK, 1, 1, b"new", bare(5));
    assert_eq!(peer.stack.readable(id), 3);
    assert_eq!(peer.one().options.timestamps.map(|timestamps| timestamps.echo), Some(5));
    // A reset needs none, and after 24 days the clock may be anywhere (section 5.5).
    peer.wait_ms(25 * 86_400_000);
    peer.put(ACK, 4, 1, b"later", bare(0x8000_0001));
    assert_eq!(peer.stack.readable(id), 8);
    peer.put(Flags::RST, 9, 0, b"", NONE);
    assert_eq!(peer.stack.state(id), Some(State::Closed));
}

/// Both ends use timestamps; the other one's clock stands at 1,000.
fn stamped() -> (Peer, crate::ConnectionId) {
    Peer::open(&ListenerConfig::default(), Options { mss: Some(1000), ..stamp(1_000) })
}

fn stamp(value: u32) -> Options {
    Options { timestamps: Some(Timestamps { value, echo: 0 }), ..NONE }
}

#[test]
fn a_reset_is_not_subjected_to_paws() {
    // Section 5.2: neither for an old timestamp nor for none.
    for options in [stamp(1), NONE] {
        let (mut peer, id) = stamped();
        peer.put(Flags::RST, 1, 0, b"", options);
        assert_eq!(peer.stack.state(id), Some(State::Closed), "{options:?}");
    }
}

#[test]
fn what_lacks_the_option_is_dropped_without_a_word_and_ends_nothing() {
    // Section 3.2. A SYN is another connection's, and challenged like any (RFC 5961, section 4).
    let (mut peer, id) = stamped();
    peer.put(ACK, 1, 1, b"data", NONE);
    peer.silence();
    assert_eq!((peer.stack.readable(id), peer.stack.state(id)), (0, Some(State::Established)));
    for options in [mss(1000), Options { mss: Some(1000), ..stamp(1) }] {
        peer.put(Flags::SYN, 7_000, 0, b"", options);
        peer.acknowledges(1, 1);
    }
    assert_eq!(peer.stack.counters().value(Counter::ChallengeAck), 2);
}

#[test]
fn an_option_that_was_not_agreed_on_is_passed_over() {
    // Section 3.2.
    let (mut peer, id) = Peer::plain();
    for (offset, value) in [(0, 1_000), (4, 1)] {
        peer.put(ACK, 1 + offset, 1, b"data", stamp(value));
    }
    assert_eq!(peer.stack.readable(id), 8);
    assert!(peer.take().iter().all(|sent| sent.options.timestamps.is_none()));
}

#[test]
fn the_timestamp_of_the_segment_that_an_acknowledgement_answers_is_echoed() {
    // Section 4.3: neither one that is out of order nor one that is old moves TS.Recent.
    let (mut peer, _) = stamped();
    let echo = |peer: &mut Peer| peer.take().last().unwrap().options.timestamps.unwrap().echo;
    peer.put(ACK, 5, 1, b"late", stamp(1_010));
    assert_eq!(echo(&mut peer), 1_000);
    peer.put(ACK, 1, 1, b"next", stamp(1_020));
    assert_eq!(echo(&mut peer), 1_020);
    // Two segments and one acknowledgement: the first of them counts.
    peer.put(ACK, 9, 1, b"a", stamp(1_030));
    peer.put(ACK, 10, 1, b"b", stamp(1_040));
    assert_eq!(echo(&mut peer), 1_030);
}

#[test]
fn resets_carry_timestamps() {
    // Section 5.2: those of a connection its own, others that of the segment they answer.
    let (mut peer, id) = stamped();
    peer.stack.abort(id);
    let own = peer.one().options.timestamps.unwrap();
    assert!(own.value != 0 && own.echo == 1_000);
    peer.put(ACK, 1, 1, b"", stamp(1_234));
    assert_eq!(peer.one().options.timestamps, Some(Timestamps { value: 0, echo: 1_234 }));
    peer.put(ACK, 1, 1, b"", NONE);
    assert_eq!(peer.one().options.timestamps, None);
}
