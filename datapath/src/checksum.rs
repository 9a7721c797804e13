//! The Internet checksum, whole (RFC 1071) and incremental (RFC 1624).
//!
//! Sums are taken over native-endian words: one's complement addition gives the same octets in either order
//! (RFC 1071, section 2). A checksum here is the two octets of its field, read in native order.

use crate::key::Addr;

/// A one's complement sum that is not yet folded to 16 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// Adds another sum.
    #[must_use]
    #[inline]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Adds the octets of a 16-bit word.
    #[must_use]
    #[inline]
    pub const fn word(self, octets: [u8; 2]) -> Self {
        Self(self.0 + u16::from_ne_bytes(octets) as u64)
    }

    /// Adds an address: four octets of IPv4, sixteen of IPv6.
    #[must_use]
    #[inline]
    pub const fn address(self, address: &Addr) -> Self {
        if address.is_v4() {
            return Self(self.0 + u32::from_ne_bytes(address.v4_octets()) as u64);
        }
        let [a, b] = address.words();
        let half = (a & 0xffff_ffff) + (a >> 32) + (b & 0xffff_ffff) + (b >> 32);
        Self(self.0 + half)
    }

    /// Adds a run of octets that starts at an even offset of the summed data.
    #[must_use]
    pub fn octets(self, octets: &[u8]) -> Self {
        let mut sum = self.0;
        let (words, rest) = octets.as_chunks::<4>();
        for word in words {
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        Self(sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// True if an IPv4 header without options has the right checksum: [`Sum::is_right`] in fewer steps.
    #[must_use]
    #[inline(always)]
    pub const fn is_right_ipv4_header(header: &[u8; 20]) -> bool {
        let (words, rest) = header.as_chunks::<8>();
        let [a, b, c, d] = [rest[0], rest[1], rest[2], rest[3]];
        // Modulo 2^64 - 1, which 2^16 - 1 divides: what is carried out comes in again below.
        let (sum, carry) = u64::from_ne_bytes(words[0]).overflowing_add(u64::from_ne_bytes(words[1]));
        let (sum, carry) = sum.overflowing_add(u32::from_ne_bytes([a, b, c, d]) as u64 + carry as u64);
        (sum + carry as u64).is_multiple_of(0xffff)
    }

    /// Adds the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1): addresses, protocol and length.
    #[must_use]
    pub fn pseudo_header(self, source: &Addr, destination: &Addr, protocol: u8, length: u32) -> Self {
        let [a, b, c, d] = length.to_be_bytes();
        self.address(source).address(destination).word([0, protocol]).word([a, b]).word([c, d])
    }

    /// What changes when `old` in the data becomes `new`.
    #[must_use]
    #[inline]
    pub const fn replace_word(self, old: [u8; 2], new: [u8; 2]) -> Self {
        Self(self.0 + (!u16::from_ne_bytes(old)) as u64 + u16::from_ne_bytes(new) as u64)
    }

    /// What changes when four octets `old` in the data, at an even offset, become `new`.
    #[must_use]
    #[inline]
    pub const fn replace_double(self, old: [u8; 4], new: [u8; 4]) -> Self {
        Self(self.0 + (!u32::from_ne_bytes(old)) as u64 + u32::from_ne_bytes(new) as u64)
    }

    /// What changes when words of 16 bits in the data, up to four in `old`, become those in `new`.
    #[must_use]
    #[inline(always)]
    pub const fn replace_words(self, old: u64, new: u64) -> Self {
        // Sums modulo 2^64 - 1, which 2^16 - 1 divides; in halves, so that a few of them can be added up.
        let (sum, carry) = (!old).overflowing_add(new);
        let sum = sum + carry as u64;
        Self(self.0 + (sum & 0xffff_ffff) + (sum >> 32))
    }

    /// What changes when the address `old` in the data becomes `new`, of the same family.
    #[must_use]
    #[inline]
    pub const fn replace_address(self, old: &Addr, new: &Addr) -> Self {
        if new.is_v4() {
            return self.replace_double(old.v4_octets(), new.v4_octets());
        }
        let [a, b] = old.words();
        let complement = (!a & 0xffff_ffff) + (!a >> 32) + (!b & 0xffff_ffff) + (!b >> 32);
        Self(self.0 + complement).address(new)
    }

    /// The sum in 16 bits, not complemented: what devices want to find in the checksum field.
    #[must_use]
    #[inline]
    pub const fn folded(self) -> u16 {
        let (sum, carry) = (self.0 as u32).overflowing_add((self.0 >> 32) as u32);
        let sum = sum + carry as u32;
        // A word plus itself with the halves exchanged has the sum of the halves, its carry added, in the upper half.
        (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
    }

    /// True if the data, its checksum included, sums up to all ones, as it should: one's complement sums are numbers
    /// modulo 2^16 - 1. Data that is nothing but zeros has no right checksum, and must be told apart by other means.
    #[must_use]
    #[inline]
    pub const fn is_right(self) -> bool {
        self.0.is_multiple_of(0xffff)
    }

    /// The checksum of the summed data.
    #[must_use]
    #[inline]
    pub const fn checksum(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }

    /// The checksum that follows `checksum` after the changes summed here (RFC 1624, equation 3).
    #[must_use]
    #[inline]
    pub const fn update(self, checksum: [u8; 2]) -> [u8; 2] {
        Self(self.0 + (!u16::from_ne_bytes(checksum)) as u64).checksum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_1071_section_3_example() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().octets(&data).folded().to_ne_bytes(), [0xdd, 0xf2]);
    }

    #[test]
    fn rfc_1624_section_4_example() {
        // Header checksum 0xdd2f, a field changes from 0x5555 to 0x3285: equation 3 gives 0x0000, not 0xffff.
        let changed = Sum::default().replace_word([0x55, 0x55], [0x32, 0x85]);
        assert_eq!(changed.update([0xdd, 0x2f]), [0x00, 0x00]);
    }

    #[test]
    fn an_odd_octet_counts_as_the_high_half_of_a_word() {
        assert_eq!(Sum::default().octets(&[1, 2, 3]), Sum::default().octets(&[1, 2, 3, 0]));
    }

    proptest! {
        #[test]
        fn a_header_is_right_where_its_sum_folds_to_all_ones(mut header: [u8; 20], damaged: bool) {
            header[0] = 0x45;
            header[10..12].fill(0);
            let checksum = Sum::default().octets(&header).checksum();
            header[10..12].copy_from_slice(&checksum);
            header[19] ^= u8::from(damaged);
            let sum = Sum::default().octets(&header);
            prop_assert_eq!(sum.is_right(), !damaged);
            prop_assert_eq!(Sum::is_right_ipv4_header(&header), !damaged);
            prop_assert_eq!(sum.folded() == 0xffff, !damaged);
        }

        #[test]
        fn incremental_equals_whole(
            mut data in prop::collection::vec(any::<u8>(), 40..80),
            new in any::<([u8; 16], [u8; 2])>(),
            v4 in any::<bool>(),
        ) {
            data[0] |= 1; // a sum of zero has two representations, and no header has it
            let before = Sum::default().octets(&data).checksum();
            let mut sum = Sum::default();
            if v4 {
                let old = Addr::from_v4(data[4..8].try_into().unwrap());
                let new = Addr::from_v4(new.0[..4].try_into().unwrap());
                sum = sum.replace_address(&old, &new);
                data[4..8].copy_from_slice(&new.v4_octets());
            } else {
                let old = Addr::from_octets(data[4..20].try_into().unwrap());
                let new = Addr::from_octets(new.0);
                prop_assume!(!old.is_v4() && !new.is_v4());
                sum = sum.replace_address(&old, &new);
                data[4..20].copy_from_slice(&new.octets());
            }
            sum = sum.replace_word(data[30..32].try_into().unwrap(), new.1);
            data[30..32].copy_from_slice(&new.1);
            prop_assert_eq!(sum.update(before), Sum::default().octets(&data).checksum());
        }
    }
}
