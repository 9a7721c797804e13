//! How connections begin (RFC 9293, section 3.5).

use super::pair::{self, Pair};
use super::peer::{ACK, FIN, LOCAL, Peer, REMOTE, RST, SYN, TUPLE, mss};
use crate::segment::{Flags, Options, Timestamps};
use crate::{Counter, Ending, Event, HeapBuf, ListenError, ListenerConfig, Settings, State, Time};

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
    assert_eq!((syn.flags, syn.options.sack_permitted), (SYN | Flags::ECE | Flags::CWR, true));
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

#[test]
fn a_close_before_the_handshake_is_over_is_a_fin_behind_it() {
    // RFC 9293, section 3.10.4: it is queued until the connection is established, whatever the window is by then.
    for window in [0, 1_000] {
        let (mut peer, id) = opening();
        peer.put(SYN, 0, 0, &[], mss(1000));
        assert_eq!(peer.one().flags, SYN | ACK);
        peer.stack.release(id);
        peer.silence();
        peer.window = window;
        peer.put(ACK, 1, 1, &[], NONE);
        let sent = peer.wait_ms(if window == 0 { 5_000 } else { 0 });
        assert_eq!(sent.first().map(|sent| sent.flags), Some(if window == 0 { ACK } else { FIN | ACK }));
        peer.wait_ms(5_000_000);
        assert_eq!(peer.stack.connections(), 0, "it is given up in the end");
    }
}

#[test]
fn two_stacks_that_open_at_the_same_time_have_one_connection_after_a_few_segments() {
    // RFC 9293, section 3.5, figure 8.
    let settings = Settings::default();
    let (mut pair, client, server) = Pair::crossed(&settings);
    pair.run(Time(0));
    assert_eq!(pair.client.next_event(), Some(Event::Connected(client)));
    assert_eq!(pair.server.next_event(), Some(Event::Connected(server)));
    assert!(pair.sent <= 6, "{}", pair.sent);
    pair.client.send(client, HeapBuf::from(b"there")).unwrap();
    pair.server.send(server, HeapBuf::from(b"back")).unwrap();
    pair.run(Time(0));
    assert_eq!((pair.server.readable(server), pair.client.readable(client)), (5, 4));
    let scale = pair.client.info(client).unwrap().send_scale;
    assert!(scale.is_some() && scale == pair.server.info(server).unwrap().send_scale);
}

#[test]
fn syn_received_remembers_who_opened() {
    // MUST-11: what was opened from here is refused, what came from a listener leaves as quietly as it came.
    let (mut peer, id) = opening();
    peer.put(SYN, 0, 0, &[], mss(1000));
    peer.one();
    peer.put(RST, 1, 0, &[], NONE);
    assert_eq!(peer.events(), [Event::Closed(id, Ending::Refused)]);
    assert_eq!(peer.stack.counters().value(Counter::AttemptFails), 1);
}

#[test]
fn a_syn_is_sent_again_for_three_minutes() {
    // MUST-22 and MUST-23.
    let (mut peer, id) = opening();
    let again = peer.wait_ms(180_000);
    assert_eq!(peer.stack.state(id), Some(State::SynSent));
    assert!(again.len() > 3 && again.iter().all(|sent| sent.flags == SYN), "{}", again.len());
    peer.wait_ms(60_000);
    assert_eq!(peer.events(), [Event::Closed(id, Ending::TimedOut)]);
}

#[test]
fn a_syn_goes_once_a_second_at_first_and_then_ever_more_slowly() {
    let times = |steady_syns| {
        let mut peer = Peer::listening(&ListenerConfig::default());
        let settings = Settings { steady_syns, ..Settings::default() };
        peer.stack.connect(peer.now, TUPLE, &settings).unwrap();
        (0..13).filter(|_| !peer.wait_ms(1_000).is_empty()).count()
    };
    // After 1, 3 and 7 seconds; after 1, 2, 3, 4, 5, 7 and 11. The first is one of them.
    assert_eq!((times(0), times(4)), (4, 8));
}

#[test]
fn after_a_syn_that_went_twice_the_first_timeout_is_three_seconds() {
    // RFC 6298, section 5.7. The window is of one segment if it went more often (RFC 5681, section 3.1; RFC 6928, section 2).
    for (delay, rto, window) in
        [(500, 1_500_000, 10_000), (1_500, 3_000_000, 10_000), (2_500, 3_000_000, 1_000)]
    {
        let mut peer = Peer::listening(&ListenerConfig::default());
        let id = peer.stack.connect(peer.now, TUPLE, &Settings::default()).unwrap();
        peer.wait_ms(delay);
        peer.put(SYN | ACK, 0, 1, &[], mss(1000));
        let info = peer.stack.info(id).unwrap();
        assert_eq!((info.rto, info.congestion_window), (rto, window), "{delay}");
    }
}

/// An MSS, and a timestamp that answers `echo`.
fn stamped(value: u32, echo: u32) -> Options {
    Options { timestamps: Some(Timestamps { value, echo }), ..mss(1000) }
}

