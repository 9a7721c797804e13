//! What `route explain` is answered with.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What becomes of a request, and what is to be said of every route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouteReport {
    /// The service's name.
    pub service: String,
    /// The request's method.
    pub method: String,
    /// Its host, as routes see it.
    pub host: String,
    /// Its path in the normal form that routes see.
    pub path: String,
    /// What becomes of it.
    pub outcome: RouteOutcome,
    /// The route that it takes.
    pub taken: Option<String>,
    /// Routes, the most specific one first.
    pub routes: Vec<ExplainedRoute>,
    /// Less specific ones that are not told of.
    pub omitted: usize,
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum RouteOutcome {
    /// It goes to a backend of one of these pools.
    Forward {
        /// With their shares.
        pools: Vec<PoolShare>,
    },
    /// It is answered.
    Respond {
        /// The status.
        status: u16,
        /// The text.
        text: String,
    },
    /// The client is sent elsewhere. What is absent stays as it asked for it.
    Redirect {
        /// The status.
        status: u16,
        /// Another scheme.
        scheme: Option<String>,
        /// Another host.
        host: Option<String>,
        /// Another path.
        path: Option<String>,
        /// What stands in the place of the route's prefix.
        prefix: Option<String>,
    },
    /// It is refused before any route is looked at.
    Refused {
        /// The status.
        status: u16,
        /// Why.
        text: String,
    },
}

/// A pool that requests of a route go to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PoolShare {
    /// Its name.
    pub pool: String,
    /// Its share against the others'.
    pub weight: u32,
    /// This request goes there; false for all if that is drawn for each request.
    pub chosen: bool,
    /// Backends that get new requests now.
    pub backends: Vec<SocketAddr>,
}

/// What is to be said of one route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExplainedRoute {
    /// Its name.
    pub route: String,
    /// Whether the request takes it, and why not.
    pub verdict: RouteVerdict,
    /// The condition that is not met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// Whether a request takes a route, and why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteVerdict {
    /// It does.
    Taken,
    /// It would fit, but another one is more specific.
    LessSpecific,
    /// It would fit, but another template fits the path better.
    Hidden,
    /// It is for another host.
    Host,
    /// It is for another path.
    Path,
    /// It is for another method.
    Method,
    /// A condition is not met.
    Condition,
}
