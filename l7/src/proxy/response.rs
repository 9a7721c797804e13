//! From octets of a backend to the head that a client gets.

use evenkeel_tcp::Time;

use super::cause::Cause;
use super::client::{Client, State};
use super::exchange::{Exchange, Keeps, Phase};
use super::flow::Flow;
use super::places::Upstream;
use super::{Memory, Net, Proxy, Served, Site};
use crate::gather::in_one_piece;
use crate::http::{Framing, HeadEnd, HeadWriter, Method, Name, Refusal, Response, Scratch, Version};

/// What a look at what a backend has sent came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answered {
    /// More is to come.
    Nothing,
    /// A response that another one follows has gone on.
    Interim,
    /// The response has begun, or a tunnel.
    Begun,
    /// There is a response, and the request is sent elsewhere.
    Unwelcome,
}

impl<O: Memory> Proxy<O> {
    /// Looks for a response in what a backend has sent.
    pub(super) fn read_response<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        now: Time,
        client: &mut Client<O>,
        upstream: &mut Upstream<O>,
    ) -> Result<Answered, Refusal> {
        let State::Exchanging(exchange) = &mut client.state else { return Ok(Answered::Nothing) };
        let site = &client.served.site;
        let mut gathered = std::mem::take(&mut self.desk.head);
        let pieces = net.unread(upstream.id).map(|piece| piece.octets());
        let octets = in_one_piece(pieces, site.limits.window(), &mut gathered);
        let is_draining = self.is_draining || site.is_draining;
        let found = upstream.end.find(octets, &site.limits);
        let asked = Asked { site, exchange, upstream, is_draining };
        let read = found.and_then(|head| {
            let Some(head) = head else { return Ok(None) };
            let end = head.end;
            Ok(Some((end, asked.read(octets.get(head).unwrap_or_default())?)))
        });
        self.desk.head = gathered;
        let Some((length, read)) = read? else { return Ok(Answered::Nothing) };
        let Some(phase) = read.phase else {
            net.consume(upstream.id, length);
            upstream.end = HeadEnd::of_response();
            if !read.head.is_empty() {
                client.outbox.push(O::of(read.head));
            }
            return Ok(Answered::Interim);
        };
        if is_unwelcome(&client.served, now, exchange, read.status) {
            return Ok(Answered::Unwelcome);
        }
        net.consume(upstream.id, length);
        upstream.end = HeadEnd::of_response();
        client.outbox.push(O::of(read.head));
        exchange.account.status = read.status;
        exchange.account.first = Some(now);
        if let Phase::Tunnelling { .. } = phase {
            exchange.ends = None;
            client.served.count(exchange.plan.route, |tally| tally.tunnels += 1);
        }
        exchange.phase = phase;
        exchange.head = None;
        Ok(Answered::Begun)
    }
}

/// True if the route has a request sent elsewhere upon this status, and that can be done.
fn is_unwelcome<O: Memory>(served: &Served, now: Time, exchange: &mut Exchange<O>, status: u16) -> bool {
    let Some(forward) = served.site.forward(exchange.plan.route) else { return false };
    let cluster = served.site.clusters.get(exchange.plan.cluster);
    let others = cluster.map_or(0, |cluster| cluster.backends.len()) > exchange.tried.len() + 1;
    if !forward.retries.statuses.contains(&status)
        || !others
        || !exchange.may_repeat(Cause::Unwelcome, false, &forward.retries)
    {
        return false;
    }
    exchange.retry = None;
    exchange.retry = served.retry(exchange.plan.cluster, now);
    exchange.account.is_refused |= exchange.retry.is_none();
    exchange.retry.is_some()
}

/// A head that was read.
struct Head {
    status: u16,
    /// As the client gets it; none if it does not understand it.
    head: Vec<u8>,
    /// What follows; nothing if it is an interim response.
    phase: Option<Phase>,
}

