//! HTTP/1.1 without I/O: octets in, heads and framed bodies out (RFC 9110, RFC 9112).
//!
//! Invariants:
//! - *One parse decides.* Where a message ends is decided once ([`Framing`]), from a head that was read whole, and what is
//!   forwarded is written anew from what was read. No octet of a head is passed through, so that no two readers
//!   can differ about what was forwarded.
//! - What is not plainly right is refused, under one [`Refusal`], which is also a counter. Nothing is mended silently.
//! - Nothing is copied while reading; a body's octets are never looked at, only counted.

mod chunked;
mod content;
mod fields;
mod framing;
mod head;
mod limits;
mod name;
mod path;
mod refusal;
mod request;
mod response;
mod status;
mod target;
mod write;

pub use chunked::{Chunked, Step};
pub use content::{ChunkWriter, Content};
pub use fields::{Field, Fields, Scratch, trailers};
pub use framing::Framing;
pub use head::HeadEnd;
pub use limits::Limits;
pub use name::Name;
pub use path::{EncodedSlash, PathRules};
pub use refusal::Refusal;
pub use request::{Method, Request, Version};
pub use response::Response;
pub use status::{has_content, reason_phrase};
pub use target::{Authority, Target};
pub use write::HeadWriter;
