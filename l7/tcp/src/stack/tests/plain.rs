//! What is expected takes a shorter way than everything else, and both come to the same end: connections that are traced go the long way.

use proptest::prelude::*;

use super::anything::{Step, step, take};
use super::peer::{ACK, LOCAL, PEER_ISN, Peer, REMOTE, SYN, Sent};
use crate::segment::{Flags, MAX_HEADER, Options, Segment, Timestamps};
use crate::{Config, Counters, Event, HeapBuf, Incoming, Info, ListenerConfig, Settings, Time};

/// Segments of a conversation without accidents.
fn expected() -> impl Strategy<Value = Step> {
    let acknowledgement = prop_oneof![Just(0), 0i32..4_000];
    let length = prop_oneof![Just(0u16), Just(1_000), 0u16..1_500];
    let window = prop_oneof![3 => Just(u16::MAX), 1 => any::<u16>(), 1 => Just(0)];
    // PSH or not, and at times what is said about congestion.
    let flags = prop_oneof![4 => Just(0x10u8), 4 => Just(0x18), 1 => Just(0x50), 1 => Just(0x90)];
    (flags, acknowledgement, length, window, any::<bool>(), 0u32..3).prop_map(
        |(flags, acknowledgement, length, window, is_stamped, ahead)| {
            let stamps = Timestamps { value: 1_000 + ahead, echo: 0 };
            Step::Segment {
                flags,
                sequence: 0,
                acknowledgement,
                length,
                window,
                urgent: 0,
                options: Options { timestamps: is_stamped.then_some(stamps), ..Options::NONE },
            }
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => expected(),
        4 => (0u16..5_000).prop_map(Step::Send),
        3 => any::<u16>().prop_map(Step::Consume),
        2 => (0u32..300).prop_map(Step::Wait),
        1 => step(),
        1 => Just(Step::Release),
    ]
}

type Seen = (Vec<Sent>, Vec<Event>, Vec<Info>, Option<Time>, u64);

/// All that can be seen of a stack from outside.
fn seen(peer: &mut Peer, is_traced: bool) -> Seen {
    let (sent, mut events) = (peer.take(), Vec::new());
    while let Some(event) = peer.stack.next_event() {
        events.push(event);
        if let Event::Acceptable(listener) = event {
            while let Some(id) = peer.stack.accept(listener) {
                peer.stack.trace(id, is_traced);
            }
        }
    }
    let infos = peer.stack.ids().filter_map(|id| peer.stack.info(id)).collect();
    (sent, events, infos, peer.stack.deadline(), peer.stack.memory())
}

fn all(counters: &Counters) -> Vec<u64> {
    counters.iter().map(|(_, value)| value).collect()
}

/// More segments than are read ahead, and one that is none.
#[test]
fn a_burst_is_its_segments_one_by_one() {
    let [(mut one, first), (mut burst, second), (mut ahead, third)] = [(); 3].map(|()| Peer::plain());
    let mut segments = Vec::new();
    for number in 0..70u8 {
        let segment = Segment {
            source_port: REMOTE.port,
            destination_port: LOCAL.port,
            sequence: PEER_ISN + 1 + u32::from(number),
            acknowledgement: one.isn + 1,
            flags: ACK,
            window: 9_000,
            ..Segment::default()
        };
        let mut header = [0; MAX_HEADER];
        let length = segment.write(&mut header);
        segments.push([&header[..length], &[number]].concat());
    }
    segments.push(vec![1, 2, 3]);
    segments.iter().for_each(|segment| one.put_octets(segment.clone()));
    let incoming =
        |octets| Incoming { local: LOCAL.addr, remote: REMOTE.addr, ecn: 0, segment: HeapBuf::from(octets) };
    let mut packets: Vec<_> = segments.iter().cloned().map(incoming).collect();
    burst.stack.receive_burst(burst.now, &mut packets);
    assert!(packets.is_empty());
    // As if there were many connections.
    packets.extend(segments.into_iter().map(incoming));
    ahead.stack.receive_ahead(&mut packets);
    assert!(packets.is_empty());
    let expected = seen(&mut one, false);
    assert_eq!(one.stack.readable(first), 70);
    for (peer, id) in [(&mut burst, second), (&mut ahead, third)] {
        assert_eq!(peer.stack.readable(id), 70);
        assert_eq!(seen(peer, false), expected);
        assert_eq!(all(one.stack.counters()), all(peer.stack.counters()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_come_to_the_same_end(
        steps in prop::collection::vec((steps(), prop_oneof![4 => Just(2u8), 1 => 0u8..4]), 1..150),
        stamps: bool, sack: bool, ecn: bool, no_delay: bool, is_small: bool,
    ) {
        let receive_buffer = if is_small { 8_000 } else { 100_000 };
        let settings = Settings { receive_buffer, initial_window: 8_000, send_buffer: 20_000, no_delay, ..Settings::default() };
        let listener = ListenerConfig { settings, ..ListenerConfig::default() };
        let config = Config { memory: 24_000, ..Config::default() };
        let [mut short, mut long] = [(); 2].map(|()| Peer::with(&config, &listener));
        let timestamps = stamps.then_some(Timestamps { value: 1_000, echo: 0 });
        let options = Options { mss: Some(1_000), sack_permitted: sack, timestamps, ..Options::NONE };
        for peer in [&mut short, &mut long] {
            peer.put(if ecn { SYN | Flags::ECE | Flags::CWR } else { SYN }, 0, 0, &[], options);
            peer.take();
            peer.put(ACK, 1, 1, &[], Options { timestamps, ..Options::NONE });
        }
        prop_assert_eq!(seen(&mut short, false), seen(&mut long, true));
        for (step, mark) in &steps {
            (short.ecn, long.ecn) = (*mark, *mark);
            take(&mut short, step);
            take(&mut long, step);
            prop_assert_eq!(seen(&mut short, false), seen(&mut long, true), "{:?}", step);
        }
        prop_assert_eq!(all(short.stack.counters()), all(long.stack.counters()));
    }
}
