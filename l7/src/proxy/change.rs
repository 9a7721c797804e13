//! What changes while requests are under way: backends come, drain, go down and go, and services go.
//!
//! - A backend that drains, or is not there any more, gets no new request, retries included; its connections at rest are closed, and those in
//!   use once they would be at rest.
//! - One that is down is cut off: a request without a response is sent to another one if that is safe, all else ends here and now.
//! - With a service its clients' connections end.
//!
//! What a client's connection is served by is looked up anew for each request; the one that is under way goes on as it was decided on.

use evenkeel_datapath::snapshot::{self, BackendState, ServiceSlot};
use evenkeel_tcp::{ConnectionId, Time};

use super::places::Place;
use super::seen::Tally;
use super::site::Backend;
use super::{Memory, Net, Proxy};
use crate::Work;

/// Connections that are looked at for a unit of work.
const A_FEW: usize = 16;

/// What a connection is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whose {
    /// The connection.
    pub id: ConnectionId,
    /// The service whose requests come or go by it.
    pub service: ServiceSlot,
    /// The slot of the backend that it leads to; `None` for one of a client.
    pub backend: Option<u16>,
}

/// What may still be asked of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Serves,
    Drains,
    Down,
}

impl Standing {
    fn of(state: BackendState, now: Time) -> Self {
        match state {
            BackendState::Active => Self::Serves,
            state if state.keeps_flows(evenkeel_datapath::time::Time(now.0)) => Self::Drains,
            _ => Self::Down,
        }
    }
}

/// A backend as its slot has it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    epoch: u16,
    service: ServiceSlot,
    standing: Standing,
}

/// Backends by their slots.
#[derive(Debug)]
pub(super) struct Known(Vec<Entry>);

impl Known {
    const NEW: Entry = Entry { epoch: 0, service: ServiceSlot(0), standing: Standing::Serves };

    /// Backends of which nobody has said anything: they serve.
    pub(super) fn new(slots: usize) -> Self {
        Self(vec![Self::NEW; slots])
    }

    /// True if new requests may be sent there.
    pub(super) fn serves(&self, backend: &Backend) -> bool {
        self.standing(backend) == Standing::Serves
    }

    fn standing(&self, backend: &Backend) -> Standing {
        let entry = self.0.get(usize::from(backend.slot)).filter(|entry| entry.epoch == backend.epoch);
        entry.map_or(Standing::Down, |entry| entry.standing)
    }
}

impl<O: Memory> Proxy<O> {
    /// Backends are these from now on, by their slots, and services may have changed.
    pub fn adopt(&mut self, now: Time, backends: &[Option<snapshot::Backend>]) {
        let is_first = self.known.0.is_empty();
        if self.known.0.len() < backends.len() {
            // Nothing has come to these slots.
            let none = Entry { standing: Standing::Down, ..Known::NEW };
            self.known.0.resize(backends.len(), none);
            self.pools.grow(backends.len());
            self.loads.grow(backends.len());
            self.outliers.grow(backends.len());
            self.backends.resize(backends.len(), Tally::default());
        }
        for ((slot, entry), backend) in (0..).zip(&mut self.known.0).zip(backends) {
            let before = *entry;
            match backend {
                Some(backend) => {
                    let standing = Standing::of(backend.state, now);
                    *entry = Entry { epoch: backend.epoch, service: backend.service, standing };
                }
                None => entry.standing = Standing::Down,
            }
            if entry.epoch != before.epoch {
                self.pools.forget(slot);
                if let Some(tally) = self.backends.get_mut(usize::from(slot)) {
                    *tally = Tally::default();
                }
            }
            let is_another = entry.epoch != before.epoch || before.standing == Standing::Down;
            if is_another && entry.standing == Standing::Serves {
                self.loads.came(slot, (!is_first).then_some(now));
                self.outliers.forget(slot);
            }
            if entry.standing != Standing::Serves {
                self.waiting.extend(self.pools.dismiss(slot));
            }
        }
        self.looked_at = Some(0);
    }

    /// Looks whether connections may stay, a unit of work for a few of them each.
    pub(super) fn look_at_some<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, work: &mut Work) {
        while let Some(start) = self.looked_at.take_if(|_| work.take()) {
            let end = self.places.len().min(start + A_FEW);
            for place in start..end {
                self.look_at(net, now, place);
            }
            self.looked_at = (end < self.places.len()).then_some(end);
        }
    }

    fn look_at<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, place: usize) {
        match self.places.at(place) {
            Some(Place::Client(client)) if client.listener.is_gone() => {
                let id = client.id;
                if let Some(mut client) = self.places.take_client(id) {
                    self.abandon(net, now, &mut client);
                    self.deadlines.cancel(id.index());
                    self.ended.push(client.listener.slot);
                    net.abort(id);
                }
            }
            Some(Place::Upstream(upstream)) => {
                let (id, client) = (upstream.id, upstream.client);
                match self.known.standing(&upstream.backend) {
                    Standing::Serves => {}
                    Standing::Drains if client.is_some() => {}
                    Standing::Drains => self.discard(net, id),
                    Standing::Down => {
                        if let Some(upstream) = self.places.upstream_mut(id) {
                            upstream.is_cut = true;
                        }
                        match client {
                            Some(client) => self.waiting.push_back(client),
                            None => self.discard(net, id),
                        }
                    }
                }
            }
            Some(Place::Client(_)) | None => {}
        }
    }

    /// The service of a client's connection that there was and is no more; each is told once.
    pub fn ended(&mut self) -> Option<ServiceSlot> {
        self.ended.pop()
    }

    /// Connections lie below this place.
    #[must_use]
    pub fn places(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// The connection in a place, if there is one.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<Whose> {
        Some(match self.places.at(place as usize)? {
            Place::Client(client) => Whose { id: client.id, service: client.listener.slot, backend: None },
            Place::Upstream(upstream) => {
                let slot = upstream.backend.slot;
                let service = self.known.0.get(usize::from(slot)).map(|entry| entry.service);
                Whose { id: upstream.id, service: service.unwrap_or_default(), backend: Some(slot) }
            }
        })
    }
}
