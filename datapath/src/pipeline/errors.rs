//! ICMP errors about flows: to the end that sent the packet which they quote.

use super::l7::l7_service;
use super::open::pick;
use super::transport::{Found, answer_key};
use super::{Lane, Pipeline, Turn, Verdict};
use crate::counters::{DropReason, WorkerCounter};
use crate::flow::{Direction, FlowState};
use crate::icmp::{source_address, translate_error};
use crate::key::FlowKey;
use crate::packet::{Packet, PacketPool};
use crate::parse::Parsed;
use crate::rewrite::{decrement_ttl, set_link_addresses};
use crate::snapshot::{Backend, Mode, NextHopId};

impl Pipeline {
    #[cold]
    pub(super) fn icmp_error<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
        quoted: (u16, u16),
    ) -> Verdict {
        let snapshot = turn.snapshot;
        let key = &lane.parsed.key;
        if let Some(slot) = l7_service(snapshot, key) {
            return self.pass_to_l7(turn, &lane.parsed, slot);
        }
        let flow = self.find(turn, key, lane.hash);
        if let Some(flow) = flow.filter(|flow| flow.entry.state == FlowState::Upstream) {
            return self.answer_to_l7(turn, &lane.parsed, &flow);
        }
        if lane.parsed.ttl <= 1 {
            return Verdict::Drop(DropReason::TtlExceeded);
        }
        let Some(flow) = flow else {
            return self.error_without_flow(turn, packet, lane);
        };
        let backend = snapshot.backend(flow.entry.backend);
        let Some(backend) = backend.filter(|backend| backend.state.keeps_flows(turn.now)) else {
            return Verdict::Drop(DropReason::NoFlow);
        };
        match flow.direction {
            Direction::Forward => self.error_to_backend(turn, packet, &lane.parsed, quoted, &flow, backend),
            Direction::Reverse => self.error_to_client(turn, packet, &lane.parsed, quoted, &flow, backend),
        }
    }

    /// The table of another balancer may have the flow, or none: with DSR Maglev still tells the backend.
    fn error_without_flow<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Verdict {
        let snapshot = turn.snapshot;
        let key = &lane.parsed.key;
        let service =
            snapshot.vips.get(&(key.destination, key.protocol)).and_then(|&slot| snapshot.service(slot));
        match service {
            Some(service) if service.mode == Mode::DsrMac => {
                let way = pick(snapshot, service, key).and_then(|(_, backend)| backend.next_hop);
                self.pass_to_backend(turn, packet, &lane.parsed, way)
            }
            Some(_) => Verdict::Drop(DropReason::NoFlow),
            None if snapshot.vip_addresses.contains(&key.destination.addr)
                || snapshot.local.contains(key.destination) =>
            {
                Verdict::Drop(DropReason::NoFlow)
            }
            None => Verdict::Kernel(packet.port()),
        }
    }

    fn pass_to_backend<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        next_hop: Option<NextHopId>,
    ) -> Verdict {
        decrement_ttl(packet.bytes_mut(), parsed);
        self.send_error(turn, packet, next_hop)
    }

    /// About a packet of the backend to the client, from the client's side.
    fn error_to_backend<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        quoted: (u16, u16),
        Found { entry, service, .. }: &Found<'_>,
        backend: &Backend,
    ) -> Verdict {
        let Some(answer) = answer_key(turn.snapshot, service, backend, entry) else {
            return self.pass_to_backend(turn, packet, parsed, backend.next_hop);
        };
        let source = (service.mode == Mode::FullNat).then_some(answer.destination.addr);
        translate_error(packet, parsed, quoted, &answer, source, backend.endpoint.addr);
        self.send_error(turn, packet, backend.next_hop)
    }

    /// About a packet of the client to the backend, from the backend's side.
    fn error_to_client<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        quoted: (u16, u16),
        Found { entry, service, .. }: &Found<'_>,
        backend: &Backend,
    ) -> Verdict {
        let sent = FlowKey { source: entry.client(), destination: service.vip, protocol: service.protocol };
        // What the backend itself complains of, the client hears from the VIP; a router on the way keeps its name.
        let ip = packet.bytes().get(usize::from(parsed.l3)..).unwrap_or_default();
        let is_backends = source_address(ip, parsed.v6) == backend.endpoint.addr;
        let source = is_backends.then_some(service.vip.addr);
        translate_error(packet, parsed, quoted, &sent, source, entry.client_addr);
        self.send_error(turn, packet, turn.snapshot.fib.lookup(entry.client_addr))
    }

    fn send_error<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        next_hop: Option<NextHopId>,
    ) -> Verdict {
        let Some(next_hop) = next_hop.and_then(|id| turn.snapshot.fib.next_hop(id)) else {
            return Verdict::Drop(DropReason::NoNextHop);
        };
        let Some(out) = turn.snapshot.ports.get(usize::from(next_hop.port.0)) else {
            return Verdict::Drop(DropReason::NoPort);
        };
        set_link_addresses(packet.bytes_mut(), next_hop.mac, out.mac);
        self.counters.add(WorkerCounter::IcmpTranslated, 1);
        Verdict::Transmit(next_hop.port)
    }
}
