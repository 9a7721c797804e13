//! Packets without a flow: new flows, strays, and what is the kernel's. And the end of flows.

use super::transport::{answer_key, belongs, is_syn, send, tcp_flags};
use super::{Lane, Pipeline, Turn, Verdict};
use crate::counters::{BackendCounter, DropReason, ServiceCounter, WorkerCounter};
use crate::flow::{Direction, FlowState};
use crate::flow_table::{Entry, FlowId};
use crate::hash::FlowHasher;
use crate::key::{Endpoint, FlowKey, Protocol};
use crate::packet::{Packet, PacketPool};
use crate::reset::Reset;
use crate::snapshot::{
    Backend, BackendId, BackendState, Mode, Service, ServiceSlot, Snapshot, SnapshotParts,
};
use crate::time::Time;
use crate::wire::tcp;

/// Local ports that are tried for a new full-NAT flow before it is refused. With a share p of them in use, p^32 fail.
const PORT_PROBES: u32 = 32;

/// Where a flow of the balancer's own leaves from.
pub(super) struct Local {
    /// Of the address, among the local ones.
    index: u8,
    pub(super) end: Endpoint,
    /// What answers are entered under.
    pub(super) answer_hash: u64,
}

impl Pipeline {
    /// What becomes of a TCP or UDP packet that no flow is known for.
    pub(super) fn unknown<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Verdict {
        let snapshot = turn.snapshot;
        let key = &lane.parsed.key;
        if let Some(&slot) = snapshot.vips.get(&(key.destination, key.protocol))
            && let Some(service) = snapshot.service(slot)
        {
            if service.mode == Mode::L7 {
                return self.pass_to_l7(turn, &lane.parsed, slot);
            }
            self.counters.add(WorkerCounter::Misses, 1);
            return self.open(turn, packet, lane, slot, service);
        }
        if snapshot.vip_addresses.contains(&key.destination.addr) {
            return Verdict::Drop(DropReason::NoService);
        }
        if snapshot.local.contains(key.destination) {
            return self.refuse(turn, packet, lane);
        }
        if snapshot.kernel_addresses.contains(&key.destination.addr) {
            return Verdict::Kernel(packet.port());
        }
        if snapshot.nat_endpoints.contains(&(key.source, key.protocol)) {
            return self.refuse(turn, packet, lane);
        }
        Verdict::Kernel(packet.port())
    }

    /// Answers a stray TCP packet with a reset, as often as that is allowed.
    pub(super) fn refuse<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Verdict {
        let parsed = &lane.parsed;
        if parsed.key.protocol != Protocol::Tcp || parsed.tcp_flags & tcp::RST != 0 {
            return Verdict::Drop(DropReason::NoFlow);
        }
        if !self.may_reset(turn.snapshot, turn.now) {
            return Verdict::Drop(DropReason::NoFlow);
        }
        if !Reset::answer(packet.bytes(), parsed).write(packet) {
            return Verdict::Drop(DropReason::NoFlow);
        }
        self.counters.add(WorkerCounter::ResetsSent, 1);
        Verdict::Transmit(packet.port())
    }

    /// True if the rate limit allows one more reset; counted if it does not.
    pub(super) fn may_reset(&mut self, snapshot: &Snapshot, now: Time) -> bool {
        let allowed = self.resets.allows(snapshot.limits.resets, now);
        self.counters.add(WorkerCounter::ResetsLimited, u64::from(!allowed));
        allowed
    }

