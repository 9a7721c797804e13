//! How long is waited: timeouts, R1 and R2, keepalive (RFC 9293, sections 3.8.1, 3.8.3 and 3.8.4).

use core::time::Duration;

use super::peer::{ACK, Peer, mss};
use super::sending::with;
use crate::segment::{Options, Timestamps};
use crate::{Counter, Ending, Event, HeapBuf, Keepalive, ListenerConfig, Settings, State};

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

#[test]
fn data_is_sent_again_for_more_than_a_hundred_seconds() {
    // SHLD-11, for either set of defaults.
    for settings in [Settings::default(), Settings::towards_backends()] {
        let (mut peer, id) = with(&settings);
        peer.stack.send(id, HeapBuf::from(b"measured")).unwrap();
        peer.take();
        peer.now = peer.now.plus_millis(1);
        peer.put(ACK, 1, 9, b"", NONE);
        peer.stack.send(id, HeapBuf::from(b"anybody?")).unwrap();
        peer.wait_ms(100_000);
        assert_eq!(peer.stack.state(id), Some(State::Established));
        assert!(peer.stack.info(id).unwrap().retransmits > 3);
    }
}

#[test]
fn a_timeout_doubles_and_what_went_twice_measures_nothing() {
    // MUST-18, MUST-19: RFC 6298, sections 3 (Karn's algorithm) and 5.5. SACK is off, since probes would be in between.
    let settings = Settings { sack: false, ..Settings::default() };
    let (mut peer, id) = with(&settings);
    peer.stack.send(id, HeapBuf::from(b"measured")).unwrap();
    peer.take();
    peer.now = peer.now.plus_millis(50);
    peer.put(ACK, 1, 9, b"", NONE);
    let before = peer.stack.info(id).unwrap();
    peer.stack.send(id, HeapBuf::from(b"lost")).unwrap();
    peer.take();
    let (mut rto, mut due) = (before.rto, peer.now);
    for _ in 0..4 {
        due = due.plus_micros(rto);
        let left_ms = (due.nanos_since(peer.now) / 1_000_000) as u32;
        assert_eq!(peer.wait_ms(left_ms - 1), []);
        assert_eq!(peer.wait_ms(2).len(), 1);
        rto *= 2;
        assert_eq!(peer.stack.info(id).unwrap().rto, rto);
    }
    peer.put(ACK, 1, 13, b"", NONE);
    let after = peer.stack.info(id).unwrap();
    assert_eq!((after.rtt, after.rto, after.backoff), (before.rtt, before.rto, 0));
}

#[test]
fn towards_backends_a_timeout_is_of_milliseconds_also_where_timestamps_measure() {
    // Timestamps tick in milliseconds; what went once is measured by the clock itself, and what went twice by them, to the tick.
    let settings = Settings { sack: false, ..Settings::towards_backends() };
    assert_eq!(settings.min_rto, Duration::from_millis(5));
    let stamp = |value, echo| Options { timestamps: Some(Timestamps { value, echo }), ..NONE };
    let config = ListenerConfig { settings, ..ListenerConfig::default() };
    let (mut peer, id) = Peer::open(&config, Options { mss: Some(1_000), ..stamp(1, 0) });
    let exchange = |peer: &mut Peer, is_lost: bool| {
        peer.stack.send(id, HeapBuf::from(vec![0; 3_000])).unwrap();
        let mut sent = peer.take();
        if is_lost {
            sent = peer.wait_ms(7);
            assert_eq!(sent.len(), 1, "sent again within seven milliseconds");
        }
        while let Some(last) = sent.last() {
            peer.now = peer.now.plus_micros(100);
            let echo = last.options.timestamps.unwrap().value;
            let end = peer.stack.numbers(id).unwrap().1 + peer.stack.info(id).unwrap().unacknowledged;
            peer.put(ACK, 1, end - peer.isn, b"", stamp(2, echo));
            sent = peer.take();
        }
    };
    for _ in 0..100 {
        exchange(&mut peer, false);
    }
    let rtt = peer.stack.info(id).unwrap().rtt;
    assert!((90..=110).contains(&rtt), "{rtt}");
    for _ in 0..5 {
        exchange(&mut peer, true);
        // A sample of a tick or two, where the round trip is a tenth of one.
        let rtt = peer.stack.info(id).unwrap().rtt;
        assert!((200..=500).contains(&rtt), "{rtt}");
        // The window opens again.
        for _ in 0..30 {
            exchange(&mut peer, false);
        }
    }
}

#[test]
fn silence_is_not_probed_while_something_is_in_flight_nor_before_two_hours_by_default() {
    // MUST-26 and MUST-28.
    assert!(Keepalive::default().idle >= Duration::from_secs(7_200));
    let keepalive = Keepalive { idle: Duration::from_secs(5), interval: Duration::from_secs(5), probes: 3 };
    let (mut peer, id) = with(&Settings { keepalive: Some(keepalive), ..Settings::default() });
    peer.stack.send(id, HeapBuf::from(b"unheard")).unwrap();
    let sent = peer.wait_ms(60_000);
    assert!(sent.iter().all(|sent| !sent.payload.is_empty()));
    assert_eq!(peer.stack.counters().value(Counter::KeepAlive), 0);
}

#[test]
fn a_lone_segment_is_given_the_time_of_a_delayed_acknowledgement_and_several_are_not() {
    // RFC 8985, section 7.2; Settings::delayed_ack_margin. What is lost is the last of so many.
    for (sack, segments, least_ms, most_ms) in
        [(false, 1, 40, 46), (false, 2, 5, 7), (true, 1, 40, 46), (true, 2, 1, 3), (true, 5, 1, 3)]
    {
        let settings = Settings { timestamps: false, ..Settings::towards_backends() };
        let config = ListenerConfig { settings, ..ListenerConfig::default() };
        let (mut peer, id) = Peer::open(&config, Options { sack_permitted: sack, ..mss(1000) });
        let mut acknowledged = 1;
        for _ in 0..100 {
            peer.stack.send(id, HeapBuf::from(vec![0; 2_000])).unwrap();
            peer.take();
            peer.now = peer.now.plus_micros(100);
            acknowledged += 2_000;
            peer.put(ACK, 1, acknowledged, b"", NONE);
        }
        peer.stack.send(id, HeapBuf::from(vec![0; segments * 1_000])).unwrap();
        assert_eq!(peer.take().len(), segments);
        assert_eq!(peer.wait_ms(least_ms), [], "{sack} {segments}");
        assert_eq!(peer.wait_ms(most_ms - least_ms).len(), 1, "{sack} {segments}");
    }
}

#[test]
fn the_application_hears_after_three_timeouts() {
    // SHLD-9 and SHLD-10.
    let (mut peer, id) = with(&Settings { sack: false, ..Settings::default() });
    peer.stack.send(id, HeapBuf::from(b"anybody?")).unwrap();
    peer.take();
    for times in 1..=3 {
        assert_eq!(peer.events(), []);
        while peer.stack.info(id).unwrap().retransmits < times {
            peer.wait_ms(100);
        }
    }
    assert_eq!(
        (peer.events(), peer.stack.state(id)),
        (vec![Event::Struggling(id)], Some(State::Established))
    );
}
