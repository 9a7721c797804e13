//! When data goes, and in what segments: Nagle's algorithm, PSH, buffers (RFC 9293, sections 3.7.4 and 3.9.1.2).

use super::peer::{ACK, FIN, Peer, RST, mss};
use crate::segment::{Flags, Options, SackBlocks};
use crate::{Event, HeapBuf, ListenerConfig, SendError, Settings};

const NONE: Options = Options::NONE;

pub(super) fn with(settings: &Settings) -> (Peer, crate::ConnectionId) {
    let settings = Settings { timestamps: false, ..settings.clone() };
    Peer::open(&ListenerConfig { settings, ..ListenerConfig::default() }, mss(1000))
}

pub(super) fn lengths(peer: &mut Peer) -> Vec<usize> {
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

/// Gives pieces of a thousand octets until there is no room; says how many octets wait then.
fn fill(peer: &mut Peer, id: crate::ConnectionId) -> usize {
    while peer.stack.send(id, HeapBuf::from(vec![0; 1_000])).is_ok() {}
    peer.stack.unacknowledged(id)
}

#[test]
fn the_send_budget_is_twice_the_congestion_window_within_its_bounds() {
    let settings = Settings { initial_send_buffer: 4_000, send_buffer: 50_000, ..Settings::default() };
    let (mut peer, id) = with(&settings);
    assert_eq!(fill(&mut peer, id), 20_000);
    assert_eq!(lengths(&mut peer).len(), 10);
    // Half of the budget is free, or rather was, before the window doubled.
    peer.put(ACK, 1, 10_001, b"", NONE);
    assert_eq!(peer.events(), [Event::Writable(id)]);
    assert_eq!(fill(&mut peer, id), 40_000);
    assert_eq!(lengths(&mut peer).len(), 20);
    // Now the upper bound counts, which is one of true size, and half of that.
    peer.put(ACK, 1, 27_001, b"", NONE);
    assert_eq!(peer.events(), [Event::Writable(id)]);
    fill(&mut peer, id);
    assert!((48_000..=50_000).contains(&peer.stack.memory()), "{}", peer.stack.memory());
    peer.take();
    peer.put(ACK, 1, 29_001, b"", NONE);
    assert_eq!(peer.events(), []);
}

#[test]
fn what_the_other_side_holds_behind_a_hole_takes_nothing_of_the_send_budget() {
    let settings = Settings { initial_send_buffer: 4_000, timestamps: false, ..Settings::default() };
    let mut peer = Peer::listening(&ListenerConfig { settings, ..ListenerConfig::default() });
    let id = peer.connect(Options { sack_permitted: true, ..mss(1000) });
    assert_eq!(fill(&mut peer, id), 20_000);
    assert_eq!(lengths(&mut peer).len(), 10);
    // All but the first segment arrives, again and again. What goes instead is not in flight for long, and the application is told that it
    // may give more before all has gone: there would be nothing left to send until the hole is repaired.
    let mut end = 10_001;
    let mut arrive = || {
        let mut sack = SackBlocks::NONE;
        sack.push(crate::Range::new(peer.isn + 1_001, end - 1_001));
        peer.put(ACK, 1, 1, b"", Options { sack, ..NONE });
        let events = peer.events();
        let sent = peer.take();
        let farthest = sent.iter().map(|sent| sent.sequence + sent.payload.len() as u32).max();
        assert!(farthest > Some(end), "nothing new goes after {end}");
        end = farthest.unwrap_or(end);
        events
    };
    let told = (0..10).map(|_| arrive()).find(|events| !events.is_empty());
    assert_eq!(told, Some(vec![Event::Writable(id)]));
    assert!(fill(&mut peer, id) >= 23_000);
}

#[test]
fn the_send_budget_is_no_more_than_twice_the_window_of_the_other_side() {
    let settings = Settings { initial_send_buffer: 4_000, timestamps: false, ..Settings::default() };
    let mut peer = Peer::listening(&ListenerConfig { settings, ..ListenerConfig::default() });
    peer.window = 3_000;
    let id = peer.connect(mss(1000));
    assert_eq!(fill(&mut peer, id), 6_000);
}

#[test]
fn the_send_budget_does_not_grow_while_memory_is_scarce() {
    let settings = Settings { initial_send_buffer: 4_000, timestamps: false, ..Settings::default() };
    let config = crate::Config { memory: 16_000, ..crate::Config::default() };
    let mut peer = Peer::with(&config, &ListenerConfig { settings, ..ListenerConfig::default() });
    let id = peer.connect(mss(1000));
    let most = fill(&mut peer, id);
    // Three quarters, and not the twenty thousand of the congestion window, nor what the governor refuses.
    assert!((11_000..=13_000).contains(&most), "{most}");
    peer.take();
    peer.put(ACK, 1, most as u32 + 1 - 2_000, b"", NONE);
    assert_eq!(peer.events(), [Event::Writable(id)]);
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
fn what_is_sent_in_pieces_goes_in_whole_segments_with_one_push() {
    // SHLD-27, SHLD-28, MUST-61.
    let (mut peer, id) = with(&Settings::default());
    peer.stack.send(id, HeapBuf::from(b"first")).unwrap();
    peer.take();
    for _ in 0..50 {
        peer.stack.send(id, HeapBuf::from(vec![7; 70])).unwrap();
    }
    peer.put(ACK, 1, 6, b"", NONE);
    let sent = peer.take();
    let seen: Vec<_> =
        sent.iter().map(|sent| (sent.payload.len(), sent.flags.contains(Flags::PSH))).collect();
    assert_eq!(seen, [(1_000, false); 3]);
    peer.put(ACK, 1, 3_006, b"", NONE);
    let last = peer.one();
    assert_eq!((last.payload.len(), last.flags.contains(Flags::PSH)), (500, true));
}
