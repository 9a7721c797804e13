//! What the proxy runs on.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use evenkeel_tcp::{
    Buf, ConnectError, ConnectionId, Endpoint, HeapBuf, Piece, SendError, Settings, Stack, Time, Tuple,
};

use rustls::ServerConfig;

use super::secure::{Security, UpstreamTls};
use super::site::Backend;
use crate::Page;

/// Memory that octets lie in, wherever they came from.
pub trait Memory: Buf {
    /// Octets `place` of these, in the same memory; as many of them as there are.
    #[must_use]
    fn part(&self, place: Range<usize>) -> Self;

    /// Octets of the proxy's own.
    #[must_use]
    fn of(octets: Vec<u8>) -> Self;

    /// Octets `place` of a page.
    #[must_use]
    fn of_page(page: &Arc<Page>, place: Range<u32>) -> Self;
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

    /// Octets that were given to send and that the other side has not acknowledged.
    fn unacknowledged(&self, id: ConnectionId) -> usize;

    /// Opens a connection to a backend.
    ///
    /// # Errors
    /// When there is no room, or no port left.
    fn connect(&mut self, now: Time, to: Backend) -> Result<ConnectionId, ConnectError>;

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

    fn of_page(page: &Arc<Page>, place: Range<u32>) -> Self {
        Self::from(page.octets().get(place.start as usize..place.end as usize).unwrap_or_default())
    }
}

/// Where a stack's connections to backends leave from.
pub trait Locals {
    /// Draws the local end of one, whose answers come back here; `None` if there is none left.
    fn draw(&mut self, to: Backend) -> Option<Endpoint>;

    /// What was drawn last is this connection's, or nobody's.
    fn drawn_for(&mut self, id: Option<ConnectionId>) {
        let _ = id;
    }

    /// The proxy has let go of a connection, to a backend or not.
    fn let_go(&mut self, id: ConnectionId) {
        let _ = id;
    }
}

impl<F: FnMut(SocketAddr) -> Option<Endpoint>> Locals for F {
    fn draw(&mut self, to: Backend) -> Option<Endpoint> {
        self(to.address)
    }
}

/// Local ends that are tried for a connection: one that was closed a moment ago is not to be had again at once.
const TRIES: u32 = 4;

/// A stack of ours.
pub struct OnStack<'s, B, L> {
    /// The stack.
    pub stack: &'s mut Stack<B>,
    /// Where its connections to backends leave from.
    pub local: L,
    /// How connections to backends are made.
    pub settings: Settings,
}

impl<B: Memory, L: Locals> Net for OnStack<'_, B, L> {
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
        self.local.let_go(id);
    }

    fn abort(&mut self, id: ConnectionId) {
        self.stack.abort(id);
        self.local.let_go(id);
    }

    fn unacknowledged(&self, id: ConnectionId) -> usize {
        self.stack.unacknowledged(id)
    }

    fn connect(&mut self, now: Time, to: Backend) -> Result<ConnectionId, ConnectError> {
        let mut connected = Err(ConnectError::InUse);
        for _ in 0..TRIES {
            if connected != Err(ConnectError::InUse) {
                break;
            }
            let local = self.local.draw(to).ok_or(ConnectError::TooMany)?;
            connected = self.stack.connect(now, Tuple { local, remote: to.address.into() }, &self.settings);
            self.local.drawn_for(connected.ok());
        }
        connected
    }

    fn remote(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.stack.tuple(id).map(|tuple| tuple.remote.into())
    }

    fn local(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.stack.tuple(id).map(|tuple| tuple.local.into())
    }
}
