//! What becomes of requests to the services at layer 7, as each is configured: made once for each change.
//!
//! Invariants: the same wishes give the same site, the very one in memory if nothing has changed; whoever still has a request under way has
//! a reference to its site, and one is kept here until nobody else has any, so that no worker ever frees one; a backend that gets nothing new
//! is in no site.

mod backends;
mod routes;

use std::sync::Arc;

use evenkeel_config as config;
use evenkeel_datapath::fib::Prefix;
use evenkeel_l7::Page;
use evenkeel_l7::http::{EncodedSlash, Limits, PathRules};
use evenkeel_l7::proxy::site::{Action, Prefixes, Tells};
use evenkeel_l7::proxy::{Site, UpstreamTls};
use evenkeel_l7::route::Routes;
use evenkeel_l7::tls::ServerConfig;

use crate::desired::{Id, Service};
use crate::kept::Kept;
use crate::secrets::Secrets;
use backends::{Member, clusters};

pub(crate) use backends::members;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites {
    pages: Kept<Id, config::Respond, Page>,
    sites: Kept<Id, Ingredients, Site>,
}

/// What a site is made of.
#[derive(Clone, PartialEq, Debug)]
struct Ingredients {
    name: String,
    wanted: Arc<config::Site>,
    vip: std::net::SocketAddr,
    table: u32,
    members: Vec<Member>,
    tls: Tls,
    /// What every request is answered with, if that is so.
    page: Option<Arc<Page>>,
}

/// What a service speaks TLS with.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tls {
    server: Option<Arc<ServerConfig>>,
    /// By pool, in the order of [`config::Site::pool_names`].
    upstreams: Vec<Option<Arc<UpstreamTls>>>,
}

impl Tls {
    /// That of a service.
    pub(crate) fn of(service: &Service, secrets: &Secrets) -> Self {
        let upstream = |pool: &str| secrets.upstream(&service.name, pool).cloned();
        Self {
            server: secrets.server(&service.name).cloned(),
            upstreams: service.site.pool_names().map(upstream).collect(),
        }
    }
}

/// The very same.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        let address = |tls: &Option<Arc<UpstreamTls>>| tls.as_ref().map(Arc::as_ptr);
        self.server.as_ref().map(Arc::as_ptr) == other.server.as_ref().map(Arc::as_ptr)
            && self.upstreams.iter().map(address).eq(other.upstreams.iter().map(address))
    }
}

impl Sites {
    /// The site of a service whose new requests these backends may get: the one of before if nothing has changed.
    pub(crate) fn of(
        &mut self,
        service: &Service,
        members: Vec<Member>,
        tls: Tls,
        workers: usize,
        before: &Self,
    ) -> Arc<Site> {
        let respond = service.respond.as_ref();
        let page = respond.map(|respond| self.pages.of(service.id, respond.clone(), &before.pages, page));
        let (wanted, table) = (Arc::clone(&service.site), service.maglev_table);
        let name = service.name.clone();
        let from = Ingredients { name, wanted, vip: service.vip, table, members, tls, page };
        self.sites.of(service.id, from, &before.sites, |from| site(from, workers))
    }

    /// Keeps what was there before and is not any more, as long as somebody else has it.
    pub(crate) fn retire(&mut self, before: &Self) {
        self.sites.retire(&before.sites);
        self.pages.retire(&before.pages);
    }

    /// The site that a service has now.
    pub(crate) fn current(&self, service: Id) -> Option<&Arc<Site>> {
        self.sites.current(&service)
    }
}

fn page(respond: &config::Respond) -> Page {
    Page::new(respond.status, &respond.content_type, &respond.octets())
}

fn site(from: &Ingredients, workers: usize) -> Site {
    let wanted = &*from.wanted;
    let (routes, actions) = routes::compiled(wanted);
    let routes = Routes::compile(routes).unwrap_or_else(|error| {
        // Whatever a configuration may hold compiles: `routes` has a test of it. Without routes, requests are refused.
        tracing::error!(%error, "routes cannot be compiled");
        Routes::default()
    });
    let http = &wanted.http;
    let mut clusters = clusters(wanted, from.table, &from.members, workers);
    for (cluster, tls) in clusters.iter_mut().zip(&from.tls.upstreams) {
        cluster.tls.clone_from(tls);
    }
    let site = match &from.page {
        Some(page) => Site::always(Action::Page(Arc::clone(page)), Vec::new()),
        None => Site::new(routes, actions, clusters),
    };
    Site {
        name: from.name.clone(),
        tls: from.tls.server.clone(),
        default_host: http.default_host.clone().unwrap_or_else(|| match from.vip.port() {
            80 => bracketed(from.vip.ip()),
            _ => from.vip.to_string(),
        }),
        limits: Limits { head: octets(http.head), line: octets(http.line), fields: octets(http.fields) },
        paths: PathRules {
            resolve_dots: http.resolve_dots,
            decode: http.decode,
            merge_slashes: http.merge_slashes,
            encoded_slash: match http.encoded_slashes {
                config::EncodedSlash::Keep => EncodedSlash::Keep,
                config::EncodedSlash::Refuse => EncodedSlash::Refuse,
            },
        },
        head_time: http.head_timeout,
        rest_time: http.idle,
        trusted: prefixes(&wanted.trusted),
        announced_by: Some(&wanted.proxy_protocol_from)
            .filter(|from| !from.is_empty())
            .map(|from| prefixes(from)),
        tells: Tells {
            x_forwarded: wanted.tells.x_forwarded,
            forwarded: wanted.tells.forwarded,
            request_id: wanted.tells.request_id,
            via: wanted.tells.via.clone(),
        },
        ..site
    }
}

/// An address as it stands in a URI.
fn bracketed(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn octets(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn prefixes(wanted: &[config::Prefix]) -> Prefixes {
    let prefix = |prefix: &config::Prefix| {
        // IPv4 has its place within IPv6.
        let before = if prefix.addr.is_ipv4() { 96 } else { 0 };
        Prefix::new(prefix.addr.into(), before + prefix.length)
    };
    Prefixes::new(wanted.iter().map(prefix).collect())
}

#[cfg(test)]
mod tests;
