//! `evenkeel run`: the balancer itself, from its configuration to its last packet.

#[cfg(feature = "dpdk")]
mod affinity;
#[cfg(feature = "dpdk")]
mod balancer;
#[cfg(feature = "dpdk")]
mod log;
#[cfg(feature = "dpdk")]
mod notify;
#[cfg(feature = "dpdk")]
mod workers;

use crate::cli::Run;
use crate::exit::Outcome;
use crate::output::Output;

/// Runs the balancer until it is told to stop.
#[cfg(feature = "dpdk")]
pub(crate) fn run(output: &mut Output, arguments: &Run) -> Outcome {
    log::start(&arguments.log)?;
    balancer::run(output, &arguments.config)
}

/// Says that this program cannot.
#[cfg(not(feature = "dpdk"))]
pub(crate) fn run(_: &mut Output, _: &Run) -> Outcome {
    Err(crate::exit::Failure::new(
        "this program was built without DPDK and can only check, replay and ask; build it with `cargo build --release`",
    ))
}
