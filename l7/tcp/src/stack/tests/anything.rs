//! Anything may come, in any order: nothing panics, budgets are kept, and nothing is left behind.

use proptest::prelude::*;

use super::peer::{LOCAL, PEER_ISN, Peer, REMOTE, SYN};
use crate::segment::{Flags, Options, SackBlocks, Segment, Timestamps};
use crate::{Config, Event, HeapBuf, IcmpError, ListenerConfig, Range, Settings, Tuple};

const MEMORY: u64 = 60_000;

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A segment; numbers are counted from what would fit.
    Segment {
        flags: u8,
        sequence: i32,
        acknowledgement: i32,
        length: u16,
        window: u16,
        urgent: u16,
        options: Options,
    },
    /// Octets that may be no segment at all.
    Garbage(Vec<u8>),
    Wait(u32),
    Send(u16),
    Consume(u16),
    Close,
    Release,
    Abort,
    Connect,
    Icmp(i32, u32),
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(0), 4 => -3i32..3, 2 => -3_000i32..70_000, 1 => any::<i32>()]
}

fn options() -> impl Strategy<Value = Options> {
    let sack = prop::collection::vec((near(), near()), 0..4);
    let fixed = (prop::option::of(any::<u16>()), prop::option::of(0u8..15), any::<bool>());
    (fixed, prop::option::of((near(), any::<u32>())), sack).prop_map(|(fixed, timestamps, sack)| {
        let mut blocks = SackBlocks::NONE;
        for (start, length) in sack {
            blocks.push(Range::new(PEER_ISN + start as u32, length as u32));
        }
        Options {
            mss: fixed.0,
            window_scale: fixed.1,
            sack_permitted: fixed.2,
            timestamps: timestamps
                .map(|(value, echo)| Timestamps { value: 1_000u32.wrapping_add_signed(value), echo }),
            sack: blocks,
            are_malformed: false,
        }
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![6 => Just(0x10u8), 2 => Just(0x11), 2 => Just(2), 1 => Just(0x12), 1 => Just(4), 2 => any::<u8>()];
    let numbers = (flags, near(), near(), prop_oneof![Just(0u16), 0u16..2_000]);
    let segment = (numbers, any::<u16>(), any::<u16>(), options()).prop_map(
        |((flags, sequence, acknowledgement, length), window, urgent, options)| Step::Segment {
            flags,
            sequence,
            acknowledgement,
            length,
            window,
            urgent,
            options,
        },
    );
    prop_oneof![
        12 => segment,
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Step::Garbage),
        3 => prop_oneof![0u32..5, 0u32..3_000, 0u32..200_000].prop_map(Step::Wait),
        3 => (0u16..5_000).prop_map(Step::Send),
        2 => any::<u16>().prop_map(Step::Consume),
        1 => Just(Step::Close),
        1 => Just(Step::Release),
        1 => Just(Step::Abort),
        1 => Just(Step::Connect),
        1 => (near(), any::<u32>()).prop_map(|(quoted, mtu)| Step::Icmp(quoted, mtu)),
    ]
}

pub(super) fn take(peer: &mut Peer, step: &Step) {
    let id = peer.stack.ids().next();
    match step {
        Step::Segment { flags, sequence, acknowledgement, length, window, urgent, options } => {
            let base = id.and_then(|id| peer.stack.numbers(id));
            let (next, unacknowledged) = base.unwrap_or((PEER_ISN, peer.isn));
            let segment = Segment {
                source_port: REMOTE.port,
                destination_port: LOCAL.port,
                sequence: next + *sequence as u32,
                acknowledgement: unacknowledged + *acknowledgement as u32,
                flags: Flags(*flags),
                window: *window,
                urgent_pointer: *urgent,
                options: *options,
                ..Segment::default()
            };
            peer.put_segment(&segment, &vec![0x55; usize::from(*length)]);
        }
        Step::Garbage(octets) => peer.put_octets(octets.clone()),
        Step::Wait(millis) => drop(peer.wait_ms(*millis)),
        Step::Connect => {
            let _ =
                peer.stack.connect(peer.now, Tuple { local: LOCAL, remote: REMOTE }, &Settings::default());
        }
        Step::Icmp(quoted, mtu) => {
            let quoted = peer.isn + *quoted as u32;
            peer.stack.icmp(
                peer.now,
                &Tuple { local: LOCAL, remote: REMOTE },
                quoted,
                IcmpError::TooBig { mtu: *mtu },
            );
        }
        _ => {}
    }
    let Some(id) = id else { return };
    match step {
        Step::Send(length) => drop(peer.stack.send(id, HeapBuf::from(vec![0x77; usize::from(*length)]))),
        Step::Consume(octets) => peer.stack.consume(id, usize::from(*octets)),
        Step::Close => peer.stack.close(id),
        Step::Release => peer.stack.release(id),
        Step::Abort => peer.stack.abort(id),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_nothing_is_left(steps in prop::collection::vec(step(), 1..120), cookies in any::<bool>()) {
        let syn_queue = if cookies { 0 } else { 16 };
        let settings = Settings { receive_buffer: 20_000, send_buffer: 20_000, ..Settings::default() };
        let mut peer = Peer::with(
            &Config { memory: MEMORY, ..Config::default() },
            &ListenerConfig { syn_queue, settings, ..ListenerConfig::default() },
        );
        peer.put(SYN, 0, 0, &[], Options { mss: Some(1_000), sack_permitted: true, ..Options::NONE });
        for step in &steps {
            take(&mut peer, step);
            let sent = peer.take();
            prop_assert!(sent.iter().all(|sent| sent.payload.len() <= 1_460));
            prop_assert!(peer.stack.memory() <= MEMORY);
            while let Some(event) = peer.stack.next_event() {
                if let Event::Acceptable(listener) = event {
                    while peer.stack.accept(listener).is_some() {}
                }
            }
        }
        let ids: Vec<_> = peer.stack.ids().collect();
        ids.into_iter().for_each(|id| peer.stack.abort(id));
        peer.wait_ms(5_000_000);
        let ids: Vec<_> = peer.stack.ids().collect();
        ids.into_iter().for_each(|id| peer.stack.abort(id));
        peer.stack.unlisten(peer.listener);
        peer.take();
        prop_assert_eq!((peer.stack.connections(), peer.stack.memory()), (0, 0));
    }
}
