//! Connections to backends that lie ready, and who waits for one.

use std::collections::VecDeque;
use std::sync::Arc;

use evenkeel_tcp::ConnectionId;

use super::UpstreamTls;
use super::ticket::{Ticket, Tickets};
use crate::PoolView;

/// Those to one backend.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// At rest; the one that was used last is used first, so that those that are not needed grow old and are closed.
    idle: Vec<(Kind, ConnectionId)>,
    /// All that there are, at rest or not.
    open: u32,
    /// Clients that wait for one.
    queue: VecDeque<ConnectionId>,
    /// Those that are tunnels, or may become one: they are none of the above.
    tunnels: Tickets,
}

/// What sort of connections a cluster has: a connection to a backend serves only requests of clusters that would have made it just so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kind(usize);

impl Kind {
    /// By their TLS, which whoever has such a connection holds: the address of it stands for it.
    pub(super) fn of(tls: Option<&Arc<UpstreamTls>>) -> Self {
        Self(tls.map_or(0, |tls| Arc::as_ptr(tls).addr()))
    }
}

/// How a client comes to a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// This one lay ready.
    Idle(ConnectionId),
    /// Another one may be opened.
    MayOpen,
    /// Another one may be opened once this one is closed, which is at rest and of another kind.
    MayReplace(ConnectionId),
    /// The client waits for one.
    Queued,
    /// There are too many, and too many wait.
    Refused,
}

/// By the slot of their backend.
#[derive(Debug, Default)]
pub(super) struct Pools(Vec<Pool>);

impl Pools {
    pub(super) fn new(slots: usize) -> Self {
        let mut pools = Vec::new();
        pools.resize_with(slots, Pool::default);
        Self(pools)
    }

    /// There are so many slots from now on, and not fewer.
    pub(super) fn grow(&mut self, slots: usize) {
        if self.0.len() < slots {
            self.0.resize_with(slots, Pool::default);
        }
    }

    /// Another backend has the slot.
    pub(super) fn forget(&mut self, slot: u16) {
        if let Some(pool) = self.of(slot) {
            pool.idle.clear();
            pool.open = 0;
        }
    }

    /// Nobody waits for the backend any more; tells who did.
    pub(super) fn dismiss(&mut self, slot: u16) -> VecDeque<ConnectionId> {
        self.of(slot).map(|pool| std::mem::take(&mut pool.queue)).unwrap_or_default()
    }

    fn of(&mut self, slot: u16) -> Option<&mut Pool> {
        self.0.get_mut(usize::from(slot))
    }

    /// A connection of this kind to a backend that may have `most`, for a client that may wait behind `queue` others.
    pub(super) fn take(
        &mut self,
        slot: u16,
        kind: Kind,
        client: ConnectionId,
        most: u32,
        queue: usize,
    ) -> Taken {
        let Some(pool) = self.of(slot) else { return Taken::Refused };
        if let Some(last) = pool.idle.iter().rposition(|(other, _)| *other == kind) {
            return Taken::Idle(pool.idle.remove(last).1);
        }
        if pool.open < most {
            return Taken::MayOpen;
        }
        if let Some((_, other)) = pool.idle.first() {
            return Taken::MayReplace(*other);
        }
        if pool.queue.len() >= queue {
            return Taken::Refused;
        }
        pool.queue.push_back(client);
        Taken::Queued
    }

    /// A connection is being opened.
    pub(super) fn opened(&mut self, slot: u16) {
        if let Some(pool) = self.of(slot) {
            pool.open += 1;
        }
    }

    /// A connection is no more. Tells who may open another one.
    pub(super) fn closed(&mut self, slot: u16, id: ConnectionId) -> Option<ConnectionId> {
        let pool = self.of(slot)?;
        pool.idle.retain(|(_, idle)| *idle != id);
        pool.open = pool.open.saturating_sub(1);
        pool.queue.pop_front()
    }

    /// A connection is at rest. Tells who may take it.
    pub(super) fn rests(&mut self, slot: u16, kind: Kind, id: ConnectionId) -> Option<ConnectionId> {
        let pool = self.of(slot)?;
        pool.idle.push((kind, id));
        pool.queue.pop_front()
    }

    /// Another tunnel to a backend that may have `most`.
    pub(super) fn tunnel(&mut self, slot: u16, most: u32) -> Option<Ticket> {
        self.of(slot)?.tunnels.take(most)
    }

    /// How a backend's pool is.
    pub(super) fn view(&self, slot: u16) -> Option<PoolView> {
        let pool = self.0.get(usize::from(slot))?;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (idle, waiting) = (count(pool.idle.len()), count(pool.queue.len()));
        Some(PoolView {
            open: pool.open,
            idle,
            waiting,
            tunnels: pool.tunnels.taken(),
            ..PoolView::default()
        })
    }

    /// A client waits no more.
    pub(super) fn leave(&mut self, slot: u16, client: ConnectionId) {
        if let Some(pool) = self.of(slot) {
            pool.queue.retain(|waiting| *waiting != client);
        }
    }
}
