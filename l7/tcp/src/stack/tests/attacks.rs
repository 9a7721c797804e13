//! Defences with the attack in them: against who guesses numbers, and against a peer that lies. Floods are next door.

use super::peer::{ACK, Peer, SYN, mss};
use crate::segment::{Flags, Options, SackBlocks};
use crate::{Config, Counter, HeapBuf, ListenerConfig, Range, Settings, State};

const NONE: Options = Options::NONE;

#[test]
fn blind_resets_and_data_do_not_get_in() {
    // RFC 5961: an attacker who knows the tuple and a window's worth of numbers.
    let (mut peer, id) = Peer::plain();
    for guess in (0..60_000).step_by(997) {
        peer.put(Flags::RST, 2 + guess, 0, &[], NONE);
        peer.put(SYN, 2 + guess, 0, &[], NONE);
        peer.put(ACK, 2 + guess, 1u32.wrapping_sub(100_000 + guess), b"injected", NONE);
    }
    assert_eq!(peer.stack.state(id), Some(State::Established));
    assert_eq!((peer.stack.readable(id), peer.stack.memory()), (0, 0));
}

#[test]
fn challenges_are_limited() {
    let mut peer = Peer::with(
        &Config { answers_per_second: 10, ..Config::default() },
        &ListenerConfig {
            settings: Settings { timestamps: false, ..Settings::default() },
            ..ListenerConfig::default()
        },
    );
    peer.connect(mss(1000));
    let answers: usize = (0..1_000)
        .map(|_| {
            peer.put(SYN, 100, 0, &[], NONE);
            peer.take().len()
        })
        .sum();
    assert!((5..=10).contains(&answers), "{answers}");
}

#[test]
fn two_sides_that_disagree_come_to_rest() {
    // Acknowledgements outside of the window, each answering ours, as in an ACK loop.
    let (mut peer, _) = Peer::plain();
    let answers: usize = (0..1_000)
        .map(|_| {
            peer.put(ACK, 1 << 30, 1, b"", NONE);
            peer.take().len()
        })
        .sum();
    assert_eq!(answers, 1);
}

#[test]
fn acknowledging_octet_by_octet_does_not_open_the_window_faster() {
    let window = |step: usize| {
        let (mut peer, id) = Peer::plain();
        peer.stack.send(id, HeapBuf::from(vec![0; 100_000])).unwrap();
        let sent: usize = peer.take().iter().map(|sent| sent.payload.len()).sum();
        peer.now = peer.now.plus_millis(100);
        for acknowledged in (1..=sent).step_by(step).chain([sent]) {
            peer.put(ACK, 1, 1 + acknowledged as u32, b"", NONE);
            peer.take();
        }
        peer.stack.info(id).unwrap().congestion_window
    };
    assert!(window(10) <= window(1_000) + 1_000, "{} {}", window(10), window(1_000));
}

#[test]
fn optimistic_acknowledgements_are_no_use() {
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(vec![0; 1_000_000])).unwrap();
    let sent: u32 = peer.take().iter().map(|sent| sent.payload.len() as u32).sum();
    // Of what was not sent yet.
    for ahead in [1, 1_000, 100_000] {
        peer.put(ACK, 1, 1 + sent + ahead, b"", NONE);
        assert!(peer.take().iter().all(|sent| sent.payload.is_empty()));
    }
    assert_eq!(peer.stack.info(id).unwrap().octets_acknowledged, 0);
}

#[test]
fn sack_blocks_of_the_impossible_are_passed_over() {
    let settings = Settings { no_delay: true, timestamps: false, ..Settings::default() };
    let (mut peer, id) = Peer::open(
        &ListenerConfig { settings, ..ListenerConfig::default() },
        Options { sack_permitted: true, ..mss(1000) },
    );
    peer.stack.send(id, HeapBuf::from(vec![0; 10_000])).unwrap();
    peer.take();
    for (start, length) in [(20_000u32, 1_000), (1 << 31, 5), (5_000, 1 << 31), (3_000, 0), (9_000, 50_000)] {
        let mut sack = SackBlocks::NONE;
        sack.push(Range::new(peer.isn + start, length));
        peer.put(ACK, 1, 1, b"", Options { sack, ..NONE });
    }
    let sent = peer.take();
    assert!(sent.is_empty(), "{sent:?}");
    assert_eq!(peer.stack.info(id).unwrap().sacked, 0);
    assert!(peer.stack.counters().value(Counter::SackDiscard) >= 4);
}

#[test]
fn a_tiny_mss_is_not_obeyed() {
    for asked in [0, 1, 20, 87] {
        let settings = Settings { no_delay: true, timestamps: false, ..Settings::default() };
        let (mut peer, id) =
            Peer::open(&ListenerConfig { settings, ..ListenerConfig::default() }, mss(asked));
        peer.stack.send(id, HeapBuf::from(vec![0; 10_000])).unwrap();
        assert!(peer.take().iter().all(|sent| sent.payload.len() >= 88), "{asked}");
    }
}

#[test]
fn a_window_kept_shut_does_not_keep_what_the_application_has_let_go() {
    let (mut peer, id) = Peer::plain();
    peer.window = 0;
    peer.put(ACK, 1, 1, b"", NONE);
    peer.stack.send(id, HeapBuf::from(b"response")).unwrap();
    peer.stack.release(id);
    let mut resets = 0;
    for _ in 0..200 {
        for probe in peer.wait_ms(1_000) {
            resets += usize::from(probe.flags.contains(Flags::RST));
            peer.put(ACK, 1, 1, b"", NONE);
            // Nothing is there any more to answer the last of these.
            peer.take();
        }
    }
    assert_eq!((peer.stack.connections(), peer.stack.memory(), resets), (0, 0, 1));
}

#[test]
fn forged_duplicates_send_no_more_than_was_in_flight() {
    // Savage et al. 1999: acknowledgements without end that say that something arrived.
    let settings = Settings { no_delay: true, timestamps: false, ..Settings::default() };
    let (mut peer, id) = Peer::open(&ListenerConfig { settings, ..ListenerConfig::default() }, mss(1000));
    peer.stack.send(id, HeapBuf::from(vec![0; 1_000_000])).unwrap();
    let before: usize = peer.take().iter().map(|sent| sent.payload.len()).sum();
    let mut after = 0;
    for _ in 0..10_000 {
        peer.put(ACK, 1, 1, b"", NONE);
        after += peer.take().iter().map(|sent| sent.payload.len()).sum::<usize>();
    }
    assert!(after <= 2 * before, "{after} after {before}");
}
