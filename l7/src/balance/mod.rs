//! Which backend gets a request.
//!
//! A [`Group`] is what the control thread made of a service's backends: immutable, and shared by all workers. What a worker knows of how they do
//! ([`Loads`]) and where it is in its turns ([`Turns`]) is its own, so that nothing is locked.
//!
//! Invariants: a pick is always one that may be used, and there is one as long as any may be; weights count under every policy; a pick
//! takes a bounded number of draws, and a look at every candidate at most where a policy needs it or the draws were in vain.

mod ewma;
mod group;
mod load;
mod turns;

pub use ewma::PeakEwma;
pub use group::{Candidate, Group, Question};
pub use load::{Ended, Load, Loads};
pub use turns::Turns;

/// How a backend is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// Of two that are drawn, the one with fewer requests under way (Mitzenmacher, IEEE TPDS 12(10), 2001): nearly as good as looking at all,
    /// and without the herd that follows stale numbers.
    #[default]
    PowerOfTwo,
    /// Of two that are drawn, the one that is expected to answer sooner by its latency of late ([`PeakEwma`]).
    PeakEwma,
    /// One after the other.
    RoundRobin,
    /// Of all, the one with the fewest requests under way.
    LeastRequests,
    /// Any.
    Random,
    /// By the hash of what the route names (a header, a cookie, the source), in a Maglev table: the same for the same, as long as it is there.
    Maglev,
}
