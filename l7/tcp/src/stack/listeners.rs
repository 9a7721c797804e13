//! Listeners: who answers SYNs, and the bounds of their two queues.

use std::collections::VecDeque;

use crate::event::ConnectionId;
use crate::{Addr, Endpoint, ListenError, ListenerConfig, ListenerId};

/// The most listeners of a stack.
const MOST_LISTENERS: u32 = 1 << 16;

/// One listener.
pub(crate) struct Listener {
    pub(crate) at: Endpoint,
    pub(crate) profile: u8,
    syn_limit: u32,
    accept_limit: u32,
    /// Connections in SYN-RECEIVED.
    pub(crate) shaking: u32,
    /// Established, and not yet accepted. Some may have ended since.
    pub(crate) accepted: VecDeque<ConnectionId>,
    /// The application was told, and has not asked since.
    pub(crate) is_told: bool,
}

impl Listener {
    /// True if one more connection may wait to be accepted.
    pub(crate) fn has_room(&self) -> bool {
        self.accepted.len() < self.accept_limit as usize
    }

    /// True if one more SYN may be remembered.
    pub(crate) const fn may_remember(&self) -> bool {
        self.shaking < self.syn_limit
    }
}

/// The listeners of a stack.
#[derive(Default)]
pub(crate) struct Listeners {
    all: Vec<Option<Listener>>,
    /// Where they listen, in order of ports, and their numbers: what stands for any address is the first of its port.
    by_endpoint: Vec<(u16, Addr, u32)>,
}

impl Listeners {
    pub(crate) fn add(
        &mut self,
        at: Endpoint,
        config: &ListenerConfig,
        profile: u8,
    ) -> Result<ListenerId, ListenError> {
        let Err(place) = self.place_of(at) else { return Err(ListenError::InUse) };
        let index = self.all.len() as u32;
        if index >= MOST_LISTENERS {
            return Err(ListenError::TooMany);
        }
        self.by_endpoint.insert(place, (at.port, at.addr, index));
        self.all.push(Some(Listener {
            at,
            profile,
            syn_limit: config.syn_queue,
            accept_limit: config.accept_queue,
            shaking: 0,
            accepted: VecDeque::new(),
            is_told: false,
        }));
        Ok(ListenerId(index))
    }

    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<Listener> {
        let listener = self.all.get_mut(id.0 as usize)?.take()?;
        if let Ok(place) = self.place_of(listener.at) {
            self.by_endpoint.remove(place);
        }
        Some(listener)
    }

    fn place_of(&self, at: Endpoint) -> Result<usize, usize> {
        self.by_endpoint.binary_search_by_key(&(at.port, at.addr), |&(port, addr, _)| (port, addr))
    }

    /// The one that answers a SYN to this endpoint: for its very address, or for any.
    pub(crate) fn for_endpoint(&self, at: Endpoint) -> Option<u32> {
        let first = self.by_endpoint.partition_point(|&(port, ..)| port < at.port);
        let of_port = self.by_endpoint.get(first..)?;
        let &(port, addr, number) = of_port.first()?;
        if port != at.port {
            return None;
        }
        if addr == at.addr {
            return Some(number);
        }
        let any = (addr == Addr::UNSPECIFIED).then_some(number);
        // Mostly there is no other one for the port.
        if of_port.get(1).is_none_or(|&(port, ..)| port != at.port) {
            return any;
        }
        self.place_of(at)
            .ok()
            .and_then(|place| self.by_endpoint.get(place))
            .map(|&(.., number)| number)
            .or(any)
    }

    pub(crate) fn at(&self, index: u32) -> Option<&Listener> {
        self.all.get(index as usize)?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut Listener> {
        self.all.get_mut(index as usize)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_very_address_goes_before_any() {
        let mut listeners = Listeners::default();
        let at = |last: u8, port| Endpoint::v4([192, 0, 2, last], port);
        let any = |port| Endpoint { addr: Addr::UNSPECIFIED, port };
        let config = ListenerConfig::default();
        let ids: Vec<_> = [at(2, 80), any(80), at(1, 80), at(1, 443), any(22)]
            .into_iter()
            .map(|endpoint| listeners.add(endpoint, &config, 0).unwrap())
            .collect();
        assert_eq!(listeners.add(any(80), &config, 0), Err(ListenError::InUse));
        let table = [
            (at(1, 80), Some(2)),
            (at(2, 80), Some(0)),
            (at(3, 80), Some(1)),
            (at(1, 443), Some(3)),
            (at(2, 443), None),
            (at(9, 22), Some(4)),
            (at(1, 81), None),
        ];
        for (endpoint, number) in table {
            assert_eq!(listeners.for_endpoint(endpoint), number, "{endpoint:?}");
        }
        assert!(listeners.remove(ids[1]).is_some());
        assert_eq!((listeners.for_endpoint(at(3, 80)), listeners.for_endpoint(at(2, 80))), (None, Some(0)));
    }
}
