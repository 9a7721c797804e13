//! When data goes: Nagle, silly windows, probes of closed windows, keepalive, giving up (RFC 9293, sections 3.7.4 and 3.8).

use core::time::Duration;

use super::peer::{ACK, FIN, Peer, RST, mss};
use crate::segment::{Flags, Options};
use crate::{Counter, Ending, Event, HeapBuf, Keepalive, ListenerConfig, SendError, Settings, State};

const NONE: Options = Options::NONE;

fn with(settings: &Settings) -> (Peer, crate::ConnectionId) {
    let settings = Settings { timestamps: false, ..settings.clone() };
    Peer::open(&ListenerConfig { settings, ..ListenerConfig::default() }, mss(1000))
}

fn lengths(peer: &mut Peer) -> Vec<usize> {
    peer.take().iter().map(|sent| sent.payload.len()).collect()
}

#[test]
fn nagle_holds_back_what_is_small_while_something_is_in_flight() {
    let (mut peer, id) = with(&Settings::default());
    peer.stack.send(id, HeapBuf::from(b"first")).unwrap();
    assert_eq!(lengths(&mut peer), [5]);
    peer.stack.send(id, HeapBuf::from(b"second")).unwrap();
    peer.silence();
    // A whole segment goes all the same.
    peer.stack.send(id, HeapBuf::from(vec![1; 1_000])).unwrap();
    assert_eq!(lengths(&mut peer), [1_000]);
    peer.put(ACK, 1, 1_006, b"", NONE);
    assert_eq!(lengths(&mut peer), [6]);
    // And it can be switched off (MUST-17).
    peer.stack.send(id, HeapBuf::from(b"third")).unwrap();
    peer.silence();
    peer.stack.set_no_delay(id, true);
    assert_eq!(lengths(&mut peer), [5]);
}

#[test]
fn the_last_octets_of_a_stream_do_not_wait() {
    let (mut peer, id) = with(&Settings::default());
    peer.stack.send(id, HeapBuf::from(b"first")).unwrap();
    peer.take();
    peer.stack.send(id, HeapBuf::from(b"last")).unwrap();
    peer.stack.close(id);
    let last = peer.one();
    assert_eq!((last.flags.contains(FIN), &last.payload[..]), (true, &b"last"[..]));
}

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
fn a_full_send_buffer_refuses_and_says_when_there_is_room() {
    let (mut peer, id) = with(&Settings { send_buffer: 4_000, ..Settings::default() });
    assert!(peer.stack.send(id, HeapBuf::from(vec![0; 3_000])).is_ok());
    let (error, buf) = peer.stack.send(id, HeapBuf::from(vec![0; 3_000])).unwrap_err();
    assert_eq!(error, SendError::Full);
    peer.take();
    peer.put(ACK, 1, 3_001, b"", NONE);
    assert_eq!(peer.events(), [Event::Writable(id)]);
    assert!(peer.stack.send(id, buf).is_ok());
}

#[test]
fn acknowledgements_wait_for_company_but_not_for_long() {
    let (mut peer, id) = Peer::plain();
    // The first ones of a connection do not wait.
    peer.data(b"question", 1);
    peer.acknowledges(1, 9);
    peer.data(b"question", 1);
    peer.stack.send(id, HeapBuf::from(b"answer")).unwrap();
    assert_eq!(peer.one().acknowledgement, 17);
    // From then on the application is given time to answer.
    peer.data(b"question", 7);
    peer.silence();
    let late = peer.wait_ms(500);
    assert_eq!(late.len(), 1);
    assert_eq!(peer.stack.counters().value(Counter::DelayedAcks), 1);
    // Of two segments the second is acknowledged at once (SHLD-19, MUST-58).
    peer.data(b"question", 7);
    peer.silence();
    peer.data(b"question", 7);
    peer.acknowledges(7, 41);
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
fn urgent_data_is_announced_and_sent_in_line() {
    let (mut peer, id) = Peer::plain();
    let urgent = crate::segment::Segment {
        source_port: 40_000,
        destination_port: 80,
        sequence: super::peer::PEER_ISN + 1,
        acknowledgement: peer.isn + 1,
        flags: ACK | Flags::URG,
        window: 1_000,
        urgent_pointer: 4,
        ..Default::default()
    };
    peer.put_segment(&urgent, b"ab");
    assert_eq!(peer.events(), [Event::Urgent(id), Event::Readable(id)]);
    assert_eq!(peer.stack.urgent(id), Some(4));
    peer.take();
    peer.stack.send(id, HeapBuf::from(b"urgent")).unwrap();
    peer.stack.mark_urgent(id).unwrap();
    assert!(peer.one().flags.contains(Flags::URG));
}

#[test]
fn a_trace_shows_the_last_segments() {
    let (mut peer, id) = Peer::plain();
    peer.stack.trace(id, true);
    peer.data(b"question", 1);
    peer.take();
    peer.put(RST, 9, 0, b"", NONE);
    let steps: Vec<_> =
        peer.stack.steps(id).map(|step| (step.is_outgoing, step.flags, step.length)).collect();
    assert_eq!(steps, [(false, ACK, 8), (true, ACK, 0), (false, RST, 0)]);
    peer.stack.release(id);
    assert_eq!(peer.stack.steps(id).count(), 0);
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
