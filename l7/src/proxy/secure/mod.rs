//! TLS between connections and the proxy, which does not know of it.
//!
//! [`TlsProxy`] is a [`Proxy`] whose connections may speak TLS: [`layer::Secure`] stands between it and its [`Net`] as another one. Connections
//! that speak none pass through it for the price of one look into a table.
//!
//! Invariants:
//! - a step of a handshake takes all the work of a turn, and every other turn is for others: packets wait for one step at most;
//! - a connection holds octets only while somebody is slow: of what was decrypted as much as a head may have and a record more, of what is to be
//!   encrypted or was, two records;
//! - an end without `close_notify` is no end (RFC 8446, section 6.1): who sent it is taken to be gone, and what it said to be cut;
//! - whom the other end has proved to be is told as [`Security`], never by what came over the connection.

mod connection;
mod identity;
mod layer;
mod sessions;
mod told;
mod upstream;

pub use identity::Identity;
pub use sessions::TlsCounts;
pub use upstream::UpstreamTls;

use std::rc::Rc;

use evenkeel_datapath::snapshot::{self, ServiceSlot};
use evenkeel_tcp::{ConnectionId, Event, Time};

use super::{Memory, Net, Proxy, Whose};
use crate::{Listener, Work};
use connection::Secured;
use layer::Secure;
use sessions::Sessions;

/// What is known of the other end of a connection by TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Security {
    /// Who a client is, if it was asked and has proved it.
    pub identity: Option<Box<Identity>>,
}

/// See the module. It is called as the [`Proxy`] is.
pub struct TlsProxy<O> {
    proxy: Proxy<O>,
    sessions: Sessions<O>,
}

impl<O: Memory> TlsProxy<O> {
    /// See [`Proxy::new`].
    #[must_use]
    pub fn new(connections: u32, slots: usize, seed: u64, now: Time) -> Self {
        Self { proxy: Proxy::new(connections, slots, seed, now), sessions: Sessions::default() }
    }

    /// See [`Proxy::accept`].
    pub fn accept(&mut self, now: Time, id: ConnectionId, listener: &Rc<Listener>) {
        self.proxy.accept(now, id, listener);
    }

    /// See [`Proxy::adopt`].
    pub fn adopt(&mut self, now: Time, backends: &[Option<snapshot::Backend>]) {
        self.proxy.adopt(now, backends);
    }

    /// See [`Proxy::ended`].
    pub fn ended(&mut self) -> Option<ServiceSlot> {
        self.proxy.ended()
    }

    /// See [`Proxy::places`].
    #[must_use]
    pub fn places(&self) -> u32 {
        self.proxy.places()
    }

    /// See [`Proxy::at`].
    #[must_use]
    pub fn at(&self, place: u32) -> Option<Whose> {
        self.proxy.at(place)
    }

    /// See [`Proxy::event`].
    pub fn event<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, event: Event, work: &mut Work) {
        let mut net = Secure::new(net, &mut self.sessions, now);
        if let Some(event) = net.hear(event, work) {
            self.proxy.event(&mut net, now, event, work);
        }
        net.flush();
    }

    /// See [`Proxy::advance`].
    pub fn advance<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, work: &mut Work) {
        let mut net = Secure::new(net, &mut self.sessions, now);
        net.expire();
        for _ in 0..net.left() {
            if let Some(event) = net.go_on_with_next(work) {
                self.proxy.event(&mut net, now, event, work);
            }
        }
        self.proxy.advance(&mut net, now, work);
        net.flush();
    }

    /// The proxy.
    #[must_use]
    pub const fn proxy(&self) -> &Proxy<O> {
        &self.proxy
    }

    /// The proxy, to be told something that concerns no connection.
    pub const fn proxy_mut(&mut self) -> &mut Proxy<O> {
        &mut self.proxy
    }

    /// See [`Proxy::deadline`].
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        [self.proxy.deadline(), self.sessions.deadline()].into_iter().flatten().min()
    }

    /// Octets that are held for connections that speak TLS: what was decrypted and not read, and what is to be sent and was not.
    #[must_use]
    pub fn held(&self) -> usize {
        self.sessions.all().map(Secured::held).sum()
    }

    /// Connections that speak TLS now.
    #[must_use]
    pub fn secured(&self) -> usize {
        self.sessions.all().count()
    }

    /// What has become of handshakes so far.
    #[must_use]
    pub const fn counts(&self) -> &TlsCounts {
        &self.sessions.counts
    }
}
