//! From octets of a client to a request that is under way, or an answer to it.

use std::rc::Rc;

use evenkeel_tcp::Time;

use super::account::Account;
use super::cause::Cause;
use super::client::{Client, State};
use super::decide::{Decided, decide};
use super::exchange::Exchange;
use super::origin::Origin;
use super::words::Words;
use super::{Memory, Net, Proxy};
use crate::Work;
use crate::gather::in_one_piece;

/// What a look at what a client has sent came to.
pub(super) enum Read {
    /// The state says what becomes of it.
    Decided,
    /// More is to come.
    Nothing,
    /// There is more to do, and no work left to do it.
    Tired,
}

impl<O: Memory> Proxy<O> {
    /// Looks for the next request in what a client has sent.
    pub(super) fn read_request<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        work: &mut Work,
    ) -> Read {
        if net.readable(client.id) == 0 {
            return Read::Nothing;
        }
        if !work.take() {
            return Read::Tired;
        }
        if let State::Reading { has_begun: false } = client.state {
            client.served = client.listener.served();
            client.state = State::Reading { has_begun: true };
            client.until = now + client.served.site.head_time;
        }
        let served = Rc::clone(&client.served);
        let site = &served.site;
        let is_draining = self.is_draining || site.is_draining;
        let desk = &mut self.desk;
        let mut gathered = std::mem::take(&mut desk.head);
        let pieces = net.unread(client.id).map(|piece| piece.octets());
        let octets = in_one_piece(pieces, site.limits.window(), &mut gathered);
        let found = client.end.find(octets, &site.limits);
        let decided = match found {
            Ok(None) => None,
            Err(refusal) => Some((0, Err(refusal))),
            Ok(Some(head)) => {
                let end = head.end;
                let octets = octets.get(head).unwrap_or_default();
                Some((end, decide(site, octets, Origin::of(net, client), is_draining, desk)))
            }
        };
        desk.head = gathered;
        let Some((length, decision)) = decided else { return Read::Nothing };
        net.consume(client.id, length);
        match decision {
            // What follows cannot be told apart from what belongs to it.
            Err(refusal) => {
                client.served.count_refused(refusal);
                self.answered(net, now, client, refusal.status(), Cause::Malformed);
                let words = Words::new(refusal.status(), refusal.sentence());
                client.answer(now, Words { closes: true, ..words });
            }
            Ok(Decided::Answer { octets, closes, status, route, record }) => {
                client.served.count(route.unwrap_or(usize::MAX), |tally| {
                    tally.requests += 1;
                    tally.answered(status);
                });
                self.desk.paper.answered(now, record, status, None);
                client.say(now, octets, closes);
            }
            Ok(Decided::Page { page, is_head, closes, route, record }) => {
                let status = page.status();
                client.served.count(route, |tally| {
                    tally.requests += 1;
                    tally.answered(status);
                });
                self.desk.paper.answered(now, record, status, None);
                client.show(now, &page, is_head, closes);
            }
            Ok(Decided::Forward(kept, mut plan)) => {
                client.served.count(plan.route, |tally| tally.requests += 1);
                client.served.asked(plan.cluster);
                let account = Account::new(now, plan.record.take());
                client.state = State::Exchanging(Box::new(Exchange::new(plan, kept, account, now)));
            }
        }
        Read::Decided
    }
}
