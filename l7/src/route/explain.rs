//! Why a request takes the route that it takes: the question of whoever writes routes.
//!
//! Routes are looked at one by one here, each for itself; [`Routes::find`] comes to the same by its tables.

use std::cmp::Reverse;

use super::{Facts, Host, Path, Routes};

/// What keeps a request from a route, or does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It takes this one.
    Taken,
    /// It would fit, but another one is more specific.
    LessSpecific,
    /// It would fit, but of the templates another one fits the path better.
    Hidden,
    /// It is for another host.
    Host,
    /// It is for another path.
    Path,
    /// It is for another method.
    Method,
    /// This condition, counted from zero, is not met.
    Condition(usize),
}

/// What is said of one route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// Its index.
    pub route: usize,
    /// What is said.
    pub reason: Reason,
}

impl Routes {
    /// What is to be said of every route, the most specific one first.
    #[must_use]
    pub fn explain(&self, facts: &Facts<'_>) -> Vec<Explanation> {
        let taken = self.find(facts);
        let mut order: Vec<usize> = (0..self.routes.len()).collect();
        order.sort_by_cached_key(|index| Reverse(self.rank(*index, facts.host)));
        let explain = |route: usize| Explanation { route, reason: self.reason(route, taken, facts) };
        order.into_iter().map(explain).collect()
    }

    fn reason(&self, index: usize, taken: Option<usize>, facts: &Facts<'_>) -> Reason {
        let route = &self.routes[index];
        if taken == Some(index) {
            return Reason::Taken;
        }
        if !route.hosts.is_empty() && !route.hosts.iter().any(|host| host.fits(facts.host)) {
            return Reason::Host;
        }
        if !route.path.fits(facts.path) {
            return Reason::Path;
        }
        if !route.methods.is_empty() && !route.methods.iter().any(|method| method == facts.method) {
            return Reason::Method;
        }
        if let Some(failed) = route.conditions.iter().position(|condition| !condition.holds(facts)) {
            return Reason::Condition(failed);
        }
        // It fits. What is taken instead comes before it, unless it was never looked at.
        match taken {
            Some(taken) if self.rank(taken, facts.host) > self.rank(index, facts.host) => {
                Reason::LessSpecific
            }
            _ => Reason::Hidden,
        }
    }

    /// How specific a route is for a host: more is taken first.
    fn rank(&self, index: usize, host: &str) -> impl Ord + use<> {
        let route = &self.routes[index];
        let by_host = route.hosts.iter().filter(|pattern| pattern.fits(host)).map(|pattern| match pattern {
            Host::Name(_) => usize::MAX,
            Host::Below(domain) => domain.len(),
        });
        let by_path = match &route.path {
            Path::Exact(_) => (4, 0),
            Path::Template(_) => (3, 0),
            Path::Regex(_) => (2, 0),
            Path::Prefix(prefix) => (1, prefix.len()),
            Path::Any => (0, 0),
        };
        (by_host.max(), by_path, route.weight_of_conditions(), Reverse(index))
    }
}
