//! Suite `tcp`: `evenkeel-tcp` beside smoltcp where it is CPU and memory that counts, and beside Linux where it is the
//! network.

pub mod cell;
mod cpu;
mod fair;
pub mod grid;
pub mod linux;
mod ours;
pub mod pair;
pub mod place;
pub mod port;
pub mod relay;

use std::time::Duration;

use anyhow::Result;

use crate::report::Report;
pub use cpu::idle_under_observation;

/// How a run of the suite is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// What figures to measure begins with one of these, up to a hyphen; all when empty.
    pub cases: Vec<String>,
    /// How long goodput is measured, if not longer for the round-trip time's sake.
    pub slot: Duration,
    /// Runs of each stack.
    pub rounds: usize,
    /// What happens on the links.
    pub seed: u64,
}

impl Options {
    /// True if this figure is to be measured.
    #[must_use]
    pub fn wants(&self, figure: &str) -> bool {
        let begins = |case: &String| {
            figure.strip_prefix(case.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        self.cases.is_empty() || self.cases.iter().any(begins)
    }
}

/// Runs the suite.
///
/// # Errors
/// When bytes are wrong, and, for the cases that use Linux, when this is not root.
pub fn run(report: &mut Report, options: &Options) -> Result<()> {
    cpu::run(report, options)?;
    grid::run(report, options)?;
    fair::run(report, options)
}
