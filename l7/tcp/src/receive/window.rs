//! The window that is offered to the peer (RFC 9293, section 3.8.6), and how it grows.
//!
//! Invariants:
//! - the end of the window never moves back: what was once allowed to be sent is taken ([`ReceiveWindow::end`]);
//! - it moves on by a segment or by half of the capacity, or not at all (section 3.8.6.2.2, MUST-39).

use crate::{SequenceNumber, Time};

/// The largest window field.
const MOST: u32 = u16::MAX as u32;
/// Gaps that a window of any size may have.
const LEAST_GAPS: u16 = 256;
/// How long a round is taken to be where no round trip has been measured.
const UNKNOWN_ROUND_TRIP_US: u32 = 100_000;

/// A receive window.
///
/// Nothing is set aside for it: its capacity is a promise, which takes memory when a sender makes use of it.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveWindow {
    /// The furthest end that was ever offered.
    end: SequenceNumber,
    /// How much may be unread and on its way, together.
    capacity: u32,
    /// When the round began in which reads are counted, in microseconds modulo 2^32.
    round_start: u32,
    /// Octets read in this round.
    round_octets: u32,
    scale: u8,
}

impl ReceiveWindow {
    /// The window of a connection whose first octet will have the number `next`, IRS + 1, and whose SYN offered
    /// [`ReceiveWindow::in_syn`] of `capacity`. Its scale is 0.
    #[must_use]
    pub fn new(next: SequenceNumber, capacity: u32, now: Time) -> Self {
        let end = next + u32::from(Self::in_syn(capacity));
        Self { end, capacity, round_start: now.wrapping_micros(), round_octets: 0, scale: 0 }
    }

    /// The window field of a segment with SYN, which is never scaled (RFC 7323, section 2.2).
    #[must_use]
    pub const fn in_syn(capacity: u32) -> u16 {
        if capacity > MOST { u16::MAX } else { capacity as u16 }
    }

    /// The shift with which windows up to `most` can be offered (RFC 7323, section 2.3).
    #[must_use]
    pub const fn scale_for(most: u32) -> u8 {
        let mut scale = 0;
        while scale < crate::segment::MAX_WINDOW_SCALE && most >> scale > MOST {
            scale += 1;
        }
        scale
    }

    /// Window fields from now on are shifted by `scale`: both ends have offered to.
    pub const fn set_scale(&mut self, scale: u8) {
        self.scale = scale;
    }

    /// The shift of window fields.
    #[must_use]
    pub const fn scale(&self) -> u8 {
        self.scale
    }

    /// The number after the last that the peer has ever been allowed to send.
    ///
    /// It is kept beside what the fields say because fields are rounded down, and so may seem to take back less than one unit
    /// (RFC 7323, section 2.4).
    #[must_use]
    #[inline]
    pub const fn end(&self) -> SequenceNumber {
        self.end
    }

    /// RCV.WND, when `next` is RCV.NXT.
    #[must_use]
    #[inline]
    pub fn size(&self, next: SequenceNumber) -> u32 {
        self.end.octets_after(next)
    }

    /// How much may be unread and on its way, together.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many gaps there may be in what arrives (`Limits::gaps`): as many as when every other segment of a whole window is lost, for
    /// that is what an overrun queue does, and segments are of the least size that is usual (RFC 9293, MUST-15).
    #[must_use]
    pub fn gaps(&self) -> u16 {
        u16::try_from(self.capacity / (2 * 536)).unwrap_or(u16::MAX).max(LEAST_GAPS)
    }

    /// Lowers the capacity, for want of memory. What was offered stays so.
    pub fn limit(&mut self, capacity: u32) {
        self.capacity = self.capacity.min(capacity);
    }

    /// The window field of the segment that is being sent, which moves the end of the window where it should move. `mss` is what
    /// the peer's segments carry at most.
    #[inline]
    pub fn advertise(&mut self, next: SequenceNumber, unread: u32, mss: u16) -> u16 {
        let end = self.possible_end(next, unread);
        // Silly window avoidance, the receiver's half (RFC 9293, section 3.8.6.2.2, with Fr = 1/2).
        if end.octets_after(self.end) >= self.least_step(mss) {
            self.end = end;
        }
        u16::try_from(self.size(next) >> self.scale).unwrap_or(u16::MAX)
    }

    /// True if the peer should hear of the room that reading has made: it has less than half of what there is now, or nothing. Acknowledgements
    /// of what it sends do for the rest.
    #[must_use]
    #[inline]
    pub fn wants_update(&self, next: SequenceNumber, unread: u32, mss: u16) -> bool {
        let end = self.possible_end(next, unread);
        let size = self.size(next);
        end.octets_after(self.end) >= self.least_step(mss) && end.octets_after(next) / 2 >= size
    }

    /// Counts octets that the application has read; at the end of a round trip the capacity grows to four times what was read in it, so
    /// that a sender that doubles what it sends is not held up (dynamic right-sizing). `round_trip_us` is zero if none is known,
    /// `most` what the budget allows.
    #[inline]
    pub fn consumed(&mut self, octets: u32, now: Time, round_trip_us: u32, most: u32) {
        self.round_octets = self.round_octets.saturating_add(octets);
        let round_trip_us = if round_trip_us == 0 { UNKNOWN_ROUND_TRIP_US } else { round_trip_us };
        let now = now.wrapping_micros();
        if now.wrapping_sub(self.round_start) < round_trip_us {
            return;
        }
        if self.round_octets > self.capacity / 2 {
            let wanted = self.round_octets.saturating_mul(4).min(most).min(MOST << self.scale);
            self.capacity = self.capacity.max(wanted);
        }
        (self.round_start, self.round_octets) = (now, 0);
    }

