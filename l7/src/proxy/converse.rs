//! Request and response on their way.

use std::rc::Rc;

use evenkeel_tcp::Time;

use super::cause::Cause;
use super::client::{Client, State};
use super::exchange::{Keeps, Phase, of};
use super::flow::Flowed;
use super::outbox::Sent;
use super::places::Upstream;
use super::response::Answered;
use super::{Memory, Net, Next, Proxy};
use crate::Work;
use crate::http::Refusal;

/// How a conversation with a backend ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// The response has gone to the client.
    Whole(Keeps),
    /// Both ends of a tunnel have closed, or one was cut.
    Tunnelled(Option<Cause>),
    /// Before the response began.
    Failed(Cause),
    /// The content of the request is malformed.
    BadRequest(Refusal),
    /// The client has closed in the midst of its request, or takes no more.
    ClientGone,
    /// The backend has not sent all of its response.
    Cut(Keeps),
}

impl<O: Memory> Proxy<O> {
    /// Moves request and response as far as they go.
    pub(super) fn converse<N: Net<Octets = O>>(
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
        let exchange = of(client).ok_or(End::ClientGone)?;
        let asked = exchange.request.run(net, id, (upstream.id, &mut upstream.outbox), false, limits, work);
        match asked {
            Flowed::Cut => return Err(End::ClientGone),
            Flowed::Refused(refusal) => return Err(End::BadRequest(refusal)),
            // A response may have come all the same.
            Flowed::Unwanted | Flowed::Whole | Flowed::Starved | Flowed::Blocked | Flowed::Tired => {}
        }
        if let Phase::Asking(_) = exchange.phase {
            return self.await_response(net, now, client, upstream, asked);
        }
        let State::Exchanging(exchange) = &mut client.state else { return Err(End::ClientGone) };
        let patience = exchange.within(now, exchange.plan.timeouts.idle);
        let Phase::Relaying { response, keeps, .. } = &mut exchange.phase else {
            return Err(End::ClientGone);
        };
        let (keeps, outbox) = (*keeps, &mut client.outbox);
        match response.run(net, upstream.id, (id, outbox), upstream.is_closed, limits, work) {
            Flowed::Whole => Err(End::Whole(keeps)),
            Flowed::Tired => Ok(Some(Next::Again)),
            Flowed::Starved | Flowed::Blocked => {
                client.until = patience;
                Ok(Some(Next::Wait(patience)))
            }
            Flowed::Cut | Flowed::Refused(_) => Err(End::Cut(keeps)),
            Flowed::Unwanted => Err(End::ClientGone),
        }
    }

    /// The request goes to the backend, and its response has not begun. `asked` is what became of the request.
    fn await_response<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        upstream: &mut Upstream<O>,
        asked: Flowed,
    ) -> Result<Option<Next>, End> {
        let exchange = of(client).ok_or(End::ClientGone)?;
        let timeouts = exchange.plan.timeouts;
        let idle = exchange.within(now, timeouts.idle);
        if !exchange.request.is_done() {
            client.until = idle;
        } else if !std::mem::replace(&mut exchange.is_given, true) {
            client.until = exchange.within(now, timeouts.response);
        }
        // A backend cannot make the proxy hold more for the client than one head.
        match client.outbox.flush(net, client.id) {
            Sent::All => {}
            Sent::Some => return Ok(Some(Next::Wait(client.until))),
            Sent::Never => return Err(End::ClientGone),
        }
        match self.read_response(net, now, client, upstream) {
            Ok(Answered::Begun) => {
                client.until = idle;
                Ok(None)
            }
            Ok(Answered::Interim) => Ok(None),
            Ok(Answered::Unwelcome) => Err(End::Failed(Cause::Unwelcome)),
            Ok(Answered::Nothing) if net.is_at_end(upstream.id) || upstream.is_closed => {
                Err(End::Failed(Cause::NoResponse))
            }
            Ok(Answered::Nothing) if asked == Flowed::Tired => Ok(Some(Next::Again)),
            Ok(Answered::Nothing) => Ok(Some(Next::Wait(client.until))),
            Err(_) => Err(End::Failed(Cause::BadResponse)),
        }
    }
}
