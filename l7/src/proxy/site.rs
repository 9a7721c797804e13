//! What is to become of requests: made by the control thread, never changed, shared by all workers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::balance::Group;
use crate::http::{Limits, PathRules};
use crate::route::Routes;

/// A service.
#[derive(Debug)]
pub struct Site {
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
    /// How long clients may take for a head.
    pub head_time: Duration,
    /// How long a client's connection may be at rest between requests.
    pub rest_time: Duration,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// It goes to one of the backends of a cluster.
    Forward {
        /// The index of the cluster.
        cluster: usize,
        /// How long things may take.
        timeouts: Timeouts,
    },
    /// It is answered with this status and text.
    Respond {
        /// 200 to 599.
        status: u16,
        /// Text, which may be empty.
        text: String,
    },
}

/// How long a route's requests may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// To connect to a backend.
    pub connect: Duration,
    /// From when a backend was given the request to when the head of its response has come.
    pub response: Duration,
    /// Without that any octet of a request or its response moves.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(500),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(60),
        }
    }
}

/// Backends that answer alike.
#[derive(Debug)]
pub struct Cluster {
    /// Who gets a request.
    pub group: Group,
    /// By their slots, in the order of these.
    pub backends: Vec<Backend>,
    /// Connections of this worker to one backend, at most.
    pub connections: u32,
    /// Requests of this worker that wait for a connection to one backend, at most.
    pub queue: usize,
    /// How long a request waits for a connection.
    pub queue_time: Duration,
    /// How long a connection may be at rest.
    pub rest_time: Duration,
}

/// A backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Its slot.
    pub slot: u16,
    /// Where it is.
    pub address: SocketAddr,
}

impl Cluster {
    /// Where the backend of a slot is.
    #[must_use]
    pub fn address(&self, slot: u16) -> Option<SocketAddr> {
        let at = self.backends.binary_search_by_key(&slot, |backend| backend.slot).ok()?;
        self.backends.get(at).map(|backend| backend.address)
    }
}
