//! Where a request comes from, as its connection tells.

use std::net::SocketAddr;

use super::Net;
use super::client::Client;
use super::site::Scheme;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// The client: who connected, or for whom that was done.
    pub(super) client: Option<SocketAddr>,
    /// What the client connected to.
    pub(super) local: Option<SocketAddr>,
    pub(super) scheme: Scheme,
}

impl Origin {
    pub(super) fn of<N: Net>(net: &N, client: &Client<N::Octets>) -> Self {
        let (source, destination) = match &client.announced {
            Some(addresses) => (Some(addresses.source), Some(addresses.destination)),
            None => (net.remote(client.id), net.local(client.id)),
        };
        Self { client: source, local: destination, scheme: Scheme::Http }
    }
}
