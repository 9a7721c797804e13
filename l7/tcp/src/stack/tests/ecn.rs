//! Explicit congestion notification (RFC 3168, section 6.1; RFC 9293, SHLD-8).

use super::peer::{ACK, FIN, Peer, SYN, TUPLE, mss};
use crate::segment::{Flags, Options, SackBlocks};
use crate::{ConnectionId, Counter, HeapBuf, ListenerConfig, Range, Settings, State};

const NONE: Options = Options::NONE;
const ECE: Flags = Flags::ECE;
const CWR: Flags = Flags::CWR;
/// ECT(0) and CE.
const CAPABLE: u8 = 2;
const EXPERIENCED: u8 = 3;

fn settings() -> Settings {
    Settings { no_delay: true, timestamps: false, ..Settings::default() }
}

/// A connection on which both ends use ECN, and the other one SACK.
fn capable() -> (Peer, ConnectionId) {
    let mut peer = Peer::listening(&ListenerConfig { settings: settings(), ..ListenerConfig::default() });
    peer.put(SYN | ECE | CWR, 0, 0, &[], Options { sack_permitted: true, ..mss(1000) });
    let answer = peer.one();
    assert_eq!((answer.flags, answer.ecn), (SYN | ACK | ECE, 0));
    peer.next = 1;
    peer.put(ACK, 1, 1, &[], NONE);
    let id = peer.stack.accept(peer.listener).unwrap();
    assert!(peer.stack.info(id).unwrap().ecn);
    peer.events();
    (peer, id)
}

#[test]
fn a_listener_agrees_to_an_offer_and_to_nothing_else() {
    for (offer, ecn, answer) in
        [(ECE | CWR, true, ECE), (ECE | CWR, false, Flags(0)), (ECE, true, Flags(0)), (CWR, true, Flags(0))]
    {
        let settings = Settings { ecn, ..settings() };
        let mut peer = Peer::listening(&ListenerConfig { settings, ..ListenerConfig::default() });
        peer.put(SYN | offer, 0, 0, &[], mss(1000));
        assert_eq!(peer.one().flags, SYN | ACK | answer, "{offer:?} {ecn}");
    }
}

#[test]
fn an_offer_is_made_once_and_an_answer_that_only_reflects_it_is_none() {
    for (answer, is_agreed) in [(ECE, true), (Flags(0), false), (ECE | CWR, false), (CWR, false)] {
        let mut peer = Peer::listening(&ListenerConfig::default());
        let id = peer.stack.connect(peer.now, TUPLE, &settings()).unwrap();
        assert_eq!(peer.one().flags, SYN | ECE | CWR);
        peer.put(SYN | ACK | answer, 0, 1, &[], mss(1000));
        assert_eq!(peer.stack.info(id).unwrap().ecn, is_agreed, "{answer:?}");
        peer.stack.send(id, HeapBuf::from(b"data")).unwrap();
        assert_eq!(peer.one().ecn, if is_agreed { CAPABLE } else { 0 });
    }
    let mut peer = Peer::listening(&ListenerConfig::default());
    peer.stack.connect(peer.now, TUPLE, &Settings { ecn: false, ..settings() }).unwrap();
    assert_eq!(peer.one().flags, SYN);
}

#[test]
fn who_has_sent_a_syn_without_the_offer_echoes_marks_and_sends_nothing_that_may_be_marked() {
    // Sections 6.1.1 and 6.1.1.1.
    let mut peer = Peer::listening(&ListenerConfig::default());
    let id = peer.stack.connect(peer.now, TUPLE, &settings()).unwrap();
    peer.take();
    assert_eq!(peer.wait_ms(1_500).first().map(|sent| sent.flags), Some(SYN));
    peer.put(SYN | ACK | ECE, 0, 1, &[], mss(1000));
    peer.take();
    peer.next = 1;
    peer.stack.send(id, HeapBuf::from(b"data")).unwrap();
    assert_eq!(peer.one().ecn, 0);
    peer.ecn = EXPERIENCED;
    peer.data(b"marked", 5);
    assert_eq!(peer.one().flags, ACK | ECE);
}

#[test]
fn a_mark_is_echoed_until_the_sender_has_reduced_its_window() {
    // Section 6.1.3.
    let (mut peer, id) = capable();
    peer.ecn = EXPERIENCED;
    peer.data(b"marked", 1);
    assert_eq!(peer.one().flags, ACK | ECE);
    peer.ecn = CAPABLE;
    peer.data(b"and on", 1);
    assert_eq!(peer.one().flags, ACK | ECE);
    peer.stack.send(id, HeapBuf::from(b"answer")).unwrap();
    assert!(peer.one().flags.contains(ECE));
    peer.put(ACK | CWR, peer.next, 7, b"reduced", NONE);
    peer.next += 7;
    assert_eq!(peer.wait_ms(50).last().map(|sent| sent.flags), Some(ACK));
    // Reduced, and marked again on the way.
    peer.ecn = EXPERIENCED;
    peer.put(ACK | CWR, peer.next, 7, b"again", NONE);
    assert_eq!(peer.one().flags, ACK | ECE);
    assert_eq!(peer.stack.counters().value(Counter::InMarked), 2);
}

#[test]
fn marks_on_what_is_no_data_or_not_in_the_window_or_not_agreed_on_mean_nothing() {
    let (mut peer, _) = capable();
    peer.ecn = EXPERIENCED;
    peer.put(ACK, 1, 1, b"", NONE);
    peer.put(ACK, 90_000, 1, b"outside", NONE);
    peer.put(ACK, 1, 1 << 30, b"injected", NONE);
    peer.ecn = 0;
    peer.data(b"data", 1);
    peer.ecn = EXPERIENCED;
    peer.put(FIN | ACK, peer.next, 1, b"", NONE);
    assert!(peer.take().iter().all(|sent| !sent.flags.contains(ECE)));
    let (mut peer, _) = Peer::plain();
    peer.ecn = EXPERIENCED;
    peer.data(b"data", 1);
    assert_eq!(peer.one().flags, ACK);
}

