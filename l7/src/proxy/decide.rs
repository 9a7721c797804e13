//! What is to become of a request.

use std::sync::Arc;

use evenkeel_datapath::hash::Random;

use super::forwarded::{RequestId, Told};
use super::origin::Origin;
use super::seen::{Record, Text};
use super::site::{Action, Destination, Forward, Salt, Timeouts};
use super::words::Words;
use super::{Desk, Site};
use crate::Page;
use crate::http::{Authority, Framing, Method, Name, Refusal, Request, Scratch, Version};
use crate::route::{Facts, normal_host};

/// See the module.
pub(super) enum Decided {
    /// It goes on to a backend.
    Forward(Kept, Plan),
    /// These octets answer it.
    Answer {
        octets: Vec<u8>,
        closes: bool,
        status: u16,
        /// Its route, if there is one.
        route: Option<usize>,
        record: Option<Box<Record>>,
    },
    /// This page answers it.
    Page { page: Arc<Page>, is_head: bool, closes: bool, route: usize, record: Option<Box<Record>> },
}

/// How a request goes on.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) route: usize,
    pub(super) cluster: usize,
    /// Of what the route balances by.
    pub(super) hash: Option<u64>,
    /// The slot of the backend that the client's cookie names.
    pub(super) stuck: Option<u16>,
    /// The protocol that the client may go on with, by its place among those of the route.
    pub(super) upgrade: Option<usize>,
    pub(super) timeouts: Timeouts,
    pub(super) record: Option<Box<Record>>,
    /// The head as the backend gets it.
    pub(super) head: Vec<u8>,
}

/// What is kept of a request that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) version: Version,
    pub(super) framing: Framing,
    pub(super) keeps_alive: bool,
    pub(super) is_head: bool,
    pub(super) is_idempotent: bool,
    pub(super) is_safe: bool,
}

/// Reads a head, and decides. `is_draining`: the client is to use its connection no more.
pub(super) fn decide(
    site: &Site,
    octets: &[u8],
    origin: Origin<'_>,
    is_draining: bool,
    desk: &mut Desk,
) -> Result<Decided, Refusal> {
    let mut scratch = Scratch::new();
    let request = Request::parse(octets, &site.limits, &mut scratch)?;
    let Desk { path, host, location, paper, random, .. } = desk;
    let path = site.paths.normalize(request.target.path, path)?;
    let kept = Kept {
        version: request.version,
        framing: request.framing,
        keeps_alive: request.keeps_alive,
        is_head: request.method == Method::Head,
        is_idempotent: request.method.is_idempotent(),
        is_safe: request.method.is_safe(),
    };
    let facts = Facts {
        host: normal_host(request.host.map_or("", |host| host.host), host),
        path,
        query: request.target.query,
        method: request.method.text(),
        fields: request.fields,
    };
    // What follows as content is not read: the connection ends with the answer.
    let closes = !kept.keeps_alive || kept.framing != Framing::None || is_draining;
    let words = |status, text| Words { closes, is_head: kept.is_head, ..Words::new(status, text) };
    let found = site.routes.find(&facts).and_then(|route| Some((route, site.actions.get(route)?)));
    let route = found.map(|(route, _)| route);
    let record = paper.blank().map(|record| filled(record, site, route, &facts, origin));
    let answer = |words: Words<'_>, record| {
        let (octets, status) = (words.octets(), words.status);
        Decided::Answer { octets, closes, status, route, record }
    };
    Ok(match found {
        // A tunnel to anywhere is nothing that a balancer gives (RFC 9110, section 9.3.6).
        // Whoever wants one has more to say than requests.
        _ if request.method == Method::Connect => {
            let words = Words { closes: true, ..words(405, "There are no tunnels here.") };
            let (octets, status) = (words.octets(), words.status);
            Decided::Answer { octets, closes: true, status, route, record }
        }
        None => answer(words(404, "No route leads there."), record),
        Some((_, Action::Respond { status, text, fields })) => {
            answer(Words { fields: Some(fields), ..words(*status, text) }, record)
        }
        Some((route, Action::Page(page))) => {
            Decided::Page { page: Arc::clone(page), is_head: kept.is_head, closes, route, record }
        }
        Some((_, Action::Redirect(redirect))) => {
            let default = Authority { host: &site.default_host, port: None };
            let target = (path, request.target.query);
            redirect.write(origin.scheme, request.host.unwrap_or(default), target, location);
            let location = Some(&**location);
            let fields = Some(&redirect.fields);
            answer(Words { location, fields, ..words(redirect.status, "") }, record)
        }
        Some((route, Action::Forward(forward))) => {
            let found = Found { site, forward, route, facts, origin };
            Decided::Forward(kept, plan(&request, &found, record, random))
        }
    })
}

