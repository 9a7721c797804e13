//! The hash of a flow key, and a small random number generator; both seeded, both the same on every run with one seed.

use crate::key::FlowKey;
use crate::plain::Tuple;

/// A seeded hash over flow keys: multiply and fold, as in wyhash and its kin.
///
/// With a secret seed nobody can aim packets at one bucket of a table; with a public one balancers agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowHasher {
    seed: [u64; 4],
}

#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

impl FlowHasher {
    /// What every balancer picks backends by, so that several behind one anycast address agree.
    pub const SHARED: Self = Self::new(0x6576_656e_6b65_656c);

    /// The hash with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Odd words: a factor of zero would let the other one vanish.
        Self { seed: [random.next() | 1, random.next() | 1, random.next() | 1, random.next() | 1] }
    }

    /// The hash of `key`; every bit is as good as any other.
    #[must_use]
    #[inline]
    pub const fn hash(&self, key: &FlowKey) -> u64 {
        if let Some(tuple) = Tuple::of(key) {
            return self.hash_v4(tuple);
        }
        let [source_high, source_low] = key.source.addr.words();
        let [destination_high, destination_low] = key.destination.addr.words();
        let ports = (key.source.port as u64) << 16 | key.destination.port as u64;
        let low =
            fold(source_low ^ ports ^ self.seed[0], destination_low ^ key.protocol as u64 ^ self.seed[1]);
        // A port may cancel a bit of the address there, but not here as well.
        let high = fold(source_high ^ self.seed[1], destination_high ^ ports ^ self.seed[0]);
        fold(low ^ high ^ self.seed[3], self.seed[2])
    }

    /// The same of a tuple over IPv4.
    #[must_use]
    #[inline(always)]
    pub const fn hash_v4(&self, tuple: Tuple) -> u64 {
        let both = fold(tuple.addresses() ^ self.seed[0], tuple.ports_and_protocol() ^ self.seed[1]);
        fold(both ^ self.seed[3], self.seed[2])
    }

    /// The hash of one end of a flow.
    #[must_use]
    #[inline]
    pub const fn hash_endpoint(&self, endpoint: crate::key::Endpoint) -> u64 {
        let [high, low] = endpoint.addr.words();
        fold(
            fold(low ^ self.seed[0], high ^ self.seed[1]) ^ self.seed[2],
            endpoint.port as u64 ^ self.seed[3],
        )
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): enough to spread local ports; not for secrets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[inline]
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    #[inline]
    pub const fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * bound as u64) >> 32) as u32
    }
}
