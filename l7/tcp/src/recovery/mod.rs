//! The sender's knowledge of what is in flight: what is lost, how much may go, and when to worry.
//!
//! It works on sequence numbers and times alone; it owns no buffer and writes no segment. The caller:
//! - asks [`Recovery::next_retransmission`] until it says `None`, then sends new data while [`Recovery::may_send`] allows
//!   (less where the peer's window is smaller), and reports each segment that goes with [`Recovery::sent`];
//! - reports each acceptable acknowledgement with [`Recovery::acknowledged`] and then tries to send again;
//! - calls [`Recovery::timer_expired`] at [`Recovery::deadline`], or later, and does what that says.
//!
//! Everything that only exists while data is in flight lies in a box of a [`FlightPool`], and is back there when all is
//! acknowledged: an idle connection holds no scoreboard, and neither does one with a single stretch of octets in
//! flight. (It is kept for one timeout more if a DSACK may yet tell that the window was reduced without reason.)
//!
//! Not in here: retransmission of SYN (the connection has its own timer, with [`Recovery::rto`] of a fresh estimator),
//! zero-window probes (not in flight: they are not reported as sent) and keepalives.

mod acknowledge;
mod delivery;
mod expiry;
mod flight;
mod interface;
mod pacing;
mod prr;
mod rack;
mod rate;
mod read_ahead;
mod reno;
mod rtt;
mod run;
mod sack;
mod scoreboard;
mod stretch;
mod timer;
mod transmit;
mod undo;

#[cfg(test)]
mod tests;

pub use flight::FlightPool;
pub use interface::{
    Ack, Action, Cause, Echo, Micros, Outcome, Range, RecoveryInfo, Retransmission, Stage, Undo,
};
pub use rate::RateSample;
pub use rtt::{RtoPolicy, RttEstimator};

use crate::Time;
use crate::congestion::{Algorithm, Congestion, CongestionControl, initial_window};
use delivery::Delivery;
use flight::{Flight, Phase};
use rack::Reordering;
use stretch::Stretch;

/// What a connection is set up with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Payload octets a segment: the peer's MSS and the path's, without the options that each segment carries.
    pub mss: u16,
    /// Both ends permitted SACK.
    pub sack: bool,
    /// How soon a timeout may come.
    pub rto: RtoPolicy,
    /// Congestion control.
    pub algorithm: Algorithm,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mss: 536, sack: true, rto: RtoPolicy::CLIENT, algorithm: Algorithm::Cubic }
    }
}

/// Loss recovery and congestion control of one connection: see the module. What is of use only when something was lost comes last.
#[repr(C)]
#[derive(Debug)]
pub struct Recovery {
    flight: Option<Box<Flight>>,
    /// What is in flight without a box.
    stretch: Stretch,
    /// When the stretch was sent; while nothing is in flight, when the last of what was has been acknowledged.
    since: Time,
    rtt: RttEstimator,
    mss: u16,
    sack: bool,
    reordering: Reordering,
    congestion: Congestion,
}

const _: () = assert!(size_of::<Recovery>() <= 88);

impl Recovery {
    /// Nothing sent, nothing known.
    #[must_use]
    pub fn new(settings: &Settings, now: Time) -> Self {
        let mss = settings.mss.max(1);
        Self {
            flight: None,
            stretch: Stretch::NONE,
            since: now,
            rtt: RttEstimator::new(settings.rto),
            congestion: Congestion::new(settings.algorithm, u32::from(mss)),
            mss,
            sack: settings.sack,
            reordering: Reordering::NONE,
        }
    }

    /// The handshake is over: what SYN and its acknowledgement took, if SYN went out once (or a timestamp told), and how often it
    /// went again.
    pub fn handshake(&mut self, rtt: Option<Micros>, retransmissions: u16, now: Time) {
        if let Some(rtt) = rtt {
            self.rtt.sample(rtt, 0, self.mss(), now);
        }
        if retransmissions > 0 {
            self.rtt.doubt();
        }
        if retransmissions > 1 {
            // RFC 5681, section 3.1: the network is not to be trusted with more. That one SYN went again is no reason, with a first timeout of
            // a second (RFC 6928, section 2).
            self.congestion.set_window(u32::from(self.mss));
        }
        self.since = now;
    }

    /// The payload of a segment from now on. The initial window follows while nothing was sent yet.
    pub fn set_mss(&mut self, mss: u16) {
        let mss = mss.max(1);
        let fresh = self.congestion.window() == initial_window(self.mss())
            && self.congestion.threshold() == u32::MAX
            && self.outstanding() == 0;
        self.mss = mss;
        if fresh {
            self.congestion.set_window(initial_window(u32::from(mss)));
        } else {
            self.congestion.set_window(self.congestion.window().max(u32::from(mss)));
        }
    }

    /// The connection is no more.
    pub fn abandon(&mut self, pool: &mut FlightPool) {
        self.stretch = Stretch::NONE;
        if let Some(flight) = self.flight.take() {
            pool.give(flight);
        }
    }

    /// Octets from SND.UNA to SND.NXT.
    #[must_use]
    #[inline]
    pub fn outstanding(&self) -> u32 {
        self.flight.as_ref().map_or(self.stretch.length, |flight| flight.scoreboard.outstanding())
    }

    /// Octets thought to be in the network (`pipe`, RFC 6675).
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.flight.as_ref().map_or(self.stretch.length, |flight| flight.pipe())
    }

    /// The congestion window in octets.
    #[must_use]
    #[inline]
    pub fn window(&self) -> u32 {
        self.congestion.window()
    }

    /// The slow-start threshold in octets; `u32::MAX` before the first loss.
    #[must_use]
    pub fn threshold(&self) -> u32 {
        self.congestion.threshold()
    }

    /// The round-trip time as measured.
    #[must_use]
    pub fn rtt(&self) -> &RttEstimator {
        &self.rtt
    }

    /// The retransmission timeout as it is now, backed off.
    #[must_use]
    pub fn rto(&self) -> Micros {
        self.rtt.timeout(self.is_lone())
    }

    /// Where recovery stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match &self.flight {
            Some(flight) if flight.phase == Phase::Loss => Stage::Loss,
            Some(flight) if flight.phase == Phase::Recovery => Stage::Recovery,
            Some(flight) if flight.scoreboard.sacked > 0 || flight.duplicates > 0 => Stage::Disorder,
            _ => Stage::Open,
        }
    }

    /// Everything at a glance, as for TCP_INFO.
    #[must_use]
    pub fn info(&self) -> RecoveryInfo {
        let (sacked, lost, resent) = self.flight.as_ref().map_or((0, 0, 0), |flight| {
            let scoreboard = &flight.scoreboard;
            (scoreboard.sacked + flight.duplicates, scoreboard.lost, scoreboard.resent)
        });
        RecoveryInfo {
            stage: self.stage(),
            window: self.window(),
            threshold: self.threshold(),
            outstanding: self.outstanding(),
            in_flight: self.in_flight(),
            sacked,
            lost,
            resent,
            rto: self.rto(),
            backoff: self.rtt.backoff(),
            smoothed: self.rtt.smoothed().unwrap_or(0),
            variation: self.rtt.variation(),
            minimum: self.rtt.minimum().unwrap_or(0),
            reordering_seen: self.reordering.seen,
            pacing_rate: self.pacing_rate().unwrap_or(0),
        }
    }

    #[inline]
    fn mss(&self) -> u32 {
        u32::from(self.mss)
    }

    /// A single segment is in flight: the peer may keep its acknowledgement back.
    #[inline]
    fn is_lone(&self) -> bool {
        self.outstanding() <= self.mss()
    }
}
