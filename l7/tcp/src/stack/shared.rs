//! What all connections of a stack have in common, and use while they are being looked at one by one.

use std::collections::{BTreeMap, VecDeque};

use super::listeners::Listeners;
use super::memory::Memory;
use super::pace::Pace;
use super::profiles::Profiles;
use crate::connection::Narrow;
use crate::counters::{Counter, Counters};
use crate::recovery::{FlightPool, Recovery};
use crate::segment::{Flags, Options, Segment, Timestamps};
use crate::{Buf, Config, SequenceNumber, Settings, Spares, Time, Tuple};

/// Answers without a connection that wait to be sent, at most: more are forgotten, as a network might lose them.
const MOST_ANSWERS: usize = 1_024;

/// A segment without payload that no connection sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) tuple: Tuple,
    pub(crate) segment: Segment,
}

pub(crate) struct Shared<B> {
    pub(crate) counters: Counters,
    pub(crate) spares: Spares<B>,
    pub(crate) flights: FlightPool,
    pub(crate) memory: Memory,
    pub(crate) listeners: Listeners,
    /// The listener whose connection has been established by the segment that is being looked at.
    pub(crate) accepting: u32,
    pub(crate) answers: VecDeque<Answer>,
    pub(crate) profiles: Profiles,
    /// Paths found to carry less than at first, of connections that have such.
    pub(crate) narrow: BTreeMap<Tuple, Narrow>,
    challenges: Pace,
    resets: Pace,
    random: u64,
}

impl<B: Buf> Shared<B> {
    pub(crate) fn new(config: &Config, seed: u64) -> Self {
        Self {
            counters: Counters::default(),
            spares: Spares::default(),
            flights: FlightPool::new(1_024),
            memory: Memory::new(config.memory),
            listeners: Listeners::default(),
            accepting: u32::MAX,
            answers: VecDeque::new(),
            profiles: Profiles::default(),
            narrow: BTreeMap::new(),
            challenges: Pace::new(config.answers_per_second),
            resets: Pace::new(config.answers_per_second),
            random: seed,
        }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014): not for secrets that anybody sees.
    pub(crate) const fn random(&mut self) -> u64 {
        next_random(&mut self.random)
    }

    /// A secret.
    pub(crate) fn key(&mut self) -> [u8; 16] {
        let mut key = [0; 16];
        let (first, second) = key.split_at_mut(8);
        first.copy_from_slice(&self.random().to_le_bytes());
        second.copy_from_slice(&self.random().to_le_bytes());
        key
    }

    /// Settings by their number.
    #[inline]
    pub(crate) fn settings(&self, profile: u8) -> &Settings {
        self.profiles.at(profile)
    }

    /// Loss recovery of a connection with this profile and this much payload in a segment.
    pub(crate) fn recovery_for(&self, profile: u8, mss: u16, sack: bool, now: Time) -> Recovery {
        let settings = crate::recovery::Settings { mss, sack, ..*self.profiles.recovery(profile) };
        Recovery::new(&settings, now)
    }

    /// True if a challenge ACK may go now (RFC 5961, section 7).
    pub(crate) fn may_challenge(&mut self, now: Time) -> bool {
        let random = &mut self.random;
        self.challenges.allows(now, || next_random(random))
    }

    /// True if the listener's accept queue has room.
    pub(crate) fn may_be_accepted(&self, listener: u32) -> bool {
        self.listeners.at(listener).is_some_and(|listener| listener.has_room())
    }

    /// Has a segment without a connection sent.
    pub(crate) fn answer(&mut self, tuple: &Tuple, segment: Segment) {
        if self.answers.len() < MOST_ANSWERS {
            self.answers.push_back(Answer { tuple: *tuple, segment });
        }
    }

    /// The reset that answers a segment which fits nothing (RFC 9293, section 3.5.2): either with the number that was acknowledged, or
    /// acknowledging what came; its timestamp goes back with it (RFC 7323, section 5.2).
    pub(crate) fn reset(&mut self, tuple: &Tuple, cause: &Segment, now: Time) {
        let acknowledges = cause.flags.contains(Flags::ACK);
        let end = cause.sequence + cause.sequence_length();
        let timestamps = cause.options.timestamps.map(|theirs| Timestamps { value: 0, echo: theirs.value });
        let segment = Segment {
            source_port: tuple.local.port,
            destination_port: tuple.remote.port,
            sequence: if acknowledges { cause.acknowledgement } else { SequenceNumber(0) },
            acknowledgement: if acknowledges { SequenceNumber(0) } else { end },
            flags: if acknowledges { Flags::RST } else { Flags::RST | Flags::ACK },
            options: Options { timestamps, ..Options::NONE },
            ..Segment::default()
        };
        let random = &mut self.random;
        if self.resets.allows(now, || next_random(random)) {
            self.send_reset(tuple, segment);
        } else {
            self.counters.count(Counter::AckSkipped);
        }
    }

    /// Sends a reset of a connection's own.
    pub(crate) fn send_reset(&mut self, tuple: &Tuple, segment: Segment) {
        self.counters.count(Counter::OutRsts);
        self.answer(tuple, segment);
    }
}

const fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
