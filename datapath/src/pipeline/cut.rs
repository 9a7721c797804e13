//! Flows whose backend is down, gone or past its drain deadline.

use super::transport::{Found, answer_key, is_syn};
use super::{Lane, Pipeline, Turn, Verdict};
use crate::counters::{DropReason, WorkerCounter};
use crate::key::{FlowKey, Protocol};
use crate::packet::{Packet, PacketPool};
use crate::parse::Parsed;
use crate::reset::Reset;
use crate::snapshot::{Backend, Mode, NextHopId};
use crate::wire::tcp;

impl Pipeline {
    /// A client's packet: with DSR, UDP and new connections another backend is picked, other TCP is reset on both sides.
    #[cold]
    pub(super) fn cut_from_client<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
        Found { id, entry, service, .. }: Found<'_>,
        backend: Option<&Backend>,
    ) -> Verdict {
        self.close(id);
        let parsed = &lane.parsed;
        if service.mode == Mode::DsrMac || parsed.key.protocol == Protocol::Udp || is_syn(parsed) {
            // A service that is gone from the configuration opens nothing.
            let is_served = turn.snapshot.vips.get(&(service.vip, service.protocol)) == Some(&entry.service);
            return if is_served {
                self.open(turn, packet, lane, entry.service, service)
            } else {
                Verdict::Drop(DropReason::NoService)
            };
        }
        let onward = backend.and_then(|backend| {
            let to = answer_key(turn.snapshot, service, backend, &entry)?.reversed();
            Some((to, backend.next_hop?))
        });
        self.reset_both(turn, packet, parsed, onward)
    }

    /// A backend's packet: TCP is reset on both sides.
    #[cold]
    pub(super) fn cut_from_backend<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        Found { id, entry, service, .. }: Found<'_>,
    ) -> Verdict {
        self.close(id);
        if parsed.key.protocol == Protocol::Udp {
            return Verdict::Drop(DropReason::FlowReset);
        }
        let to = FlowKey { source: service.vip, destination: entry.client(), protocol: service.protocol };
        let onward = turn.snapshot.fib.lookup(entry.client_addr).map(|next_hop| (to, next_hop));
        self.reset_both(turn, packet, parsed, onward)
    }

    /// Answers the packet with a reset, and sends another one on to where it was going.
    fn reset_both<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        onward: Option<(FlowKey, NextHopId)>,
    ) -> Verdict {
        if !self.may_reset(turn.snapshot, turn.now) {
            return Verdict::Drop(DropReason::FlowReset);
        }
        if let Some((to, next_hop)) = onward {
            self.originate_reset(turn, packet, parsed, to, next_hop);
        }
        // A reset is not answered with a reset (RFC 9293, section 3.5.2).
        if parsed.tcp_flags & tcp::RST != 0 || !Reset::answer(packet.bytes(), parsed).write(packet) {
            return Verdict::Drop(DropReason::FlowReset);
        }
        self.counters.add(WorkerCounter::ResetsSent, 1);
        Verdict::Transmit(packet.port())
    }

    fn originate_reset<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &A::Packet,
        parsed: &Parsed,
        to: FlowKey,
        next_hop: NextHopId,
    ) {
        let Some(next_hop) = turn.snapshot.fib.next_hop(next_hop) else { return };
        let Some(out) = turn.snapshot.ports.get(usize::from(next_hop.port.0)) else { return };
        let has_room = turn.originated.len() < turn.originated.capacity();
        let Some(mut second) = turn.pool.allocate().filter(|_| has_room) else {
            self.counters.add(WorkerCounter::AllocationFailures, 1);
            return;
        };
        if Reset::onward(packet.bytes(), parsed, to, next_hop.mac, out.mac).write(&mut second) {
            second.set_port(packet.port());
            turn.originated.push((second, next_hop.port));
            self.counters.add(WorkerCounter::Originated, 1);
            self.counters.add(WorkerCounter::ResetsSent, 1);
        }
    }
}
