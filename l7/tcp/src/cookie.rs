//! SYN cookies (RFC 4987, section 3.6): a connection that waits for its last ACK, kept by the peer.
//!
//! The sequence number of the SYN-ACK holds what the SYN offered and a code that only this stack can make; so does its timestamp, where
//! the peer uses timestamps, and then the code is the longer.
//!
//! ```text
//! sequence number, without timestamps: | code 24 | parity 1 | MSS 3 | window scale 3 | SACK permitted 1 |
//! sequence number, with timestamps:    | code 28                    | parity 1 | MSS 3 |
//! timestamp:                           | clock 26 | window scale 4 | SACK permitted 1 | ECN 1 |
//! ```
//!
//! Invariants: a cookie is good for the period of 69 seconds that it was made in and the one after; the key of a period is derived from the
//! secret, so that it changes with each; nothing that comes out of a cookie is larger than what the peer offered.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use crate::segment::MAX_WINDOW_SCALE;
use crate::{SequenceNumber, Time, Tuple, isn};

/// A period is 2^36 nanoseconds.
const PERIOD_SHIFT: u32 = 36;
/// The sizes that three bits can say; the least stands for nonsense.
const SIZES: [u16; 8] = [64, 536, 1220, 1360, 1400, 1440, 1460, 8940];
/// The window scales that three bits can say, with 0 for none.
const SCALES: [u8; 7] = [0, 2, 4, 6, 7, 8, 10];
const TIMESTAMP_BITS: u32 = 0x3f;
const NO_SCALE: u32 = 15;

/// What a SYN has offered and its answer agreed to: everything that has to be known of it when the last ACK comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The largest segment that the peer takes, which a cookie remembers roughly, rounded down.
    pub mss: u16,
    /// The shift of the peer's windows; without timestamps it may come back smaller.
    pub window_scale: Option<u8>,
    /// SACK is in use.
    pub sack_permitted: bool,
    /// ECN is in use; without timestamps it is forgotten.
    pub ecn: bool,
    /// The value of the clock for the timestamp of the SYN-ACK, if the SYN had one. Out of a cookie: the TSecr that came back.
    pub timestamp: Option<u32>,
}

/// What the SYN-ACK says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cookie {
    /// Its sequence number.
    pub isn: SequenceNumber,
    /// Its TSval: at most 64 ticks before the clock, never after it. No round trip is to be measured by it.
    pub timestamp: Option<u32>,
}

/// Makes and checks cookies.
pub struct Cookies {
    secret: SipHasher24,
    /// The keys of an even and an odd period.
    keys: [(u64, SipHasher24); 2],
}

impl Cookies {
    /// Cookies with this secret, chosen at random by who makes the stack.
    #[must_use]
    pub fn new(secret: &[u8; 16]) -> Self {
        let secret = SipHasher24::new_with_key(secret);
        Self { secret, keys: [key_of(&secret, 0), key_of(&secret, 1)] }
    }

    /// The answer to a SYN with the number `peer_isn`.
    pub fn make(&mut self, tuple: &Tuple, peer_isn: SequenceNumber, offer: &Offer, now: Time) -> Cookie {
        let period = now.0 >> PERIOD_SHIFT;
        let parity = (period & 1) as u32;
        let size = SIZES.iter().rposition(|size| *size <= offer.mss).unwrap_or(0) as u32;
        let Some(clock) = offer.timestamp else {
            let scale = offer
                .window_scale
                .map_or(0, |shift| 1 + SCALES.iter().rposition(|scale| *scale <= shift).unwrap_or(0) as u32);
            let low = parity << 7 | size << 4 | scale << 1 | u32::from(offer.sack_permitted);
            let code = self.code(period, tuple, peer_isn, low, None);
            return Cookie { isn: SequenceNumber(code << 8 | low), timestamp: None };
        };
        let scale = offer.window_scale.map_or(NO_SCALE, |shift| u32::from(shift.min(MAX_WINDOW_SCALE)));
        let said = scale << 2 | u32::from(offer.sack_permitted) << 1 | u32::from(offer.ecn);
        let behind = (clock & TIMESTAMP_BITS).wrapping_sub(said) & TIMESTAMP_BITS;
        let low = parity << 3 | size;
        let code = self.code(period, tuple, peer_isn, low, Some(said));
        Cookie { isn: SequenceNumber(code << 4 | low), timestamp: Some(clock.wrapping_sub(behind)) }
    }

    /// What the SYN offered whose cookie `isn` the ACK acknowledges (SEG.ACK - 1); `peer_isn` is SEG.SEQ - 1, `echo` the TSecr if
    /// the ACK has timestamps. `None` if this is no cookie of ours, or an old one.
    pub fn check(
        &mut self,
        tuple: &Tuple,
        peer_isn: SequenceNumber,
        isn: SequenceNumber,
        echo: Option<u32>,
        now: Time,
    ) -> Option<Offer> {
        let (low_bits, said) =
            if echo.is_some() { (4, echo.map(|echo| echo & TIMESTAMP_BITS)) } else { (8, None) };
        let low = isn.0 & ((1 << low_bits) - 1);
        let parity = u64::from(low >> (low_bits - 1));
        let current = now.0 >> PERIOD_SHIFT;
        let period = if current & 1 == parity { current } else { current.checked_sub(1)? };
        if self.code(period, tuple, peer_isn, low, said) != isn.0 >> low_bits {
            return None;
        }
        let size = (low >> (low_bits - 4)) & 7;
        let (window_scale, sack, ecn) = match said {
            Some(said) => (Some(said >> 2).filter(|scale| *scale != NO_SCALE), said >> 1 & 1, said & 1),
            None => {
                let index = (low >> 1 & 7).checked_sub(1);
                let scale = index.and_then(|index| SCALES.get(index as usize));
                (scale.map(|scale| u32::from(*scale)), low & 1, 0)
            }
        };
        Some(Offer {
            mss: SIZES.get(size as usize).copied().unwrap_or(SIZES[0]),
            window_scale: window_scale.map(|scale| scale as u8),
            sack_permitted: sack == 1,
            ecn: ecn == 1,
            timestamp: echo,
        })
    }

