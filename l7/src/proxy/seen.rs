//! What is seen of requests: counters of routes and backends, and a record of each for the access log.
//!
//! Invariant: once a route and a backend have had a request, nothing here takes memory, and nothing ever waits.

mod log;
mod record;
mod tally;
mod words;

pub use log::Log;
pub use record::{Record, Text, Times};
pub use tally::{CLASSES, Tally};
pub use words::{Format, FormatError};
