//! What is done beside forwarding, a little in each turn: expiry of flows, answers to questions, neighbours wanted.

use super::open::pick;
use super::transport::belongs;
use super::{Pipeline, Turn};
use crate::command::{FlowQuery, FlowQuestion};
use crate::counters::DropReason;
use crate::flow::{FlowState, FlowView};
use crate::flow_table::{Entry, FlowId};
use crate::key::{Addr, FlowKey, Protocol};
use crate::limit::Limiter;
use crate::packet::PacketPool;
use crate::snapshot::{BackendId, Mode, PortId, ServiceSlot, Snapshot, SnapshotParts, WorkerId};
use crate::time::Time;

/// Places of the table that one answer looks at.
const PLACES_PER_ANSWER: u32 = 2048;

/// The whole table is swept once in this time.
const SWEEP_PERIOD_NS: u64 = 4_000_000_000;

/// Places swept in one turn at most.
const PLACES_PER_SWEEP: u64 = 1024;

/// Places swept in one turn at least, if in any, except in small tables: neighbours in memory come near together.
const LEAST_PLACES: u64 = 64;

/// How far the sweep for expired flows has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sweep {
    next: u32,
    last: Time,
}

/// Neighbours that packets were for and that nobody has resolved: the latest one, at most so many a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unresolved {
    latest: Option<Addr>,
    limiter: Limiter,
}

impl Unresolved {
    const PER_SECOND: u32 = 100;

    pub(super) fn push(&mut self, addr: Addr, now: Time) {
        if self.latest.is_none() && self.limiter.allows(Self::PER_SECOND, now) {
            self.latest = Some(addr);
        }
    }
}

/// Where a new flow would go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewFlow {
    /// The worker that would own it.
    pub worker: WorkerId,
    /// The service that it would be of.
    pub service: ServiceSlot,
    /// The backend that it would be assigned to, none if it would end at layer 7, or why its first packet would be dropped.
    pub backend: Result<Option<BackendId>, DropReason>,
}

/// Where the flow of a packet with this key would go, if it were opened by `snapshot`; `None` if no service has the
/// destination. Room in a worker's table, and for full NAT a free local port, are taken for granted.
#[must_use]
pub fn new_flow(snapshot: &SnapshotParts, key: &FlowKey) -> Option<NewFlow> {
    let &slot = snapshot.vips.get(&(key.destination, key.protocol))?;
    let service = snapshot.service(slot)?;
    let backend = match pick(snapshot, service, key) {
        _ if service.mode == Mode::L7 => Ok(None),
        None => Err(DropReason::NoBackend),
        Some((_, backend)) if backend.next_hop.is_none() => Err(DropReason::NoNextHop),
        Some((id, _)) => Ok(Some(id)),
    };
    let worker = snapshot.steering.owner(snapshot, key, None).unwrap_or_default();
    Some(NewFlow { worker, service: slot, backend })
}

impl Pipeline {
    /// A neighbour that a packet could not be sent to, to be told once.
    pub fn take_unresolved(&mut self) -> Option<Addr> {
        self.unresolved.latest.take()
    }

    /// Has the control thread hear of a neighbour that something could not be sent to.
    pub(crate) fn miss(&mut self, addr: Addr, now: Time) {
        self.unresolved.push(addr, now);
    }

    /// Forgets expired flows among the next places of the table: as many as the time since the last call asks for.
    /// Flows of backends that are gone from the snapshot go as well, as nobody will hear of them again. TCP flows that
    /// are to be cut are, by segments in `originated` as far as there is room, so that silent ends hear of it too. Flows of the
    /// layer 7 stage's connections are its own affair.
    pub fn sweep<A: PacketPool>(
        &mut self,
        snapshot: &Snapshot,
        now: Time,
        pool: &mut A,
        originated: &mut Vec<(A::Packet, PortId)>,
    ) {
        let capacity = u64::from(self.table.capacity());
        let elapsed_ns = now.nanos_since(self.sweep.last).min(SWEEP_PERIOD_NS);
        let due = (capacity * elapsed_ns / SWEEP_PERIOD_NS).min(PLACES_PER_SWEEP) as u32;
        if u64::from(due) < LEAST_PLACES.min(capacity / 16).max(1) {
            return;
        }
        self.sweep.last = now;
        let mut nothing = Vec::new();
        let mut turn = Turn::new(snapshot, now, pool, originated, &mut nothing);
        for id in self.table.places(self.sweep.next, due) {
            let Some(entry) = self.table.entry(id) else { continue };
            match snapshot.backend(entry.backend) {
                _ if entry.state == FlowState::Upstream => {}
                None => self.close(id),
                _ if entry.idle_ms(turn.now_ms) > turn.idle_limits_ms[entry.state as usize] => {
                    self.expire(id);
                }
                Some(backend) if entry.state == FlowState::Cut || !backend.state.keeps_flows(now) => {
                    self.prompt_for_resets(&mut turn, id, *entry, backend);
                }
                Some(_) => {}
            }
        }
        let next = self.sweep.next.saturating_add(due);
        self.sweep.next = if next >= self.table.capacity() { 0 } else { next };
    }

    /// Answers a question about the flow table, within the capacity of the answer.
    pub fn answer(&self, snapshot: &Snapshot, now: Time, query: &mut FlowQuery) {
        query.flows.clear();
        query.next = None;
        match query.question {
            FlowQuestion::Lookup(key) => {
                let hash = self.hasher.hash(&key);
                let is_it = |entry: &Entry, direction| belongs(snapshot, entry, direction, &key).is_some();
                let found = self.table.find(hash, is_it);
                let view = found.and_then(|(id, _)| self.view(snapshot, now, id));
                query.flows.extend(view.filter(|_| query.flows.capacity() > 0));
            }
            FlowQuestion::List { from } => {
                for id in self.table.places(from, PLACES_PER_ANSWER) {
                    if query.flows.len() == query.flows.capacity() {
                        query.next = Some(id.index());
                        return;
                    }
                    query.flows.extend(self.view(snapshot, now, id));
                }
                let next = from.saturating_add(PLACES_PER_ANSWER);
                query.next = (next < self.table.capacity()).then_some(next);
            }
        }
    }

    fn view(&self, snapshot: &Snapshot, now: Time, id: FlowId) -> Option<FlowView> {
        let entry: &Entry = self.table.entry(id)?;
        let service = snapshot.service(entry.service);
        let is_udp = matches!(entry.state, FlowState::OneWay | FlowState::TwoWay);
        let is_full_nat = service.is_some_and(|service| service.mode == Mode::FullNat);
        Some(FlowView {
            client: entry.client(),
            protocol: if is_udp { Protocol::Udp } else { Protocol::Tcp },
            service: entry.service,
            backend: entry.backend,
            local: is_full_nat.then_some((entry.local_addr, u16::from_be_bytes(entry.local_port))),
            state: entry.state,
            idle_ms: entry.idle_ms(now.wrapping_millis()),
        })
    }
}
