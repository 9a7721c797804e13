//! What the proxy runs on.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use evenkeel_tcp::{
    Buf, ConnectError, ConnectionId, Endpoint, HeapBuf, Piece, SendError, Settings, Stack, Time, Tuple,
};

use rustls::ServerConfig;

use super::secure::{Security, UpstreamTls};

/// Memory that octets lie in, wherever they came from.
pub trait Memory: Buf {
    /// Octets `place` of these, in the same memory; as many of them as there are.
    #[must_use]
    fn part(&self, place: Range<usize>) -> Self;

    /// Octets of the proxy's own.
    #[must_use]
    fn of(octets: Vec<u8>) -> Self;
}

/// Connections, of a stack of ours or of the kernel's. What is asked of a connection that is no more is nothing, and does nothing.
pub trait Net {
    /// The memory that octets come in and go out by.
    type Octets: Memory;

    /// The octets that were received and not consumed.
    fn unread(&self, id: ConnectionId) -> impl Iterator<Item = Piece<'_, Self::Octets>>;

    /// How many there are.
    fn readable(&self, id: ConnectionId) -> usize;

    /// Lets go of the first of them.
    fn consume(&mut self, id: ConnectionId, octets: usize);

    /// True if the other side has closed: nothing follows what is unread.
    fn is_ending(&self, id: ConnectionId) -> bool;

    /// True if the other side has closed and everything that it sent was consumed.
    fn is_at_end(&self, id: ConnectionId) -> bool;

    /// Appends octets to what is sent.
    ///
    /// # Errors
    /// Gives them back if there is no room now, or never will be.
    fn send(&mut self, id: ConnectionId, octets: Self::Octets) -> Result<(), (SendError, Self::Octets)>;

    /// Sends no more than was given already. Reading goes on.
    fn close(&mut self, id: ConnectionId);

    /// Lets go of a connection, which is closed in order.
    fn release(&mut self, id: ConnectionId);

    /// Ends a connection here and now.
    fn abort(&mut self, id: ConnectionId);

    /// Opens a connection to a backend.
    ///
    /// # Errors
    /// When there is no room, or no port left.
    fn connect(&mut self, now: Time, to: SocketAddr) -> Result<ConnectionId, ConnectError>;

    /// Who is at the other end.
    fn remote(&self, id: ConnectionId) -> Option<SocketAddr>;

    /// This end of it.
    fn local(&self, id: ConnectionId) -> Option<SocketAddr>;

    /// Has a client speak TLS from now on, whose heads have so many octets at most. False if this net has none to speak.
    fn secure_client(&mut self, id: ConnectionId, by: &Arc<ServerConfig>, window: usize) -> bool {
        let _ = (id, by, window);
        false
    }

    /// Has a connection to a backend speak TLS from now on: [`Event::Connected`](evenkeel_tcp::Event) is told once more when that is agreed
    /// on. False if this net has none to speak.
    fn secure_backend(&mut self, id: ConnectionId, by: &Arc<UpstreamTls>) -> bool {
        let _ = (id, by);
        false
    }

    /// What is known of the other end by TLS; nothing if the connection is plain.
    fn security(&self, id: ConnectionId) -> Option<&Security> {
        let _ = id;
        None
    }
}

/// A copy: the buffer has no place for a range. For tests, and wherever nothing is gained by sharing.
impl Memory for HeapBuf {
    fn part(&self, place: Range<usize>) -> Self {
        Self::from(self.octets().get(place).unwrap_or_default())
    }

    fn of(octets: Vec<u8>) -> Self {
        Self::from(octets)
    }
}

/// A stack of ours, and where its connections to backends come from: `local` draws the local end of one, whose answers come back here.
pub struct OnStack<'s, B, L> {
    /// The stack.
    pub stack: &'s mut Stack<B>,
    /// See above.
    pub local: L,
    /// How connections to backends are made.
    pub settings: Settings,
}

impl<B: Memory, L: FnMut(SocketAddr) -> Option<Endpoint>> Net for OnStack<'_, B, L> {
    type Octets = B;

    fn unread(&self, id: ConnectionId) -> impl Iterator<Item = Piece<'_, B>> {
        self.stack.unread(id)
    }

    fn readable(&self, id: ConnectionId) -> usize {
        self.stack.readable(id)
    }

    fn consume(&mut self, id: ConnectionId, octets: usize) {
        self.stack.consume(id, octets);
    }

    fn is_ending(&self, id: ConnectionId) -> bool {
        self.stack.is_ending(id)
    }

    fn is_at_end(&self, id: ConnectionId) -> bool {
        self.stack.is_at_end(id)
    }

    fn send(&mut self, id: ConnectionId, octets: B) -> Result<(), (SendError, B)> {
        self.stack.send(id, octets)
    }

    fn close(&mut self, id: ConnectionId) {
        self.stack.close(id);
    }

    fn release(&mut self, id: ConnectionId) {
        self.stack.release(id);
    }

    fn abort(&mut self, id: ConnectionId) {
        self.stack.abort(id);
    }

    fn connect(&mut self, now: Time, to: SocketAddr) -> Result<ConnectionId, ConnectError> {
        let local = (self.local)(to).ok_or(ConnectError::TooMany)?;
        self.stack.connect(now, Tuple { local, remote: to.into() }, &self.settings)
    }

    fn remote(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.stack.tuple(id).map(|tuple| tuple.remote.into())
    }

    fn local(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.stack.tuple(id).map(|tuple| tuple.local.into())
    }
}
