//! Every defence with the attack in it.

use super::peer::{ACK, LOCAL, Peer, SYN, TUPLE, mss};
use crate::segment::{Flags, Options, SackBlocks, Segment, Timestamps};
use crate::{
    Config, Counter, Endpoint, HeapBuf, IcmpError, Incoming, ListenerConfig, Range, SequenceNumber, Settings,
    State,
};

const NONE: Options = Options::NONE;

/// A segment from some other address.
fn from(peer: &mut Peer, remote: Endpoint, segment: &Segment) -> Option<Segment> {
    let mut header = [0; crate::segment::MAX_HEADER];
    let length = segment.write(&mut header);
    let packet = Incoming {
        local: LOCAL.addr,
        remote: remote.addr,
        ecn: 0,
        segment: HeapBuf::from(&header[..length]),
    };
    peer.stack.receive(peer.now, packet);
    peer.stack.poll_transmit(peer.now).map(|out| Segment::read(out.header).unwrap())
}

fn syn_from(port: u16) -> (Endpoint, Segment) {
    let remote = Endpoint::v4([198, 51, 100, (port >> 8) as u8], port);
    let options = Options {
        mss: Some(1_400),
        window_scale: Some(9),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 5, echo: 0 }),
        ..NONE
    };
    let segment = Segment {
        source_port: port,
        destination_port: LOCAL.port,
        sequence: SequenceNumber(7),
        flags: SYN,
        window: 60_000,
        options,
        ..Segment::default()
    };
    (remote, segment)
}

#[test]
fn a_flood_of_syns_costs_no_memory_and_lets_clients_in() {
    let mut peer = Peer::listening(&ListenerConfig { syn_queue: 64, ..ListenerConfig::default() });
    let mut last = None;
    for port in 1..20_000 {
        let (remote, syn) = syn_from(port);
        last = from(&mut peer, remote, &syn);
        assert_eq!(last.map(|answer| answer.flags), Some(SYN | ACK));
    }
    assert_eq!(peer.stack.connections(), 64);
    // The last one was an honest client: its cookie comes back, with everything that its SYN had said.
    let answer = last.unwrap();
    let (remote, syn) = syn_from(19_999);
    let echo = answer.options.timestamps.unwrap().value;
    let back = Segment {
        sequence: SequenceNumber(8),
        acknowledgement: answer.sequence + 1,
        flags: ACK,
        window: 100,
        options: Options { timestamps: Some(Timestamps { value: 6, echo }), ..NONE },
        ..syn
    };
    from(&mut peer, remote, &back);
    assert_eq!(peer.stack.connections(), 65);
    let id = peer.stack.accept(peer.listener).unwrap();
    let info = peer.stack.info(id).unwrap();
    assert_eq!((info.state, info.sack, info.timestamps), (State::Established, true, true));
    assert_eq!((info.send_scale, info.send_window), (Some(9), 100 << 9));
    // What was not sent is no cookie.
    let forged = Segment { source_port: 30_000, acknowledgement: answer.sequence + 2, ..back };
    let refused = from(&mut peer, remote, &forged).unwrap();
    assert_eq!(refused.flags, Flags::RST);
    assert_eq!(peer.stack.connections(), 65);
}

