//! From octets of a client to a request that is under way, or an answer to it.

use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_tcp::Time;

use super::client::{Client, State};
use super::exchange::Exchange;
use super::words::Words;
use super::{Action, Desk, Memory, Net, Proxy, Site, Timeouts};
use crate::Work;
use crate::gather::in_one_piece;
use crate::http::{Authority, Framing, HeadWriter, Method, Name, Refusal, Request, Scratch, Version};
use crate::route::{Facts, normal_host};

/// What a look at what a client has sent came to.
pub(super) enum Read {
    /// The state says what becomes of it.
    Decided,
    /// More is to come.
    Nothing,
    /// There is more to do, and no work left to do it.
    Tired,
}

/// What is to become of a request.
enum Decision {
    Forward { cluster: usize, timeouts: Timeouts, head: Vec<u8> },
    Answer { status: u16, text: String },
}

/// What is kept of a request that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) version: Version,
    pub(super) framing: Framing,
    pub(super) keeps_alive: bool,
    pub(super) is_head: bool,
    pub(super) is_idempotent: bool,
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
            client.state = State::Reading { has_begun: true };
            client.until = now + client.served.site.head_time;
        }
        let site = Arc::clone(&client.served.site);
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
                let remote = net.remote(client.id);
                let octets = octets.get(head).unwrap_or_default();
                Some((end, decide(&site, octets, remote, desk)))
            }
        };
        desk.head = gathered;
        let Some((length, decision)) = decided else { return Read::Nothing };
        net.consume(client.id, length);
        match decision {
            // What follows cannot be told apart from what belongs to it.
            Err(refusal) => client.answer(now, refused(refusal)),
            Ok((kept, Decision::Answer { status, text })) => {
                let closes = !kept.keeps_alive || kept.framing != Framing::None;
                client.answer(now, Words { status, text: &text, closes, is_head: kept.is_head });
            }
            Ok((kept, Decision::Forward { cluster, timeouts, head })) => {
                client.state = State::Exchanging(Box::new(Exchange::new(cluster, timeouts, head, kept, now)));
            }
        }
        Read::Decided
    }
}

fn refused(refusal: Refusal) -> Words<'static> {
    Words { status: refusal.status(), text: refusal.sentence(), closes: true, is_head: false }
}

/// Reads a head, and decides.
fn decide(
    site: &Site,
    octets: &[u8],
    remote: Option<SocketAddr>,
    desk: &mut Desk,
) -> Result<(Kept, Decision), Refusal> {
    let mut scratch = Scratch::new();
    let request = Request::parse(octets, &site.limits, &mut scratch)?;
    let path = site.paths.normalize(request.target.path, &mut desk.path)?;
    let kept = Kept {
        version: request.version,
        framing: request.framing,
        keeps_alive: request.keeps_alive,
        is_head: request.method == Method::Head,
        is_idempotent: request.method.is_idempotent(),
    };
    let host = request.host.map_or("", |host| host.host);
    let facts = Facts {
        host: normal_host(host, &mut desk.host),
        path,
        query: request.target.query,
        method: request.method.text(),
        fields: request.fields,
    };
    let action = site.routes.find(&facts).and_then(|route| site.actions.get(route));
    let answer = |status, text: &str| Decision::Answer { status, text: text.to_owned() };
    let decision = match action {
        // A tunnel to anywhere is nothing that a balancer gives (RFC 9110, section 9.3.6).
        _ if request.method == Method::Connect => answer(405, ""),
        None => answer(404, "No route leads there."),
        Some(Action::Respond { status, text }) => answer(*status, text),
        Some(Action::Forward { cluster, timeouts }) => {
            let head = forwarded(site, &request, path, remote);
            Decision::Forward { cluster: *cluster, timeouts: *timeouts, head }
        }
    };
    Ok((kept, decision))
}

/// The head that a backend gets.
fn forwarded(site: &Site, request: &Request<'_, '_>, path: &str, remote: Option<SocketAddr>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut head = HeadWriter::request(&mut out, request.method.text(), path, request.target.query);
    match request.host {
        Some(Authority { host, port: Some(port) }) => head.field(Name::Host, format!("{host}:{port}")),
        Some(Authority { host, port: None }) => head.field(Name::Host, host),
        None => head.field(Name::Host, &site.default_host),
    };
    for field in request.fields.end_to_end() {
        // What a client says of where it comes from is not believed.
        if !matches!(field.name, Some(Name::XForwardedFor | Name::XForwardedProto | Name::XForwardedHost)) {
            head.forward(field);
        }
    }
    if let Some(remote) = remote {
        head.field(Name::XForwardedFor, remote.ip().to_string());
    }
    head.field(Name::XForwardedProto, "http");
    if request.expects_continue {
        head.field(Name::Expect, "100-continue");
    }
    head.framing(request.framing).end();
    out
}
