//! One request and its response.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_tcp::{ConnectionId, Time};

use super::client::{Client, State, linger};
use super::decide::{Kept, Plan};
use super::flow::{Flow, Flowed};
use super::outbox::Sent;
use super::places::{Place, Upstream};
use super::response::Answered;
use super::site::Timeouts;
use super::words::Words;
use super::{Memory, Net, Next, Proxy};
use crate::Work;
use crate::balance::Ended;
use crate::http::{Framing, Refusal};

/// Backends that a request is sent to, at most.
const MOST_ATTEMPTS: u8 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Exchange<O> {
    /// The index of its route.
    pub(super) route: usize,
    pub(super) cluster: usize,
    /// Of what the route balances by.
    pub(super) hash: Option<u64>,
    /// The backend that the client's cookie names.
    pub(super) stuck: Option<u16>,
    pub(super) timeouts: Timeouts,
    pub(super) kept: Kept,
    /// The head as backends get it, as long as it may have to be sent again.
    pub(super) head: Option<O>,
    pub(super) request: Flow,
    pub(super) phase: Phase,
    attempts: u8,
    /// Backends that failed.
    pub(super) tried: Vec<u16>,
    /// When the request was given to the backend that has it.
    pub(super) sent: Time,
    /// All of it was: what is awaited is the response.
    is_given: bool,
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
}

/// Which connections are used again behind a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Keeps {
    pub(super) upstream: bool,
    pub(super) client: bool,
    /// The client knows the end of the response by the end of the connection alone.
    pub(super) until_close: bool,
}

/// How an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// No connection came about.
    Connect,
    /// The backend took too long to accept one.
    ConnectTime,
    /// The connection ended before a response began.
    NoResponse,
    /// No response began in time.
    ResponseTime,
    /// The response is malformed.
    BadResponse,
}

impl<O: Memory> Exchange<O> {
    pub(super) fn new(plan: Plan, kept: Kept, now: Time) -> Self {
        let request = Flow::new(kept.framing, kept.framing == Framing::Chunked);
        Self {
            head: Some(O::of(plan.head)),
            route: plan.route,
            cluster: plan.cluster,
            hash: plan.hash,
            stuck: plan.stuck,
            timeouts: plan.timeouts,
            kept,
            request,
            phase: Phase::Wanting,
            attempts: 0,
            tried: Vec::new(),
            sent: now,
            is_given: false,
        }
    }

    /// The request begins on a connection that is open.
    fn ask(&mut self, now: Time, upstream: ConnectionId) -> Duration {
        self.phase = Phase::Asking(upstream);
        (self.sent, self.is_given) = (now, false);
        self.timeouts.idle
    }

    /// True if the request can be sent once more: nothing of it has reached a backend, or it can be done twice and all of it is here.
    fn may_repeat(&self, failure: Failure, was_reused: bool) -> bool {
        let nothing_sent = matches!(failure, Failure::Connect | Failure::ConnectTime);
        let is_here = self.kept.framing == Framing::None;
        let may_be_done_twice = self.kept.is_idempotent && failure == Failure::NoResponse && was_reused;
        self.attempts < MOST_ATTEMPTS && (nothing_sent || is_here && may_be_done_twice)
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
        match of(client)?.phase {
            Phase::Wanting | Phase::Queued(_) => self.want(net, now, client),
            Phase::Connecting(id) => self.connect(net, now, client, id),
            Phase::Asking(id) | Phase::Relaying { upstream: id, .. } => {
                let Some(mut upstream) = self.places.take_upstream(id) else {
                    client.state = State::Broken;
                    return None;
                };
                let result = self.converse(net, now, client, &mut upstream, work);
                self.places.put(id, Place::Upstream(upstream));
                match result {
                    Ok(next) => next,
                    Err(end) => {
                        self.end(net, now, client, id, end);
                        None
                    }
                }
            }
        }
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
            Some(upstream) if upstream.is_closed => {
                self.failed(net, now, client, id, Failure::Connect);
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
        let patience = exchange.ask(now, id);
        client.until = now + patience;
    }

    /// Moves request and response as far as they go.
    fn converse<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        upstream: &mut Upstream<O>,
        work: &mut Work,
    ) -> Result<Option<Next>, End> {
        let served = Rc::clone(&client.served);
        let limits = &served.site.limits;
        let id = client.id;
        let exchange = of(client).ok_or(End::Broken)?;
        let idle = exchange.timeouts.idle;
        let asked = exchange.request.run(net, id, (upstream.id, &mut upstream.outbox), false, limits, work);
        match asked {
            Flowed::Cut => return Err(End::ClientGone),
            Flowed::Refused(refusal) => return Err(End::BadRequest(refusal)),
            // A response may have come all the same.
            Flowed::Unwanted | Flowed::Whole | Flowed::Starved | Flowed::Blocked | Flowed::Tired => {}
        }
        if let Phase::Asking(_) = exchange.phase {
            let is_given = exchange.request.is_done();
            if !is_given {
                client.until = now + idle;
            } else if !std::mem::replace(&mut exchange.is_given, true) {
                client.until = now + exchange.timeouts.response;
            }
            // A backend cannot make the proxy hold more for the client than one head.
            match client.outbox.flush(net, id) {
                Sent::All => {}
                Sent::Some => return Ok(Some(Next::Wait(client.until))),
                Sent::Never => return Err(End::ClientGone),
            }
            return match self.read_response(net, client, upstream, limits) {
                Ok(Answered::Begun) => {
                    client.until = now + idle;
                    Ok(None)
                }
                Ok(Answered::Interim) => Ok(None),
                Ok(Answered::Nothing) if net.is_at_end(upstream.id) || upstream.is_closed => {
                    Err(End::Failed(Failure::NoResponse))
                }
                Ok(Answered::Nothing) if asked == Flowed::Tired => Ok(Some(Next::Again)),
                Ok(Answered::Nothing) => Ok(Some(Next::Wait(client.until))),
                Err(_) => Err(End::Failed(Failure::BadResponse)),
            };
        }
        let (outbox, exchange) = match &mut client.state {
            State::Exchanging(exchange) => (&mut client.outbox, exchange),
            _ => return Err(End::Broken),
        };
        let Phase::Relaying { response, keeps, .. } = &mut exchange.phase else { return Err(End::Broken) };
        let keeps = *keeps;
        match response.run(net, upstream.id, (id, outbox), upstream.is_closed, limits, work) {
            Flowed::Whole => Err(End::Whole(keeps)),
            Flowed::Tired => Ok(Some(Next::Again)),
            Flowed::Starved | Flowed::Blocked => {
                client.until = now + idle;
                Ok(Some(Next::Wait(client.until)))
            }
            Flowed::Cut | Flowed::Refused(_) => Err(End::Cut(keeps)),
            Flowed::Unwanted => Err(End::ClientGone),
        }
    }

