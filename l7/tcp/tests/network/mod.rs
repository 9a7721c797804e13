//! A network of one link in virtual time, and the parts that it is made of; suite `tcp` of `bench` uses them in real time, too.
//!
//! Invariants: everything that happens follows from the seed and from when packets are offered; whether the n-th packet
//! of a direction is lost follows from the seed and n alone, whatever else the link does. Times are nanoseconds from any zero.

#![allow(
    unreachable_pub,
    unused_imports,
    dead_code,
    reason = "bench shows all of it, a test uses what it needs"
)]

mod capture;
mod flight;
mod link;
mod loss;
mod mark;
mod queue;
mod random;
mod simulation;

pub use capture::{Capture, LinkType};
pub use flight::Flight;
pub use link::{Counts, Link, Model};
pub use loss::Loss;
pub use mark::mark;
pub use random::Random;
pub use simulation::{Endpoint, Network};

#[cfg(test)]
mod tests;
