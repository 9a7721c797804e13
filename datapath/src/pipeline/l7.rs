//! What ends in the layer 7 stage: segments of clients and backends, and ICMP errors about what it sent to them. And where its
//! connections to backends leave from.

use super::open::Local;
use super::transport::{Found, belongs};
use super::{Pipeline, Turn, Verdict};
use crate::counters::{BackendCounter, DropReason, ServiceCounter};
use crate::flow::{Direction, FlowState};
use crate::flow_table::{Entry, FlowId};
use crate::key::{Endpoint, FlowKey, Protocol};
use crate::packet::PacketPool;
use crate::parse::{Content, Parsed};
use crate::snapshot::{BackendId, Mode, ServiceSlot, Snapshot, SnapshotParts};
use crate::time::Time;
use crate::wire::tcp;

impl Pipeline {
    /// Passes a packet to the layer 7 stage, for the service in `slot`.
    pub(super) fn pass_to_l7<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        parsed: &Parsed,
        slot: ServiceSlot,
    ) -> Verdict {
        if let Some(row) = self.counters.service(slot.0) {
            row[ServiceCounter::PacketsIn as usize] += 1;
            row[ServiceCounter::BytesIn as usize] += u64::from(parsed.length);
        }
        turn.parsed.push(*parsed);
        Verdict::L7
    }

    /// Passes a packet to the layer 7 stage that belongs to a connection of the stage's to a backend.
    pub(super) fn answer_to_l7<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        parsed: &Parsed,
        flow: &Found<'_>,
    ) -> Verdict {
        if let Some(row) = self.counters.backend(flow.entry.backend.slot) {
            let is_reset = parsed.content == Content::Transport && parsed.tcp_flags & tcp::RST != 0;
            row[BackendCounter::PacketsOut as usize] += 1;
            row[BackendCounter::BytesOut as usize] += u64::from(parsed.length);
            row[BackendCounter::Resets as usize] += u64::from(is_reset);
        }
        if let Some(entry) = self.table.entry_mut(flow.id) {
            entry.last_seen_ms = turn.now_ms;
        }
        turn.parsed.push(*parsed);
        Verdict::L7
    }

    /// Opens a flow for a connection of the layer 7 stage to a backend, from a local end whose answers come to this worker. It lasts until
    /// it is given to [`Pipeline::close_upstream`], whatever becomes of the backend.
    ///
    /// # Errors
    /// The backend is gone, or there is no room or no local port for it.
    pub fn open_upstream(
        &mut self,
        snapshot: &Snapshot,
        now: Time,
        id: BackendId,
    ) -> Result<(FlowId, Endpoint), DropReason> {
        let backend = snapshot.backend(id).ok_or(DropReason::NoBackend)?;
        let Local { end, answer_hash, .. } = self.free_local(snapshot, backend, Protocol::Tcp)?;
        let entry = Entry {
            client_addr: end.addr,
            client_port: end.port.to_be_bytes(),
            service: backend.service,
            backend: id,
            state: FlowState::Upstream,
            last_seen_ms: now.wrapping_millis(),
            ..Entry::default()
        };
        let flow =
            self.table.insert_reverse(entry, answer_hash).map_err(|_full| DropReason::FlowTableFull)?;
        self.count_opened(&entry);
        Ok((flow, end))
    }

    /// Forgets a flow that [`Pipeline::open_upstream`] opened.
    pub fn close_upstream(&mut self, id: FlowId) {
        if self.table.entry(id).is_some_and(|entry| entry.state == FlowState::Upstream) {
            self.close(id);
        }
    }

    /// Counts a packet that the layer 7 stage sends, for the service or the backend whose connection it is of.
    pub fn count_sent(&mut self, snapshot: &Snapshot, from: Endpoint, to: Endpoint, octets: u64) {
        if let Some(slot) = snapshot.vips.get(&(from, Protocol::Tcp)) {
            if let Some(row) = self.counters.service(slot.0) {
                row[ServiceCounter::PacketsOut as usize] += 1;
                row[ServiceCounter::BytesOut as usize] += octets;
            }
            return;
        }
        let answer = FlowKey { source: to, destination: from, protocol: Protocol::Tcp };
        let is_it = |entry: &Entry, direction| {
            direction == Direction::Reverse && belongs(snapshot, entry, direction, &answer).is_some()
        };
        let found = self.table.find(self.hasher.hash(&answer), is_it);
        let entry = found.and_then(|(id, _)| self.table.entry(id));
        if let Some(row) = entry.and_then(|entry| self.counters.backend(entry.backend.slot)) {
            row[BackendCounter::PacketsIn as usize] += 1;
            row[BackendCounter::BytesIn as usize] += octets;
        }
    }
}

/// The layer 7 service that packets with this key are for.
pub(super) fn l7_service(snapshot: &SnapshotParts, key: &FlowKey) -> Option<ServiceSlot> {
    let &slot = snapshot.vips.get(&(key.destination, key.protocol))?;
    snapshot.service(slot).is_some_and(|service| service.mode == Mode::L7).then_some(slot)
}
