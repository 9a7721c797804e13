//! What the control thread is given by whoever starts it.

use std::path::PathBuf;

use evenkeel_config::Config;
use evenkeel_datapath::port::PortCapabilities;
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::Handle;

/// Everything that the control thread is given at start.
#[derive(Debug)]
pub struct Setup {
    /// The configuration that the balancer was started with.
    pub config: Config,
    /// Where it was read from: `reload` reads it again.
    pub config_file: PathBuf,
    /// Every worker, in the order of their ids.
    pub workers: Vec<Handle>,
    /// What every port turned out to be able to do, in the order of the configuration.
    pub ports: Vec<PortCapabilities>,
    /// The clock that workers read.
    pub clock: fn() -> Time,
    /// What is running, for `version` and `status`.
    pub version: String,
}
