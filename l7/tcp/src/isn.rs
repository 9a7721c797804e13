//! Initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323, section 5.4) that nobody outside can guess.

use siphasher::sip::SipHasher24;

use crate::{SequenceNumber, Time, Tuple};

/// Where initial sequence numbers come from: a secret of the stack, chosen at random by who makes it.
#[derive(Clone)]
pub struct IsnSource {
    hasher: SipHasher24,
}

impl IsnSource {
    /// A source with this secret.
    #[must_use]
    pub fn new(secret: &[u8; 16]) -> Self {
        Self { hasher: SipHasher24::new_with_key(secret) }
    }

    /// ISN = M + F(connection, secret), where M ticks every four microseconds (RFC 6528, section 3; RFC 9293, section 3.4.1).
    #[must_use]
    pub fn isn(&self, tuple: &Tuple, now: Time) -> SequenceNumber {
        self.both(tuple, now).0
    }

    /// Both at once, for a connection that begins: they come out of one hash.
    #[must_use]
    pub fn both(&self, tuple: &Tuple, now: Time) -> (SequenceNumber, u32) {
        let hash = self.hash(tuple);
        (SequenceNumber((now.0 / 4_000) as u32) + hash as u32, (hash >> 32) as u32)
    }

    /// What is added to the clock in the timestamps of a connection, so that they do not tell how long this machine has been up. The
    /// same for each incarnation of the connection, or PAWS would mistake a new one's segments for old ones.
    #[must_use]
    pub fn timestamp_offset(&self, tuple: &Tuple) -> u32 {
        (self.hash(tuple) >> 32) as u32
    }

    fn hash(&self, tuple: &Tuple) -> u64 {
        if tuple.local.addr.is_v4() && tuple.remote.addr.is_v4() {
            self.hasher.hash(&octets_v4(tuple))
        } else {
            self.hasher.hash(&octets(tuple))
        }
    }
}

/// The name of a connection over IPv4, in a third of the octets. The hash counts how many it is given, so that none is another's.
fn octets_v4(tuple: &Tuple) -> [u8; 12] {
    let mut octets = [0; 12];
    for (to, end) in octets.as_chunks_mut::<6>().0.iter_mut().zip([tuple.local, tuple.remote]) {
        to[..4].copy_from_slice(&end.addr.v4_octets());
        to[4..].copy_from_slice(&end.port.to_be_bytes());
    }
    octets
}

/// A connection's name as octets.
pub(crate) fn octets(tuple: &Tuple) -> [u8; 36] {
    let mut octets = [0; 36];
    for (to, end) in octets.as_chunks_mut::<18>().0.iter_mut().zip([tuple.local, tuple.remote]) {
        to[..16].copy_from_slice(&end.addr.0);
        to[16..].copy_from_slice(&end.port.to_be_bytes());
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    fn tuple(port: u16) -> Tuple {
        Tuple { local: Endpoint::v4([192, 0, 2, 1], 80), remote: Endpoint::v4([198, 51, 100, 7], port) }
    }

    #[test]
    fn numbers_of_one_connection_go_with_the_clock() {
        let source = IsnSource::new(b"sixteen octets !");
        let (early, late) = (Time(7_000), Time(7_000 + 4_000 * 250_000));
        assert_eq!(source.isn(&tuple(1), late) - source.isn(&tuple(1), early), 250_000);
        assert_eq!(source.timestamp_offset(&tuple(1)), source.timestamp_offset(&tuple(1)));
    }

    #[test]
    fn connections_and_secrets_have_nothing_to_do_with_each_other() {
        let source = IsnSource::new(b"sixteen octets !");
        let other = IsnSource::new(b"another secret !");
        let isn = source.isn(&tuple(1), Time(0));
        assert_ne!(isn, source.isn(&tuple(2), Time(0)));
        assert_ne!(isn, source.isn(&tuple(1).reversed(), Time(0)));
        assert_ne!(isn, other.isn(&tuple(1), Time(0)));
        assert_ne!(source.timestamp_offset(&tuple(1)), source.timestamp_offset(&tuple(2)));
    }
}
