//! What an end is to do: both send a stream of their own and then close that half; neither waits for the other.

use std::net::Ipv4Addr;

use crate::hosts::Bytes;
use crate::network::Random;

pub(crate) const OURS: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 18, 0, 1), 7_000);
pub(crate) const THEIRS: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 18, 0, 2), 7_001);

/// The plan of one end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// It opens the connection; the other one listens.
    pub(crate) opens: bool,
    /// Octets that it sends, which are those of this seed.
    pub(crate) octets: u64,
    pub(crate) seed: u64,
    /// The seed of what it gets.
    pub(crate) other: u64,
    /// It closes its half only when it has heard the other's end.
    pub(crate) closes_last: bool,
    /// Ends by a reset once so many octets have come.
    pub(crate) aborts_after: Option<u64>,
}

impl Plan {
    pub(crate) fn outgoing(&self) -> Bytes {
        Bytes::new(self.seed)
    }

    pub(crate) fn incoming(&self) -> Bytes {
        Bytes::new(self.other)
    }
}

/// Ours and theirs.
pub(crate) fn plans(random: &mut Random) -> [Plan; 2] {
    let opens = random.happens(0.5);
    let seeds = [random.number(), random.number()];
    let closes_last = [random.happens(0.3), random.happens(0.3)];
    let mut octets = || {
        let bits = 1 + random.below(17);
        random.below(1 << bits)
    };
    let plan = |opens, octets, [seed, other]: [u64; 2], closes_last| Plan {
        opens,
        octets,
        seed,
        other,
        closes_last,
        aborts_after: None,
    };
    let ours = plan(opens, octets(), seeds, closes_last[0]);
    // One of them has to begin.
    let theirs = plan(!opens, octets(), [seeds[1], seeds[0]], closes_last[1] && !closes_last[0]);
    [ours, theirs]
}
