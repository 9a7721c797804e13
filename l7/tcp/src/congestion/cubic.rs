//! CUBIC (RFC 9438): the window grows along a cubic curve of the time since it was last reduced, first towards where that
//! happened and then beyond, and never slower than a Reno flow's would.

use super::{AckEvent, CongestionControl, HyStart, pace};
use crate::Time;
use crate::recovery::Micros;

/// C (section 5.1), in segments per second cubed.
const C: f64 = 0.4;
/// The multiplicative decrease (section 4.6) as a fraction: 0.7.
const BETA: (u64, u64) = (7, 10);
/// The additive increase that makes the Reno-friendly window as aggressive as Reno (section 4.3): 3 (1 - 0.7) / (1 + 0.7).
const ALPHA: (u64, u64) = (9, 17);

const _: () = assert!(size_of::<Cubic>() <= 36);

/// CUBIC with HyStart++ for the first slow start. Window and threshold come first: most exchanges need nothing else.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Cubic {
    window: u32,
    threshold: u32,
    /// `W_max`, in octets, or where the curve began if that is higher; zero before the first reduction.
    peak: u32,
    /// `cwnd_prior`, in octets.
    prior: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The first slow start.
    First(HyStart),
    /// Slow start after a timeout or an idle time, or the end of a recovery: the next epoch has not begun.
    Between,
    /// Congestion avoidance.
    Avoidance(Epoch),
    /// Congestion avoidance while something else than the window limits sending: `start` is how long the epoch has lasted.
    Paused(Epoch),
}

/// One stretch of congestion avoidance without a loss. The curve is flat at the peak.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// `t_epoch`, in ticks: see `ticks`.
    start: u32,
    /// `K`, in seconds.
    inflection: f32,
    /// `W_est`, in octets.
    estimate: u32,
    /// Octets that arrived since the window last grew.
    arrived: u32,
}

/// Time in 32 bits of 65.5 us each, which wrap after three days: an epoch as long as that begins anew, which does no harm.
fn ticks(time: Time) -> u32 {
    (time.0 >> 16) as u32
}

/// What `ticks` are in microseconds.
fn micros(ticks: u32) -> Micros {
    Micros::try_from((u64::from(ticks) << 16) / 1_000).unwrap_or(Micros::MAX)
}

impl Cubic {
    pub(super) fn new(window: u32) -> Self {
        Self { window, threshold: u32::MAX, peak: 0, prior: 0, phase: Phase::First(HyStart::default()) }
    }

    fn slow_start(&mut self, event: &AckEvent) {
        if let Phase::First(hystart) = &mut self.phase {
            let over = hystart.on_ack(event.una, event.next, event.rtt);
            if over {
                self.threshold = self.window;
                self.phase = Phase::Between;
            } else if event.limited {
                self.window = self.window.saturating_add(hystart.growth(event.octets));
            }
        } else if event.limited {
            let room = self.threshold - self.window;
            self.window += event.octets.min(room);
        }
    }

    #[inline]
    fn avoid_congestion(&mut self, event: &AckEvent) {
        // In steps of a sixteenth of the window: the curve costs more than the acknowledgement of a segment should.
        if let Phase::Avoidance(epoch) = &mut self.phase {
            epoch.arrived = epoch.arrived.saturating_add(event.octets);
            if epoch.arrived < self.window >> 4 {
                return;
            }
        }
        self.follow_curve(event);
    }

