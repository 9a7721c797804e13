//! The Internet checksum (RFC 1071) of a segment and its pseudo-header (RFC 9293, section 3.1).
//!
//! Sums are taken over native-endian words: one's complement addition gives the same octets in either order (RFC 1071,
//! section 2). A checksum here is the two octets of its field, as they stand on the wire.

use crate::addr::Addr;

/// TCP's number among the protocols of IP.
const PROTOCOL: u8 = 6;

/// A one's complement sum that is not yet folded to 16 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// The pseudo-header of a segment of `length` octets, header included (RFC 9293, section 3.1; RFC 8200, section 8.1).
    #[must_use]
    #[inline]
    pub fn pseudo_header(source: &Addr, destination: &Addr, length: u32) -> Self {
        let [a, b, c, d] = length.to_be_bytes();
        Self::ZERO.address(source).address(destination).word([0, PROTOCOL]).word([a, b]).word([c, d])
    }

    /// Adds the octets of a 16-bit word.
    #[must_use]
    #[inline]
    pub const fn word(self, octets: [u8; 2]) -> Self {
        Self(self.0 + u16::from_ne_bytes(octets) as u64)
    }

    /// Adds a run of octets that starts at an even offset of the summed data.
    #[must_use]
    pub fn octets(self, octets: &[u8]) -> Self {
        let (mut sum, mut rest) = (self.0, octets);
        if octets.len() >= 128 {
            // Independent lanes of 64 bits over words of 32: no carry is ever lost, and the compiler makes vectors of them.
            let mut lanes = [0u64; 8];
            let (blocks, behind) = octets.as_chunks::<32>();
            for block in blocks {
                for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
                    *lane += u64::from(u32::from_ne_bytes(*word));
                }
            }
            sum += lanes.iter().sum::<u64>();
            rest = behind;
        }
        let (words, rest) = rest.as_chunks::<4>();
        for word in words {
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        // What is left of a word is padded with zeros behind (RFC 9293, section 3.1).
        let last = match *rest {
            [a] => [a, 0, 0, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c] => [a, b, c, 0],
            _ => [0; 4],
        };
        Self(sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// Adds slices that follow each other without a gap, from an even offset of the summed data on.
    #[must_use]
    pub fn slices<'a>(self, slices: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut sum = self;
        let mut is_odd = false;
        for slice in slices {
            if is_odd {
                // A sum whose words start one octet late is the sum with its octets exchanged (RFC 1071, section 2).
                let late = Self::ZERO.octets(slice).folded().swap_bytes();
                sum = Self(sum.0 + u64::from(late));
            } else {
                sum = sum.octets(slice);
            }
            is_odd ^= slice.len() % 2 == 1;
        }
        sum
    }

    /// The sum in 16 bits, not complemented: what devices that complete checksums want to find in the field.
    #[must_use]
    #[inline]
    pub const fn folded(self) -> u16 {
        let (sum, carry) = (self.0 as u32).overflowing_add((self.0 >> 32) as u32);
        let sum = sum + carry as u32;
        // A word plus itself with the halves exchanged has the sum of the halves, its carry added, in the upper half.
        (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
    }

    /// True if the data, its checksum included, sums up to all ones (RFC 9293, MUST-3). With a pseudo-header in it the sum
    /// is never that of nothing but zeros, which would look right too.
    #[must_use]
    #[inline]
    pub const fn is_right(self) -> bool {
        self.0.is_multiple_of(0xffff)
    }

    /// The checksum of the summed data, whose own field was zero (RFC 9293, MUST-2).
    #[must_use]
    #[inline]
    pub const fn checksum(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }

    fn address(self, address: &Addr) -> Self {
        if address.is_v4() { self.octets(&address.v4_octets()) } else { self.octets(&address.0) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_1071_section_3_example() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::ZERO.octets(&data).folded().to_ne_bytes(), [0xdd, 0xf2]);
    }

    #[test]
    fn a_segment_of_each_family() {
        // A SYN as Linux sends it over loopback, and the same over IPv6.
        let v4 = Sum::pseudo_header(&Addr::from_v4([127, 0, 0, 1]), &Addr::from_v4([127, 0, 0, 1]), 20);
        let segment = b"\xd4\x31\x00\x50\0\0\0\x01\0\0\0\0\x50\x02\x20\x00\0\0\0\0";
        assert_eq!(naive(v4, segment), v4.octets(segment).checksum());
        let mut one = [0; 16];
        one[15] = 1;
        let v6 = Sum::pseudo_header(&Addr(one), &Addr(one), 20);
        assert_eq!(naive(v6, segment), v6.octets(segment).checksum());
        assert_ne!(v4.octets(segment).checksum(), v6.octets(segment).checksum());
    }

    /// The sum as the RFC draws it: big-endian words, carries added as they come.
    fn naive(before: Sum, octets: &[u8]) -> [u8; 2] {
        let mut sum = u32::from(before.folded().to_be());
        for pair in octets.chunks(2) {
            let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            sum += u32::from(word);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    proptest! {
        #[test]
        fn fast_equals_naive(octets in prop::collection::vec(any::<u8>(), 0..200), start in 0u16..) {
            let before = Sum::ZERO.word(start.to_be_bytes());
            prop_assume!(start != 0); // a sum of zero has two representations
            prop_assert_eq!(before.octets(&octets).checksum(), naive(before, &octets));
        }

        #[test]
        fn slices_are_as_good_as_the_whole(
            octets in prop::collection::vec(any::<u8>(), 1..200), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(octets.len())).collect();
            cuts.extend([0, octets.len()]);
            cuts.sort_unstable();
            let slices = cuts.windows(2).map(|ends| &octets[ends[0]..ends[1]]);
            let start = Sum::ZERO.word([1, 2]);
            prop_assert_eq!(start.slices(slices).checksum(), start.octets(&octets).checksum());
        }

        #[test]
        fn one_flipped_bit_is_seen(mut octets in prop::collection::vec(any::<u8>(), 20..100), at: prop::sample::Index, bit in 0..8u8) {
            let pseudo = Sum::pseudo_header(&Addr::from_v4([192, 0, 2, 1]), &Addr::from_v4([192, 0, 2, 2]), octets.len() as u32);
            octets[16..18].fill(0);
            let checksum = pseudo.octets(&octets).checksum();
            octets[16..18].copy_from_slice(&checksum);
            prop_assert!(pseudo.octets(&octets).is_right());
            let at = at.index(octets.len());
            octets[at] ^= 1 << bit;
            prop_assert!(!pseudo.octets(&octets).is_right());
        }
    }
}
