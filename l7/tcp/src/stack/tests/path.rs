//! What the path carries: MSS, its options, and ICMP (RFC 9293, sections 3.7 and 3.9.2.2; RFC 1191; RFC 8201).

use super::peer::{ACK, Peer, SYN, TUPLE};
use crate::segment::{MAX_HEADER, Options, Segment, Timestamps};
use crate::{
    Addr, Checksums, Config, Ending, Endpoint, Event, HeapBuf, IcmpError, Incoming, ListenerConfig,
    SequenceNumber, Settings, Stack, State, Time, Tuple,
};

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
fn the_application_hears_of_icmp_errors_that_end_nothing() {
    // SHLD-25.
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(b"data")).unwrap();
    peer.take();
    for error in [IcmpError::Unreachable, IcmpError::Refused] {
        peer.stack.icmp(peer.now, &TUPLE, peer.isn + 1, error);
        assert_eq!(peer.events(), [Event::Struggling(id)]);
        assert_eq!(peer.stack.state(id), Some(State::Established));
    }
}

#[test]
fn a_hard_icmp_error_ends_what_is_being_opened_and_a_soft_one_does_not() {
    // SHLD-26, MUST-56.
    let mut peer = Peer::listening(&ListenerConfig::default());
    let id = peer.stack.connect(peer.now, TUPLE, &Settings::default()).unwrap();
    peer.one();
    peer.stack.icmp(peer.now, &TUPLE, peer.isn, IcmpError::Unreachable);
    assert_eq!((peer.events(), peer.stack.state(id)), (vec![Event::Struggling(id)], Some(State::SynSent)));
    peer.stack.icmp(peer.now, &TUPLE, peer.isn, IcmpError::Refused);
    assert_eq!(peer.events(), [Event::Closed(id, Ending::Unreachable)]);
}

/// Has data sent and acknowledged; the largest segment of it.
fn send_some(peer: &mut Peer, id: crate::ConnectionId) -> Option<usize> {
    peer.stack.send(id, HeapBuf::from(vec![0; 3_000])).unwrap();
    let largest = peer.take().iter().map(|sent| sent.payload.len()).max();
    acknowledge_all(peer, id);
    largest
}

fn acknowledge_all(peer: &mut Peer, id: crate::ConnectionId) {
    let unacknowledged = peer.stack.numbers(id).unwrap().1;
    let end = unacknowledged + peer.stack.info(id).unwrap().unacknowledged;
    peer.put(ACK, 1, end - peer.isn, b"", Options::NONE);
    peer.take();
}

#[test]
fn a_path_found_narrow_is_tried_again_after_ten_minutes() {
    // RFC 1191, section 6.3; RFC 8201, section 4.
    let (mut peer, id) = Peer::plain();
    assert_eq!(send_some(&mut peer, id), Some(1_000));
    let narrow = |peer: &mut Peer, mtu| {
        peer.stack.send(id, HeapBuf::from(vec![0; 500])).unwrap();
        peer.take();
        let quoted = peer.stack.numbers(id).unwrap().1;
        peer.stack.icmp(peer.now, &TUPLE, quoted, IcmpError::TooBig { mtu });
    };
    narrow(&mut peer, 900);
    acknowledge_all(&mut peer, id);
    peer.wait_ms(300_000);
    narrow(&mut peer, 800);
    acknowledge_all(&mut peer, id);
    peer.wait_ms(599_000);
    assert_eq!(send_some(&mut peer, id), Some(760));
    peer.wait_ms(2_000);
    assert_eq!(send_some(&mut peer, id), Some(1_000));
    // And what was known of it goes with the connection.
    narrow(&mut peer, 900);
    peer.stack.abort(id);
    assert_eq!(peer.stack.shared.narrow.len(), 0);
}

/// A stack that listens at any address, and a client of either family.
struct Any {
    stack: Stack<HeapBuf>,
    local: Addr,
    remote: Addr,
}

