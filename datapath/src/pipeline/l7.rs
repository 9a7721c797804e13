//! What ends in the layer 7 stage: segments of clients, and ICMP errors about what it sent to them.

use super::{Pipeline, Turn, Verdict};
use crate::counters::ServiceCounter;
use crate::key::FlowKey;
use crate::packet::PacketPool;
use crate::parse::Parsed;
use crate::snapshot::{Mode, ServiceSlot, SnapshotParts};

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
}

/// The layer 7 service that packets with this key are for.
pub(super) fn l7_service(snapshot: &SnapshotParts, key: &FlowKey) -> Option<ServiceSlot> {
    let &slot = snapshot.vips.get(&(key.destination, key.protocol))?;
    snapshot.service(slot).is_some_and(|service| service.mode == Mode::L7).then_some(slot)
}
