//! The layer 7 proxy stage: it takes flows by verdict from `datapath` and answers with packets and a deadline.
//!
//! Nothing is served at layer 7 yet. The crate stands where the dependency rule wants it
//! (`l7` sees `datapath` and `l7/tcp`; neither sees `l7`), so that the rule is tested from the first commit.
#![forbid(unsafe_code)]

pub mod balance;
pub mod http;
pub mod proxy_protocol;
pub mod route;
pub mod tls;

pub use evenkeel_tcp::SequenceNumber;
