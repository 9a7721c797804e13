//! A sans-IO TCP: segments and time in, segments and a deadline out. No DPDK, clock, thread, randomness or I/O.
#![forbid(unsafe_code)]

mod addr;
mod buf;
pub mod checksum;
mod chunk;
pub mod congestion;
mod connection;
pub mod cookie;
mod counters;
mod error;
mod event;
mod info;
pub mod isn;
mod packet;
mod range;
pub mod receive;
pub mod recovery;
pub mod segment;
pub mod send_buffer;
mod sequence;
mod settings;
mod stack;
mod time;
mod trace;
pub mod wheel;

pub use addr::{Addr, Endpoint, Tuple};
pub use buf::{Buf, HeapBuf};
pub use chunk::{Chunk, Piece, Pieces, Spares};
pub use connection::State;
pub use counters::{Counter, Counters};
pub use error::{ConnectError, Ending, ListenError, NoConnection, SendError};
pub use event::{ConnectionId, Event, ListenerId};
pub use info::Info;
pub use packet::{IcmpError, Incoming, Outgoing, Payload};
pub use range::Range;
pub use sequence::SequenceNumber;
pub use settings::{Checksums, Config, Congestion, Keepalive, ListenerConfig, Settings};
pub use stack::Stack;
pub use time::Time;
pub use trace::Step;