/// What a response answers.
struct Asked<'a, O> {
    site: &'a Site,
    exchange: &'a Exchange<O>,
    upstream: &'a Upstream<O>,
    is_draining: bool,
}

impl<O> Asked<'_, O> {
    /// Reads a head.
    fn read(&self, octets: &[u8]) -> Result<Head, Refusal> {
        let kept = self.exchange.kept;
        let mut scratch = Scratch::new();
        let method = if kept.is_head { Method::Head } else { Method::Get };
        let response = Response::parse(octets, method, &self.site.limits, &mut scratch)?;
        let is_new = kept.version == Version::Http11;
        let mut out = Vec::with_capacity(512);
        if response.is_interim() {
            // RFC 9110, section 15.2: a client of HTTP/1.0 does not know them.
            if is_new {
                let mut head = HeadWriter::response(&mut out, Version::Http11, response.status);
                head.forward_all(response.fields.end_to_end());
                head.end();
            }
            return Ok(Head { status: response.status, head: out, phase: None });
        }
        if response.status == 101 {
            return self.tunnel(&response, out);
        }
        // What has no length goes on in chunks, or ends with the connection to a client that cannot read them.
        let framing = match (response.framing, is_new) {
            (Framing::Chunked | Framing::UntilClose, true) => Framing::Chunked,
            (Framing::Chunked | Framing::UntilClose, false) => Framing::UntilClose,
            (other, _) => other,
        };
        let until_close = framing == Framing::UntilClose;
        let keeps_client = kept.keeps_alive && !until_close && !self.is_draining;
        let keeps = Keeps { upstream: response.keeps_alive, client: keeps_client, until_close };
        let mut head = HeadWriter::response(&mut out, Version::Http11, response.status);
        self.fields(&response, &mut head);
        head.framing(response.would_have.map_or(framing, Framing::Length));
        if !keeps.client {
            head.field(Name::Connection, "close");
        } else if !is_new {
            head.field(Name::Connection, "keep-alive");
        }
        head.end();
        let content = Flow::new(response.framing, framing == Framing::Chunked);
        let phase = Some(Phase::Relaying { upstream: self.upstream.id, response: content, keeps });
        Ok(Head { status: response.status, head: out, phase })
    }

    /// Reads a 101: right only if it goes on with the protocol that the client wanted.
    fn tunnel(&self, response: &Response<'_, '_>, mut out: Vec<u8>) -> Result<Head, Refusal> {
        let plan = &self.exchange.plan;
        let forward = self.site.forward(plan.route);
        let wanted = forward.zip(plan.upgrade).and_then(|(forward, index)| forward.upgrades.get(index));
        let wanted = wanted.ok_or(Refusal::StatusCode)?;
        if !response.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(wanted.as_bytes())) {
            return Err(Refusal::StatusCode);
        }
        let mut head = HeadWriter::response(&mut out, Version::Http11, response.status);
        self.fields(response, &mut head);
        head.field(Name::Connection, "Upgrade").field(Name::Upgrade, wanted).end();
        let flow = || Flow::new(Framing::UntilClose, false);
        let phase = Phase::Tunnelling { upstream: self.upstream.id, up: flow(), down: flow() };
        Ok(Head { status: 101, head: out, phase: Some(phase) })
    }

    /// Writes the fields that the client gets, as the route changes them.
    fn fields(&self, response: &Response<'_, '_>, head: &mut HeadWriter<'_>) {
        let Some(forward) = self.site.forward(self.exchange.plan.route) else { return };
        for field in response.fields.end_to_end() {
            forward.response.forward(head, field);
        }
        forward.response.write(head);
        let cluster = self.site.clusters.get(self.exchange.plan.cluster);
        let slot = self.upstream.backend.slot;
        if let (Some(sticky), Some(cluster), false) =
            (&forward.sticky, cluster, self.exchange.plan.stuck == Some(slot))
            && let Some(backend) = cluster.backend(slot)
        {
            sticky.write(&cluster.name, backend.identity, head);
        }
    }
}
