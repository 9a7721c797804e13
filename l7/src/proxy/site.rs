//! What is to become of requests: made by the control thread, never changed, shared by all workers.
//!
//! Every structure has a constructor that takes what must be said, and has safe values for the rest.

mod action;
mod cluster;
mod edits;
mod key;
mod prefixes;
mod rewrite;
mod sticky;

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use crate::http::{Limits, PathRules};
use crate::route::{Path, Route, Routes};

pub use action::{Action, Destination, Forward, Retries, Timeouts};
pub use cluster::{Backend, Budget, Cluster, Ejection};
pub use edits::{Edit, EditError, Edits};
pub use key::{Key, Salt};
pub use prefixes::Prefixes;
pub use rewrite::{Prefix, Redirect, Rewrite, Scheme};
pub use sticky::{Seal, Sticky};

/// A service.
#[derive(Debug)]
pub struct Site {
    /// What the service is called.
    pub name: String,
    /// How clients are spoken TLS with; `None`: they speak plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Which requests take which route.
    pub routes: Routes,
    /// By the index of a route: what becomes of its requests.
    pub actions: Vec<Action>,
    /// Where requests can go to.
    pub clusters: Vec<Cluster>,
    /// What backends are told that a client wants which has not said so, as one of HTTP/1.0 may.
    pub default_host: String,
    /// How large heads may be.
    pub limits: Limits,
    /// The form that paths are brought to.
    pub paths: PathRules,
    /// How long clients may take for a head, and for what comes before the first one.
    pub head_time: Duration,
    /// How long a client's connection may be at rest between requests.
    pub rest_time: Duration,
    /// Which clients are believed what they say of whom they forward for. What all others say of it is taken off. Nobody, unless they are named.
    pub trusted: Prefixes,
    /// Who connects in the name of others: every connection begins with a header of the PROXY protocol, and connections from anywhere else are
    /// refused. `None`: no connection begins with one.
    pub announced_by: Option<Prefixes>,
    /// What backends are told of clients.
    pub tells: Tells,
    /// The service is to end: clients are told to use their connections no more (`Connection: close`).
    pub is_draining: bool,
}

/// What backends are told of clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tells {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    pub x_forwarded: bool,
    /// `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// `X-Request-Id`.
    pub request_id: bool,
    /// The balancer's name in `Via` (RFC 9110, section 7.6.3), a token; none if it is empty.
    pub via: String,
}

impl Default for Tells {
    fn default() -> Self {
        Self { x_forwarded: true, forwarded: true, request_id: true, via: "evenkeel".to_owned() }
    }
}

impl Site {
    /// A service of these routes, actions by the index of a route, and clusters.
    #[must_use]
    pub fn new(routes: Routes, actions: Vec<Action>, clusters: Vec<Cluster>) -> Self {
        Self {
            name: String::new(),
            tls: None,
            routes,
            actions,
            clusters,
            default_host: "localhost".to_owned(),
            limits: Limits::default(),
            paths: PathRules::default(),
            head_time: Duration::from_secs(10),
            rest_time: Duration::from_secs(60),
            trusted: Prefixes::default(),
            announced_by: None,
            tells: Tells::default(),
            is_draining: false,
        }
    }

    /// A service that does the same with every request.
    #[must_use]
    pub fn always(action: Action, clusters: Vec<Cluster>) -> Self {
        let route = Route {
            name: "all".to_owned(),
            hosts: Vec::new(),
            path: Path::Any,
            methods: Vec::new(),
            conditions: Vec::new(),
        };
        // A route without a pattern has none that is malformed.
        Self::new(Routes::compile(vec![route]).unwrap_or_default(), vec![action], clusters)
    }

    /// How requests of a route are forwarded, if they are.
    #[must_use]
    pub fn forward(&self, route: usize) -> Option<&Forward> {
        match self.actions.get(route)? {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Respond { .. } | Action::Page(_) => None,
        }
    }
}
