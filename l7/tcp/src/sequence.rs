//! Sequence numbers: 32 bits, compared modulo 2^32 (RFC 9293, section 3.4).

use core::cmp::Ordering;
use core::ops::{Add, AddAssign, Sub};

/// A TCP sequence number.
///
/// Two numbers less than 2^31 apart are ordered as their distance says; at exactly 2^31 the order is undefined by the
/// RFC, and [`SequenceNumber::compare`] then says `None`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SequenceNumber(pub u32);

impl SequenceNumber {
    /// Which of two comes first on the circle; `None` where they are exactly half of it apart.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match self.0.wrapping_sub(other.0) {
            0 => Some(Ordering::Equal),
            0x8000_0000 => None,
            distance if distance < 0x8000_0000 => Some(Ordering::Greater),
            _ => Some(Ordering::Less),
        }
    }

    /// True if `self` comes strictly before `other`.
    #[must_use]
    #[inline]
    pub fn precedes(self, other: Self) -> bool {
        other.0.wrapping_sub(self.0).cast_signed() > 0
    }

    /// True if `self` comes strictly after `other`.
    #[must_use]
    #[inline]
    pub fn follows(self, other: Self) -> bool {
        other.precedes(self)
    }

    /// True if `self` is `other` or comes after it.
    #[must_use]
    #[inline]
    pub fn reaches(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) < 0x8000_0000
    }

    /// The later of two.
    #[must_use]
    #[inline]
    pub fn latest(self, other: Self) -> Self {
        if other.follows(self) { other } else { self }
    }

    /// The earlier of two.
    #[must_use]
    #[inline]
    pub fn earliest(self, other: Self) -> Self {
        if other.precedes(self) { other } else { self }
    }

    /// Octets from `start` on to `self`, or zero if `self` comes before `start`.
    #[must_use]
    #[inline]
    pub fn octets_after(self, start: Self) -> u32 {
        self.0.wrapping_sub(start.0).cast_signed().max(0).cast_unsigned()
    }

    /// True if `self` lies in the window of `length` octets that starts at `start`.
    #[must_use]
    #[inline]
    pub fn lies_in(self, start: Self, length: u32) -> bool {
        self.0.wrapping_sub(start.0) < length
    }
}

impl Add<u32> for SequenceNumber {
    type Output = Self;

    #[inline]
    fn add(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }
}

impl AddAssign<u32> for SequenceNumber {
    #[inline]
    fn add_assign(&mut self, octets: u32) {
        self.0 = self.0.wrapping_add(octets);
    }
}

impl Sub<u32> for SequenceNumber {
    type Output = Self;

    #[inline]
    fn sub(self, octets: u32) -> Self {
        Self(self.0.wrapping_sub(octets))
    }
}

impl Sub for SequenceNumber {
    type Output = u32;

    /// Octets from `start` on to `self`, modulo 2^32.
    #[inline]
    fn sub(self, start: Self) -> u32 {
        self.0.wrapping_sub(start.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_follows_the_circle_and_not_the_integers() {
        let before_wrap = SequenceNumber(u32::MAX - 1);
        let after_wrap = before_wrap + 4;
        assert_eq!(after_wrap, SequenceNumber(2));
        assert!(before_wrap.precedes(after_wrap));
        assert!(!after_wrap.precedes(before_wrap));
        assert_eq!(after_wrap - before_wrap, 4);
    }

    #[test]
    fn half_a_circle_apart_has_no_order() {
        let zero = SequenceNumber(0);
        let half = zero + 0x8000_0000;
        assert_eq!(zero.compare(half), None);
        assert!(!zero.precedes(half) && !half.precedes(zero));
    }

    #[test]
    fn the_later_of_two_is_later_on_the_circle() {
        let before_wrap = SequenceNumber(u32::MAX);
        let after_wrap = before_wrap + 1;
        assert!(
            after_wrap.follows(before_wrap)
                && after_wrap.reaches(before_wrap)
                && after_wrap.reaches(after_wrap)
        );
        assert!(!before_wrap.reaches(after_wrap));
        assert_eq!(before_wrap.latest(after_wrap), after_wrap);
        assert_eq!(before_wrap.earliest(after_wrap), before_wrap);
        assert_eq!(after_wrap.octets_after(before_wrap), 1);
        assert_eq!(before_wrap.octets_after(after_wrap), 0);
        assert_eq!(after_wrap - 1, before_wrap);
    }

    #[test]
    fn a_window_may_span_the_wrap_and_may_be_empty() {
        let start = SequenceNumber(u32::MAX);
        assert!(start.lies_in(start, 1));
        assert!(SequenceNumber(0).lies_in(start, 2));
        assert!(!SequenceNumber(1).lies_in(start, 2));
        assert!(!start.lies_in(start, 0));
    }
}