#[test]
fn timestamps_tell_which_syn_was_answered() {
    // RFC 7323, section 4.1: 50 ms after the second one, and a millisecond for the clock.
    let mut peer = Peer::listening(&ListenerConfig::default());
    let id = peer.stack.connect(peer.now, TUPLE, &Settings::default()).unwrap();
    let syns = peer.wait_ms(1_010);
    let echo = syns.last().unwrap().options.timestamps.unwrap().value;
    peer.now = peer.now.plus_millis(40);
    peer.put(SYN | ACK, 0, 1, &[], stamped(7, echo));
    let info = peer.stack.info(id).unwrap();
    assert_eq!((syns.len(), info.rtt / 2_000), (2, 25), "{info:?}");
    // And what claims to answer something before the first one is not believed.
    let mut peer = Peer::listening(&ListenerConfig::default());
    let id = peer.stack.connect(peer.now, TUPLE, &Settings::default()).unwrap();
    peer.wait_ms(1_050);
    peer.put(SYN | ACK, 0, 1, &[], stamped(7, echo.wrapping_sub(10_000)));
    assert_eq!(peer.stack.info(id).unwrap().rto, 3_000_000);
}

#[test]
fn an_answer_that_was_asked_for_again_measures_from_then_on() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    peer.put(SYN, 0, 0, &[], stamped(1, 0));
    peer.one();
    peer.now = peer.now.plus_millis(900);
    peer.put(SYN, 0, 0, &[], stamped(901, 0));
    let again = peer.one();
    // The timer begins anew: nothing more after the second that the first answer would have had.
    assert_eq!(peer.wait_ms(950), []);
    peer.put(ACK, 1, 1, &[], stamped(1_000, again.options.timestamps.unwrap().value));
    let id = peer.stack.accept(peer.listener).unwrap();
    let info = peer.stack.info(id).unwrap();
    assert!((950_000..953_000).contains(&info.rtt), "{info:?}");
    assert_eq!(info.congestion_window, 9_880, "ten segments");
}

#[test]
fn a_connection_may_be_opened_where_one_is_in_time_wait_if_timestamps_keep_them_apart() {
    // RFC 6191 for the side that opens: see Stack::connect.
    for (stamped, waited_ms, is_opened) in [(true, 1_000, true), (true, 990, false), (false, 30_000, false)] {
        let settings = Settings { timestamps: stamped, ..Settings::default() };
        let (mut pair, client, server) = Pair::connected(&ListenerConfig::default(), &settings);
        pair.client.release(client);
        pair.run(Time(0));
        pair.server.release(server);
        pair.run(Time(0));
        assert_eq!((pair.client.time_wait(), pair.server.connections()), (1, 0));
        let before = pair.client.last_number_of_time_wait();
        pair.run(pair.now.plus_millis(waited_ms));
        let opened = pair.client.connect(pair.now, pair::TUPLE, &settings);
        assert_eq!(opened.is_ok(), is_opened, "{stamped} {waited_ms}");
        let Ok(id) = opened else { continue };
        let initial = pair.client.numbers(id).unwrap().1;
        assert!(initial.follows(before), "{initial:?} {before:?}");
        pair.run(Time(0));
        assert_eq!(pair.client.state(id), Some(State::Established));
    }
}

#[test]
fn listeners_and_connections_of_one_port_do_not_disturb_each_other() {
    // MUST-41 and MUST-42.
    let (mut peer, id) = opening();
    assert_eq!(peer.stack.listen(LOCAL, &ListenerConfig::default()), Err(ListenError::InUse));
    peer.stack.unlisten(peer.listener);
    peer.listener = peer.stack.listen(LOCAL, &ListenerConfig::default()).unwrap();
    assert_eq!(peer.stack.state(id), Some(State::SynSent));
    peer.put(SYN | ACK, 0, 1, &[], mss(1000));
    assert_eq!(peer.events(), [Event::Connected(id)]);
}

#[test]
fn a_syn_of_another_attempt_has_the_client_reset_the_old_one() {
    // Not back to LISTEN at once, as section 3.10.7.4 has it, fourth: a blind SYN would end it.
    for number in [100, 1 << 30] {
        let mut peer = Peer::listening(&ListenerConfig::default());
        peer.put(SYN, 0, 0, &[], mss(1000));
        peer.one();
        peer.put(SYN, number, 0, &[], mss(1000));
        peer.acknowledges(1, 1);
        peer.put(RST, 1, 0, &[], NONE);
        peer.put(SYN, number, 0, &[], mss(1000));
        let answer = peer.one();
        assert_eq!((answer.flags, answer.acknowledgement), (SYN | ACK, number + 1));
    }
}

#[test]
fn data_beside_a_syn_is_asked_for_again() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    peer.put(SYN, 0, 0, b"early", mss(1000));
    assert_eq!(peer.one().acknowledgement, 1);
    peer.put(ACK, 1, 1, b"early", NONE);
    let id = peer.stack.accept(peer.listener).unwrap();
    assert_eq!(peer.stack.read(id).flatten().copied().collect::<Vec<_>>(), b"early");
}

#[test]
fn a_handshake_that_crossed_another_measures_nothing() {
    // Two segments with the SYN went, and nobody knows which of them is answered (RFC 6298, section 3).
    let (mut peer, id) = opening();
    peer.now = peer.now.plus_millis(500);
    peer.put(SYN, 0, 0, &[], mss(1000));
    peer.take();
    peer.now = peer.now.plus_millis(10);
    peer.put(ACK, 1, 1, &[], NONE);
    let info = peer.stack.info(id).unwrap();
    assert_eq!((info.state, info.rtt, info.rto), (State::Established, 0, 1_000_000));
}
