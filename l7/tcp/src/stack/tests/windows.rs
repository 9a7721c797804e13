//! Windows: silly ones, closed ones, and ones that are taken back (RFC 9293, section 3.8.6).

use super::peer::{ACK, Peer, SYN, mss};
use super::sending::{lengths, with};
use crate::segment::Options;
use crate::{Counter, Ending, Event, HeapBuf, ListenerConfig, Settings, State};

const NONE: Options = Options::NONE;

#[test]
fn a_small_window_is_not_filled_with_crumbs() {
    let (mut peer, id) = with(&Settings { no_delay: true, ..Settings::default() });
    peer.stack.send(id, HeapBuf::from(vec![0; 5_000])).unwrap();
    assert_eq!(lengths(&mut peer), [1_000; 5]);
    // The window shrinks to what is in flight and 100 more: less than a segment and than half of the largest window.
    peer.window = 100;
    peer.put(ACK, 1, 5_001, b"", NONE);
    peer.stack.send(id, HeapBuf::from(vec![0; 3_000])).unwrap();
    peer.silence();
    // After a while what fits goes, so that a peer with a small window is served at all.
    let sent = peer.wait_ms(1_000);
    assert_eq!(sent.first().map(|sent| sent.payload.len()), Some(100));
}

#[test]
fn a_closed_window_is_probed_ever_slower_and_for_ever_while_the_probes_are_answered() {
    let (mut peer, id) = with(&Settings { no_delay: true, retries: 3, ..Settings::default() });
    peer.window = 0;
    peer.put(ACK, 1, 1, b"", NONE);
    peer.stack.send(id, HeapBuf::from(b"waiting")).unwrap();
    peer.silence();
    let mut probes = 0;
    for _ in 0..400 {
        for probe in peer.wait_ms(1_000) {
            // One octet before the window, which the other end has to answer.
            assert_eq!((probe.flags, probe.sequence, probe.payload.len()), (ACK, 0, 0));
            probes += 1;
            peer.put(ACK, 1, 1, b"", NONE);
        }
    }
    assert!((8..20).contains(&probes), "{probes}");
    assert_eq!(peer.stack.state(id), Some(State::Established));
    peer.window = 10;
    peer.put(ACK, 1, 1, b"", NONE);
    assert_eq!(peer.wait_ms(1).iter().map(|sent| sent.payload.len()).sum::<usize>(), 7);
}

#[test]
fn a_closed_window_whose_probes_nobody_answers_is_given_up() {
    let (mut peer, id) = with(&Settings { no_delay: true, retries: 3, ..Settings::default() });
    peer.window = 0;
    peer.put(ACK, 1, 1, b"", NONE);
    peer.stack.send(id, HeapBuf::from(b"waiting")).unwrap();
    let probes = peer.wait_ms(600_000);
    assert_eq!(probes.len(), 4);
    assert_eq!(peer.events(), [Event::Closed(id, Ending::TimedOut)]);
}

#[test]
fn the_window_closes_as_nobody_reads_and_opens_again() {
    let settings = Settings {
        initial_window: 10_000,
        receive_buffer: 10_000_000,
        timestamps: false,
        ..Settings::default()
    };
    let (mut peer, id) = Peer::open(&ListenerConfig { settings, ..ListenerConfig::default() }, mss(1000));
    for _ in 0..10 {
        peer.data(&[0; 1_000], 1);
    }
    assert_eq!(peer.take().last().unwrap().window, 0);
    // A probe of the closed window is answered, and not taken (MUST-66).
    peer.put(ACK, 10_001, 1, b"x", NONE);
    assert_eq!(peer.one().window, 0);
    assert_eq!(peer.stack.readable(id), 10_000);
    // Little reading does not open it: a window of crumbs is silly (MUST-39).
    peer.stack.consume(id, 100);
    peer.silence();
    peer.stack.consume(id, 9_000);
    assert!(peer.one().window >= 5_000);
    let counters = peer.stack.counters();
    assert_eq!(
        (counters.value(Counter::ToZeroWindowAdv), counters.value(Counter::FromZeroWindowAdv)),
        (1, 1)
    );
}

#[test]
fn a_window_that_is_taken_back_is_no_failure_while_the_other_side_answers() {
    // MUST-34, SHLD-17: what is in flight lies beyond the new edge; it goes again, and nothing is given up.
    let (mut peer, id) = with(&Settings { no_delay: true, retries: 3, ..Settings::default() });
    peer.stack.send(id, HeapBuf::from(vec![0; 3_000])).unwrap();
    assert_eq!(lengths(&mut peer), [1_000; 3]);
    peer.window = 0;
    for _ in 0..900 {
        if !peer.wait_ms(1_000).is_empty() {
            peer.put(ACK, 1, 1, b"", NONE);
        }
        assert_eq!(peer.stack.state(id), Some(State::Established));
    }
    // New data does not go beyond the edge (SHLD-15).
    peer.stack.send(id, HeapBuf::from(vec![0; 1_000])).unwrap();
    assert!(peer.wait_ms(100_000).iter().all(|sent| sent.sequence < 3_001));
    peer.window = 60_000;
    peer.put(ACK, 1, 3_001, b"", NONE);
    assert_eq!(lengths(&mut peer), [1_000]);
    // But when it falls silent, too, it is gone.
    peer.window = 0;
    peer.put(ACK, 1, 3_001, b"", NONE);
    peer.wait_ms(900_000);
    assert_eq!(peer.events().last(), Some(&Event::Closed(id, Ending::TimedOut)));
}

