//! How an exchange comes to a connection, and gives it back.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_tcp::{ConnectionId, Time};

use super::client::Client;
use super::exchange::{Phase, of};
use super::places::{Place, Upstream};
use super::pool::{Kind, Taken};
use super::words::Words;
use super::{Memory, Net, Next, Proxy};
use crate::balance::{Ended, Question};
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
        let Some(cluster) = served.site.clusters.get(exchange.cluster) else {
            self.too_busy(now, client);
            return None;
        };
        if let Phase::Queued(slot) = exchange.phase {
            // It is still in the queue, or was told that it may try again.
            self.pools.leave(slot, id);
        }
        let random = self.desk.random.next();
        let question = Question { now, random, hash: exchange.hash.unwrap_or(random) };
        let is_usable = |slot: u16| !exchange.tried.contains(&slot);
        let mut all_turns = served.turns.borrow_mut();
        let picked = exchange.stuck.filter(|slot| is_usable(*slot)).or_else(|| {
            let turns = all_turns.get_mut(exchange.cluster)?;
            cluster.group.pick(question, &self.loads, turns, is_usable)
        });
        drop(all_turns);
        let Some((slot, address)) = picked.and_then(|slot| Some((slot, cluster.address(slot)?))) else {
            self.unreachable(now, client);
            return None;
        };
        let tls = cluster.tls.as_ref();
        let kind = Kind::of(tls);
        match self.pools.take(slot, kind, id, cluster.connections, cluster.queue) {
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
            Taken::MayOpen => match net.connect(now, address) {
                Ok(upstream) => {
                    self.pools.opened(slot);
                    self.loads.began(slot);
                    let place = Place::Upstream(Box::new(Upstream::new(upstream, slot, tls, id)));
                    self.places.put(upstream, place);
                    exchange.phase = Phase::Connecting(upstream);
                    client.until = now + exchange.timeouts.connect;
                    Some(Next::Wait(client.until))
                }
                Err(_) => {
                    self.too_busy(now, client);
                    None
                }
            },
            Taken::MayReplace(other) => {
                exchange.phase = Phase::Wanting;
                self.discard(net, other);
                None
            }
            Taken::Queued => {
                let is_new = !matches!(exchange.phase, Phase::Queued(_));
                exchange.phase = Phase::Queued(slot);
                client.until = if is_new { now + cluster.queue_time } else { until };
                Some(Next::Wait(client.until))
            }
            Taken::Refused => {
                self.too_busy(now, client);
                None
            }
        }
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
        let (slot, kind) = (upstream.backend, Kind::of(upstream.tls.as_ref()));
        self.loads.ended(slot, now, how);
        // What comes without having been asked for belongs to nobody.
        let may_rest = is_good && !upstream.is_closed && !net.is_at_end(id) && net.readable(id) == 0;
        let next = if may_rest {
            upstream.client = None;
            self.deadlines.set(id.index(), now + rest_time);
            self.pools.rests(slot, kind, id)
        } else {
            drop(self.places.take_upstream(id));
            net.abort(id);
            self.pools.closed(slot, id)
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
        let cluster = of(client).and_then(|exchange| served.site.clusters.get(exchange.cluster));
        cluster.map_or(Duration::ZERO, |cluster| cluster.rest_time)
    }

    /// There is no room for a request.
    pub(super) fn too_busy(&mut self, now: Time, client: &mut Client<O>) {
        self.give_up(now, client, 503, "There are too many requests.");
    }

    /// There is no backend left to try.
    fn unreachable(&mut self, now: Time, client: &mut Client<O>) {
        self.give_up(now, client, 503, "There is no backend for it.");
    }

    /// A request is answered by the proxy itself, since no backend does.
    pub(super) fn give_up(&mut self, now: Time, client: &mut Client<O>, status: u16, text: &str) {
        let Some(exchange) = of(client) else { return };
        let closes = !exchange.kept.keeps_alive || !exchange.request.is_done();
        let is_head = exchange.kept.is_head;
        client.answer(now, Words { closes, is_head, ..Words::new(status, text) });
    }
}
