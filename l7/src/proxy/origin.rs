//! Where a request comes from, as its connection tells.

use std::net::SocketAddr;

use super::client::Client;
use super::site::Scheme;
use super::{Identity, Net};
use crate::proxy_protocol::{Addresses, Header, Version, write};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'n> {
    /// The client: who connected, or for whom that was done.
    pub(super) client: Option<SocketAddr>,
    /// What the client connected to.
    pub(super) local: Option<SocketAddr>,
    pub(super) scheme: Scheme,
    /// Who the client has proved to be.
    pub(super) identity: Option<&'n Identity>,
}

impl<'n> Origin<'n> {
    pub(super) fn of<N: Net>(net: &'n N, client: &Client<N::Octets>) -> Self {
        let (source, destination) = match &client.announced {
            Some(addresses) => (Some(addresses.source), Some(addresses.destination)),
            None => (net.remote(client.id), net.local(client.id)),
        };
        let security = net.security(client.id);
        let scheme = if security.is_some() { Scheme::Https } else { Scheme::Http };
        let identity = security.and_then(|security| security.identity.as_deref());
        Self { client: source, local: destination, scheme, identity }
    }

    /// What a backend is told that is to know it before everything else.
    pub(super) fn announcement(&self, version: Version) -> Vec<u8> {
        let header = match (self.client, self.local) {
            (Some(source), Some(destination)) => Header::Proxied(Addresses { source, destination }),
            _ => Header::Local,
        };
        let mut out = Vec::with_capacity(128);
        write(version, header, &mut out);
        out
    }
}
