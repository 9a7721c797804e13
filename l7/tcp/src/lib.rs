//! A sans-IO TCP: segments and time in, segments and a deadline out. No DPDK, clock, thread, randomness or I/O.
#![forbid(unsafe_code)]

mod addr;
mod buf;
pub mod congestion;
mod error;
mod event;
mod range;
pub mod recovery;
mod sequence;
mod settings;
mod time;

pub use addr::{Addr, Endpoint, Tuple};
pub use buf::{Buf, HeapBuf};
pub use error::{ConnectError, Ending, ListenError, NoConnection, SendError};
pub use event::{ConnectionId, Event, ListenerId};
pub use range::Range;
pub use sequence::SequenceNumber;
pub use settings::{Checksums, Config, Congestion, Keepalive, ListenerConfig, Settings};
pub use time::Time;
