//! How exchanges end, and attempts of them.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_tcp::{ConnectionId, Time};

use super::cause::Cause;
use super::client::{Client, State, linger};
use super::converse::End;
use super::exchange::{Keeps, Phase, of};
use super::words::Words;
use super::{Memory, Net, Proxy};
use crate::balance::Ended;

impl<O: Memory> Proxy<O> {
    /// An exchange is over, or an attempt of it.
    pub(super) fn end<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        id: ConnectionId,
        end: End,
    ) {
        match end {
            End::Failed(cause) => self.failed(net, now, client, id, cause),
            End::Whole(keeps) => {
                let Some(exchange) = of(client) else { return };
                let is_asked = exchange.request.is_done();
                let took = Duration::from_nanos(now.nanos_since(exchange.sent));
                self.judge(now, client, id, None, Some(took));
                let rest_time = self.rest_time(client);
                self.give_back(net, now, id, keeps.upstream && is_asked, Ended::Answered(took), rest_time);
                self.settle(now, client, None);
                if keeps.client && is_asked {
                    client.rest(now);
                } else {
                    linger(net, now, client);
                }
            }
            End::Tunnelled(cause) => {
                self.drop_upstream(net, now, id, Ended::Abandoned);
                self.settle(now, client, cause);
                match cause {
                    None => linger(net, now, client),
                    Some(_) => client.state = State::Broken,
                }
            }
            End::BadRequest(refusal) => {
                let has_begun =
                    of(client).is_some_and(|exchange| matches!(exchange.phase, Phase::Relaying { .. }));
                self.drop_upstream(net, now, id, Ended::Abandoned);
                // If a response has begun, nothing can be said any more.
                if has_begun {
                    self.settle(now, client, Some(Cause::Malformed));
                    client.state = State::Broken;
                } else {
                    let words = (refusal.status(), refusal.sentence());
                    self.give_up_with(now, client, Cause::Malformed, words);
                }
            }
            End::ClientGone => {
                self.drop_upstream(net, now, id, Ended::Abandoned);
                self.settle(now, client, Some(Cause::ClientGone));
                client.state = State::Broken;
            }
            End::Cut(keeps) => {
                self.cut(net, now, client, id, Cause::BackendCut);
                // A client that counts sees that something is missing; another one can only be told by a reset.
                if let Keeps { until_close: false, .. } = keeps {
                    client.state = State::Answering { closes: true };
                }
            }
        }
    }

    /// How a conversation ends whose backend is taken out of service.
    pub(super) fn end_of_cut(&self, client: &mut Client<O>) -> End {
        match of(client).map(|exchange| &exchange.phase) {
            Some(Phase::Relaying { keeps, .. }) => End::Cut(*keeps),
            Some(Phase::Tunnelling { .. }) => End::Tunnelled(Some(Cause::Down)),
            _ => End::Failed(Cause::Down),
        }
    }

    /// A backend fails in the midst of its response.
    fn cut<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        id: ConnectionId,
        cause: Cause,
    ) {
        self.judge(now, client, id, Some(cause), None);
        self.drop_upstream(net, now, id, Ended::Failed);
        self.settle(now, client, Some(cause));
        client.state = State::Broken;
    }

    /// An attempt has failed before a response began: there may be another one.
    pub(super) fn failed<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        id: ConnectionId,
        cause: Cause,
    ) {
        let upstream = self.places.upstream_mut(id);
        let (slot, was_reused) =
            upstream.map_or((None, false), |upstream| (Some(upstream.backend.slot), upstream.is_reused));
        // A connection that was closed while it lay ready says nothing about its backend.
        let is_stale = was_reused && cause == Cause::NoResponse;
        if is_stale || cause == Cause::Down {
            self.drop_upstream(net, now, id, Ended::Abandoned);
        } else {
            self.judge(now, client, id, Some(cause), None);
            self.drop_upstream(net, now, id, Ended::Failed);
        }
        if self.retries(now, client, cause, is_stale) {
            let Some(exchange) = of(client) else { return };
            if is_stale {
                exchange.is_wary = true;
            } else if cause != Cause::Down {
                // One that is down is not picked anyway, and may be back before all is tried.
                exchange.tried.extend(slot);
                exchange.is_unanswered = cause == Cause::NoResponse;
            }
            exchange.phase = Phase::Wanting;
            return;
        }
        self.give_up(now, client, cause);
    }

    /// True if a request whose attempt has failed is sent once more.
    fn retries(&mut self, now: Time, client: &mut Client<O>, cause: Cause, is_stale: bool) -> bool {
        let served = Rc::clone(&client.served);
        let Some(exchange) = of(client) else { return false };
        let Some(forward) = served.site.forward(exchange.plan.route) else { return false };
        let may_repeat = exchange.may_repeat(cause, is_stale, &forward.retries);
        // The first such connection costs nothing: nobody was asked twice, and nobody was too busy.
        let is_free = is_stale && !exchange.is_wary || cause == Cause::Down;
        if may_repeat && !is_free && cause != Cause::Unwelcome {
            exchange.retry = None;
            exchange.retry = served.retry(exchange.plan.cluster, now);
        }
        exchange.attempts += u8::from(!is_free);
        let is_granted = may_repeat && (is_free || exchange.retry.is_some());
        exchange.account.retries += u8::from(is_granted);
        exchange.account.is_refused |= may_repeat && !is_granted;
        is_granted
    }

    /// The deadline of an exchange has passed.
    pub(super) fn exchange_expired<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
    ) {
        let id = client.id;
        let Some(exchange) = of(client) else { return };
        let is_last = exchange.ends.is_some_and(|ends| ends <= now);
        let is_given = exchange.is_given;
        match exchange.phase {
            Phase::Wanting => {}
            Phase::Queued(slot) => {
                self.pools.leave(slot, id);
                let cause = if is_last { Cause::WholeTime } else { Cause::QueueTime };
                self.give_up(now, client, cause);
            }
            Phase::Connecting(upstream) | Phase::Asking(upstream) if is_last => {
                self.drop_upstream(net, now, upstream, Ended::Failed);
                self.give_up(now, client, Cause::WholeTime);
            }
            Phase::Connecting(upstream) => self.failed(net, now, client, upstream, Cause::ConnectTime),
            // The client does not send what it has announced.
            Phase::Asking(upstream) if !is_given && net.readable(id) == 0 => {
                self.drop_upstream(net, now, upstream, Ended::Abandoned);
                self.give_up(now, client, Cause::ContentTime);
            }
            Phase::Asking(upstream) => self.failed(net, now, client, upstream, Cause::ResponseTime),
            // The client does not take what there is for it.
            Phase::Relaying { upstream, .. } if is_last || net.readable(upstream) > 0 => {
                self.drop_upstream(net, now, upstream, Ended::Abandoned);
                self.settle(now, client, Some(if is_last { Cause::WholeTime } else { Cause::IdleTime }));
                client.state = State::Broken;
            }
            Phase::Relaying { upstream, .. } => self.cut(net, now, client, upstream, Cause::IdleTime),
            Phase::Tunnelling { upstream, .. } => {
                self.end(net, now, client, upstream, End::Tunnelled(Some(Cause::IdleTime)));
            }
        }
    }

    /// The client is gone: whatever was under way for it ends.
    pub(super) fn abandon<N: Net<Octets = O>>(&mut self, net: &mut N, now: Time, client: &mut Client<O>) {
        let id = client.id;
        let Some(exchange) = of(client) else { return };
        match exchange.phase {
            Phase::Wanting => {}
            Phase::Queued(slot) => self.pools.leave(slot, id),
            Phase::Connecting(upstream)
            | Phase::Asking(upstream)
            | Phase::Relaying { upstream, .. }
            | Phase::Tunnelling { upstream, .. } => {
                self.drop_upstream(net, now, upstream, Ended::Abandoned);
            }
        }
        self.settle(now, client, Some(Cause::ClientGone));
    }

    /// A request is answered by the proxy itself, since no backend does.
    pub(super) fn give_up(&mut self, now: Time, client: &mut Client<O>, cause: Cause) {
        self.give_up_with(now, client, cause, cause.words());
    }

    fn give_up_with(&mut self, now: Time, client: &mut Client<O>, cause: Cause, words: (u16, &str)) {
        let is_draining = self.is_draining || client.served.site.is_draining;
        let Some(exchange) = of(client) else { return };
        let closes = is_draining || !exchange.kept.keeps_alive || !exchange.request.is_done();
        let is_head = exchange.kept.is_head;
        let (status, text) = words;
        exchange.account.status = status;
        self.settle(now, client, Some(cause));
        client.answer(now, Words { closes, is_head, ..Words::new(status, text) });
    }
}
