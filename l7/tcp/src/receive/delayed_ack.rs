//! When received data is acknowledged (RFC 5681, section 4.2; RFC 9293, section 3.8.6.3).

use crate::Time;

use super::Inserted;

/// Segments that are acknowledged one by one when a connection is young, or after a gap: the sender's window grows by
/// acknowledgements.
const QUICK: u8 = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing is owed.
    Nothing,
    /// An acknowledgement is owed by the deadline.
    Owed,
    /// An acknowledgement is owed now.
    Due,
}

/// What is owed to the sender.
#[derive(Clone, Copy, Debug)]
pub struct DelayedAck {
    /// In microseconds modulo 2^32.
    deadline: u32,
    /// How many more segments are acknowledged at once.
    quick: u8,
    state: State,
}

impl DelayedAck {
    /// Nothing is owed.
    #[must_use]
    pub const fn new() -> Self {
        Self { deadline: 0, quick: QUICK, state: State::Nothing }
    }

    /// A segment with so many octets of payload has arrived, where a full one has `mss`, and this became of it. An acknowledgement that is put off waits
    /// `delay_us`, which is less than half a second (RFC 9293, MUST-40).
    #[inline]
    pub fn received(&mut self, inserted: Inserted, payload: u32, mss: u16, now: Time, delay_us: u32) {
        match inserted {
            Inserted::Nothing => {}
            Inserted::InOrder { filled_gap: false, .. } => {
                // "An ACK SHOULD be generated for at least every second full-sized segment"; a segment may be several, put together
                // by the device.
                if self.quick > 0 || self.is_pending() || payload >= 2 * u32::from(mss) {
                    self.quick = self.quick.saturating_sub(1);
                    self.state = State::Due;
                } else {
                    self.state = State::Owed;
                    self.deadline = now.wrapping_micros().wrapping_add(delay_us);
                }
            }
            // "Out-of-order data segments SHOULD be acknowledged immediately", and what fills a gap; a duplicate shows that an
            // acknowledgement was lost, and what is refused that the peer has a wrong idea of the window.
            Inserted::InOrder { filled_gap: true, .. } | Inserted::OutOfOrder => {
                self.quick = QUICK;
                self.state = State::Due;
            }
            Inserted::Duplicate | Inserted::Refused => self.state = State::Due,
        }
    }

    /// An acknowledgement is owed now, whatever has arrived: a FIN, a segment that is not acceptable, a congestion mark.
    #[inline]
    pub const fn require(&mut self) {
        self.state = State::Due;
    }

    /// True if an acknowledgement is to be sent even without data to carry it.
    #[must_use]
    #[inline]
    pub const fn is_due(&self, now: Time) -> bool {
        match self.state {
            State::Nothing => false,
            State::Owed => now.wrapping_micros().wrapping_sub(self.deadline) < 1 << 31,
            State::Due => true,
        }
    }

    /// True if something is owed, now or later.
    #[must_use]
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.state != State::Nothing
    }

    /// When [`DelayedAck::is_due`] will hold; `None` if nothing is owed.
    #[must_use]
    #[inline]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        match self.state {
            State::Nothing => None,
            State::Owed if self.is_due(now) => Some(now),
            // Rounded up, since the fraction of a microsecond has been forgotten.
            State::Owed => Some(
                Time(now.0 / 1_000 * 1_000).plus_micros(self.deadline.wrapping_sub(now.wrapping_micros())),
            ),
            State::Due => Some(now),
        }
    }

    /// A segment with an acknowledgement of everything has left. If it carries data, then the application answers what it gets: from
    /// now on acknowledgements wait for such answers.
    #[inline]
    pub fn sent(&mut self, has_payload: bool) {
        if has_payload && self.is_pending() {
            self.quick = 0;
        }
        self.state = State::Nothing;
    }
}

impl Default for DelayedAck {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_ORDER: Inserted = Inserted::InOrder { octets: 1000, filled_gap: false };
    const MSS: u16 = 1000;
    const DELAY: u32 = 40_000;

    /// An acknowledgement policy that has grown up.
    fn seasoned() -> DelayedAck {
        DelayedAck { quick: 0, ..DelayedAck::new() }
    }

    #[test]
    fn it_is_eight_octets() {
        assert!(size_of::<DelayedAck>() <= 8);
    }

    #[test]
    fn every_second_segment_or_the_timer() {
        let mut ack = seasoned();
        let now = Time(4_294_967_290_000_500);
        ack.received(IN_ORDER, 1000, MSS, now, DELAY);
        assert!(ack.is_pending() && !ack.is_due(now));
        let deadline = ack.deadline(now).unwrap();
        assert_eq!(deadline, Time(4_294_967_330_000_000));
        assert!(!ack.is_due(Time(deadline.0 - 1)) && ack.is_due(deadline));
        assert_eq!(ack.deadline(deadline.plus_millis(1)), Some(deadline.plus_millis(1)));
        ack.received(IN_ORDER, 1000, MSS, now, DELAY);
        assert!(ack.is_due(now));
        ack.sent(false);
        assert!(!ack.is_pending() && ack.deadline(now).is_none());
    }

    #[test]
    fn two_in_one_count_as_two() {
        let mut ack = seasoned();
        ack.received(Inserted::InOrder { octets: 2000, filled_gap: false }, 2000, MSS, Time(0), DELAY);
        assert!(ack.is_due(Time(0)));
    }

    #[test]
    fn what_the_sender_has_to_know_is_said_at_once() {
        let cases = [
            Inserted::OutOfOrder,
            Inserted::Duplicate,
            Inserted::Refused,
            Inserted::InOrder { octets: 1, filled_gap: true },
        ];
        for inserted in cases {
            let mut ack = seasoned();
            ack.received(inserted, 1, MSS, Time(0), DELAY);
            assert!(ack.is_due(Time(0)), "{inserted:?}");
        }
        let mut ack = seasoned();
        ack.received(Inserted::Nothing, 0, MSS, Time(0), DELAY);
        assert!(!ack.is_pending());
        ack.require();
        assert!(ack.is_due(Time(0)));
    }

    #[test]
    fn quick_at_first_and_after_a_gap_but_not_in_a_conversation() {
        let mut ack = DelayedAck::new();
        for _ in 0..QUICK {
            ack.received(IN_ORDER, 1000, MSS, Time(0), DELAY);
            assert!(ack.is_due(Time(0)));
            ack.sent(false);
        }
        ack.received(IN_ORDER, 1000, MSS, Time(0), DELAY);
        assert!(!ack.is_due(Time(0)));
        ack.received(Inserted::OutOfOrder, 1000, MSS, Time(0), DELAY);
        ack.sent(false);
        ack.received(IN_ORDER, 1000, MSS, Time(0), DELAY);
        assert!(ack.is_due(Time(0)));
        ack.sent(true);
        ack.received(IN_ORDER, 1000, MSS, Time(0), DELAY);
        assert!(!ack.is_due(Time(0)));
    }
}
