//! A connection that has gone on with another protocol: octets pass both ways, as far as the other side takes them.

use std::rc::Rc;

use evenkeel_tcp::Time;

use super::cause::Cause;
use super::client::{Client, State};
use super::converse::End;
use super::exchange::Phase;
use super::flow::Flowed;
use super::places::Upstream;
use super::{Memory, Net, Next, Proxy};
use crate::Work;

impl<O: Memory> Proxy<O> {
    /// Moves octets both ways as far as they go. A side that has closed is told to the other one, which may go on.
    pub(super) fn tunnel<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        upstream: &mut Upstream<O>,
        work: &mut Work,
    ) -> Result<Option<Next>, End> {
        let served = Rc::clone(&client.served);
        let limits = &served.site.limits;
        let State::Exchanging(exchange) = &mut client.state else { return Err(End::ClientGone) };
        let until = now + exchange.plan.timeouts.idle;
        let Phase::Tunnelling { up, down, .. } = &mut exchange.phase else { return Err(End::ClientGone) };
        let moved = up.octets() + down.octets();
        let there = up.run(net, client.id, (upstream.id, &mut upstream.outbox), false, limits, work);
        let back =
            down.run(net, upstream.id, (client.id, &mut client.outbox), upstream.is_closed, limits, work);
        if up.octets() + down.octets() > moved {
            client.until = until;
        }
        if there == Flowed::Whole {
            net.close(upstream.id);
        }
        if back == Flowed::Whole {
            net.close(client.id);
        }
        let is_over = |flowed| matches!(flowed, Flowed::Cut | Flowed::Unwanted | Flowed::Refused(_));
        match (there, back) {
            (Flowed::Whole, Flowed::Whole) => Err(End::Tunnelled(None)),
            (_, back) if is_over(back) => Err(End::Tunnelled(Some(Cause::BackendCut))),
            (there, _) if is_over(there) => Err(End::Tunnelled(Some(Cause::ClientGone))),
            (Flowed::Tired, _) | (_, Flowed::Tired) => Ok(Some(Next::Again)),
            _ => Ok(Some(Next::Wait(client.until))),
        }
    }
}
