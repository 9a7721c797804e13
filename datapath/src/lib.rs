//! Layers 2 to 4: bytes in, verdict out.

pub mod command;
pub mod counters;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod fib;
pub mod flow;
pub mod key;
pub mod maglev;
pub mod packet;
pub mod port;
pub mod snapshot;
pub mod steering;
pub mod time;
pub mod twin;
pub mod worker;