#[test]
fn a_window_is_a_number_of_32_bits_without_a_sign() {
    // MUST-1, REC-1; RFC 7323, section 2.3: the largest of all.
    let settings = Settings { timestamps: false, ..Settings::default() };
    for (scale, expected) in [(None, 65_535), (Some(14), 65_535 << 14), (Some(15), 65_535 << 14)] {
        let options = Options { window_scale: scale, ..mss(1000) };
        let config = ListenerConfig { settings: settings.clone(), ..ListenerConfig::default() };
        let (peer, id) = Peer::open(&config, options);
        assert_eq!(peer.stack.info(id).unwrap().send_window, expected, "{scale:?}");
    }
}

#[test]
fn a_window_beside_a_syn_is_not_scaled() {
    // RFC 7323, section 2.2.
    let mut peer = Peer::listening(&ListenerConfig::default());
    let id = peer.stack.connect(peer.now, super::peer::TUPLE, &Settings::default()).unwrap();
    let syn = peer.one();
    assert!(syn.options.window_scale.is_some() && syn.window == 65_535);
    peer.window = 500;
    peer.put(SYN | ACK, 0, 1, b"", Options { window_scale: Some(7), ..mss(1000) });
    assert_eq!(peer.stack.info(id).unwrap().send_window, 500);
    // This side's window of 64 KiB is said in units from now on.
    assert_eq!(u32::from(peer.one().window) << syn.options.window_scale.unwrap(), 65_408);
    peer.put(ACK, 1, 1, b"", NONE);
    assert_eq!(peer.stack.info(id).unwrap().send_window, 500 << 7);
    // Nor when both open at the same time.
    let mut peer = Peer::listening(&ListenerConfig::default());
    let id = peer.stack.connect(peer.now, super::peer::TUPLE, &Settings::default()).unwrap();
    peer.one();
    peer.window = 500;
    for flags in [SYN, SYN | ACK] {
        peer.put(flags, 0, 1, b"", Options { window_scale: Some(7), ..mss(1000) });
        peer.take();
    }
    assert_eq!(
        (peer.stack.state(id), peer.stack.info(id).unwrap().send_window),
        (Some(State::Established), 500)
    );
}

#[test]
fn what_is_in_flight_goes_again_within_a_window_that_shrinks() {
    // SHLD-16.
    let (mut peer, id) = with(&Settings { no_delay: true, ..Settings::default() });
    peer.stack.send(id, HeapBuf::from(vec![0; 5_000])).unwrap();
    assert_eq!(lengths(&mut peer), [1_000; 5]);
    peer.window = 1_500;
    peer.put(ACK, 1, 1, b"", NONE);
    peer.stack.send(id, HeapBuf::from(vec![0; 2_000])).unwrap();
    let sent = peer.wait_ms(2_000);
    assert_eq!(sent.first().map(|sent| (sent.sequence, sent.payload.len())), Some((1, 1_000)));
    assert!(sent.iter().all(|sent| sent.sequence <= 4_001), "nothing new");
}

#[test]
fn a_closed_window_is_probed_after_a_timeout_and_not_before() {
    // SHLD-29.
    let (mut peer, id) = with(&Settings { no_delay: true, ..Settings::default() });
    peer.now = peer.now.plus_millis(500);
    peer.stack.send(id, HeapBuf::from(b"measured")).unwrap();
    peer.take();
    peer.now = peer.now.plus_millis(100);
    peer.window = 0;
    peer.put(ACK, 1, 9, b"", NONE);
    let rto = peer.stack.info(id).unwrap().rto / 1_000;
    peer.stack.send(id, HeapBuf::from(b"waiting")).unwrap();
    assert_eq!(peer.wait_ms(rto - 2), []);
    assert_eq!(peer.wait_ms(4).len(), 1);
}

#[test]
fn a_backend_is_not_asked_for_its_window_every_few_milliseconds() {
    let (mut peer, id) = with(&Settings::towards_backends());
    peer.stack.send(id, HeapBuf::from(b"measured")).unwrap();
    peer.take();
    peer.window = 0;
    peer.put(ACK, 1, 9, b"", NONE);
    peer.stack.send(id, HeapBuf::from(b"waiting")).unwrap();
    assert_eq!(peer.wait_ms(198), []);
    assert_eq!(peer.wait_ms(4).len(), 1);
}
