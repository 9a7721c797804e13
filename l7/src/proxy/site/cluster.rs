//! Backends, and what is asked of them at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::Group;
use crate::proxy::UpstreamTls;
use crate::proxy_protocol::Version;

/// Backends that answer alike.
#[derive(Debug)]
pub struct Cluster {
    /// What it is called: part of what sticky cookies are sealed with.
    pub name: String,
    /// How backends are spoken TLS with; `None`: they speak plain HTTP.
    pub tls: Option<Arc<UpstreamTls>>,
    /// Who gets a request.
    pub group: Group,
    /// By their slots, in the order of these; not to be changed.
    pub backends: Vec<Backend>,
    /// Connections of this worker to one backend, at most: 100 over all workers is usual.
    pub connections: u32,
    /// Connections of this worker to one backend that have become tunnels, or are asked to, at most; they are not counted as the others.
    pub tunnels: u32,
    /// Requests of this worker that wait for a connection to one backend, at most.
    pub queue: usize,
    /// Requests of this worker that wait for a connection to any backend, at most.
    pub pending: u32,
    /// How long a request waits for a connection.
    pub queue_time: Duration,
    /// How long a connection may be at rest.
    pub rest_time: Duration,
    /// How much may be sent once more.
    pub budget: Budget,
    /// When a backend that fails is left alone for a while; never, if there is none.
    pub ejection: Option<Ejection>,
    /// Connections begin with a header of the PROXY protocol, which tells the client's addresses. Each then serves one client alone.
    pub announce: Option<Version>,
    /// Slots by the identity of their backends.
    by_identity: Vec<(u64, u16)>,
}

impl Cluster {
    /// A cluster of these backends, with safe values for everything else. They are put in their order.
    #[must_use]
    pub fn new(name: &str, group: Group, mut backends: Vec<Backend>) -> Self {
        backends.sort_unstable_by_key(|backend| backend.slot);
        let mut by_identity: Vec<_> =
            backends.iter().map(|backend| (backend.identity, backend.slot)).collect();
        by_identity.sort_unstable();
        Self {
            name: name.to_owned(),
            tls: None,
            group,
            backends,
            connections: 100,
            tunnels: 1000,
            queue: 100,
            pending: 1000,
            queue_time: Duration::from_secs(2),
            rest_time: Duration::from_secs(30),
            budget: Budget::default(),
            ejection: Some(Ejection::default()),
            announce: None,
            by_identity,
        }
    }

    /// The slot of the backend of this identity.
    #[must_use]
    pub fn slot_of(&self, identity: u64) -> Option<u16> {
        let at = self.by_identity.binary_search_by_key(&identity, |(identity, _)| *identity).ok()?;
        self.by_identity.get(at).map(|(_, slot)| *slot)
    }

    /// The backend of a slot.
    #[must_use]
    pub fn backend(&self, slot: u16) -> Option<&Backend> {
        let at = self.backends.binary_search_by_key(&slot, |backend| backend.slot).ok()?;
        self.backends.get(at)
    }
}

/// A backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Its slot.
    pub slot: u16,
    /// Which of the backends that ever had this slot.
    pub epoch: u16,
    /// Where it is.
    pub address: SocketAddr,
    /// What it is, wherever its slot: sticky cookies name it.
    pub identity: u64,
}

/// What retries a cluster gets from one worker: a part of its requests, so that trouble is not made worse by asking again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Of a hundred requests, so many may be retried: 20.
    pub percent: u32,
    /// And so many a second whatever else is asked, for clusters that are asked little: 2.
    pub per_second: u32,
    /// What may be saved up: 20.
    pub burst: u32,
    /// Retries under way at one time, at most: 16.
    pub at_once: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { percent: 20, per_second: 2, burst: 20, at_once: 16 }
    }
}

/// When a backend is left alone for a while: each worker judges by what it sees, and never leaves more than half of a cluster alone.
///
/// A request fails a backend that cannot be connected to, gives no response in time or a malformed or cut one, or answers 502, 503 or 504.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ejection {
    /// After so many failures one after the other: 5.
    pub consecutive: u32,
    /// Or when so many of a hundred requests fail: 10.
    pub percent: u32,
    /// In so long a time: 30 s.
    pub window: Duration,
    /// In which there are so many requests at least: 50.
    pub least: u32,
    /// For so long at least, and twice as long at most, drawn by each worker: 30 s.
    pub quarantine: Duration,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            consecutive: 5,
            percent: 10,
            window: Duration::from_secs(30),
            least: 50,
            quarantine: Duration::from_secs(30),
        }
    }
}