    /// Opens a flow and sends its first packet on.
    pub(super) fn open<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
        slot: ServiceSlot,
        service: &Service,
    ) -> Verdict {
        let parsed = &lane.parsed;
        let snapshot = turn.snapshot;
        let one_sided = service.mode == Mode::DsrMac;
        if !one_sided && parsed.key.protocol == Protocol::Tcp && !is_syn(parsed) {
            return self.refuse(turn, packet, lane);
        }
        let Some((backend_id, backend)) = pick(snapshot, service, &parsed.key) else {
            if let Some(row) = self.counters.service(slot.0) {
                row[ServiceCounter::Unserved as usize] += 1;
            }
            return Verdict::Drop(DropReason::NoBackend);
        };
        let next_hop = match self.way(turn, packet, parsed, backend.next_hop) {
            Ok(next_hop) => next_hop,
            Err(verdict) => return verdict,
        };
        let entry = Entry {
            client_addr: parsed.key.source.addr,
            client_port: parsed.key.source.port.to_be_bytes(),
            service: slot,
            backend: backend_id,
            state: FlowState::at_first(tcp_flags(parsed)),
            last_seen_ms: turn.now.wrapping_millis(),
            ..Entry::default()
        };
        let opened = match service.mode {
            Mode::FullNat => self.open_full_nat(snapshot, lane.hash, entry, service, backend),
            Mode::Nat => self.open_nat(turn, lane.hash, entry, service, backend),
            Mode::DsrMac | Mode::L7 => Ok(self.open_dsr(lane.hash, entry)),
        };
        let entry = match opened {
            Ok(entry) => entry,
            Err(reason) => return Verdict::Drop(reason),
        };
        self.count(&entry, Direction::Forward, parsed);
        let to = answer_key(snapshot, service, backend, &entry).map(FlowKey::reversed);
        send(snapshot, packet, parsed, to.as_ref(), next_hop)
    }

    /// Enters a flow that leaves from a local address and port of its own.
    fn open_full_nat(
        &mut self,
        snapshot: &Snapshot,
        hash: u64,
        mut entry: Entry,
        service: &Service,
        backend: &Backend,
    ) -> Result<Entry, DropReason> {
        let Local { index, end, answer_hash } = self.free_local(snapshot, backend, service.protocol)?;
        (entry.local_addr, entry.local_port) = (index, end.port.to_be_bytes());
        self.enter(entry, hash, Some(answer_hash)).ok_or(DropReason::FlowTableFull)?;
        Ok(entry)
    }

    /// Draws a local address and port that no flow to the backend's endpoint has and whose answers this worker owns.
    pub(super) fn free_local(
        &mut self,
        snapshot: &Snapshot,
        backend: &Backend,
        protocol: Protocol,
    ) -> Result<Local, DropReason> {
        if self.table.len() == self.table.capacity() {
            return Err(DropReason::FlowTableFull);
        }
        let source = backend.endpoint;
        let is_v4 = source.addr.is_v4();
        let workers = u32::from(snapshot.steering.workers());
        let mut probes = 0;
        // A candidate is owned with probability 1 / workers; four times as many draws hardly ever run short.
        for _ in 0..PORT_PROBES * workers * 4 {
            let Some((index, port)) = snapshot.local.draw(is_v4, self.random.next()) else { break };
            let Some(addr) = snapshot.local.address(index) else { break };
            let end = Endpoint { addr, port };
            let answer = FlowKey { source, destination: end, protocol };
            if snapshot.steering.owner_of_answer(&answer).is_some_and(|owner| owner != self.worker) {
                continue;
            }
            let answer_hash = self.hasher.hash(&answer);
            let taken = self.table.find(answer_hash, |other, direction| {
                direction == Direction::Reverse && belongs(snapshot, other, direction, &answer).is_some()
            });
            if taken.is_none() {
                return Ok(Local { index, end, answer_hash });
            }
            probes += 1;
            if probes == PORT_PROBES {
                break;
            }
        }
        Err(DropReason::NoLocalPort)
    }

    fn open_nat<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        hash: u64,
        entry: Entry,
        service: &Service,
        backend: &Backend,
    ) -> Result<Entry, DropReason> {
        let answer = answer_key(turn.snapshot, service, backend, &entry).ok_or(DropReason::NoFlow)?;
        let answer_hash = self.hasher.hash(&answer);
        if let Some(other) = self.find(turn, &answer, answer_hash) {
            if !other.entry.state.is_over() {
                return Err(DropReason::NatAmbiguous);
            }
            self.close(other.id);
        }
        self.enter(entry, hash, Some(answer_hash)).ok_or(DropReason::FlowTableFull)?;
        Ok(entry)
    }

    /// Without room, or for a first packet that is a reset, Maglev's answer is good enough (and the same the next time).
    fn open_dsr(&mut self, hash: u64, entry: Entry) -> Entry {
        if entry.state == FlowState::ClientReset || self.enter(entry, hash, None).is_none() {
            self.counters.add(WorkerCounter::Stateless, 1);
        }
        entry
    }

    #[inline]
    pub(super) fn enter(&mut self, entry: Entry, hash: u64, answer_hash: Option<u64>) -> Option<FlowId> {
        let id = self.table.insert(entry, hash, answer_hash).ok()?;
        if let Some(row) = self.counters.service(entry.service.0) {
            row[ServiceCounter::FlowsOpened as usize] += 1;
            row[ServiceCounter::FlowsActive as usize] += 1;
        }
        self.count_opened(&entry);
        Some(id)
    }

    /// Counts a flow that was entered, as far as worker and backend are concerned.
    #[inline]
    pub(super) fn count_opened(&mut self, entry: &Entry) {
        self.counters.add(WorkerCounter::FlowsOpened, 1);
        self.counters.set(WorkerCounter::FlowsActive, u64::from(self.table.len()));
        if let Some(row) = self.counters.backend(entry.backend.slot) {
            row[BackendCounter::FlowsOpened as usize] += 1;
            row[BackendCounter::FlowsActive as usize] += 1;
        }
    }

    /// Forgets a flow.
    pub(super) fn close(&mut self, id: FlowId) {
        let Some(entry) = self.table.remove(id) else { return };
        self.counters.add(WorkerCounter::FlowsClosed, 1);
        self.counters.set(WorkerCounter::FlowsActive, u64::from(self.table.len()));
        // Of a service at layer 7 it is the clients' connections that count.
        if entry.state != FlowState::Upstream
            && let Some(row) = self.counters.service(entry.service.0)
        {
            let active = &mut row[ServiceCounter::FlowsActive as usize];
            *active = active.saturating_sub(1);
        }
        if let Some(row) = self.counters.backend(entry.backend.slot) {
            let active = &mut row[BackendCounter::FlowsActive as usize];
            *active = active.saturating_sub(1);
            row[BackendCounter::SynsUnanswered as usize] += u64::from(entry.state == FlowState::Handshake);
        }
    }

    /// Forgets a flow that was silent for too long.
    pub(super) fn expire(&mut self, id: FlowId) {
        self.counters.add(WorkerCounter::FlowsExpired, 1);
        self.close(id);
    }
}

/// The backend that Maglev gives a flow.
pub(super) fn pick<'a>(
    snapshot: &'a SnapshotParts,
    service: &Service,
    key: &FlowKey,
) -> Option<(BackendId, &'a Backend)> {
    let slot = service.maglev.pick(FlowHasher::SHARED.hash(key))?;
    let backend = snapshot.backends.get(usize::from(slot))?.as_ref()?;
    (backend.state == BackendState::Active).then_some((BackendId { slot, epoch: backend.epoch }, backend))
}
