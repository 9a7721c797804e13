//! How an exchange comes to a connection, and gives it back.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_tcp::{ConnectionId, Time};

use super::cause::Cause;
use super::client::Client;
use super::exchange::{Phase, of};
use super::origin::Origin;
use super::places::{Place, Upstream};
use super::pool::{Kind, Taken};
use super::site::Backend;
use super::ticket::Ticket;
use super::{Memory, Net, Next, Proxy};
use crate::balance::Ended;
use crate::http::HeadEnd;

impl<O: Memory> Proxy<O> {
    /// An exchange wants a connection.
    pub(super) fn want<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
    ) -> Option<Next> {
        let (id, served, until) = (client.id, Rc::clone(&client.served), client.until);
        let exchange = of(client)?;
        let (index, is_upgrade) = (exchange.plan.cluster, exchange.plan.upgrade.is_some());
        if let Phase::Queued(slot) = exchange.phase {
            // It is still in the queue, or was told that it may try again.
            self.pools.leave(slot, id);
        }
        let cause = if exchange.is_unanswered { Cause::NoResponse } else { Cause::NoBackend };
        let backend = self.pick(now, client);
        let (Some(backend), Some(cluster)) = (backend, served.site.clusters.get(index)) else {
            self.give_up(now, client, cause);
            return None;
        };
        let slot = backend.slot;
        let exchange = of(client)?;
        exchange.account.backend = Some(backend);
        if is_upgrade {
            let Some(tunnel) = self.pools.tunnel(slot, cluster.tunnels) else {
                self.give_up(now, client, Cause::Busy);
                return None;
            };
            return self.open(net, now, client, backend, Some(tunnel));
        }
        match self.pools.take(slot, Kind::of(cluster.tls.as_ref()), id, cluster.connections, cluster.queue) {
            // Others that lay ready may be as dead as the one before.
            Taken::Idle(upstream) if exchange.is_wary => {
                exchange.phase = Phase::Wanting;
                self.discard(net, upstream);
                None
            }
            Taken::Idle(upstream) => {
                self.deadlines.cancel(upstream.index());
                if let Some(upstream) = self.places.upstream_mut(upstream) {
                    upstream.client = Some(id);
                    upstream.is_reused = true;
                    upstream.end = HeadEnd::of_response();
                }
                self.loads.began(slot);
                self.ask(now, client, upstream);
                None
            }
            Taken::MayOpen => self.open(net, now, client, backend, None),
            Taken::MayReplace(other) => {
                exchange.phase = Phase::Wanting;
                self.discard(net, other);
                None
            }
            Taken::Queued => {
                let is_new = !matches!(exchange.phase, Phase::Queued(_));
                if exchange.pending.is_none() {
                    exchange.pending = served.standing(index)?.pending.take(cluster.pending);
                }
                if exchange.pending.is_none() {
                    self.pools.leave(slot, id);
                    self.give_up(now, client, Cause::Busy);
                    return None;
                }
                exchange.phase = Phase::Queued(slot);
                client.until = if is_new { exchange.within(now, cluster.queue_time) } else { until };
                Some(Next::Wait(client.until))
            }
            Taken::Refused => {
                self.give_up(now, client, Cause::Busy);
                None
            }
        }
    }

    /// Opens a connection to a backend.
    fn open<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        backend: Backend,
        tunnel: Option<Ticket>,
    ) -> Option<Next> {
        let (id, slot, served) = (client.id, backend.slot, Rc::clone(&client.served));
        let cluster = served.site.clusters.get(of(client)?.plan.cluster)?;
        let announcement = cluster.announce.map(|version| Origin::of(net, client).announcement(version));
        let exchange = of(client)?;
        let Ok(upstream) = net.connect(now, backend) else {
            self.give_up(now, client, Cause::Busy);
            return None;
        };
        if tunnel.is_none() {
            self.pools.opened(slot);
        }
        self.loads.began(slot);
        let is_announced = announcement.is_some();
        // There is room for it before everything else, and before TLS.
        announcement.into_iter().for_each(|octets| drop(net.send(upstream, O::of(octets))));
        let place =
            Upstream { tunnel, is_announced, ..Upstream::new(upstream, backend, cluster.tls.as_ref(), id) };
        self.places.put(upstream, Place::Upstream(Box::new(place)));
        exchange.phase = Phase::Connecting(upstream);
        client.until = exchange.within(now, exchange.plan.timeouts.connect);
        Some(Next::Wait(client.until))
    }

    /// A connection to a backend has been made.
    pub(super) fn connected<N: Net<Octets = O>>(&mut self, net: &mut N, id: ConnectionId) {
        let Some(upstream) = self.places.upstream_mut(id) else { return };
        match upstream.tls.as_ref().filter(|_| !upstream.is_securing) {
            Some(tls) => {
                upstream.is_securing = true;
                // Where TLS is wanted and none is to be had, nothing is said.
                upstream.is_closed = !net.secure_backend(id, tls);
            }
            None => upstream.is_connected = true,
        }
    }

    /// An exchange is done with a connection, which may lie ready for others if `is_good`. `how` tells of the request.
    pub(super) fn give_back<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        id: ConnectionId,
        is_good: bool,
        how: Ended,
        rest_time: Duration,
    ) {
        let Some(upstream) = self.places.upstream_mut(id) else { return };
        let (backend, kind) = (upstream.backend, Kind::of(upstream.tls.as_ref()));
        let slot = backend.slot;
        self.loads.ended(slot, now, how);
        // What comes without having been asked for belongs to nobody.
        let is_shared = upstream.tunnel.is_none() && !upstream.is_announced;
        let is_quiet = !upstream.is_closed && !net.is_ending(id) && net.readable(id) == 0;
        let serves = !upstream.is_cut && self.known.serves(&backend);
        let may_rest = is_good && is_shared && is_quiet && serves;
        let next = if may_rest {
            upstream.client = None;
            self.deadlines.set(id.index(), now + rest_time);
            self.pools.rests(slot, kind, id)
        } else {
            let is_tunnel = upstream.tunnel.is_some();
            drop(self.places.take_upstream(id));
            match how {
                Ended::Answered(_) => net.release(id),
                Ended::Failed | Ended::Abandoned => net.abort(id),
            }
            if is_tunnel { None } else { self.pools.closed(slot, id) }
        };
        self.waiting.extend(next);
    }

    /// A connection is of no use to anybody any more.
    pub(super) fn drop_upstream<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        id: ConnectionId,
        how: Ended,
    ) {
        self.give_back(net, now, id, false, how, Duration::ZERO);
    }

    /// How long connections of the cluster may be at rest that a client's exchange goes to.
    pub(super) fn rest_time(&self, client: &mut Client<O>) -> Duration {
        let served = Rc::clone(&client.served);
        let cluster = of(client).and_then(|exchange| served.site.clusters.get(exchange.plan.cluster));
        cluster.map_or(Duration::ZERO, |cluster| cluster.rest_time)
    }
}
