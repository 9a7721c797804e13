//! The bytes that are sent, so that each can be checked where it arrives.

use crate::network::Random;

/// A prime, so that nothing that is a round number of bytes away looks the same.
pub(super) const PERIOD: usize = 65_521;

/// An endless row of bytes that its seed determines.
#[derive(Clone, Debug)]
pub struct Bytes {
    /// Twice the period: every piece of up to one period lies in one piece.
    octets: Vec<u8>,
}

impl Bytes {
    /// The row of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let words = (0..PERIOD.div_ceil(8)).flat_map(|_| random.number().to_le_bytes());
        let period: Vec<u8> = words.take(PERIOD).collect();
        Self { octets: [&period[..], &period].concat() }
    }

    /// `count` bytes, no more than a period, from `offset` on.
    #[must_use]
    pub fn slice(&self, offset: u64, count: usize) -> &[u8] {
        let start = (offset % PERIOD as u64) as usize;
        &self.octets[start..start + count.min(PERIOD)]
    }

    /// True if `octets` are what is sent from `offset` on.
    #[must_use]
    pub fn matches(&self, offset: u64, octets: &[u8]) -> bool {
        let mut offset = offset;
        octets.chunks(PERIOD).all(|chunk| {
            let is_right = self.slice(offset, chunk.len()) == chunk;
            offset += chunk.len() as u64;
            is_right
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_where_it_should_be() {
        let bytes = Bytes::new(1);
        let all: Vec<u8> = (0..200_000).map(|at| bytes.slice(at, 1)[0]).collect();
        assert!(bytes.matches(0, &all));
        assert!(bytes.matches(70_000, &all[70_000..]));
        assert!(!bytes.matches(70_001, &all[70_000..]));
        let mut wrong = all;
        wrong[150_000] ^= 1;
        assert!(!bytes.matches(0, &wrong));
        assert_ne!(bytes.slice(0, 100), Bytes::new(2).slice(0, 100));
    }
}