    /// An exchange is over, or an attempt of it.
    fn end<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        id: ConnectionId,
        end: End,
    ) {
        match end {
            End::Failed(failure) => self.failed(net, now, client, id, failure),
            End::Whole(keeps) => {
                let Some(exchange) = of(client) else { return };
                let is_asked = exchange.request.is_done();
                let took = Duration::from_nanos(now.nanos_since(exchange.sent));
                let rest_time = self.rest_time(client);
                self.give_back(net, now, id, keeps.upstream && is_asked, Ended::Answered(took), rest_time);
                if keeps.client && is_asked {
                    client.rest(now);
                } else {
                    linger(net, now, client);
                }
            }
            End::BadRequest(refusal) => {
                self.drop_upstream(net, now, id, Ended::Abandoned);
                self.refuse(now, client, refusal);
            }
            End::ClientGone => {
                self.drop_upstream(net, now, id, Ended::Abandoned);
                client.state = State::Broken;
            }
            // A client that counts sees that something is missing; another one can only be told by a reset.
            End::Cut(Keeps { until_close: false, .. }) => {
                self.drop_upstream(net, now, id, Ended::Failed);
                client.state = State::Answering { closes: true };
            }
            End::Cut(_) | End::Broken => {
                self.drop_upstream(net, now, id, Ended::Failed);
                client.state = State::Broken;
            }
        }
    }

    /// A request turns out to be malformed on its way. If a response has begun, nothing can be said any more.
    fn refuse(&mut self, now: Time, client: &mut Client<O>, refusal: Refusal) {
        let has_begun = of(client).is_some_and(|exchange| matches!(exchange.phase, Phase::Relaying { .. }));
        if has_begun {
            client.state = State::Broken;
        } else {
            let (status, text) = (refusal.status(), refusal.sentence());
            client.answer(now, Words { closes: true, ..Words::new(status, text) });
        }
    }

    /// An attempt has failed before a response began: there may be another one.
    pub(super) fn failed<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        id: ConnectionId,
        failure: Failure,
    ) {
        let upstream = self.places.upstream_mut(id);
        let (slot, was_reused) =
            upstream.map_or((None, false), |upstream| (Some(upstream.backend), upstream.is_reused));
        self.drop_upstream(net, now, id, Ended::Failed);
        let Some(exchange) = of(client) else { return };
        exchange.attempts += 1;
        if exchange.may_repeat(failure, was_reused) {
            // A connection that was closed while it lay ready says nothing about its backend.
            if !was_reused {
                exchange.tried.extend(slot);
            }
            exchange.phase = Phase::Wanting;
            return;
        }
        let (status, text) = match failure {
            Failure::Connect => (502, "No backend could be reached."),
            Failure::NoResponse => (502, "The backend gave no response."),
            Failure::BadResponse => (502, "The backend's response is malformed."),
            Failure::ConnectTime | Failure::ResponseTime => (504, "The backend took too long."),
        };
        self.give_up(now, client, status, text);
    }

    /// The deadline of an exchange has passed.
    pub(super) fn exchange_expired<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
    ) {
        let Some(exchange) = of(client) else { return };
        match exchange.phase {
            Phase::Wanting => {}
            Phase::Queued(slot) => {
                self.pools.leave(slot, client.id);
                self.too_busy(now, client);
            }
            Phase::Connecting(id) => self.failed(net, now, client, id, Failure::ConnectTime),
            Phase::Asking(id) => self.failed(net, now, client, id, Failure::ResponseTime),
            Phase::Relaying { upstream, .. } => self.end(net, now, client, upstream, End::Broken),
        }
    }

    /// The client is gone: whatever was under way for it ends.
    pub(super) fn abandon<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, client: &mut Client<O>) {
        let id = client.id;
        let Some(exchange) = of(client) else { return };
        match exchange.phase {
            Phase::Wanting => {}
            Phase::Queued(slot) => self.pools.leave(slot, id),
            Phase::Connecting(upstream) | Phase::Asking(upstream) | Phase::Relaying { upstream, .. } => {
                self.drop_upstream(net, now, upstream, Ended::Abandoned);
            }
        }
    }
}

/// How a conversation with a backend ends.
#[derive(Clone, Copy)]
enum End {
    /// The response has gone to the client.
    Whole(Keeps),
    /// Before the response began.
    Failed(Failure),
    /// The content of the request is malformed.
    BadRequest(Refusal),
    /// The client has closed in the midst of its request.
    ClientGone,
    /// The backend has not sent all of its response.
    Cut(Keeps),
    /// In the midst of the response.
    Broken,
}
