//! What is said over the control socket: one JSON object a line each way, for the server and the command line alike.
//!
//! Invariants: every request that [`Request`] can hold is read back unchanged by [`parse_line`] from what serde writes
//! of it; a line that is no request yields a [`Refusal`] that names the field and, where there is one, the nearest
//! valid word; no line panics.

mod answer;
mod connections;
mod fields;
mod report;
mod request;
mod routes;

pub use answer::{Answer, Refusal, RefusalKind, Report};
pub use connections::*;
pub use fields::{BackendSpec, Deadline};
pub use report::*;
pub use request::{MAX_LINE, Request, parse_line};
pub use routes::*;

#[cfg(test)]
mod tests;
