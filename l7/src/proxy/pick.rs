//! Which backend a request goes to.

use std::rc::Rc;

use evenkeel_tcp::Time;

use super::client::Client;
use super::exchange::of;
use super::site::Backend;
use super::{Memory, Proxy};
use crate::balance::Question;

impl<O: Memory> Proxy<O> {
    /// One that was not tried, and is not left alone if any other is left: the one that the client's cookie names, or by the cluster's policy.
    /// Backends are those of now, and not of when the request came: it may have waited, or have been sent to one that is gone.
    pub(super) fn pick(&mut self, now: Time, client: &mut Client<O>) -> Option<Backend> {
        let before = Rc::clone(&client.served);
        let mut served = client.listener.served();
        let exchange = of(client)?;
        let mut index = exchange.plan.cluster;
        if !Rc::ptr_eq(&served, &before) {
            match served.cluster_like(&before, index) {
                Some(now) => index = now,
                None => served = before,
            }
        }
        let cluster = served.site.clusters.get(index)?;
        let random = self.desk.random.next();
        let question = Question { now, random, hash: exchange.plan.hash.unwrap_or(random) };
        let known = &self.known;
        let serves = |slot: u16| cluster.backend(slot).is_some_and(|backend| known.serves(backend));
        let is_left = |slot: u16| !exchange.tried.contains(&slot) && serves(slot);
        let is_good = |slot: u16| is_left(slot) && !self.outliers.is_out(slot, now);
        let mut standing = served.standing(index)?;
        let stuck = exchange.plan.stuck.filter(|slot| is_good(*slot));
        let slot = stuck
            .or_else(|| cluster.group.pick(question, &self.loads, &mut standing.turns, is_good))
            .or_else(|| cluster.group.pick(question, &self.loads, &mut standing.turns, is_left))?;
        cluster.backend(slot).copied()
    }
}
