//! Suite `l7`: the parts of the proxy stage.

mod balance;
mod tls;

pub use tls::idle_under_observation;

use anyhow::Result;

use crate::report::Report;

/// Runs the suite.
///
/// # Errors
/// When standard output is gone.
pub fn run(report: &mut Report) -> Result<()> {
    balance::run(report)?;
    tls::run(report)
}