    /// Where the window would end if it were offered whole, in a field's terms.
    #[inline]
    fn possible_end(&self, next: SequenceNumber, unread: u32) -> SequenceNumber {
        let room = self.capacity.saturating_sub(unread).min(MOST << self.scale);
        next + (room >> self.scale << self.scale)
    }

    #[inline]
    fn least_step(&self, mss: u16) -> u32 {
        u32::from(mss).min(self.capacity / 2).max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEXT: SequenceNumber = SequenceNumber(u32::MAX - 1000);
    const MSS: u16 = 1000;

    #[test]
    fn a_window_is_twenty_octets() {
        assert_eq!(size_of::<ReceiveWindow>(), 20);
    }

    #[test]
    fn scales() {
        for (most, scale) in [(0, 0), (65_535, 0), (65_536, 1), (6 << 20, 7), (1 << 30, 14), (u32::MAX, 14)] {
            assert_eq!(ReceiveWindow::scale_for(most), scale, "{most}");
        }
    }

    #[test]
    fn a_reader_that_stops_closes_the_window_and_opens_it_by_a_whole_segment() {
        let mut window = ReceiveWindow::new(NEXT, 10_000, Time(0));
        assert_eq!(window.advertise(NEXT, 0, MSS), 10_000);
        assert_eq!(window.advertise(NEXT + 4_000, 4_000, MSS), 6_000);
        let full = NEXT + 10_000;
        assert_eq!(window.advertise(full, 10_000, MSS), 0);
        // 999 octets read: a silly window is not offered.
        assert!(!window.wants_update(full, 9_001, MSS));
        assert_eq!(window.advertise(full, 9_001, MSS), 0);
        assert!(window.wants_update(full, 9_000, MSS));
        assert_eq!(window.advertise(full, 9_000, MSS), 1_000);
        // A small buffer opens when half of it is free.
        let mut small = ReceiveWindow::new(NEXT, 600, Time(0));
        assert_eq!((small.advertise(NEXT + 600, 301, MSS), small.advertise(NEXT + 600, 300, MSS)), (0, 300));
    }

    #[test]
    fn gaps_go_with_the_capacity() {
        let gaps = |capacity| ReceiveWindow::new(NEXT, capacity, Time(0)).gaps();
        assert_eq!([gaps(0), gaps(65_535), gaps(20 << 20), gaps(1 << 30)], [256, 256, 19_562, u16::MAX]);
    }

    #[test]
    fn an_update_is_for_who_has_little_left() {
        let mut window = ReceiveWindow::new(NEXT, 60_000, Time(0));
        window.advertise(NEXT, 0, MSS);
        assert!(!window.wants_update(NEXT + 20_000, 0, MSS));
        assert!(window.wants_update(NEXT + 30_000, 0, MSS));
    }

    #[test]
    fn rounding_takes_back_nothing_that_was_promised() {
        let mut window = ReceiveWindow::new(NEXT, 1 << 20, Time(0));
        window.set_scale(7);
        assert_eq!(window.advertise(NEXT, 0, MSS), 1 << 13);
        let end = window.end();
        assert_eq!(window.advertise(NEXT + 1, 1, MSS), (1 << 13) - 1);
        assert_eq!(window.end(), end);
    }

    #[test]
    fn the_capacity_follows_a_sender_that_doubles() {
        let mut window = ReceiveWindow::new(NEXT, 65_536, Time(0));
        window.set_scale(7);
        let (mut now, mut sent) = (Time(0), 14_600);
        for _ in 0..8 {
            now = now.plus_millis(20);
            assert!(window.capacity() >= sent, "held up at {sent}");
            window.consumed(sent, now, 20_000, 6 << 20);
            sent = (sent * 2).min(3 << 20);
        }
        assert!(window.capacity() <= 6 << 20);
        // And not a reader who takes little at a time.
        let mut window = ReceiveWindow::new(NEXT, 65_536, Time(0));
        for _ in 0..1000 {
            now = now.plus_millis(1);
            window.consumed(200, now, 20_000, 6 << 20);
        }
        assert_eq!(window.capacity(), 65_536);
        window.limit(10_000);
        assert_eq!(window.capacity(), 10_000);
    }

    proptest! {
        #[test]
        fn the_end_never_moves_back(
            first: u32, scale in 0..=14u8, capacity in 0..1u32 << 30, steps in prop::collection::vec((0..5_000u32, 0..10_000u32, any::<bool>()), 1..50),
        ) {
            let mut next = SequenceNumber(first);
            let mut window = ReceiveWindow::new(next, capacity, Time(0));
            window.set_scale(scale);
            let mut unread = 0;
            for (arrives, read, shrinks) in steps {
                let arrives = arrives.min(window.size(next));
                next += arrives;
                unread += arrives;
                unread -= read.min(unread);
                if shrinks {
                    window.limit(window.capacity() / 2);
                }
                let before = window.end();
                let field = u32::from(window.advertise(next, unread, MSS));
                prop_assert!(window.end().reaches(before));
                prop_assert!((next + (field << scale)).octets_after(window.end()) == 0);
                prop_assert!(window.end() == before || unread + window.size(next) <= window.capacity());
            }
        }
    }
}
