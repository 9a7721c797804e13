//! NewReno (RFC 5681, section 3.1, counting octets as RFC 3465 does).

use super::{AckEvent, CongestionControl, pace};
use crate::Time;
use crate::recovery::Micros;

/// Slow start and additive increase. Window and threshold lie where those of CUBIC do.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NewReno {
    window: u32,
    threshold: u32,
    /// Octets acknowledged since the window last grew.
    counted: u32,
}

impl NewReno {
    pub(super) fn new(window: u32) -> Self {
        Self { window, threshold: u32::MAX, counted: 0 }
    }
}

impl CongestionControl for NewReno {
    fn window(&self) -> u32 {
        self.window
    }

    fn threshold(&self) -> u32 {
        self.threshold
    }

    fn set_window(&mut self, octets: u32) {
        self.window = octets;
    }

    fn on_ack(&mut self, event: &AckEvent) {
        if !event.limited {
            return;
        }
        if self.window < self.threshold {
            self.window = self.window.saturating_add(event.octets.min(2 * event.mss));
            return;
        }
        self.counted = self.counted.saturating_add(event.octets);
        if self.counted >= self.window {
            self.counted -= self.window;
            self.window = self.window.saturating_add(event.mss);
        }
    }

    fn on_loss(&mut self, _now: Time, mss: u32) {
        self.threshold = (self.window / 2).max(2 * mss);
        self.counted = 0;
    }

    fn on_idle(&mut self, _since: Time) {}

    fn set_threshold(&mut self, octets: u32) {
        self.threshold = octets;
    }

    fn pacing_rate(&self, smoothed: Micros) -> Option<u64> {
        pace(self.window, self.window < self.threshold / 2, smoothed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SequenceNumber;

    #[test]
    fn doubles_then_grows_by_a_segment_a_window_then_halves() {
        let event = AckEvent {
            now: Time(0),
            octets: 1_000,
            mss: 1_000,
            una: SequenceNumber(0),
            next: SequenceNumber(0),
            rtt: None,
            smoothed: 0,
            limited: true,
            rate: None,
        };
        let mut reno = NewReno::new(10_000);
        (0..10).for_each(|_| reno.on_ack(&event));
        assert_eq!(reno.window(), 20_000);
        reno.on_loss(Time(0), 1_000);
        assert_eq!(reno.threshold(), 10_000);
        reno.set_window(10_000);
        (0..10).for_each(|_| reno.on_ack(&event));
        assert_eq!(reno.window(), 11_000);
    }
}
