//! The PROXY protocol: what comes before everything else, TLS included.

use std::net::SocketAddr;

use super::client::{Client, State};
use super::{Memory, Net, Next, Proxy};
use crate::gather::in_one_piece;
use crate::proxy_protocol::{Header, MOST, parse};

impl<O: Memory> Proxy<O> {
    /// Looks for the header that a client's connection begins with; `None` if the client's state is another one now.
    pub(super) fn read_announcement<N: Net<Octets = O>>(
        &mut self,
        net: &mut N,
        client: &mut Client<O>,
    ) -> Option<Next> {
        let is_expected = |peer: SocketAddr| {
            client.served.site.announced_by.as_ref().is_some_and(|prefixes| prefixes.contain(peer.ip()))
        };
        if !net.remote(client.id).is_some_and(is_expected) {
            client.served.count_unannounced();
            client.state = State::Broken;
            return None;
        }
        if net.readable(client.id) == 0 && !net.is_at_end(client.id) {
            return Some(Next::Wait(client.until));
        }
        let pieces = net.unread(client.id).map(|piece| piece.octets());
        let parsed = parse(in_one_piece(pieces, MOST, &mut self.desk.head));
        match parsed {
            Ok(None) if !net.is_at_end(client.id) => return Some(Next::Wait(client.until)),
            Ok(Some((header, length))) => {
                if let Header::Proxied(addresses) = header {
                    client.announced = Some(Box::new(addresses));
                }
                net.consume(client.id, length);
                client.state = State::first(&client.served.site);
            }
            // Whoever it is does not speak as agreed, and would not understand an answer.
            Ok(None) | Err(_) => {
                client.served.count_unannounced();
                client.state = State::Broken;
            }
        }
        None
    }
}
