//! What becomes of a request.

use std::sync::Arc;
use std::time::Duration;

use super::{Edits, Key, Redirect, Rewrite, Sticky};
use crate::Page;
use crate::route::Split;

/// See the module.
#[derive(Clone, Debug)]
pub enum Action {
    /// It goes to a backend.
    Forward(Box<Forward>),
    /// The client is sent elsewhere.
    Redirect(Box<Redirect>),
    /// It is answered with this status and text.
    Respond {
        /// 200 to 599.
        status: u16,
        /// Text, which may be empty.
        text: String,
        /// Fields of the answer.
        fields: Edits,
    },
    /// It is answered with this page.
    Page(Arc<Page>),
}

/// How requests of a route are forwarded.
#[derive(Clone, Debug)]
pub struct Forward {
    /// To which cluster.
    pub to: Destination,
    /// What the backend is picked by where its cluster balances by hash ([`Policy::Maglev`](crate::balance::Policy)). Requests that lack it go
    /// anywhere.
    pub balance_by: Option<Key>,
    /// A cookie that keeps a client at one backend, whatever the policy.
    pub sticky: Option<Sticky>,
    /// What backends see other than clients asked for it.
    pub rewrite: Rewrite,
    /// Fields of requests, changed after everything that the proxy itself adds.
    pub request: Edits,
    /// Fields of responses, likewise.
    pub response: Edits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// When a request is sent once more.
    pub retries: Retries,
    /// Protocols that clients may go on with over their connection (RFC 9110, section 7.8), in small letters. A request for another one is
    /// forwarded as one that does not ask; `h2c` is never passed on, since it would carry requests past the routes.
    pub upgrades: Vec<String>,
}

impl Forward {
    /// All to one cluster, with safe values for everything else.
    #[must_use]
    pub fn to(cluster: usize) -> Self {
        Self {
            to: Destination::Cluster(cluster),
            balance_by: None,
            sticky: None,
            rewrite: Rewrite::default(),
            request: Edits::default(),
            response: Edits::default(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            upgrades: vec!["websocket".to_owned()],
        }
    }
}

/// Where requests of a route go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To the cluster of this index.
    Cluster(usize),
    /// To one of several, by weight: a canary.
    Split {
        /// The weights.
        split: Split,
        /// By the index of a part: the index of its cluster.
        clusters: Vec<usize>,
        /// What keeps to one part. Requests that lack it, or all without it, are drawn for.
        by: Option<Key>,
    },
}

/// How long a route's requests may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// To connect to a backend: 500 ms.
    pub connect: Duration,
    /// From when a backend was given the request to when the head of its response has come: 30 s.
    pub response: Duration,
    /// Without that any octet of a request or its response moves: 60 s.
    pub idle: Duration,
    /// From when the head of the request has come to when the response is whole, retries included; without end unless it is set. Upgraded
    /// connections are not concerned.
    pub whole: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(500),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            whole: None,
        }
    }
}

/// When a request is sent once more: if no backend has seen any of it, or if it can be done twice ([`Method::is_idempotent`]), has no content, and the
/// connection that it was sent on had served another one and died without any octet of an answer. Within the cluster's [`Budget`](super::Budget).
///
/// [`Method::is_idempotent`]: crate::http::Method::is_idempotent
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retries {
    /// How often a request is sent at most: 3; 1 is never again.
    pub attempts: u8,
    /// Statuses of responses upon which a request that is safe and has no content is sent to another backend: none unless they are named.
    pub statuses: Vec<u16>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 3, statuses: Vec::new() }
    }
}
