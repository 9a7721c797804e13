//! Desired state to snapshots; control socket, neighbours, routes.
#![forbid(unsafe_code)]

pub mod netlink;
pub mod next_hops;
pub mod protocol;
mod setup;

pub use setup::Setup;
