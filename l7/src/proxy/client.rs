//! A client's connection.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_tcp::{ConnectionId, Time};

use super::cause::Cause;
use super::exchange::Exchange;
use super::outbox::{Outbox, Sent};
use super::request::Read;
use super::words::Words;
use super::{Memory, Net, Next, Proxy, Served, Site};
use crate::http::HeadEnd;
use crate::proxy_protocol::Addresses;
use crate::{Listener, Page, Work};

/// How long a client may take to close its side once this side is closed.
const LINGER_TIME: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Client<O> {
    pub(super) id: ConnectionId,
    pub(super) listener: Rc<Listener>,
    /// The service as it was when the request that is under way came.
    pub(super) served: Rc<Served>,
    /// Of the head that is coming.
    pub(super) end: HeadEnd,
    pub(super) state: State<O>,
    pub(super) outbox: Outbox<O>,
    /// What is waited for has come by then.
    pub(super) until: Time,
    /// What a header of the PROXY protocol told.
    pub(super) announced: Option<Box<Addresses>>,
    /// Octets that had not been acknowledged when a deadline last passed.
    unacknowledged: usize,
    /// The connection is over.
    pub(super) is_closed: bool,
}

/// What a client's connection is in.
#[derive(Debug)]
pub(super) enum State<O> {
    /// It is to begin with a header of the PROXY protocol.
    Announcing,
    /// It is to speak TLS from now on.
    Securing,
    /// A request is coming, or the next one is awaited.
    Reading {
        /// Some octets of it have come.
        has_begun: bool,
    },
    /// A request is under way.
    Exchanging(Box<Exchange<O>>),
    /// An answer of the proxy's own is being sent.
    Answering { closes: bool },
    /// This side is closed.
    Lingering,
    /// Nothing good can come any more.
    Broken,
}

impl<O> State<O> {
    /// Once nothing more comes before what a client has to say.
    pub(super) const fn first(site: &Site) -> Self {
        if site.tls.is_some() { Self::Securing } else { Self::Reading { has_begun: true } }
    }
}

impl<O: Memory> Client<O> {
    pub(super) fn new(id: ConnectionId, listener: &Rc<Listener>, now: Time) -> Self {
        let served = listener.served();
        let is_announced = served.site.announced_by.is_some();
        Self {
            id,
            listener: Rc::clone(listener),
            end: HeadEnd::of_request(),
            state: if is_announced { State::Announcing } else { State::first(&served.site) },
            outbox: Outbox::default(),
            until: now + served.site.head_time,
            served,
            announced: None,
            unacknowledged: 0,
            is_closed: false,
        }
    }

    pub(super) const fn until(&self) -> Time {
        self.until
    }

    /// The answer of the proxy's own, with which a request ends.
    pub(super) fn answer(&mut self, now: Time, words: Words<'_>) {
        self.say(now, words.octets(), words.closes);
    }

    /// The octets of such an answer.
    pub(super) fn say(&mut self, now: Time, octets: Vec<u8>, closes: bool) {
        self.outbox.push(O::of(octets));
        self.state = State::Answering { closes };
        self.until = now + self.served.site.rest_time;
    }

    /// A page, or its head alone.
    pub(super) fn show(&mut self, now: Time, page: &Arc<Page>, is_head: bool, closes: bool) {
        self.outbox.push(O::of_page(page, page.head(closes)));
        if !is_head && !page.body().is_empty() {
            self.outbox.push(O::of_page(page, page.body()));
        }
        self.state = State::Answering { closes };
        self.until = now + self.served.site.rest_time;
    }

    /// The next request is awaited.
    pub(super) fn rest(&mut self, now: Time) {
        self.end = HeadEnd::of_request();
        self.state = State::Reading { has_begun: false };
        self.until = now + self.served.site.rest_time;
    }
}

impl<O: Memory> Proxy<O> {
    /// Goes on with a client as far as it can.
    pub(super) fn go_on<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        work: &mut Work,
    ) -> Next {
        loop {
            if client.is_closed {
                self.abandon(net, now, client);
                net.release(client.id);
                return Next::End;
            }
            match client.state {
                State::Announcing => {
                    if let Some(next) = self.read_announcement(net, client) {
                        return next;
                    }
                }
                State::Securing => {
                    let site = &client.served.site;
                    let window = site.limits.window();
                    let is_secure =
                        site.tls.as_ref().is_some_and(|tls| net.secure_client(client.id, tls, window));
                    client.state = if is_secure { State::Reading { has_begun: true } } else { State::Broken };
                }
                State::Reading { .. } => match self.read_request(net, now, client, work) {
                    Read::Decided => {}
                    Read::Tired => return Next::Again,
                    Read::Nothing if net.is_at_end(client.id) => {
                        net.release(client.id);
                        return Next::End;
                    }
                    // Half of a head, and nothing is to follow: no answer is owed.
                    Read::Nothing if net.is_ending(client.id) => linger(net, now, client),
                    Read::Nothing => return Next::Wait(client.until),
                },
                State::Exchanging(_) => {
                    if let Some(next) = self.exchange(net, now, client, work) {
                        return next;
                    }
                }
                State::Answering { closes } => match client.outbox.flush(net, client.id) {
                    Sent::All if closes => linger(net, now, client),
                    Sent::All => client.rest(now),
                    Sent::Some => return Next::Wait(client.until),
                    Sent::Never => client.state = State::Broken,
                },
                State::Lingering => {
                    net.consume(client.id, net.readable(client.id));
                    if net.is_at_end(client.id) || now >= client.until {
                        net.release(client.id);
                        return Next::End;
                    }
                    return Next::Wait(client.until);
                }
                State::Broken => {
                    net.abort(client.id);
                    return Next::End;
                }
            }
        }
    }

    /// A deadline has passed.
    pub(super) fn expire<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, client: &mut Client<O>) {
        if now < client.until {
            return;
        }
        let unacknowledged = net.unacknowledged(client.id);
        let before = std::mem::replace(&mut client.unacknowledged, unacknowledged);
        let is_rest_only = matches!(
            client.state,
            State::Reading { has_begun: false } | State::Answering { .. } | State::Lingering
        );
        // Who takes long to take what it asked for is at rest only then; and who takes nothing is gone.
        if is_rest_only && unacknowledged > 0 && unacknowledged != before {
            client.until = now + client.served.site.rest_time;
            return;
        }
        match client.state {
            State::Reading { has_begun: true } if net.readable(client.id) > 0 => {
                let (status, text) = Cause::HeadTime.words();
                self.answered(net, now, client, status, Cause::HeadTime);
                client.answer(now, Words { closes: true, ..Words::new(status, text) });
            }
            State::Reading { .. } => linger(net, now, client),
            State::Exchanging(_) => self.exchange_expired(net, now, client),
            State::Lingering if unacknowledged == 0 => {}
            State::Announcing
            | State::Securing
            | State::Answering { .. }
            | State::Lingering
            | State::Broken => {
                client.state = State::Broken;
            }
        }
    }
}

/// Closes this side, and lets what comes from the other side pass until it closes too.
pub(super) fn linger<N: Net>(net: &mut N, now: Time, client: &mut Client<N::Octets>) {
    net.close(client.id);
    client.state = State::Lingering;
    client.until = now + LINGER_TIME;
}
