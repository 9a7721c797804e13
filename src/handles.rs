//! What workers are made of that does not depend on where their packets come from.

use evenkeel_config::Config;
use evenkeel_datapath::counters::Bounds;
use evenkeel_datapath::snapshot::WorkerId;
use evenkeel_datapath::worker::Handle;

/// Commands or replies that wait, at most.
const COMMANDS: usize = 256;

/// The control thread's end of a worker that is yet to be made.
pub(crate) fn handle(id: WorkerId, core: Option<usize>, config: &Config) -> Handle {
    Handle::new(id, core, COMMANDS, bounds(config))
}

/// The sizes of a worker's counters.
pub(crate) fn bounds(config: &Config) -> Bounds {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Bounds { services: size(config.balancer.max_services), backends: size(config.balancer.max_backends) }
}

/// What the layer 7 stage of a worker is made with.
pub(crate) fn stage(config: &Config, seed: u64) -> evenkeel_l7::Config {
    evenkeel_l7::Config { connections: config.l7.connections, memory: config.l7_memory_of_a_worker(), seed }
}

/// A seed that nobody can foresee: the standard library draws its keys from the system.
#[cfg(feature = "dpdk")]
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
