//! A sans-IO TCP: segments and time in, segments and a deadline out. No DPDK, clock, thread, randomness or I/O.
#![forbid(unsafe_code)]

mod addr;
mod buf;
mod sequence;
mod time;

pub use addr::{Addr, Endpoint, Tuple};
pub use buf::{Buf, HeapBuf};
pub use sequence::SequenceNumber;
pub use time::Time;
