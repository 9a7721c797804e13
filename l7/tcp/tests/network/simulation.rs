//! Two ends and the link between them, in virtual time.

use std::io::Write;

use super::capture::Capture;
use super::flight::Flight;
use super::link::{Counts, Link, Model};
use super::random::Random;

/// What can stand at an end of the link. Packets begin with their IP header.
pub trait Endpoint {
    /// Takes a packet.
    fn receive(&mut self, now: u64, packet: Vec<u8>);

    /// The next packet that it sends now, if any.
    fn transmit(&mut self, now: u64) -> Option<Vec<u8>>;

    /// When it wants to be asked again, even if nothing arrives until then.
    fn deadline(&self) -> Option<u64>;
}

/// The most packets that an end may send without that any time passes: one that sends more never stops.
const MOST_AT_ONCE: usize = 100_000;

/// Two ends and a link.
pub struct Network<L, R> {
    /// One end.
    pub left: L,
    /// The other end.
    pub right: R,
    /// From left to right, and back.
    links: [Link; 2],
    flight: Flight<(usize, Vec<u8>)>,
    now: u64,
    capture: Option<Capture<Box<dyn Write>>>,
}

impl<L: Endpoint, R: Endpoint> Network<L, R> {
    /// Both directions after one model; `seed` says what happens.
    pub fn new(left: L, right: R, model: Model, seed: u64) -> Self {
        let mut random = Random(seed);
        let links = [(); 2].map(|()| Link::new(model, random.number()));
        Self { left, right, links, flight: Flight::default(), now: 0, capture: None }
    }

    /// Another link from now on; what is under way arrives all the same.
    pub fn relink(&mut self, to_right: Model, to_left: Model, seed: u64) {
        let mut random = Random(seed);
        self.links = [to_right, to_left].map(|model| Link::new(model, random.number()));
    }

    /// Writes down all packets when they are sent.
    pub fn capture(&mut self, capture: Capture<Box<dyn Write>>) {
        self.capture = Some(capture);
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Moves the clock on to `time`, as it may also do by itself, without that anything happens in between.
    pub fn skip_to(&mut self, time: u64) {
        self.now = self.now.max(time);
    }

    /// What became of packets to the right and to the left, since the last link was laid.
    #[must_use]
    pub fn counts(&self) -> [Counts; 2] {
        [self.links[0].counts, self.links[1].counts]
    }

    /// Goes on until `is_done`, or until `limit`; true if it is done. Where nothing can ever happen again, it stops early.
    pub fn run_until(&mut self, limit: u64, mut is_done: impl FnMut(&mut L, &mut R, u64) -> bool) -> bool {
        loop {
            self.collect();
            if is_done(&mut self.left, &mut self.right, self.now) {
                return true;
            }
            // It may have given something to send.
            self.collect();
            let deadlines = [self.left.deadline(), self.right.deadline(), self.flight.next_arrival()];
            let Some(next) = deadlines.into_iter().flatten().min() else { return false };
            if next > limit {
                self.now = self.now.max(limit);
                return false;
            }
            // A deadline that has passed asks for another turn, and turns must come to an end.
            self.now = if next > self.now { next } else { self.now + 1 };
            while let Some((_, (end, packet))) = self.flight.arrived(self.now) {
                if end == 0 {
                    self.left.receive(self.now, packet);
                } else {
                    self.right.receive(self.now, packet);
                }
            }
        }
    }

    /// Lets both ends send what they have to.
    fn collect(&mut self) {
        for end in 0..2 {
            for sent in 0.. {
                let packet =
                    if end == 0 { self.left.transmit(self.now) } else { self.right.transmit(self.now) };
                let Some(packet) = packet else { break };
                assert!(sent < MOST_AT_ONCE, "an end sends for ever at {} ns", self.now);
                if let Some(capture) = &mut self.capture {
                    capture.add(self.now, &packet).expect("the capture can be written");
                }
                let flight = &mut self.flight;
                self.links[end]
                    .send(self.now, packet, |arrival, packet| flight.add(arrival, (1 - end, packet)));
            }
        }
    }
}
