//! The rate of delivery, sampled per acknowledgement (draft-ietf-ccwg-bbr, section 4.1): octets delivered between the sending of
//! a segment and its acknowledgement, over the longer of the time it took to send them and to have them acknowledged.

use super::Micros;
use super::run::Run;
use crate::Time;

/// One sample of the rate of delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateSample {
    /// Octets delivered in `interval`.
    pub delivered: u32,
    /// Over how long, in microseconds; not zero.
    pub interval: Micros,
    /// The sender had nothing more to send for part of it: the rate is one of the application.
    pub application_limited: bool,
}

/// What a run remembers of the moment when it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    delivered: u32,
    delivered_at: u32,
    first_sent: u32,
    sent: Time,
}

impl Stamp {
    #[inline]
    pub(super) fn of(run: &Run) -> Self {
        Self {
            delivered: run.delivered,
            delivered_at: run.delivered_at,
            first_sent: run.first_sent,
            sent: run.sent,
        }
    }
}

/// The counters of a flight. All wrap; differences are what counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivered {
    /// Octets delivered so far.
    pub(super) octets: u32,
    /// When the last were, in wrapping microseconds.
    pub(super) at: u32,
    /// When the first of the window being measured was sent, in wrapping microseconds.
    pub(super) first_sent: u32,
    /// The count of delivered octets up to which samples are limited by the application.
    limited_until: Option<u32>,
}

impl Delivered {
    /// Something goes out with nothing in flight: time starts anew.
    pub(super) fn begin(&mut self, now: Time) {
        self.at = now.wrapping_micros();
        self.first_sent = self.at;
    }

    /// There was room to send, and nothing to send.
    pub(super) fn limit(&mut self, pipe: u32) {
        self.limited_until = Some(self.octets.wrapping_add(pipe));
    }

    #[cfg(test)]
    pub(super) fn is_limited(&self) -> bool {
        self.limited_until.is_some()
    }

    /// `octets` arrived, of which those with `stamp` were sent last.
    #[inline]
    pub(super) fn sample(&mut self, octets: u32, stamp: &Stamp, now: Time) -> Option<RateSample> {
        self.octets = self.octets.wrapping_add(octets);
        self.at = now.wrapping_micros();
        if self.limited_until.is_some_and(|until| self.octets.wrapping_sub(until) < 1 << 31) {
            self.limited_until = None;
        }
        let sent = stamp.sent.wrapping_micros();
        let sending = sent.wrapping_sub(stamp.first_sent);
        let acknowledging = self.at.wrapping_sub(stamp.delivered_at);
        self.first_sent = sent;
        let interval = sending.max(acknowledging);
        (interval > 0).then(|| RateSample {
            delivered: self.octets.wrapping_sub(stamp.delivered),
            interval,
            application_limited: self.limited_until.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_applications_until_what_it_had_sent_has_arrived() {
        let mut delivered = Delivered::default();
        let stamp = Stamp { delivered: 0, delivered_at: 0, first_sent: 0, sent: Time(0) };
        let mut arrive =
            |octets, millis| delivered.sample(octets, &stamp, Time::from_millis(millis)).unwrap();
        assert!(!arrive(1_000, 10).application_limited);
        delivered.limit(3_000);
        let mut arrive =
            |octets, millis| delivered.sample(octets, &stamp, Time::from_millis(millis)).unwrap();
        assert_eq!(
            arrive(2_999, 20),
            RateSample { delivered: 3_999, interval: 20_000, application_limited: true }
        );
        assert!(!arrive(1, 30).application_limited);
    }
}
