//! What a client asks of a server, and what comes of it; both stacks speak this.

use std::time::Duration;

/// A client's request for bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// How many.
    pub octets: u64,
    /// Which (see [`Bytes`](super::bytes::Bytes)).
    pub seed: u64,
}

impl Request {
    /// Octets of a request on the wire.
    pub const LEN: usize = 16;

    /// One that never ends by itself.
    #[must_use]
    pub const fn endless(seed: u64) -> Self {
        Self { octets: u64::MAX, seed }
    }

    /// As it is sent.
    #[must_use]
    pub fn octets(self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        octets[..8].copy_from_slice(&self.octets.to_be_bytes());
        octets[8..].copy_from_slice(&self.seed.to_be_bytes());
        octets
    }

    /// As it was received.
    #[must_use]
    pub fn parse(octets: [u8; Self::LEN]) -> Self {
        let both = u128::from_be_bytes(octets);
        Self { octets: (both >> 64) as u64, seed: both as u64 }
    }
}

/// What a client got, all of it checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fetched {
    /// How many octets came within the limit.
    pub octets: u64,
    /// From the first SYN to the last octet that was asked for, if that came.
    pub completion: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_back_as_they_were_sent() {
        let request = Request { octets: 0x0102_0304_0506_0708, seed: u64::MAX - 5 };
        assert_eq!(Request::parse(request.octets()), request);
        assert_eq!(request.octets()[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
