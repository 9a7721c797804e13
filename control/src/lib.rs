//! Desired state to snapshots; control socket, neighbours, routes.
//!
//! A request is parsed ([`protocol`]), makes a copy of what is wanted (`desired`), which gets slots (`slots`) and is
//! compiled to a snapshot (`compile`) that goes to every worker (`fleet`); it is answered when all of them run it. All of
//! this is one state machine (`control`) without clock, sockets or threads; [`serve`] drives it.
//!
//! Invariants: one thread has the state, and it alone frees snapshots. Nothing that a peer or a worker does or fails to
//! do makes it wait.
#![forbid(unsafe_code)]

mod compile;
mod connections;
mod control;
mod desired;
mod explain;
mod fleet;
mod flows;
mod inquiry;
mod kept;
pub mod netlink;
pub mod next_hops;
pub mod protocol;
mod secrets;
mod server;
mod setup;
mod sites;
mod slots;
mod socket;
mod status;
#[cfg(test)]
mod testing;
mod words;

pub use control::{Control, Peer, Submitted, Ticket};
pub use secrets::{Flaw, Secrets};
pub use server::{Event, ServeError, run, serve};
pub use setup::Setup;
pub use socket::{ControlSocket, SocketError};
