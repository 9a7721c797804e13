//! A sans-IO TCP: segments and time in, segments and a deadline out. No DPDK, clock, thread, randomness or I/O.
//!
//! So far it holds what every other part of a TCP stands on: sequence numbers and their order.
#![forbid(unsafe_code)]

mod sequence;

pub use sequence::SequenceNumber;
