//! A sans-IO TCP: segments and time in, segments and a deadline out. No DPDK, clock, thread, randomness or I/O.
#![forbid(unsafe_code)]

mod addr;
mod buf;
pub mod checksum;
mod chunk;
pub mod congestion;
pub mod cookie;
mod error;
mod event;
pub mod isn;
mod range;
pub mod receive;
pub mod recovery;
pub mod segment;
pub mod send_buffer;
mod sequence;
mod settings;
mod time;
pub mod wheel;

pub use addr::{Addr, Endpoint, Tuple};
pub use buf::{Buf, HeapBuf};
pub use chunk::{Chunk, Piece, Pieces, Spares};
pub use error::{ConnectError, Ending, ListenError, NoConnection, SendError};
pub use event::{ConnectionId, Event, ListenerId};
pub use range::Range;
pub use sequence::SequenceNumber;
pub use settings::{Checksums, Config, Congestion, Keepalive, ListenerConfig, Settings};
pub use time::Time;