    fn follow_curve(&mut self, event: &AckEvent) {
        let now = ticks(event.now);
        let mut epoch = match self.phase {
            Phase::Avoidance(epoch) => epoch,
            Phase::Paused(epoch) => Epoch {
                start: now.wrapping_sub(epoch.start),
                arrived: epoch.arrived.saturating_add(event.octets),
                ..epoch
            },
            Phase::First(_) | Phase::Between => self.begin(event),
        };
        let elapsed = micros(now.wrapping_sub(epoch.start));
        let window = u64::from(self.window.max(1));
        let arrived = u64::from(core::mem::take(&mut epoch.arrived));
        // Section 4.2: where the curve will be in a round trip, within half as much again.
        let target = u64::from(epoch.curve(elapsed.saturating_add(event.smoothed), self.peak, event.mss));
        let target = target.clamp(window, window + window / 2);
        let mut grown = window + ((target - window) * arrived + window / 2) / window;
        // Section 4.3.
        let alpha = if epoch.estimate < self.prior { ALPHA } else { (1, 1) };
        let growth = (arrived * u64::from(event.mss) * alpha.0 / alpha.1 + window / 2) / window;
        epoch.estimate = epoch.estimate.saturating_add(u32::try_from(growth).unwrap_or(u32::MAX));
        if epoch.curve(elapsed, self.peak, event.mss) < epoch.estimate {
            grown = grown.max(u64::from(epoch.estimate));
        }
        self.window = u32::try_from(grown).unwrap_or(u32::MAX);
        self.phase = Phase::Avoidance(epoch);
    }

    /// Section 4.2: the curve that begins at the window now.
    fn begin(&mut self, event: &AckEvent) -> Epoch {
        let below = self.peak.saturating_sub(self.window);
        self.peak = self.peak.max(self.window);
        Epoch {
            start: ticks(event.now),
            inflection: (f64::from(below) / f64::from(event.mss) / C).cbrt() as f32,
            estimate: self.window,
            arrived: event.octets,
        }
    }

    /// Section 5.8: the curve does not run while something else limits sending.
    #[inline]
    fn pause(&mut self, at: Time) {
        if let Phase::Avoidance(epoch) = self.phase {
            self.phase = Phase::Paused(Epoch { start: ticks(at).wrapping_sub(epoch.start), ..epoch });
        }
    }
}

impl Epoch {
    /// `W_cubic`, in octets, `elapsed` microseconds after the epoch began.
    fn curve(&self, elapsed: Micros, peak: u32, mss: u32) -> u32 {
        let t = f64::from(elapsed) / 1e6 - f64::from(self.inflection);
        // The cast saturates at both ends.
        (f64::from(peak) + C * t * t * t * f64::from(mss)) as u32
    }
}

impl CongestionControl for Cubic {
    #[inline]
    fn window(&self) -> u32 {
        self.window
    }

    #[inline]
    fn threshold(&self) -> u32 {
        self.threshold
    }

    #[inline]
    fn set_window(&mut self, octets: u32) {
        self.window = octets;
    }

    #[inline]
    fn on_ack(&mut self, event: &AckEvent) {
        if self.window < self.threshold {
            self.slow_start(event);
        } else if event.limited {
            self.avoid_congestion(event);
        } else {
            self.pause(event.now);
        }
    }

    fn on_loss(&mut self, _now: Time, mss: u32) {
        // Section 4.7: fast convergence, for flows that have just arrived.
        let window = self.window;
        self.peak = if window < self.peak { (u64::from(window) * 17 / 20) as u32 } else { window };
        self.prior = window;
        // Section 4.6.
        self.threshold = ((u64::from(window) * BETA.0 / BETA.1) as u32).max(2 * mss);
        self.phase = Phase::Between;
    }

    #[inline]
    fn on_idle(&mut self, since: Time) {
        self.pause(since);
    }

    fn set_threshold(&mut self, octets: u32) {
        self.threshold = octets;
    }