#[test]
fn only_new_data_may_be_marked() {
    // Sections 6.1.4 to 6.1.6.
    let (mut peer, id) = capable();
    peer.stack.send(id, HeapBuf::from(b"data")).unwrap();
    assert_eq!(peer.one().ecn, CAPABLE);
    let again = peer.wait_ms(3_000);
    assert!(!again.is_empty() && again.iter().all(|sent| sent.ecn == 0));
    peer.data(b"question", 5);
    assert_eq!(peer.one().ecn, 0);
    peer.window = 0;
    peer.put(ACK, peer.next, 5, b"", NONE);
    peer.stack.send(id, HeapBuf::from(b"more")).unwrap();
    let probes = peer.wait_ms(10_000);
    assert!(!probes.is_empty() && probes.iter().all(|sent| sent.ecn == 0));
    peer.window = 1_000;
    peer.put(ACK, peer.next, 5, b"", NONE);
    assert_eq!(peer.one().ecn, CAPABLE);
    peer.put(ACK, peer.next, 9, b"", NONE);
    peer.stack.close(id);
    let fin = peer.one();
    assert_eq!((fin.flags, fin.ecn), (FIN | ACK, 0));
}

#[test]
fn an_echo_lowers_the_window_once_a_round_trip_and_the_next_data_says_so() {
    // Section 6.1.2.
    let (mut peer, id) = capable();
    peer.stack.send(id, HeapBuf::from(vec![0; 100_000])).unwrap();
    let first = peer.take();
    assert!(first.len() == 10 && first.iter().all(|sent| !sent.flags.contains(CWR)));
    peer.now = peer.now.plus_millis(100);
    let mut said = 0;
    for segment in 1..=10u32 {
        peer.put(ACK | ECE, 1, 1 + segment * 1_000, b"", NONE);
        let sent = peer.take();
        assert!(sent.iter().all(|sent| sent.sequence >= 10_001 && sent.ecn == CAPABLE), "nothing goes again");
        said += sent.iter().filter(|sent| sent.flags.contains(CWR)).count();
    }
    assert_eq!(said, 1);
    let window = peer.stack.info(id).unwrap().congestion_window;
    assert!((5_000..=7_000).contains(&window), "{window}");
    // In the next round trip, again.
    peer.now = peer.now.plus_millis(100);
    peer.put(ACK | ECE, 1, 12_001, b"", NONE);
    peer.put(ACK, 1, 13_001, b"", NONE);
    assert_eq!(peer.take().iter().filter(|sent| sent.flags.contains(CWR)).count(), 1);
    assert!(peer.stack.info(id).unwrap().slow_start_threshold < window);
}

#[test]
fn an_echo_means_nothing_where_it_was_not_agreed_on() {
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(vec![0; 10_000])).unwrap();
    peer.take();
    peer.put(ACK | ECE, 1, 1_001, b"", NONE);
    let info = peer.stack.info(id).unwrap();
    assert_eq!((info.congestion_window >= 10_000, info.slow_start_threshold), (true, u32::MAX));
}

#[test]
fn a_reduction_for_a_loss_is_told_as_well() {
    for by_timeout in [false, true] {
        let (mut peer, id) = capable();
        peer.stack.send(id, HeapBuf::from(vec![0; 20_000])).unwrap();
        assert_eq!(peer.take().len(), 10);
        let mut sent = Vec::new();
        if by_timeout {
            sent.extend(peer.wait_ms(3_000));
        } else {
            let mut sack = SackBlocks::NONE;
            sack.push(Range::new(peer.isn + 1_001, 9_000));
            peer.put(ACK, 1, 1, b"", Options { sack, ..NONE });
            sent.extend(peer.take());
        }
        assert!(sent.iter().any(|sent| sent.sequence == 1 && !sent.flags.contains(CWR)));
        peer.put(ACK, 1, 10_001, b"", NONE);
        sent.extend(peer.take());
        let new: Vec<_> = sent.iter().filter(|sent| sent.sequence >= 10_001).collect();
        let said = new.iter().filter(|sent| sent.flags.contains(CWR)).count();
        assert_eq!(said, 1, "{by_timeout}");
        // Before the timeout, new data was the probe.
        assert!(by_timeout || new.first().is_some_and(|sent| sent.flags.contains(CWR)));
    }
}

#[test]
fn a_cookie_with_timestamps_remembers_it() {
    use crate::segment::Timestamps;
    let stamp = |echo| Options { timestamps: Some(Timestamps { value: 7, echo }), ..NONE };
    for (options, is_agreed) in [(Options { mss: Some(1_000), ..stamp(0) }, true), (mss(1_000), false)] {
        let mut peer = Peer::listening(&ListenerConfig { syn_queue: 0, ..ListenerConfig::default() });
        peer.put(SYN | ECE | CWR, 0, 0, &[], options);
        let answer = peer.one();
        assert_eq!(answer.flags.contains(ECE), is_agreed);
        let echo = answer.options.timestamps.map_or(NONE, |timestamps| stamp(timestamps.value));
        peer.put(ACK, 1, 1, &[], echo);
        let id = peer.stack.accept(peer.listener).unwrap();
        assert_eq!(peer.stack.state(id), Some(State::Established));
        assert_eq!(peer.stack.info(id).unwrap().ecn, is_agreed);
    }
}
