//! TLS 1.2 and 1.3 without I/O, by rustls: records in, plaintext and records out.
//!
//! [`Session`] is all that the proxy sees of a connection's TLS, and the only file that knows how rustls buffers. What sessions are made with
//! ([`server`], [`client`]) is compiled by the control thread and never changes: new certificates are a new configuration, by which new connections
//! are made, while old ones go on with theirs.
//!
//! Invariants: a session holds no octets between calls, neither ciphertext (what is not a whole record stays with the caller) nor
//! plaintext, but for a handshake message that comes in several records; there is no early data (RFC 8446, section 8: it can be replayed), and no renegotiation.

use std::sync::Arc;

pub mod certificate;
pub mod client;
pub mod server;
mod session;
pub mod tickets;

pub use rustls::ServerConfig;
pub use rustls::time_provider::TimeProvider;
pub use session::{MOST_RECORD, Session, TlsError, record_length};

/// The time as the system tells it, by which certificates are valid or not.
#[must_use]
pub fn system_time() -> Arc<dyn TimeProvider> {
    Arc::new(rustls::time_provider::DefaultTimeProvider)
}

/// Why sessions cannot be made as the configuration says.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum SetupError {
    /// A listener has one at least.
    #[error("there is no certificate")]
    NoCertificate,
    /// The other side could not be checked.
    #[error("the authorities: {0}")]
    Authorities(String),
    /// Anything else that the library says.
    #[error("{0}")]
    Library(#[from] rustls::Error),
}
