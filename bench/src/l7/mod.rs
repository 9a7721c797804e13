//! Suite `l7`: the parts of the proxy stage.

mod balance;

use anyhow::Result;

use crate::report::Report;

/// Runs the suite.
///
/// # Errors
/// When standard output is gone.
pub fn run(report: &mut Report) -> Result<()> {
    balance::run(report)
}