    /// 24 bits, or 28 with what a timestamp says.
    fn code(
        &mut self,
        period: u64,
        tuple: &Tuple,
        peer_isn: SequenceNumber,
        low: u32,
        said: Option<u32>,
    ) -> u32 {
        let key = &mut self.keys[(period & 1) as usize];
        if key.0 != period {
            *key = key_of(&self.secret, period);
        }
        let mut hasher = key.1;
        hasher.write(&isn::octets(tuple));
        hasher.write(&peer_isn.0.to_be_bytes());
        hasher.write(&[low as u8, said.map_or(0xff, |said| said as u8)]);
        let hash = hasher.finish() as u32;
        if said.is_some() { hash >> 4 } else { hash >> 8 }
    }
}

fn key_of(secret: &SipHasher24, period: u64) -> (u64, SipHasher24) {
    let half = |which: u8| {
        let mut hasher = *secret;
        hasher.write(&period.to_be_bytes());
        hasher.write(&[which]);
        hasher.finish()
    };
    (period, SipHasher24::new_with_keys(half(0), half(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Endpoint;

    const PERIOD: u64 = 1 << PERIOD_SHIFT;
    const OFFER: Offer =
        Offer { mss: 1460, window_scale: Some(7), sack_permitted: true, ecn: false, timestamp: None };

    fn tuple(port: u16) -> Tuple {
        Tuple { local: Endpoint::v4([192, 0, 2, 1], 80), remote: Endpoint::v4([198, 51, 100, 7], port) }
    }

    fn cookies() -> Cookies {
        Cookies::new(b"sixteen octets !")
    }

    #[test]
    fn a_cookie_is_good_for_its_period_and_the_next() {
        let mut cookies = cookies();
        let peer = SequenceNumber(77);
        for timestamp in [None, Some(1_000_000)] {
            let offer = Offer { timestamp, ..OFFER };
            for period in [0, 1, 6, 7] {
                let now = Time(period * PERIOD + 5);
                let cookie = cookies.make(&tuple(1), peer, &offer, now);
                let mut check =
                    |port, peer, isn, echo, at| cookies.check(&tuple(port), peer, isn, echo, Time(at));
                for (later, expected) in
                    [(0, true), (PERIOD, true), (2 * PERIOD - 6, true), (2 * PERIOD, false)]
                {
                    let seen = check(1, peer, cookie.isn, cookie.timestamp, now.0 + later);
                    let echoed = Offer { timestamp: cookie.timestamp, ..OFFER };
                    assert_eq!(seen, expected.then_some(echoed), "period {period}, {later} later");
                }
                assert_eq!(check(2, peer, cookie.isn, cookie.timestamp, now.0), None);
                assert_eq!(check(1, peer + 1, cookie.isn, cookie.timestamp, now.0), None);
                // What it says cannot be changed.
                for bit in 0..32 {
                    let isn = SequenceNumber(cookie.isn.0 ^ 1 << bit);
                    assert_eq!(check(1, peer, isn, cookie.timestamp, now.0), None, "bit {bit}");
                }
                for bit in 0..6 {
                    let echo = cookie.timestamp.map(|timestamp| timestamp ^ 1 << bit);
                    assert_eq!(check(1, peer, cookie.isn, echo, now.0).is_none(), echo.is_some());
                }
                let other = timestamp.map_or(Some(1_000_000), |_| None);
                assert_eq!(check(1, peer, cookie.isn, other, now.0), None);
            }
        }
    }

    #[test]
    fn guesses_are_wrong() {
        let mut cookies = cookies();
        for guess in 0..20_000u32 {
            let isn = SequenceNumber(guess.wrapping_mul(0x9e37_79b9));
            let echo = (guess % 2 == 0).then_some(guess);
            assert_eq!(cookies.check(&tuple(1), SequenceNumber(1), isn, echo, Time(PERIOD)), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_comes_back_larger_than_it_was(
            mss: u16, scale in prop::option::of(0..=14u8), sack: bool, ecn: bool, timestamp: Option<u32>, now: u64, peer: u32,
        ) {
            let mut cookies = cookies();
            let peer = SequenceNumber(peer);
            let offer = Offer { mss, window_scale: scale, sack_permitted: sack, ecn, timestamp };
            let cookie = cookies.make(&tuple(1), peer, &offer, Time(now));
            prop_assert_eq!(cookie.timestamp.is_some(), timestamp.is_some());
            if let (Some(said), Some(clock)) = (cookie.timestamp, timestamp) {
                prop_assert!(clock.wrapping_sub(said) < 64);
            }
            let back = cookies.check(&tuple(1), peer, cookie.isn, cookie.timestamp, Time(now)).unwrap();
            prop_assert!(back.mss <= mss.max(SIZES[0]));
            prop_assert_eq!((back.sack_permitted, back.ecn), (sack, ecn && timestamp.is_some()));
            prop_assert_eq!(back.window_scale.is_some(), scale.is_some());
            prop_assert!(back.window_scale <= scale);
            prop_assert!(timestamp.is_none() || back.window_scale == scale);
        }
    }
}
