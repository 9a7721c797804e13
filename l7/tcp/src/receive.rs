//! The receiving side: what has arrived, what may still come, and when to say so.

mod assembler;
mod delayed_ack;
mod disorder;
mod window;

pub use assembler::{Arrival, Assembler, Inserted, Limits};
pub use delayed_ack::DelayedAck;
pub use window::ReceiveWindow;

pub(crate) use disorder::Disorder;
