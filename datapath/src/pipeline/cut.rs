//! Flows whose backend is down, gone or past its drain deadline.
//!
//! DSR and UDP flows are picked anew. Other TCP flows are cut: both ends are reset, and the flow stays as
//! [`FlowState::Cut`] for its time, since a reset may be lost or stand where its receiver does not take it. Until then
//! every packet of either end is answered again, and the sweep prompts the ends that say nothing.

use super::transport::{Found, answer_key, is_syn};
use super::{Lane, Pipeline, Turn, Verdict};
use crate::counters::{BackendCounter, DropReason, WorkerCounter};
use crate::flow::FlowState;
use crate::flow_table::{Entry, FlowId};
use crate::key::{FlowKey, Protocol};
use crate::packet::{Packet, PacketPool};
use crate::parse::Parsed;
use crate::reset::Reset;
use crate::snapshot::{Backend, MacAddress, Mode, NextHopId};
use crate::wire::tcp;

impl Pipeline {
    /// A client's packet: with DSR, UDP and new connections another backend is picked, other TCP is reset on both sides.
    #[cold]
    pub(super) fn cut_from_client<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
        found: Found<'_>,
        backend: Option<&Backend>,
    ) -> Verdict {
        let parsed = &lane.parsed;
        let Found { service, entry, .. } = found;
        if service.mode == Mode::DsrMac || parsed.key.protocol == Protocol::Udp || is_syn(parsed) {
            return self.reopen(turn, packet, lane, &found);
        }
        let Some(backend) = backend else {
            // Its slot is another's: nobody can be told but the client.
            self.close(found.id);
            return self.refuse(turn, packet, lane);
        };
        let onward = answer_key(turn.snapshot, service, backend, &entry).map(FlowKey::reversed);
        self.reset_both(turn, packet, parsed, &found, onward.zip(backend.next_hop))
    }

    /// A backend's packet: TCP is reset on both sides.
    #[cold]
    pub(super) fn cut_from_backend<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        found: Found<'_>,
    ) -> Verdict {
        if parsed.key.protocol == Protocol::Udp {
            self.close(found.id);
            return Verdict::Drop(DropReason::FlowReset);
        }
        let Found { entry, service, .. } = found;
        let to = FlowKey { source: service.vip, destination: entry.client(), protocol: service.protocol };
        let onward = turn.snapshot.fib.lookup(entry.client_addr).map(|next_hop| (to, next_hop));
        self.reset_both(turn, packet, parsed, &found, onward)
    }

    /// Forgets a flow that is over, and opens a new one for the packet of the same client.
    #[cold]
    pub(super) fn reopen<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
        Found { id, entry, service, .. }: &Found<'_>,
    ) -> Verdict {
        if service.mode == Mode::L7 {
            self.close(*id);
            return self.pass_to_l7(turn, &lane.parsed, entry.service);
        }
        self.close(*id);
        // A service that is gone from the configuration opens nothing.
        if turn.snapshot.vips.get(&(service.vip, service.protocol)) == Some(&entry.service) {
            self.open(turn, packet, lane, entry.service, service)
        } else {
            Verdict::Drop(DropReason::NoService)
        }
    }

    /// Answers the packet with a reset, and sends another one on to where it was going.
    fn reset_both<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        found: &Found<'_>,
        onward: Option<(FlowKey, NextHopId)>,
    ) -> Verdict {
        let is_reset = parsed.tcp_flags & tcp::RST != 0;
        // The end that says so is done; the other one hears of it by what it says itself.
        if is_reset && found.entry.state == FlowState::Cut {
            return Verdict::Drop(DropReason::FlowReset);
        }
        if !self.may_reset(turn.snapshot, turn.now) {
            return Verdict::Drop(DropReason::FlowReset);
        }
        self.cut(found.id, turn.now_ms);
        if let Some((to, next_hop)) = onward {
            let onward = |mac, own| Reset::onward(packet.bytes(), parsed, to, mac, own);
            self.originate(turn, next_hop, WorkerCounter::ResetsSent, onward);
        }
        // A reset is not answered with a reset (RFC 9293, section 3.5.2).
        if is_reset || !Reset::answer(packet.bytes(), parsed).write(packet) {
            return Verdict::Drop(DropReason::FlowReset);
        }
        self.counters.add(WorkerCounter::ResetsSent, 1);
        Verdict::Transmit(packet.port())
    }

    /// Marks a flow as cut. It is forgotten a fixed time after that, whatever its ends send.
    fn cut(&mut self, id: FlowId, now_ms: u32) {
        let Some(entry) = self.table.entry_mut(id).filter(|entry| entry.state != FlowState::Cut) else {
            return;
        };
        let was_unanswered = entry.state == FlowState::Handshake;
        let slot = entry.backend.slot;
        (entry.state, entry.last_seen_ms) = (FlowState::Cut, now_ms);
        if let Some(row) = self.counters.backend(slot) {
            row[BackendCounter::SynsUnanswered as usize] += u64::from(was_unanswered);
        }
    }

    /// Cuts a flow whose ends may be silent: prompts both, so that they tell where a reset must stand.
    #[cold]
    pub(super) fn prompt_for_resets<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        id: FlowId,
        entry: Entry,
        backend: &Backend,
    ) {
        let snapshot = turn.snapshot;
        let Some(service) = snapshot.service(entry.service) else { return };
        let Some(answer) = answer_key(snapshot, service, backend, &entry) else { return };
        if !entry.state.has_ends_to_reset() || !self.prompts.allows(snapshot.limits.resets, turn.now) {
            return;
        }
        self.cut(id, turn.now_ms);
        let to_client =
            FlowKey { source: service.vip, destination: entry.client(), protocol: service.protocol };
        let ends =
            [(to_client, snapshot.fib.lookup(entry.client_addr)), (answer.reversed(), backend.next_hop)];
        for (to, next_hop) in ends {
            let Some(next_hop) = next_hop else { continue };
            let numbers = self.random.next();
            let (sequence, acknowledgment) = (numbers as u32, (numbers >> 32) as u32);
            let prompt = |mac, own| Reset::prompt(to, mac, own, sequence, acknowledgment);
            self.originate(turn, next_hop, WorkerCounter::ResetsPrompted, prompt);
        }
    }

    /// Sends a segment of the balancer's own by a next hop, whose address and the port's own `segment` is given.
    fn originate<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        next_hop: NextHopId,
        counter: WorkerCounter,
        segment: impl FnOnce(MacAddress, MacAddress) -> Reset,
    ) {
        let Some(next_hop) = turn.snapshot.fib.next_hop(next_hop) else { return };
        let Some(out) = turn.snapshot.ports.get(usize::from(next_hop.port.0)) else { return };
        let has_room = turn.originated.len() < turn.originated.capacity();
        let Some(mut packet) = turn.pool.allocate().filter(|_| has_room) else {
            self.counters.add(WorkerCounter::AllocationFailures, 1);
            return;
        };
        if segment(next_hop.mac, out.mac).write(&mut packet) {
            packet.set_port(next_hop.port);
            turn.originated.push((packet, next_hop.port));
            self.counters.add(WorkerCounter::Originated, 1);
            self.counters.add(counter, 1);
        }
    }
}
