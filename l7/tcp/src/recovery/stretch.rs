//! The simplest of what can be in flight: one stretch of octets, sent for the first time and at about the same time.
//!
//! Most exchanges are nothing else. A stretch takes no box: it is [unfolded](Recovery::unfold) into one as soon as there is more to
//! know of what is in flight, and until then it says the same as a scoreboard of one run.

use super::flight::{FlightPool, TimerKind};
use super::rate::RateSample;
use super::{Ack, Micros, Outcome, Range, Recovery};
use crate::congestion::{AckEvent, CongestionControl};
use crate::{SequenceNumber, Time};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) start: SequenceNumber,
    /// Zero if there is none.
    pub(super) length: u32,
}

impl Stretch {
    pub(super) const NONE: Self = Self { start: SequenceNumber(0), length: 0 };

    #[inline]
    pub(super) fn range(self) -> Range {
        Range::new(self.start, self.length)
    }
}

impl Recovery {
    /// Notes new octets that go out now, if there is nothing to know about them but how many there are. For who has no box.
    #[inline]
    pub(super) fn extend_stretch(&mut self, range: Range, now: Time) -> bool {
        let Stretch { start, length } = self.stretch;
        if length == 0 {
            self.restart_after_idle(now);
            self.stretch = Stretch { start: range.start, length: range.length() };
            self.since = now;
            return true;
        }
        let joins =
            range.start == start + length && now.nanos_since(self.since) <= self.slack() && !self.is_paced();
        if joins {
            self.stretch.length = range.end - start;
        }
        joins
    }

    /// True if the window was what limited sending, or nearly so: see [`Usage`](super::flight::Usage).
    #[inline]
    fn stretch_is_limited(&self) -> bool {
        let (window, length) = (self.congestion.window(), self.stretch.length);
        let doubling = window < self.congestion.threshold() && u64::from(window) < 2 * u64::from(length);
        window.saturating_sub(length) < self.mss() || doubling
    }

    /// Takes an acknowledgement while there is no box. `None`: it wants one.
    #[inline]
    pub(super) fn stretch_acknowledged(&mut self, ack: &Ack<'_>, now: Time) -> Option<Outcome> {
        let Stretch { start, length } = self.stretch;
        let advanced = ack.number - start;
        if length == 0 || advanced > length {
            return Some(Outcome::default()); // old, or of what was never sent
        }
        if !ack.sack.is_empty() || ack.ecn_echo {
            return None;
        }
        if advanced < length {
            let says_nothing = advanced == 0 && (self.sack || !ack.duplicate);
            return says_nothing.then(Outcome::default);
        }
        let rtt = self.land_stretch(now);
        Some(Outcome { acknowledged: length, delivered: length, rtt: Some(rtt), ..Outcome::default() })
    }

    /// Takes an acknowledgement that says nothing but a number, if that is the end of the stretch: most are just that, and nothing comes of
    /// them that the caller would not know. Else it is one for [`Recovery::acknowledged`].
    #[inline]
    pub(crate) fn stretch_arrived(&mut self, number: SequenceNumber, now: Time) -> bool {
        let Stretch { start, length } = self.stretch;
        let has_arrived = length > 0 && number == start + length;
        if has_arrived {
            self.land_stretch(now);
        }
        has_arrived
    }

    /// The stretch has arrived. Gives its round trip.
    #[inline]
    fn land_stretch(&mut self, now: Time) -> Micros {
        let Range { end, .. } = self.stretch.range();
        let length = self.stretch.length;
        let rtt = now.micros_since(self.since);
        let (mss, limited) = (self.mss(), self.stretch_is_limited());
        self.rtt.sample(rtt, length, mss, now);
        self.rtt.progress();
        if limited {
            let application_limited = self.congestion.window().saturating_sub(length) >= mss;
            let rate = RateSample { delivered: length, interval: rtt, application_limited };
            self.congestion.on_ack(&AckEvent {
                now,
                octets: length,
                mss,
                una: end,
                next: end,
                rtt: Some(rtt),
                smoothed: self.rtt.smoothed().unwrap_or(0),
                limited,
                rate: (rtt > 0).then_some(rate),
            });
        }
        self.stretch = Stretch::NONE;
        self.since = now;
        rtt
    }

    /// When the stretch is worried about, and why.
    #[inline]
    pub(super) fn stretch_timer(&self) -> (Time, TimerKind) {
        let (wait, kind) = self.wait(true, 0);
        (self.since.plus_micros(wait), kind)
    }

    /// Puts the stretch into a box: there is more to be known.
    pub(super) fn unfold(&mut self, pool: &mut FlightPool) {
        if self.flight.is_some() || self.stretch.length == 0 {
            return;
        }
        let mut flight = pool.take();
        flight.begin(self.stretch.start, self.since);
        let range = self.stretch.range();
        let run = flight.run(range, self.since);
        flight.scoreboard.push(&run);
        flight.note_usage(self.congestion.window(), self.mss());
        (flight.timer, flight.timer_kind) = self.stretch_timer();
        self.flight = Some(flight);
        self.stretch = Stretch::NONE;
        self.set_pace();
        self.note_pace(range.length(), self.since);
    }
}
