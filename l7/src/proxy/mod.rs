//! The proxy: clients' requests, read, sent on to backends over connections of its own, and their responses back.
//!
//! Start at [`Proxy::event`]: whatever happens to a connection leads to `Proxy::pump` for the client that it concerns, which goes on with that
//! client as far as it can. A client is in one of few states (`client::State`); while a request is under way, its `exchange::Exchange` says
//! how far that is. Connections to backends belong to an exchange or lie in a `pool::Pool`.
//!
//! Invariants:
//! - all of it is sans-IO: connections are a [`Net`]'s, time and randomness are arguments;
//! - a client has one request under way: the next one is read when that has been answered;
//! - content goes on as it comes, in the memory that it came in; nothing more is read while what was read has not been taken
//!   (`outbox::Outbox`): who reads slowly is sent to slowly;
//! - a connection to a backend is used again only after a response that was whole, to a request that was;
//! - every wait has a deadline.

mod account;
mod announce;
mod budget;
mod cause;
mod change;
mod client;
mod connect;
mod converse;
mod decide;
mod desk;
mod ending;
mod exchange;
mod flow;
mod forwarded;
mod net;
mod origin;
mod outbox;
mod outlier;
mod pick;
mod places;
mod pool;
mod request;
mod response;
mod secure;
pub mod seen;
mod served;
pub mod site;
mod standing;
mod ticket;
mod tunnel;
mod words;

pub use cause::Cause;
pub use change::Whose;
pub use net::{Locals, Memory, Net, OnStack};
pub use secure::{Identity, Security, TlsCounts, TlsProxy, UpstreamTls};
pub use served::Served;
pub use site::Site;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_tcp::wheel::Wheel;
use evenkeel_tcp::{ConnectionId, Event, Time};

use crate::balance::Loads;
use crate::{Listener, PoolView, Work};
use change::Known;
use client::Client;
use desk::Desk;
use outlier::Outliers;
use places::{Place, Places};
use pool::Pools;
use seen::{Log, Tally};

/// See the module.
pub struct Proxy<O> {
    places: Places<O>,
    pools: Pools,
    loads: Loads,
    outliers: Outliers,
    /// By the slot of the backend.
    backends: Vec<Tally>,
    known: Known,
    /// How far the look at all connections has come that a change has made necessary.
    looked_at: Option<usize>,
    /// Services of clients' connections that have ended, until somebody asks.
    ended: Vec<ServiceSlot>,
    deadlines: Wheel,
    /// Clients that have more to do and had no turn, each at least once.
    waiting: VecDeque<ConnectionId>,
    desk: Desk,
    is_draining: bool,
}

/// What a client needs next.
enum Next {
    /// Something to happen, until then at the latest.
    Wait(Time),
    /// Another turn.
    Again,
    /// Nothing: it is over.
    End,
}

impl<O: Memory> Proxy<O> {
    /// A proxy for so many connections, to clients and to backends of so many slots, from now on.
    #[must_use]
    pub fn new(connections: u32, slots: usize, seed: u64, now: Time) -> Self {
        Self {
            places: Places::default(),
            pools: Pools::new(slots),
            loads: Loads::new(slots),
            outliers: Outliers::new(slots),
            backends: vec![Tally::default(); slots],
            known: Known::new(slots),
            looked_at: None,
            ended: Vec::new(),
            deadlines: Wheel::new(connections, now),
            waiting: VecDeque::new(),
            desk: Desk::new(seed),
            is_draining: false,
        }
    }

    /// Hands in a record of each request from now on.
    pub fn log_to(&mut self, log: Arc<Log>) {
        self.desk.paper.log = Some(log);
    }

    /// Has clients use their connections no more: each is told with its next answer.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// What was counted of a backend.
    #[must_use]
    pub fn backend(&self, slot: u16) -> Option<&Tally> {
        self.backends.get(usize::from(slot))
    }

    /// Connections to a backend, and who waits for one.
    #[must_use]
    pub fn pool(&self, slot: u16, now: Time) -> Option<PoolView> {
        let is_out = self.outliers.is_out(slot, now);
        Some(PoolView { under_way: self.loads.of(slot).under_way, is_out, ..self.pools.view(slot)? })
    }

    /// A client has connected.
    pub fn accept(&mut self, now: Time, id: ConnectionId, listener: &Rc<Listener>) {
        let client = Client::new(id, listener, now);
        self.deadlines.set(id.index(), client.until());
        self.places.put(id, Place::Client(Box::new(client)));
        self.waiting.push_back(id);
    }

    /// Something has happened to a connection.
    pub fn event<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, event: Event, work: &mut Work) {
        let (Event::Connected(id) | Event::Readable(id) | Event::Writable(id) | Event::Closed(id, _)) = event
        else {
            return;
        };
        if let Event::Connected(id) = event {
            self.connected(net, id);
        }
        let is_over = matches!(event, Event::Closed(..));
        match self.places.client_of(id) {
            Some(client) => {
                if is_over {
                    self.places.close(id);
                }
                self.pump(net, now, client, work);
            }
            None => {
                // An idle connection to a backend: whatever comes over it, it is of no use any more.
                self.discard(net, id);
            }
        }
    }

    /// Does what is due, and what was left.
    pub fn advance<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, work: &mut Work) {
        self.look_at_some(net, now, work);
        while let Some(index) = self.deadlines.expire(now, &mut work.0) {
            match self.places.id_at(index) {
                Some(id) if self.places.is_client(id) => {
                    if let Some(mut client) = self.places.take_client(id) {
                        self.expire(net, now, &mut client);
                        self.places.put(id, Place::Client(client));
                        self.pump(net, now, id, work);
                    }
                }
                Some(id) => self.discard(net, id),
                None => {}
            }
        }
        for _ in 0..self.waiting.len() {
            if work.0 == 0 {
                break;
            }
            if let Some(id) = self.waiting.pop_front() {
                self.pump(net, now, id, work);
            }
        }
    }

    /// When it wants [`Proxy::advance`] to be called: the past if something was left.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let is_idle = self.waiting.is_empty() && self.looked_at.is_none();
        if is_idle { self.deadlines.next_deadline() } else { Some(Time(0)) }
    }

    /// Goes on with a client as far as it can.
    fn pump<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, id: ConnectionId, work: &mut Work) {
        let Some(mut client) = self.places.take_client(id) else { return };
        match self.go_on(net, now, &mut client, work) {
            Next::Wait(until) => self.deadlines.set(id.index(), until),
            Next::Again => self.waiting.push_back(id),
            Next::End => {
                self.deadlines.cancel(id.index());
                self.ended.push(client.listener.slot);
                return;
            }
        }
        self.places.put(id, Place::Client(client));
    }

    /// A connection to a backend, at rest, that is of no use any more.
    fn discard<N: Net<Octets = O>>(&mut self, net: &mut N, id: ConnectionId) {
        if let Some(upstream) = self.places.take_upstream(id) {
            let next = self.pools.closed(upstream.backend.slot, id);
            self.waiting.extend(next);
            self.deadlines.cancel(id.index());
            if upstream.is_cut || net.readable(id) > 0 {
                net.abort(id);
            } else {
                net.release(id);
            }
        }
    }
}
