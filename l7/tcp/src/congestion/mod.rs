//! Congestion control: how much may be in the network at a time.
//!
//! [`CongestionControl`] is told what loss recovery learns and answers with a window and, if it likes, a pace. It keeps no
//! clock and knows no segment. During fast recovery the window is led from outside, by proportional rate reduction,
//! towards the threshold that it set.

mod cubic;
mod hystart;
mod new_reno;

pub use cubic::Cubic;
pub use hystart::HyStart;
pub use new_reno::NewReno;

use crate::recovery::{Micros, RateSample};
use crate::{SequenceNumber, Time};

/// What there is to know when new data is acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct AckEvent {
    /// Now.
    pub now: Time,
    /// Octets that newly arrived, however many acknowledgements they are spread over (RFC 3465).
    pub octets: u32,
    /// Payload octets a segment.
    pub mss: u32,
    /// SND.UNA after this acknowledgement.
    pub una: SequenceNumber,
    /// SND.NXT.
    pub next: SequenceNumber,
    /// The round trip of the newest segment that arrived, if it was measured.
    pub rtt: Option<Micros>,
    /// The smoothed round trip; zero before the first sample.
    pub smoothed: Micros,
    /// The window was what limited sending of late: only then may it grow (RFC 7661, in spirit).
    pub limited: bool,
    /// The rate of delivery, if it was measured.
    pub rate: Option<RateSample>,
}

/// An algorithm of congestion control. Windows are in octets.
///
/// It is copied when the window is reduced, and the copy is put back if the reduction proves unfounded.
pub trait CongestionControl: Copy {
    /// How much may be in flight.
    fn window(&self) -> u32;
    /// The slow-start threshold, which is also where recovery ends.
    fn threshold(&self) -> u32;
    /// Sets the window: recovery leads it.
    fn set_window(&mut self, octets: u32);
    /// New data was acknowledged outside fast recovery.
    fn on_ack(&mut self, event: &AckEvent);
    /// Segments were lost, or marked by ECN, for the first time in a round trip: lowers the threshold.
    fn on_loss(&mut self, now: Time, mss: u32);
    /// Nothing was in flight from `since` on until now.
    fn on_idle(&mut self, since: Time);
    /// The threshold becomes this: a window that went unused for long is not believed (RFC 2861, section 3).
    fn set_threshold(&mut self, octets: u32);
    /// Octets a second to send at the most, given the smoothed round trip; `None` to send as the window allows.
    fn pacing_rate(&self, smoothed: Micros) -> Option<u64>;
}

/// Which algorithm a connection uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Algorithm {
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406).
    #[default]
    Cubic,
    /// NewReno (RFC 5681).
    NewReno,
}

/// The algorithms behind one type without a pointer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Congestion {
    Cubic(Cubic),
    NewReno(NewReno),
}

impl Congestion {
    pub(crate) fn new(algorithm: Algorithm, mss: u32) -> Self {
        match algorithm {
            Algorithm::Cubic => Self::Cubic(Cubic::new(initial_window(mss))),
            Algorithm::NewReno => Self::NewReno(NewReno::new(initial_window(mss))),
        }
    }
}

/// IW10 (RFC 6928, section 2).
#[must_use]
pub fn initial_window(mss: u32) -> u32 {
    (10 * mss).min(14_600.max(2 * mss))
}

/// What `algorithm` does: one line each.
macro_rules! each {
    ($self:ident, $algorithm:ident => $what:expr) => {
        match $self {
            Congestion::Cubic($algorithm) => $what,
            Congestion::NewReno($algorithm) => $what,
        }
    };
}

impl CongestionControl for Congestion {
    #[inline]
    fn window(&self) -> u32 {
        each!(self, algorithm => algorithm.window())
    }

    #[inline]
    fn threshold(&self) -> u32 {
        each!(self, algorithm => algorithm.threshold())
    }

    #[inline]
    fn set_window(&mut self, octets: u32) {
        each!(self, algorithm => algorithm.set_window(octets));
    }

    #[inline]
    fn on_ack(&mut self, event: &AckEvent) {
        each!(self, algorithm => algorithm.on_ack(event));
    }

    fn on_loss(&mut self, now: Time, mss: u32) {
        each!(self, algorithm => algorithm.on_loss(now, mss));
    }

    #[inline]
    fn on_idle(&mut self, since: Time) {
        each!(self, algorithm => algorithm.on_idle(since));
    }

    fn set_threshold(&mut self, octets: u32) {
        each!(self, algorithm => algorithm.set_threshold(octets));
    }

    #[inline]
    fn pacing_rate(&self, smoothed: Micros) -> Option<u64> {
        each!(self, algorithm => algorithm.pacing_rate(smoothed))
    }
}

/// The pace for a window: thrice a round trip's worth while it doubles, a fifth more than it else, so that the pace never is what
/// limits. (At twice, a transfer that ends while the window doubles takes half a round trip longer than without a pace; at four
/// times, queues that are shorter than the path overflow where they do not at thrice.)
fn pace(window: u32, doubling: bool, smoothed: Micros) -> Option<u64> {
    let percent = if doubling { 300 } else { 120 };
    (smoothed > 0).then(|| u64::from(window) * (percent * 10_000) / u64::from(smoothed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_6928_initial_windows() {
        for (mss, window) in
            [(536, 5_360), (1_460, 14_600), (1_220, 12_200), (9_000, 18_000), (7_000, 14_600)]
        {
            assert_eq!(initial_window(mss), window, "{mss}");
        }
    }

    #[test]
    fn a_window_a_round_trip_is_the_pace() {
        assert_eq!(pace(100_000, true, 100_000), Some(3_000_000));
        assert_eq!(pace(100_000, false, 100_000), Some(1_200_000));
        assert_eq!(pace(100_000, false, 0), None);
    }
}