impl Any {
    fn new(is_v4: bool, mtu: u16) -> Self {
        let config = Config { checksums: Checksums::Absent, ..Config::default() };
        let mut stack: Stack<HeapBuf> = Stack::new(&config, 1, Time(0));
        let settings = Settings { mtu, no_delay: true, ..Settings::default() };
        let at = Endpoint { addr: Addr::UNSPECIFIED, port: 80 };
        stack.listen(at, &ListenerConfig { settings, ..ListenerConfig::default() }).unwrap();
        let v6 = |last| Addr([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        let [local, remote] =
            [2, 1].map(|last| if is_v4 { Addr::from_v4([192, 0, 2, last]) } else { v6(last) });
        Self { stack, local, remote }
    }

    fn put(&mut self, segment: &Segment) {
        let mut header = [0; MAX_HEADER];
        let segment = Segment { source_port: 5, destination_port: 80, window: 60_000, ..*segment };
        let length = segment.write(&mut header);
        let (local, remote) = (self.local, self.remote);
        let segment = HeapBuf::from(&header[..length]);
        self.stack.receive(Time(0), Incoming { local, remote, ecn: 0, segment });
    }

    /// The answer to a SYN without options.
    fn answer(&mut self) -> Segment {
        self.put(&Segment { flags: SYN, ..Segment::default() });
        let answer = self.stack.poll_transmit(Time(0)).unwrap();
        assert_eq!((answer.local.addr, answer.remote.addr), (self.local, self.remote));
        Segment::read(answer.header).unwrap()
    }

    /// Completes the handshake and has so much sent; the number of the first octet.
    fn send(&mut self, octets: usize) -> SequenceNumber {
        let first = self.answer().sequence + 1;
        self.put(&Segment {
            sequence: SequenceNumber(1),
            acknowledgement: first,
            flags: ACK,
            ..Segment::default()
        });
        let Some(Event::Acceptable(listener)) = self.stack.next_event() else { panic!("nobody came") };
        let id = self.stack.accept(listener).unwrap();
        self.stack.send(id, HeapBuf::from(vec![0; octets])).unwrap();
        first
    }

    fn largest(&mut self) -> Option<usize> {
        let mut largest = None;
        while let Some(sent) = self.stack.poll_transmit(Time(0)) {
            largest = largest.max(Some(sent.payload.len()));
        }
        largest
    }
}

#[test]
fn the_mss_that_is_announced_is_what_the_route_carries_without_headers() {
    // MUST-14, MUST-67, SHLD-5, SHLD-6, MAY-3: neither IP nor TCP options are off.
    for (mtu, of_v4, of_v6) in [(1_500, 1_460, 1_440), (9_000, 8_960, 8_940), (576, 536, 516)] {
        assert_eq!(Any::new(true, mtu).answer().options.mss, Some(of_v4), "{mtu}");
        assert_eq!(Any::new(false, mtu).answer().options.mss, Some(of_v6), "{mtu}");
    }
}

#[test]
fn segments_are_no_larger_than_either_side_says_options_included() {
    // MUST-15, MUST-16: what the SYN says, with timestamps or without, of which route; the payload of a segment.
    for (says, stamps, mtu, expected) in [
        (Some(1_000), false, 1_500, 1_000),
        (Some(1_000), true, 1_500, 988),
        (Some(9_000), false, 1_500, 1_460),
        (Some(9_000), true, 1_500, 1_448),
        (None, false, 1_500, 536),
        (None, true, 1_500, 524),
        (Some(1_460), false, 576, 536),
    ] {
        let settings = Settings { mtu, no_delay: true, ..Settings::default() };
        let timestamps = stamps.then_some(Timestamps { value: 1, echo: 0 });
        let options = Options { mss: says, timestamps, sack_permitted: true, ..Options::NONE };
        let (mut peer, id) = Peer::open(&ListenerConfig { settings, ..ListenerConfig::default() }, options);
        let bare = Options { timestamps, ..Options::NONE };
        // Data that is out of order makes room for SACK blocks necessary.
        for (is_sacking, less) in [(false, 0), (true, 12)] {
            if is_sacking {
                peer.put(ACK, 3, 1, b"late", bare);
                peer.take();
            }
            peer.stack.send(id, HeapBuf::from(vec![0; 3_000])).unwrap();
            let sent = peer.take();
            assert_eq!(sent[0].payload.len(), expected - less, "{says:?} {stamps} {mtu} {is_sacking}");
            assert_eq!(sent[0].options.sack.as_slice().len(), usize::from(is_sacking));
            let acknowledged = peer.stack.info(id).unwrap().unacknowledged;
            let una = peer.stack.numbers(id).unwrap().1 + acknowledged;
            peer.put(ACK, 1, una - peer.isn, b"", bare);
            while peer.stack.info(id).unwrap().unacknowledged > 0 {
                peer.take();
                let end = peer.stack.numbers(id).unwrap().1 + peer.stack.info(id).unwrap().unacknowledged;
                peer.put(ACK, 1, end - peer.isn, b"", bare);
            }
        }
    }
}

#[test]
fn only_syns_carry_an_mss() {
    // MUST-65: of a connection's whole life.
    let (mut peer, id) = Peer::plain();
    peer.stack.send(id, HeapBuf::from(vec![0; 5_000])).unwrap();
    let mut sent = peer.wait_ms(3_000);
    peer.put(ACK, 1, 5_001, b"", Options::NONE);
    peer.data(b"data", 5_001);
    peer.put(SYN, 70_000, 0, b"", Options::NONE);
    sent.extend(peer.take());
    peer.stack.close(id);
    sent.extend(peer.wait_ms(1_000));
    peer.stack.abort(id);
    sent.extend(peer.take());
    assert!(sent.len() > 8);
    for sent in &sent {
        let options = sent.options;
        assert_eq!(
            (options.mss, options.window_scale, options.sack_permitted),
            (None, None, false),
            "{sent:?}"
        );
    }
}

#[test]
fn who_says_nothing_of_its_mss_has_the_default_of_its_family() {
    // MUST-15.
    for (is_v4, expected) in [(true, 536), (false, 1_220)] {
        let mut any = Any::new(is_v4, 1_500);
        any.send(5_000);
        assert_eq!(any.largest(), Some(expected), "{is_v4}");
    }
}

#[test]
fn a_path_of_ipv6_is_never_narrower_than_its_least() {
    // RFC 8201, section 4: 1280 octets, and not made smaller for what says less.
    for (said, expected) in [(1_300, 1_220), (1_200, 1_220), (68, 1_220), (0, 1_220)] {
        let mut any = Any::new(false, 1_500);
        let first = any.send(5_000);
        any.largest();
        let [local, remote] = [(any.local, 80), (any.remote, 5)].map(|(addr, port)| Endpoint { addr, port });
        any.stack.icmp(Time(0), &Tuple { local, remote }, first, IcmpError::TooBig { mtu: said });
        let id = any.stack.ids().next().unwrap();
        assert_eq!(any.stack.info(id).unwrap().send_mss, expected, "{said}");
    }
}