#[test]
fn handshakes_that_nobody_accepts_are_bounded() {
    let mut peer = Peer::listening(&ListenerConfig { accept_queue: 2, ..ListenerConfig::default() });
    for port in 1..50 {
        let (remote, syn) = syn_from(port);
        if let Some(answer) = from(&mut peer, remote, &syn) {
            let echo = answer.options.timestamps.unwrap().value;
            let back = Segment {
                sequence: SequenceNumber(8),
                acknowledgement: answer.sequence + 1,
                flags: ACK,
                options: Options { timestamps: Some(Timestamps { value: 6, echo }), ..NONE },
                ..syn
            };
            from(&mut peer, remote, &back);
        }
    }
    assert_eq!(peer.stack.connections(), 2);
    assert_eq!(peer.stack.counters().value(Counter::ListenOverflows), 47);
}

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
fn octets_out_of_order_are_kept_within_budgets() {
    let settings = Settings {
        initial_window: 1 << 16,
        receive_buffer: 200_000,
        timestamps: false,
        ..Settings::default()
    };
    let (mut peer, id) = Peer::open(
        &ListenerConfig { settings, ..ListenerConfig::default() },
        Options { sack_permitted: true, ..mss(1000) },
    );
    // Single octets, each with a gap before it.
    for octet in 0..30_000u32 {
        peer.put(ACK, 3 + octet * 2, 1, b"x", NONE);
        peer.take();
    }
    assert!(peer.stack.memory() <= 400_000, "{}", peer.stack.memory());
    assert_eq!(peer.stack.readable(id), 0);
    // What is missing still comes through.
    peer.put(ACK, 1, 1, b"ab", NONE);
    assert!(peer.stack.readable(id) >= 3);
    peer.stack.abort(id);
    assert_eq!(peer.stack.memory(), 0);
}

#[test]
fn all_connections_together_are_kept_within_the_stacks_memory() {
    let config = Config { memory: 100_000, ..Config::default() };
    let mut peer = Peer::with(
        &config,
        &ListenerConfig {
            settings: Settings { timestamps: false, ..Settings::default() },
            ..ListenerConfig::default()
        },
    );
    let id = peer.connect(mss(1000));
    for chunk in 0..60 {
        peer.put(ACK, 1 + chunk * 1_000, 1, &[0; 1_000], NONE);
        peer.put(ACK, 3_000 + chunk * 1_000, 1, &[0; 500], NONE);
        peer.take();
        assert!(peer.stack.memory() <= 100_000);
    }
    while peer.stack.send(id, HeapBuf::from(vec![0; 5_000])).is_ok() {
        assert!(peer.stack.memory() <= 100_000);
    }
}

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

#[test]
fn icmp_is_believed_about_what_is_in_flight_and_ends_nothing() {
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(vec![0; 30_000])).unwrap();
    peer.take();
    let (isn, now) = (peer.isn, peer.now);
    let mss = |peer: &Peer| peer.stack.info(id).unwrap().send_mss;
    for (quoted, error) in [
        (0, IcmpError::TooBig { mtu: 600 }),
        (50_000, IcmpError::TooBig { mtu: 600 }),
        (1, IcmpError::Refused),
        (1, IcmpError::Unreachable),
        (1, IcmpError::TooBig { mtu: 9_000 }),
    ] {
        peer.stack.icmp(now, &TUPLE, isn + quoted, error);
        assert_eq!((mss(&peer), peer.stack.state(id)), (1_000, Some(State::Established)));
    }
    peer.stack.icmp(now, &TUPLE, isn + 1, IcmpError::TooBig { mtu: 900 });
    assert_eq!(mss(&peer), 860);
    // Nor is it made smaller than what every path carries, and without a figure one step down.
    peer.stack.icmp(now, &TUPLE, isn + 1, IcmpError::TooBig { mtu: 0 });
    assert_eq!(mss(&peer), 512);
    peer.stack.icmp(now, &TUPLE, isn + 1, IcmpError::TooBig { mtu: 68 });
    assert_eq!(mss(&peer), 512);
}

#[test]
fn syns_from_nobody_are_not_answered() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    for remote in [[224, 0, 0, 1], [255, 255, 255, 255], [0, 0, 0, 0]] {
        let (_, syn) = syn_from(99);
        assert_eq!(from(&mut peer, Endpoint::v4(remote, 99), &syn), None);
    }
    let (remote, syn) = syn_from(99);
    assert_eq!(from(&mut peer, remote, &Segment { source_port: 0, ..syn }), None);
    assert_eq!(peer.stack.connections(), 0);
}

#[test]
fn what_is_no_segment_is_counted_and_forgotten() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    for octets in [vec![], vec![0; 19], vec![0xff; 20], vec![0; 40]] {
        peer.put_octets(octets);
    }
    assert_eq!(peer.stack.counters().value(Counter::InErrs), 4);
    peer.silence();
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
