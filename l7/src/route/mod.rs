//! Which route a request takes.
//!
//! A [`Routes`] is made by the control thread from what the configuration says and never changes. Of all routes that a request fits, it takes
//! the most specific one, whatever their order in the file:
//!
//! 1. by host: a name, then the longest wildcard (`*.example.com`), then any host;
//! 2. by path: an exact one, then a template, then a regular expression, then the longest prefix, then any path;
//! 3. the one with more conditions (method, header, query, cookie);
//! 4. the one that stands first.
//!
//! Of the templates of one host only that is looked at which fits a path best, as matchit finds it; templates behind it are hidden.
//!
//! Invariants: a look-up costs a few hash probes for each host pattern that fits, and beyond that only what fits the path: ten thousand routes cost
//! no more than ten. The exception are regular expressions, which are tried one by one, and of which a host has few ([`MOST_REGEXES`]).

mod bucket;
mod condition;
mod explain;
mod host;
mod path;
mod split;

pub use condition::{Condition, Source, Test};
pub use explain::{Explanation, Reason};
pub use host::{Host, normal_host};
pub use path::{MOST_REGEXES, Path};
pub use split::Split;

use crate::http::Fields;
use bucket::Bucket;

/// By texts of the configuration: nobody else chooses the keys.
type Map<V> = hashbrown::HashMap<String, V, foldhash::fast::FixedState>;

/// What a request has to be like to take a route.
#[derive(Clone, Debug)]
pub struct Route {
    /// What it is called.
    pub name: String,
    /// One of these hosts; any host if there is none.
    pub hosts: Vec<Host>,
    /// This path.
    pub path: Path,
    /// One of these methods; any method if there is none.
    pub methods: Vec<String>,
    /// And all of these.
    pub conditions: Vec<Condition>,
}

/// What routes go by.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'r> {
    /// The host without its port, in its normal form ([`normal_host`]).
    pub host: &'r str,
    /// The path in its normal form.
    pub path: &'r str,
    /// The query, as it came.
    pub query: Option<&'r str>,
    /// The method.
    pub method: &'r str,
    /// The fields of the head.
    pub fields: Fields<'r, 'r>,
}

/// Why routes cannot be compiled.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("route {route}: {what}")]
pub struct RouteError {
    /// The route's name.
    pub route: String,
    /// What is wrong with it.
    pub what: String,
}

/// All routes of a service.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
    by_name: Map<Bucket>,
    /// By what follows the asterisk and its dot.
    by_suffix: Map<Bucket>,
    any: Bucket,
}

impl Routes {
    /// Compiles routes.
    ///
    /// # Errors
    /// When a pattern is malformed, or two templates of one host cannot be told apart.
    pub fn compile(routes: Vec<Route>) -> Result<Self, RouteError> {
        let mut compiled = Self::default();
        // Those that are taken first go into each list first.
        let mut order: Vec<usize> = (0..routes.len()).collect();
        order.sort_by_key(|index| (std::cmp::Reverse(routes[*index].weight_of_conditions()), *index));
        for index in order {
            let route = &routes[index];
            let error = |what: String| RouteError { route: route.name.clone(), what };
            if route.hosts.is_empty() {
                compiled.any.insert(index, &route.path).map_err(error)?;
            }
            for host in &route.hosts {
                let buckets = match host {
                    Host::Name(_) => &mut compiled.by_name,
                    Host::Below(_) => &mut compiled.by_suffix,
                };
                let bucket = buckets.entry(host.text().to_owned()).or_default();
                bucket.insert(index, &route.path).map_err(error)?;
            }
        }
        compiled.routes = routes;
        Ok(compiled)
    }

    /// The route that a request takes, by its index.
    #[must_use]
    pub fn find(&self, facts: &Facts<'_>) -> Option<usize> {
        let fits = |index: usize| self.routes.get(index).is_some_and(|route| route.fits(facts));
        let mut buckets = self.buckets(facts.host);
        buckets.find_map(|bucket| bucket.find(facts.path, fits))
    }

    /// The routes, as they were given.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Those that a host fits, the most specific one first.
    fn buckets<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Bucket> {
        let below = host::suffixes(host).filter_map(|suffix| self.by_suffix.get(suffix));
        self.by_name.get(host).into_iter().chain(below).chain(std::iter::once(&self.any))
    }
}

impl Route {
    /// True if method and conditions fit.
    fn fits(&self, facts: &Facts<'_>) -> bool {
        let by_method = self.methods.is_empty() || self.methods.iter().any(|method| method == facts.method);
        by_method && self.conditions.iter().all(|condition| condition.holds(facts))
    }

    fn weight_of_conditions(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.conditions.len()
    }
}

#[cfg(test)]
mod tests;
