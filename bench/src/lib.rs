//! Benchmarks of Evenkeel: figures live here, never in tests.
//!
//! Each suite compares two things in one run and prints their ratio or both values: an absolute time alone says nothing on a
//! shared machine.

#![forbid(unsafe_code)]

pub mod flows;
pub mod fuzz;
#[path = "../../l7/tcp/tests/hosts/mod.rs"]
pub mod hosts;
pub mod l7;
pub mod maglev;
#[path = "../../l7/tcp/tests/network/mod.rs"]
pub mod network;
pub mod pages;
pub mod report;
pub mod rig;
pub mod scene;
pub mod tcp;
pub mod update;

/// The median of `values`, the upper one of two; zero when there are none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