/// The route of a request that goes on.
struct Found<'f> {
    site: &'f Site,
    forward: &'f Forward,
    route: usize,
    facts: Facts<'f>,
    origin: Origin<'f>,
}

/// A record of what is known of a request at first.
fn filled(
    mut record: Box<Record>,
    site: &Site,
    route: Option<usize>,
    facts: &Facts<'_>,
    origin: Origin<'_>,
) -> Box<Record> {
    let name = route.and_then(|route| site.routes.routes().get(route)).map_or("", |route| &route.name);
    record.client = origin.client;
    record.site = Text::of(site.name.as_bytes());
    record.route = Text::of(name.as_bytes());
    record.method = Text::of(facts.method.as_bytes());
    record.host = Text::of(facts.host.as_bytes());
    record.path = Text::of(facts.path.as_bytes());
    record
}

fn plan(
    request: &Request<'_, '_>,
    found: &Found<'_>,
    mut record: Option<Box<Record>>,
    random: &mut Random,
) -> Plan {
    let Found { site, forward, route, facts, origin } = found;
    let client = origin.client.map(|client| client.ip());
    let is_trusted = client.is_some_and(|client| site.trusted.contain(client));
    let cluster = match &forward.to {
        Destination::Cluster(cluster) => *cluster,
        Destination::Split { split, clusters, by } => {
            let hash = by.as_ref().and_then(|key| key.hash(Salt::Split, facts, client));
            let part = split.part(hash.unwrap_or_else(|| random.next()));
            clusters.get(part).copied().unwrap_or(usize::MAX)
        }
    };
    let id = RequestId::of(request, is_trusted, random);
    if let Some(record) = &mut record {
        record.id = id.text();
    }
    let wanted = upgrade(forward, request);
    let upgrade = wanted.and_then(|index| forward.upgrades.get(index)).map(String::as_str);
    let told = Told { site, forward, path: facts.path, origin: *origin, is_trusted, id, upgrade };
    Plan {
        route: *route,
        cluster,
        hash: forward.balance_by.as_ref().and_then(|key| key.hash(Salt::Backend, facts, client)),
        stuck: stuck(site, forward, cluster, request),
        upgrade: wanted,
        timeouts: forward.timeouts,
        record,
        head: told.head(request),
    }
}

/// The place of the protocol that a client wants to go on with, if it may. One that is to follow content is left out, as may be (RFC 9110, section 7.8).
fn upgrade(forward: &Forward, request: &Request<'_, '_>) -> Option<usize> {
    request.upgrade.filter(|_| request.framing == Framing::None)?;
    let is_wanted = |allowed: &String| {
        let mut wanted = request.fields.elements(Name::Upgrade);
        allowed != "h2c" && wanted.any(|protocol| protocol.eq_ignore_ascii_case(allowed.as_bytes()))
    };
    forward.upgrades.iter().position(is_wanted)
}

/// The slot of the backend that a client's cookie names, if it is still in the cluster.
fn stuck(site: &Site, forward: &Forward, cluster: usize, request: &Request<'_, '_>) -> Option<u16> {
    let (sticky, cluster) = (forward.sticky.as_ref()?, site.clusters.get(cluster)?);
    // The first one alone: opening them is what costs.
    let cookie = request.fields.cookies(&sticky.cookie).next()?;
    cluster.slot_of(sticky.open(&cluster.name, cookie)?)
}
