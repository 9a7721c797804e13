//! What each connection is to the proxy, by its index.

use std::sync::Arc;

use evenkeel_tcp::ConnectionId;

use super::UpstreamTls;
use super::client::Client;
use super::outbox::Outbox;
use super::site::Backend;
use super::ticket::Ticket;
use crate::http::HeadEnd;

/// What a connection is.
#[derive(Debug)]
pub(super) enum Place<O> {
    Client(Box<Client<O>>),
    Upstream(Box<Upstream<O>>),
}

/// A connection to a backend.
#[derive(Debug)]
pub(super) struct Upstream<O> {
    pub(super) id: ConnectionId,
    pub(super) backend: Backend,
    /// What is spoken over it.
    pub(super) tls: Option<Arc<UpstreamTls>>,
    /// Whose request it serves; nobody's while it lies in the pool.
    pub(super) client: Option<ConnectionId>,
    /// TLS has begun.
    pub(super) is_securing: bool,
    pub(super) is_connected: bool,
    /// It is over, though what had come may still be read.
    pub(super) is_closed: bool,
    /// Its backend is down: it is to end.
    pub(super) is_cut: bool,
    /// It has served a request before.
    pub(super) is_reused: bool,
    /// Of the head that is coming.
    pub(super) end: HeadEnd,
    pub(super) outbox: Outbox<O>,
    /// It is a tunnel, or may become one, and is not counted in the pool.
    pub(super) tunnel: Option<Ticket>,
    /// It serves this client alone, whose addresses its backend was told.
    pub(super) is_announced: bool,
}

impl<O> Upstream<O> {
    pub(super) fn new(
        id: ConnectionId,
        backend: Backend,
        tls: Option<&Arc<UpstreamTls>>,
        client: ConnectionId,
    ) -> Self {
        Self {
            id,
            backend,
            tls: tls.cloned(),
            client: Some(client),
            is_securing: false,
            is_connected: false,
            is_closed: false,
            is_cut: false,
            is_reused: false,
            end: HeadEnd::of_response(),
            outbox: Outbox::default(),
            tunnel: None,
            is_announced: false,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Places<O> {
    places: Vec<Option<Place<O>>>,
}

impl<O> Default for Places<O> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<O> Place<O> {
    pub(super) fn id(&self) -> ConnectionId {
        match self {
            Self::Client(client) => client.id,
            Self::Upstream(upstream) => upstream.id,
        }
    }
}

impl<O> Places<O> {
    pub(super) fn put(&mut self, id: ConnectionId, place: Place<O>) {
        let index = id.index() as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        if let Some(empty) = self.places.get_mut(index) {
            *empty = Some(place);
        }
    }

    fn at_mut(&mut self, id: ConnectionId) -> Option<&mut Option<Place<O>>> {
        let place = self.places.get_mut(id.index() as usize)?;
        place.as_ref().is_some_and(|place| place.id() == id).then_some(place)
    }

    /// The connection at this index.
    pub(super) fn id_at(&self, index: u32) -> Option<ConnectionId> {
        self.at(index as usize).map(Place::id)
    }

    /// Connections lie below this place.
    pub(super) const fn len(&self) -> usize {
        self.places.len()
    }

    /// What is at this place.
    pub(super) fn at(&self, place: usize) -> Option<&Place<O>> {
        self.places.get(place)?.as_ref()
    }

    /// The client that a connection concerns.
    pub(super) fn client_of(&mut self, id: ConnectionId) -> Option<ConnectionId> {
        match self.at_mut(id)?.as_ref()? {
            Place::Client(_) => Some(id),
            Place::Upstream(upstream) => upstream.client,
        }
    }

    pub(super) fn is_client(&self, id: ConnectionId) -> bool {
        matches!(self.at(id.index() as usize), Some(Place::Client(client)) if client.id == id)
    }

    /// The connection is over.
    pub(super) fn close(&mut self, id: ConnectionId) {
        match self.at_mut(id) {
            Some(Some(Place::Client(client))) => client.is_closed = true,
            Some(Some(Place::Upstream(upstream))) => upstream.is_closed = true,
            _ => {}
        }
    }

    /// A client, to be put back.
    pub(super) fn take_client(&mut self, id: ConnectionId) -> Option<Box<Client<O>>> {
        match self.at_mut(id)?.take()? {
            Place::Client(client) => Some(client),
            other => {
                self.put(id, other);
                None
            }
        }
    }

    /// A connection to a backend, to be put back.
    pub(super) fn take_upstream(&mut self, id: ConnectionId) -> Option<Box<Upstream<O>>> {
        match self.at_mut(id)?.take()? {
            Place::Upstream(upstream) => Some(upstream),
            other => {
                self.put(id, other);
                None
            }
        }
    }

    pub(super) fn upstream_mut(&mut self, id: ConnectionId) -> Option<&mut Upstream<O>> {
        match self.at_mut(id)?.as_mut()? {
            Place::Upstream(upstream) => Some(upstream),
            Place::Client(_) => None,
        }
    }
}
