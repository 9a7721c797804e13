//! Floods: of SYNs, of handshakes, of octets out of order. Nothing grows past its bound, and who is honest gets in.

use super::peer::{ACK, LOCAL, Peer, SYN, mss};
use crate::segment::{Flags, Options, Segment, Timestamps};
use crate::{
    Addr, Config, Counter, Endpoint, HeapBuf, Incoming, ListenerConfig, SequenceNumber, Settings, Stack,
    State, Time,
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
fn a_cookie_for_a_syn_without_an_mss_stands_for_the_default() {
    // MUST-15, also where nothing is remembered.
    let settings = Settings { no_delay: true, ..Settings::default() };
    let mut peer = Peer::listening(&ListenerConfig { syn_queue: 0, settings, ..ListenerConfig::default() });
    let id = peer.connect(NONE);
    assert_eq!(peer.stack.counters().value(Counter::SyncookiesRecv), 1);
    peer.stack.send(id, HeapBuf::from(vec![0; 5_000])).unwrap();
    assert_eq!(peer.take().iter().map(|sent| sent.payload.len()).max(), Some(536));
}

#[test]
fn syns_to_everybody_or_from_oneself_are_not_answered() {
    // MUST-57; and a SYN whose both ends are the same, which would have the stack talk to itself.
    let mut peer = Peer::listening(&ListenerConfig::default());
    let at = Endpoint { addr: Addr::UNSPECIFIED, port: 443 };
    peer.stack.listen(at, &ListenerConfig::default()).unwrap();
    let syn = Segment { source_port: 443, destination_port: 443, ..syn_from(99).1 };
    let mut header = [0; crate::segment::MAX_HEADER];
    let length = syn.write(&mut header);
    let own = LOCAL.addr;
    for (local, remote) in [(Addr::from_v4([224, 0, 0, 1]), own), (Addr::from_v4([255; 4]), own), (own, own)]
    {
        let segment = HeapBuf::from(&header[..length]);
        peer.stack.receive(peer.now, Incoming { local, remote, ecn: 0, segment });
        peer.silence();
    }
    assert_eq!(peer.stack.connections(), 0);
}

#[test]
fn answers_that_are_not_fetched_are_bounded() {
    // A wire that is full while SYNs and strays pour in.
    let mut peer = Peer::listening(&ListenerConfig { syn_queue: 0, ..ListenerConfig::default() });
    for port in 1..10_000 {
        let (remote, syn) = syn_from(port);
        let mut header = [0; crate::segment::MAX_HEADER];
        let length = syn.write(&mut header);
        let (local, remote) = (LOCAL.addr, remote.addr);
        let segment = HeapBuf::from(&header[..length]);
        peer.stack.receive(peer.now, Incoming { local, remote, ecn: 0, segment });
    }
    let answers = peer.take_segments();
    assert!((500..=1_024).contains(&answers.len()), "{}", answers.len());
}

#[test]
fn strays_are_answered_only_so_often() {
    let config = Config { answers_per_second: 100, ..Config::default() };
    let mut peer = Peer::with(&config, &ListenerConfig::default());
    let mut resets = 0;
    for port in 1..10_000 {
        let (remote, syn) = syn_from(port);
        let stray = Segment { flags: ACK, ..syn };
        resets += usize::from(from(&mut peer, remote, &stray).is_some());
    }
    assert!((50..=100).contains(&resets), "{resets}");
    assert!(peer.stack.counters().value(Counter::AckSkipped) > 9_000);
}

#[test]
fn connections_in_time_wait_are_bounded_and_the_oldest_goes_first() {
    let mut peer = Peer::listening(&ListenerConfig::default());
    for port in 1..=300 {
        let (remote, syn) = syn_from(port);
        let answer = from(&mut peer, remote, &syn).unwrap();
        let echo = answer.options.timestamps.unwrap().value;
        let next = Segment {
            sequence: SequenceNumber(8),
            acknowledgement: answer.sequence + 1,
            flags: ACK,
            options: Options { timestamps: Some(Timestamps { value: 6, echo }), ..NONE },
            ..syn
        };
        from(&mut peer, remote, &next);
        let id = peer.stack.accept(peer.listener).unwrap();
        peer.stack.release(id);
        peer.take_segments();
        let fin = Segment { flags: Flags::FIN | ACK, acknowledgement: answer.sequence + 2, ..next };
        from(&mut peer, remote, &fin);
    }
    assert_eq!((peer.stack.connections(), peer.stack.time_wait()), (0, 100));
    assert_eq!(peer.stack.counters().value(Counter::TimeWaitOverflow), 200);
}

#[test]
fn a_damaged_segment_is_counted_and_forgotten() {
    // MUST-3.
    let now = Time::from_millis(1);
    let mut stack: Stack<HeapBuf> = Stack::new(&Config::default(), 1, now);
    stack.listen(LOCAL, &ListenerConfig::default()).unwrap();
    let (remote, syn) = syn_from(99);
    let mut header = [0; crate::segment::MAX_HEADER];
    let length = syn.write(&mut header);
    let sum = crate::checksum::Sum::pseudo_header(&remote.addr, &LOCAL.addr, length as u32);
    let checksum = sum.octets(&header[..length]).checksum();
    Segment::put_checksum(&mut header, checksum);
    for damage in [1, 0] {
        let mut octets = header[..length].to_vec();
        octets[5] ^= damage;
        let segment = HeapBuf::from(octets);
        stack.receive(now, Incoming { local: LOCAL.addr, remote: remote.addr, ecn: 0, segment });
        assert_eq!(stack.poll_transmit(now).is_some(), damage == 0);
    }
    assert_eq!(stack.counters().value(Counter::InCsumErrors), 1);
}
