//! Listeners: who answers SYNs, and the bounds of their two queues.

use std::collections::{HashMap, VecDeque};

use crate::event::ConnectionId;
use crate::{Endpoint, ListenError, ListenerConfig, ListenerId};

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
    by_endpoint: HashMap<Endpoint, u32>,
}

impl Listeners {
    pub(crate) fn add(
        &mut self,
        at: Endpoint,
        config: &ListenerConfig,
        profile: u8,
    ) -> Result<ListenerId, ListenError> {
        if self.by_endpoint.contains_key(&at) {
            return Err(ListenError::InUse);
        }
        let index = self.all.len() as u32;
        if index >= MOST_LISTENERS {
            return Err(ListenError::TooMany);
        }
        self.by_endpoint.insert(at, index);
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
        self.by_endpoint.remove(&listener.at);
        Some(listener)
    }

    /// The one that answers a SYN to this endpoint: for its very address, or for any.
    pub(crate) fn for_endpoint(&self, at: Endpoint) -> Option<u32> {
        if self.by_endpoint.is_empty() {
            return None;
        }
        let any = Endpoint { addr: crate::Addr::UNSPECIFIED, port: at.port };
        self.by_endpoint.get(&at).or_else(|| self.by_endpoint.get(&any)).copied()
    }

    pub(crate) fn at(&self, index: u32) -> Option<&Listener> {
        self.all.get(index as usize)?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut Listener> {
        self.all.get_mut(index as usize)?.as_mut()
    }
}
