//! What services at layer 7 do with requests, as workers go by it.
//!
//! Invariant: a service that has not changed keeps its site, and a response its page, the very same in memory.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::Respond;
use evenkeel_datapath::maglev::{Candidate, Maglev};
use evenkeel_l7::Page;
use evenkeel_l7::balance::{self, Group, Policy};
use evenkeel_l7::proxy::Site;
use evenkeel_l7::proxy::site::{Action, Backend, Cluster, Forward};

use crate::desired::{Id, Service};
use crate::kept::Kept;

/// Connections to one backend, over all workers.
const CONNECTIONS: u32 = 100;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites {
    pages: Kept<Id, Respond, Page>,
    sites: Kept<Id, Recipe, Site>,
}

/// What a site is made of.
#[derive(Clone, PartialEq, Debug)]
enum Recipe {
    Respond(Arc<Page>),
    /// To backends, of which some are candidates, over this share of the connections.
    Forward {
        backends: Vec<Backend>,
        candidates: Vec<Candidate>,
        connections: u32,
    },
}

impl Sites {
    /// The site of a service, with these backends, of which `candidates` may be picked, for one of so many workers.
    pub(crate) fn of(
        &mut self,
        service: &Service,
        backends: Vec<Backend>,
        candidates: &[Candidate],
        workers: u8,
        before: &Self,
    ) -> Arc<Site> {
        let recipe = match &service.respond {
            Some(respond) => Recipe::Respond(self.pages.of(service.id, respond.clone(), &before.pages, page)),
            None => Recipe::Forward {
                backends,
                candidates: candidates.to_vec(),
                connections: CONNECTIONS.div_ceil(u32::from(workers.max(1))),
            },
        };
        self.sites.of(service.id, recipe, &before.sites, |recipe| {
            let site = match recipe {
                Recipe::Respond(page) => Site::always(Action::Page(Arc::clone(page)), Vec::new()),
                Recipe::Forward { backends, candidates, connections } => {
                    let cluster = cluster(backends.clone(), candidates, *connections);
                    Site::always(Action::Forward(Box::new(Forward::to(0))), vec![cluster])
                }
            };
            Site { default_host: service.vip.to_string(), ..site }
        })
    }

    /// Keeps what was there before and is not any more, as long as a worker has it.
    pub(crate) fn retire(&mut self, before: &Self) {
        self.sites.retire(&before.sites);
        self.pages.retire(&before.pages);
    }
}

fn page(respond: &Respond) -> Page {
    Page::new(respond.status, &respond.content_type, &respond.octets())
}

fn cluster(backends: Vec<Backend>, candidates: &[Candidate], connections: u32) -> Cluster {
    let candidate = |candidate: &Candidate| balance::Candidate {
        slot: candidate.slot,
        weight: u16::try_from(candidate.weight).unwrap_or(u16::MAX),
    };
    let candidates: Vec<_> = candidates.iter().map(candidate).collect();
    let group = Group::new(Policy::PowerOfTwo, &candidates, Arc::new(Maglev::default()), Duration::ZERO);
    let mut cluster = Cluster::new("default", group, backends);
    cluster.connections = connections;
    cluster
}
