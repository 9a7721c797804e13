//! A service as one worker serves it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_tcp::Time;

use super::Site;
use super::seen::Tally;
use super::standing::Standing;
use super::ticket::Ticket;
use crate::http::Refusal;

/// See the module.
#[derive(Debug)]
pub struct Served {
    /// What is to become of requests.
    pub site: Arc<Site>,
    /// By cluster.
    standings: Vec<Rc<RefCell<Standing>>>,
    /// By route.
    tallies: Vec<Rc<RefCell<Tally>>>,
    front: Rc<Front>,
}

/// What never came to a route.
#[derive(Debug)]
struct Front {
    refused: RefCell<[u64; Refusal::ALL.len()]>,
    unannounced: Cell<u64>,
    unrouted: Cell<u64>,
}

impl Served {
    /// One that begins now.
    #[must_use]
    pub fn new(site: Arc<Site>) -> Rc<Self> {
        let standings = site.clusters.iter().map(|_| Rc::default()).collect();
        let tallies = site.routes.routes().iter().map(|_| Rc::default()).collect();
        let front = Front {
            refused: RefCell::new([0; Refusal::ALL.len()]),
            unannounced: Cell::new(0),
            unrouted: Cell::new(0),
        };
        Rc::new(Self { site, standings, tallies, front: Rc::new(front) })
    }

    /// The same service with another site. Routes and clusters of the same name go on counting.
    #[must_use]
    pub fn replaced(&self, site: Arc<Site>) -> Rc<Self> {
        let old_clusters = || self.site.clusters.iter().zip(&self.standings);
        let standing = |name: &str| {
            let old = old_clusters().find(|(cluster, _)| cluster.name == name);
            old.map(|(_, standing)| Rc::clone(standing)).unwrap_or_default()
        };
        let standings = site.clusters.iter().map(|cluster| standing(&cluster.name)).collect();
        let routes = self.site.routes.routes().iter().map(|route| route.name.as_str());
        let by_name: hashbrown::HashMap<&str, &Rc<RefCell<Tally>>, foldhash::fast::FixedState> =
            routes.zip(&self.tallies).collect();
        let tally = |name: &str| by_name.get(name).map(|tally| Rc::clone(tally)).unwrap_or_default();
        let tallies = site.routes.routes().iter().map(|route| tally(&route.name)).collect();
        let front = Rc::clone(&self.front);
        Rc::new(Self { site, standings, tallies, front })
    }

    /// The cluster that has the name of another one's.
    pub(super) fn cluster_like(&self, other: &Self, cluster: usize) -> Option<usize> {
        let name = &other.site.clusters.get(cluster)?.name;
        self.site.clusters.iter().position(|cluster| cluster.name == *name)
    }

    /// What was counted of a route, by its index.
    #[must_use]
    pub fn route(&self, route: usize) -> Option<std::cell::Ref<'_, Tally>> {
        self.tallies.get(route).map(|tally| tally.borrow())
    }

    /// Requests that were malformed, by the reason.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.front.refused.borrow().get(refusal as usize).copied().unwrap_or_default()
    }

    /// Connections that did not begin with the header of the PROXY protocol that they were to begin with.
    #[must_use]
    pub fn unannounced(&self) -> u64 {
        self.front.unannounced.get()
    }

    /// Requests that no route is for.
    #[must_use]
    pub fn unrouted(&self) -> u64 {
        self.front.unrouted.get()
    }

    pub(super) fn count(&self, route: usize, how: impl FnOnce(&mut Tally)) {
        match self.tallies.get(route) {
            Some(tally) => how(&mut tally.borrow_mut()),
            None => self.front.unrouted.set(self.front.unrouted.get() + 1),
        }
    }

    pub(super) fn count_refused(&self, refusal: Refusal) {
        if let Some(count) = self.front.refused.borrow_mut().get_mut(refusal as usize) {
            *count += 1;
        }
    }

    pub(super) fn count_unannounced(&self) {
        self.front.unannounced.set(self.front.unannounced.get() + 1);
    }

    pub(super) fn standing(&self, cluster: usize) -> Option<std::cell::RefMut<'_, Standing>> {
        self.standings.get(cluster).map(|standing| standing.borrow_mut())
    }

    /// A request goes to a cluster.
    pub(super) fn asked(&self, cluster: usize) {
        if let (Some(known), Some(mut standing)) = (self.site.clusters.get(cluster), self.standing(cluster)) {
            standing.spent.asked(&known.budget);
        }
    }

    /// A retry of a cluster, if its budget allows one.
    pub(super) fn retry(&self, cluster: usize, now: Time) -> Option<Ticket> {
        let budget = self.site.clusters.get(cluster)?.budget;
        self.standing(cluster)?.spent.retry(&budget, now)
    }
}
