//! All connections of a worker that speak TLS, by their index.

use std::collections::VecDeque;

use evenkeel_tcp::{ConnectionId, Time};

use super::Memory;
use super::connection::Secured;
use super::upstream::Configs;

/// Octets that were decrypted for the proxy and not read, at least, before nothing more is decrypted.
const LEAST_WINDOW: usize = 16 << 10;

/// What has become of TLS so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TlsCounts {
    /// With clients.
    pub clients: SideCounts,
    /// With backends.
    pub backends: SideCounts,
}

/// The same on one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SideCounts {
    /// Handshakes that were completed.
    pub handshakes: u64,
    /// Of these, those that took up a former session.
    pub resumed: u64,
    /// What came was no TLS at all.
    pub not_tls: u64,
    /// Handshakes and sessions that ended for another error of either side: not trusted, nothing in common, or malformed.
    pub failed: u64,
    /// Sessions whose connection was closed without the word for it.
    pub cut: u64,
}

/// See the module.
pub(super) struct Sessions<O> {
    places: Vec<Option<Box<Secured<O>>>>,
    /// Those that have more to do, or something to tell.
    pub(super) waiting: VecDeque<ConnectionId>,
    /// The turn is others'.
    pub(super) is_others_turn: bool,
    /// Those that were given something to send.
    pub(super) touched: Vec<ConnectionId>,
    /// Those that the proxy has let go of, and by when they are gone.
    pub(super) leaving: VecDeque<(Time, ConnectionId)>,
    pub(super) configs: Configs,
    pub(super) counts: TlsCounts,
    /// As much as is decrypted ahead: the longest head.
    pub(super) window: usize,
    /// One record at a time is read and written here.
    pub(super) desk: Vec<u8>,
}

impl<O> Default for Sessions<O> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            waiting: VecDeque::new(),
            is_others_turn: false,
            touched: Vec::new(),
            leaving: VecDeque::new(),
            configs: Configs::default(),
            counts: TlsCounts::default(),
            window: LEAST_WINDOW,
            desk: Vec::new(),
        }
    }
}

impl<O: Memory> Sessions<O> {
    /// A connection is to speak TLS from now on; what it has to say may have come already.
    pub(super) fn begin(&mut self, secured: Secured<O>) {
        let mut secured = Box::new(secured);
        self.wait(&mut secured);
        self.put(secured);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Secured<O>> {
        self.places.iter().flatten().map(|secured| &**secured)
    }

    #[inline]
    pub(super) fn at(&self, id: ConnectionId) -> Option<&Secured<O>> {
        self.places.get(id.index() as usize)?.as_deref().filter(|secured| secured.id == id)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, id: ConnectionId) -> Option<&mut Secured<O>> {
        self.places.get_mut(id.index() as usize)?.as_deref_mut().filter(|secured| secured.id == id)
    }

    /// One of them, to be put back unless it is over.
    #[inline]
    pub(super) fn take(&mut self, id: ConnectionId) -> Option<Box<Secured<O>>> {
        self.places.get_mut(id.index() as usize)?.take_if(|secured| secured.id == id)
    }

    pub(super) fn put(&mut self, secured: Box<Secured<O>>) {
        let index = secured.id.index() as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        if let Some(place) = self.places.get_mut(index) {
            *place = Some(secured);
        }
    }

    /// It has more to do, or something to tell.
    pub(super) fn wait(&mut self, secured: &mut Secured<O>) {
        if !std::mem::replace(&mut secured.is_waiting, true) {
            self.waiting.push_back(secured.id);
        }
    }

    pub(super) const fn side(&mut self, is_upstream: bool) -> &mut SideCounts {
        if is_upstream { &mut self.counts.backends } else { &mut self.counts.clients }
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        if self.waiting.is_empty() { self.leaving.front().map(|(until, _)| *until) } else { Some(Time(0)) }
    }
}
