//! From octets of a backend to the head that a client gets.

use super::client::{Client, State};
use super::exchange::{Exchange, Keeps, Phase};
use super::flow::Flow;
use super::places::Upstream;
use super::{Memory, Net, Proxy, Site};
use crate::gather::in_one_piece;
use crate::http::{Framing, HeadEnd, HeadWriter, Limits, Method, Name, Refusal, Response, Scratch, Version};

/// What a look at what a backend has sent came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answered {
    /// More is to come.
    Nothing,
    /// A response that another one follows has gone on.
    Interim,
    /// The response has begun.
    Begun,
}

impl<O: Memory> Proxy<O> {
    /// Looks for a response in what a backend has sent.
    pub(super) fn read_response<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        client: &mut Client<O>,
        upstream: &mut Upstream<O>,
        limits: &Limits,
    ) -> Result<Answered, Refusal> {
        let State::Exchanging(exchange) = &mut client.state else { return Ok(Answered::Nothing) };
        let mut gathered = std::mem::take(&mut self.desk.head);
        let pieces = net.unread(upstream.id).map(|piece| piece.octets());
        let octets = in_one_piece(pieces, limits.window(), &mut gathered);
        let found = upstream.end.find(octets, limits);
        let asked = Asked { site: &client.served.site, exchange, upstream };
        let read = found.and_then(|head| {
            let Some(head) = head else { return Ok(None) };
            let end = head.end;
            Ok(Some((end, asked.read(octets.get(head).unwrap_or_default())?)))
        });
        self.desk.head = gathered;
        let Some((length, read)) = read? else { return Ok(Answered::Nothing) };
        net.consume(upstream.id, length);
        upstream.end = HeadEnd::of_response();
        if !read.head.is_empty() {
            client.outbox.push(O::of(read.head));
        }
        let Some(phase) = read.phase else { return Ok(Answered::Interim) };
        exchange.phase = phase;
        exchange.head = None;
        Ok(Answered::Begun)
    }
}

/// A head that was read.
struct Head {
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
            return Ok(Head { head: out, phase: None });
        }
        // Nobody asked for another protocol: what asks for one is not forwarded.
        if response.status == 101 {
            return Err(Refusal::StatusCode);
        }
        // What has no length goes on in chunks, or ends with the connection to a client that cannot read them.
        let framing = match (response.framing, is_new) {
            (Framing::Chunked | Framing::UntilClose, true) => Framing::Chunked,
            (Framing::Chunked | Framing::UntilClose, false) => Framing::UntilClose,
            (other, _) => other,
        };
        let until_close = framing == Framing::UntilClose;
        let keeps_client = kept.keeps_alive && !until_close && !self.site.is_draining;
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
        let response = Flow::new(response.framing, framing == Framing::Chunked);
        Ok(Head { head: out, phase: Some(Phase::Relaying { upstream: self.upstream.id, response, keeps }) })
    }

    /// Writes the fields that the client gets, as the route changes them.
    fn fields(&self, response: &Response<'_, '_>, head: &mut HeadWriter<'_>) {
        let Some(forward) = self.site.forward(self.exchange.route) else { return };
        for field in response.fields.end_to_end() {
            forward.response.forward(head, field);
        }
        forward.response.write(head);
        let cluster = self.site.clusters.get(self.exchange.cluster);
        let slot = self.upstream.backend;
        if let (Some(sticky), Some(cluster), false) =
            (&forward.sticky, cluster, self.exchange.stuck == Some(slot))
            && let Some(backend) = cluster.backend(slot)
        {
            sticky.write(&cluster.name, backend.identity, head);
        }
    }
}
