//! One request and its response.

use std::time::Duration;

use evenkeel_tcp::{ConnectionId, Time};

use super::account::Account;
use super::cause::Cause;
use super::client::{Client, State};
use super::converse::End;
use super::decide::{Kept, Plan};
use super::flow::Flow;
use super::places::Place;
use super::site::Retries;
use super::ticket::Ticket;
use super::{Memory, Net, Next, Proxy};
use crate::Work;
use crate::http::Framing;

/// See the module.
#[derive(Debug)]
pub(super) struct Exchange<O> {
    pub(super) plan: Plan,
    pub(super) kept: Kept,
    /// The head as backends get it, as long as it may have to be sent again.
    pub(super) head: Option<O>,
    pub(super) request: Flow,
    pub(super) phase: Phase,
    /// Attempts that failed; not those on a connection that had died before.
    pub(super) attempts: u8,
    /// Backends that failed.
    pub(super) tried: Vec<u16>,
    /// A connection that lay ready was dead: the next one is a new one.
    pub(super) is_wary: bool,
    /// The last backend said nothing, which is what the client is told if there is no other one.
    pub(super) is_unanswered: bool,
    /// This is a retry.
    pub(super) retry: Option<Ticket>,
    /// One of those that wait for a connection.
    pub(super) pending: Option<Ticket>,
    /// When the request was given to the backend that has it.
    pub(super) sent: Time,
    /// All of it was: what is awaited is the response.
    pub(super) is_given: bool,
    /// When the response is to be whole.
    pub(super) ends: Option<Time>,
    pub(super) account: Account,
}

/// How far an exchange is.
#[derive(Debug)]
pub(super) enum Phase {
    /// It wants a connection.
    Wanting,
    /// It waits for a connection to this backend.
    Queued(u16),
    /// This one is being opened.
    Connecting(ConnectionId),
    /// The request goes to the backend, and the response is awaited.
    Asking(ConnectionId),
    /// The response goes to the client.
    Relaying { upstream: ConnectionId, response: Flow, keeps: Keeps },
    /// Both ends have gone on with another protocol.
    Tunnelling { upstream: ConnectionId, up: Flow, down: Flow },
}

/// Which connections are used again behind a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Keeps {
    pub(super) upstream: bool,
    pub(super) client: bool,
    /// The client knows the end of the response by the end of the connection alone.
    pub(super) until_close: bool,
}

impl<O: Memory> Exchange<O> {
    pub(super) fn new(mut plan: Plan, kept: Kept, account: Account, now: Time) -> Self {
        Self {
            head: Some(O::of(std::mem::take(&mut plan.head))),
            ends: plan.timeouts.whole.map(|whole| now + whole),
            plan,
            request: Flow::new(kept.framing, kept.framing == Framing::Chunked),
            kept,
            phase: Phase::Wanting,
            attempts: 0,
            tried: Vec::new(),
            is_wary: false,
            is_unanswered: false,
            retry: None,
            pending: None,
            sent: now,
            is_given: false,
            account,
        }
    }

    /// The request begins on a connection that is open.
    fn ask(&mut self, now: Time, upstream: ConnectionId) {
        self.phase = Phase::Asking(upstream);
        (self.sent, self.is_given) = (now, false);
        self.pending = None;
    }

    /// So much later, but not later than the response is to be whole.
    pub(super) fn within(&self, now: Time, patience: Duration) -> Time {
        let until = now + patience;
        self.ends.map_or(until, |ends| ends.min(until))
    }

    /// True if the request can be sent once more: nothing of it has reached a backend, or it can be done twice and all of it is here.
    pub(super) fn may_repeat(&self, cause: Cause, was_reused: bool, retries: &Retries) -> bool {
        let is_here = self.kept.framing == Framing::None && self.head.is_some();
        let may_be_done_twice = match cause {
            // A fresh connection that ends so may have been in the queue of a backend that was being stopped.
            Cause::NoResponse => self.kept.is_safe || self.kept.is_idempotent && was_reused,
            Cause::Down => self.kept.is_idempotent,
            Cause::Unwelcome => self.kept.is_safe,
            _ => false,
        };
        self.attempts < retries.attempts && (cause.is_unsent() || is_here && may_be_done_twice)
    }
}

/// The exchange that a client has under way.
pub(super) fn of<O>(client: &mut Client<O>) -> Option<&mut Exchange<O>> {
    match &mut client.state {
        State::Exchanging(exchange) => Some(exchange),
        _ => None,
    }
}

impl<O: Memory> Proxy<O> {
    /// Goes on with an exchange; `None` if the client's state is another one now, or the phase.
    pub(super) fn exchange<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        work: &mut Work,
    ) -> Option<Next> {
        let (id, is_tunnel) = match of(client)?.phase {
            Phase::Wanting | Phase::Queued(_) => return self.want(net, now, client),
            Phase::Connecting(id) => return self.connect(net, now, client, id),
            Phase::Asking(id) | Phase::Relaying { upstream: id, .. } => (id, false),
            Phase::Tunnelling { upstream: id, .. } => (id, true),
        };
        let Some(mut upstream) = self.places.take_upstream(id) else {
            client.state = State::Broken;
            return None;
        };
        let result: Result<Option<Next>, End> = if upstream.is_cut {
            Err(self.end_of_cut(client))
        } else if is_tunnel {
            self.tunnel(net, now, client, &mut upstream, work)
        } else {
            self.converse(net, now, client, &mut upstream, work)
        };
        self.places.put(id, Place::Upstream(upstream));
        result.unwrap_or_else(|end| {
            self.end(net, now, client, id, end);
            None
        })
    }

    /// A connection that is being opened.
    fn connect<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        id: ConnectionId,
    ) -> Option<Next> {
        let until = client.until;
        let upstream = self.places.upstream_mut(id);
        match upstream {
            Some(upstream) if upstream.is_cut => {
                self.failed(net, now, client, id, Cause::Down);
                None
            }
            Some(upstream) if upstream.is_closed => {
                self.failed(net, now, client, id, Cause::Connect);
                None
            }
            Some(upstream) if upstream.is_connected => {
                self.ask(now, client, id);
                None
            }
            _ => Some(Next::Wait(until)),
        }
    }

    /// The request is given to a connection that is open.
    pub(super) fn ask(&mut self, now: Time, client: &mut Client<O>, id: ConnectionId) {
        let Some(exchange) = of(client) else { return };
        let Some(upstream) = self.places.upstream_mut(id) else { return };
        if let Some(head) = &exchange.head {
            upstream.outbox.push(head.share());
        }
        exchange.ask(now, id);
        exchange.account.connected(now);
        if let Some(tally) = self.backends.get_mut(usize::from(upstream.backend.slot)) {
            tally.requests += 1;
        }
        client.until = exchange.within(now, exchange.plan.timeouts.idle);
    }
}