    #[inline]
    fn pacing_rate(&self, smoothed: Micros) -> Option<u64> {
        pace(self.window, self.window < self.threshold / 2, smoothed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SequenceNumber;

    const MSS: u32 = 1_000;

    fn ack(now: Time, octets: u32) -> AckEvent {
        AckEvent {
            now,
            octets,
            mss: MSS,
            una: SequenceNumber(0),
            next: SequenceNumber(0),
            rtt: None,
            smoothed: 100_000,
            limited: true,
            rate: None,
        }
    }

    /// A window after a loss at `peak` segments, recovery over.
    fn after_loss_at(peak: u32) -> Cubic {
        let mut cubic = Cubic::new(peak * MSS);
        cubic.on_loss(Time(0), MSS);
        cubic.set_window(cubic.threshold());
        cubic
    }

    /// Sends for `round_trips` of 100 ms with every window acknowledged whole, segment by segment.
    fn run(cubic: &mut Cubic, from: u64, round_trips: u64) {
        for round in from..from + round_trips {
            let segments = cubic.window() / MSS;
            for segment in 0..segments {
                let within = u64::from(segment) * 100_000 / u64::from(segments);
                cubic.on_ack(&ack(Time::from_micros(round * 100_000 + within), MSS));
            }
        }
    }

    #[test]
    fn back_at_the_peak_after_k_and_flat_there() {
        // K = cbrt(W_max (1 - 0.7) / 0.4), section 4.2: 1,000 segments give 9.086 s.
        let mut cubic = after_loss_at(1_000);
        assert_eq!(cubic.window(), 700 * MSS);
        run(&mut cubic, 0, 90);
        let near = cubic.window() / MSS;
        assert!((990..=1_001).contains(&near), "{near}");
        run(&mut cubic, 90, 50);
        // W_cubic(14.0) = 1,000 + 0.4 * 4.914^3 = 1,047.
        let beyond = cubic.window() / MSS;
        assert!((1_035..=1_055).contains(&beyond), "{beyond}");
    }

    #[test]
    fn small_windows_grow_as_reno_does() {
        // Section 4.3: 0.529 segments a round trip up to the old window, then one.
        let mut cubic = after_loss_at(10);
        run(&mut cubic, 0, 6);
        let window = cubic.window();
        assert!((9_500..=10_700).contains(&window), "{window}");
        run(&mut cubic, 6, 3);
        assert!(cubic.window() >= window + 2_000, "{window} {}", cubic.window());
    }

    #[test]
    fn a_second_loss_below_the_peak_converges_fast() {
        let mut cubic = after_loss_at(100);
        cubic.on_loss(Time(0), MSS);
        assert_eq!((cubic.peak, cubic.threshold), (70_000 * 17 / 20, 49_000));
    }

    #[test]
    fn the_threshold_never_falls_below_two_segments() {
        let mut cubic = Cubic::new(MSS);
        cubic.on_loss(Time(0), MSS);
        assert_eq!(cubic.threshold(), 2 * MSS);
    }

    #[test]
    fn the_curve_stands_still_while_idle() {
        let mut cubic = after_loss_at(1_000);
        cubic.on_ack(&ack(Time(0), MSS));
        let before = cubic.window();
        cubic.on_idle(Time(0));
        cubic.on_ack(&ack(Time::from_millis(3_600_001), MSS));
        assert!(cubic.window() - before < MSS, "{before} {}", cubic.window());
    }

    #[test]
    fn the_curve_stands_still_while_the_application_has_little_to_send() {
        let mut cubic = after_loss_at(1_000);
        cubic.on_ack(&ack(Time(0), MSS));
        let before = cubic.window();
        // An hour of exchanges that do not fill the window, and then a window that does.
        for second in 1..3_600 {
            cubic.on_ack(&AckEvent { limited: false, ..ack(Time::from_millis(second * 1_000), MSS) });
        }
        cubic.on_ack(&ack(Time::from_millis(3_600_000), before));
        let curve = Epoch { start: 0, inflection: 9.086, estimate: 0, arrived: 0 };
        // The second before the first of them counts, and the round trip that the curve is ahead.
        assert!(
            cubic.window().abs_diff(curve.curve(1_100_000, 1_000 * MSS, MSS)) < MSS,
            "{}",
            cubic.window()
        );
    }

    #[test]
    fn nothing_grows_while_the_window_is_not_what_limits() {
        let mut cubic = Cubic::new(10 * MSS);
        cubic.on_ack(&AckEvent { limited: false, ..ack(Time(0), MSS) });
        assert_eq!(cubic.window(), 10 * MSS);
    }

    #[test]
    fn an_acknowledgement_in_pieces_is_worth_as_much_as_one() {
        // ACK division (Savage et al. 1999): octets count, not acknowledgements.
        let (mut whole, mut pieces) = (Cubic::new(10 * MSS), Cubic::new(10 * MSS));
        whole.on_ack(&ack(Time(0), MSS));
        for _ in 0..MSS {
            pieces.on_ack(&ack(Time(0), 1));
        }
        assert_eq!(whole.window(), pieces.window());
    }
}
