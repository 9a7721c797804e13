//! TCP and UDP packets of flows that are known.

use super::{Lane, Pipeline, Turn, Verdict};
use crate::counters::{BackendCounter, DropReason, WorkerCounter};
use crate::fib::NextHop;
use crate::flow::{Direction, FlowState};
use crate::flow_table::{Entry, FlowId};
use crate::icmp::{IcmpError, generate_error};
use crate::key::{FlowKey, Protocol};
use crate::packet::{Packet, PacketPool};
use crate::parse::Parsed;
use crate::rewrite::{pass_on, set_link_addresses, translate};
use crate::snapshot::{Backend, Mode, NextHopId, Service, Snapshot};
use crate::wire::tcp;

/// A flow that a packet belongs to.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) id: FlowId,
    pub(super) direction: Direction,
    /// As it was when it was found.
    pub(super) entry: Entry,
    pub(super) service: &'a Service,
}

/// The service of the flow, if a packet with this key belongs to the flow when it goes in this direction. A backend's
/// packets belong only to a flow of a backend that is still there (its epoch agrees).
#[inline]
pub(super) fn belongs<'a>(
    snapshot: &'a Snapshot,
    entry: &Entry,
    direction: Direction,
    key: &FlowKey,
) -> Option<&'a Service> {
    let service = snapshot.service(entry.service)?;
    let does = service.protocol == key.protocol
        && match direction {
            Direction::Forward => entry.client() == key.source && service.vip == key.destination,
            Direction::Reverse => {
                let backend = snapshot.backend(entry.backend)?;
                answer_key(snapshot, service, backend, entry)? == *key
            }
        };
    does.then_some(service)
}

/// The tuple of the backend's packets; `None` where they do not come this way.
#[inline]
pub(super) fn answer_key(
    snapshot: &Snapshot,
    service: &Service,
    backend: &Backend,
    entry: &Entry,
) -> Option<FlowKey> {
    let mut destination = entry.client();
    match service.mode {
        Mode::DsrMac => return None,
        // At layer 7 it is the local end of a connection of the stage's that stands in the client's place.
        Mode::Nat | Mode::L7 => {}
        Mode::FullNat => {
            destination.addr = snapshot.local.address(entry.local_addr)?;
            destination.port = u16::from_be_bytes(entry.local_port);
        }
    }
    Some(FlowKey { source: backend.endpoint, destination, protocol: service.protocol })
}

/// TCP control bits of a packet; `None` for UDP.
#[inline]
pub(super) fn tcp_flags(parsed: &Parsed) -> Option<u8> {
    (parsed.key.protocol == Protocol::Tcp).then_some(parsed.tcp_flags)
}

/// True for a packet that opens a TCP connection.
#[inline]
pub(super) fn is_syn(parsed: &Parsed) -> bool {
    parsed.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
}

impl Pipeline {
    /// The guessed flow, if it is the packet's and has not expired.
    #[inline]
    fn verified<'a, A: PacketPool>(
        &self,
        turn: &Turn<'a, A>,
        key: &FlowKey,
        (id, direction): (FlowId, Direction),
    ) -> Option<Found<'a>> {
        let entry = self.table.entry(id)?;
        let service = belongs(turn.snapshot, entry, direction, key)?;
        let is_alive = entry.idle_ms(turn.now_ms) <= turn.idle_limits_ms[entry.state as usize];
        is_alive.then_some(Found { id, direction, entry: *entry, service })
    }

    /// Finds the packet's flow, if there is one that has not expired.
    #[inline(never)]
    pub(super) fn find<'a, A: PacketPool>(
        &mut self,
        turn: &Turn<'a, A>,
        key: &FlowKey,
        hash: u64,
    ) -> Option<Found<'a>> {
        let snapshot = turn.snapshot;
        let is_it = |entry: &Entry, direction| belongs(snapshot, entry, direction, key).is_some();
        let (id, direction) = self.table.find(hash, is_it)?;
        let found = self.verified(turn, key, (id, direction));
        if found.is_none() {
            self.expire(id);
        }
        found
    }

    /// The verdict on a TCP or UDP packet of this worker.
    #[inline(never)]
    pub(super) fn transport<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Verdict {
        let guessed = lane.guess.flow().and_then(|flow| self.verified(turn, &lane.parsed.key, flow));
        match guessed.or_else(|| self.find(turn, &lane.parsed.key, lane.hash)) {
            Some(flow) => self.known(turn, packet, lane, flow),
            None => self.unknown(turn, packet, lane),
        }
    }

    /// A packet of a known flow.
    #[inline]
    fn known<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
        flow: Found<'_>,
    ) -> Verdict {
        let parsed = &lane.parsed;
        self.counters.add(WorkerCounter::Hits, 1);
        if flow.entry.state == FlowState::Upstream {
            return self.answer_to_l7(turn, parsed, &flow);
        }
        let backend = turn.snapshot.backend(flow.entry.backend);
        let is_cut = flow.entry.state == FlowState::Cut;
        match (flow.direction, backend.filter(|backend| !is_cut && backend.state.keeps_flows(turn.now))) {
            (Direction::Forward, _) if is_syn(parsed) && flow.entry.state.is_over() => {
                self.reopen(turn, packet, lane, &flow)
            }
            (Direction::Forward, Some(backend)) => {
                self.deliver_to_backend(turn, packet, parsed, flow, backend)
            }
            (Direction::Forward, None) => self.cut_from_client(turn, packet, lane, flow, backend),
            (Direction::Reverse, Some(_)) => self.deliver_to_client(turn, packet, parsed, flow),
            (Direction::Reverse, None) => self.cut_from_backend(turn, packet, parsed, flow),
        }
    }

    /// Sends a client's packet to the flow's backend.
    #[inline]
    fn deliver_to_backend<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        flow: Found<'_>,
        backend: &Backend,
    ) -> Verdict {
        let next_hop = match self.way(turn, packet, parsed, backend.next_hop) {
            Ok(next_hop) => next_hop,
            Err(verdict) => return verdict,
        };
        self.count(&flow.entry, flow.direction, parsed);
        let to = answer_key(turn.snapshot, flow.service, backend, &flow.entry).map(FlowKey::reversed);
        self.advance(&flow, tcp_flags(parsed), to.is_none(), turn.now_ms);
        send(turn.snapshot, packet, parsed, to.as_ref(), next_hop)
    }

    /// Counts a packet for the service and the backend of its flow.
    pub(super) fn count(&mut self, entry: &Entry, direction: Direction, parsed: &Parsed) {
        let octets = u64::from(parsed.length);
        self.counters.count_packet(direction, entry.service.0, entry.backend.slot, octets);
    }

    /// Sends a backend's packet to the flow's client.
    #[inline(never)]
    fn deliver_to_client<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        flow: Found<'_>,
    ) -> Verdict {
        let entry = &flow.entry;
        let way = turn.snapshot.fib.lookup(entry.client_addr);
        if way.is_none() {
            self.unresolved.push(entry.client_addr, turn.now);
        }
        let next_hop = match self.way(turn, packet, parsed, way) {
            Ok(next_hop) => next_hop,
            Err(verdict) => return verdict,
        };
        self.count(entry, flow.direction, parsed);
        if parsed.tcp_flags & tcp::RST != 0
            && let Some(row) = self.counters.backend(entry.backend.slot)
        {
            row[BackendCounter::Resets as usize] += 1;
        }
        self.advance(&flow, tcp_flags(parsed), false, turn.now_ms);
        let service = flow.service;
        let to = FlowKey { source: service.vip, destination: entry.client(), protocol: service.protocol };
        send(turn.snapshot, packet, parsed, Some(&to), next_hop)
    }

    /// The next hop, if the packet may take it; else what becomes of it.
    #[inline]
    pub(super) fn way<'a, A: PacketPool>(
        &mut self,
        turn: &Turn<'a, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        next_hop: Option<NextHopId>,
    ) -> Result<&'a NextHop, Verdict> {
        let next_hop = next_hop
            .and_then(|id| turn.snapshot.fib.next_hop(id))
            .ok_or(Verdict::Drop(DropReason::NoNextHop))?;
        if parsed.ttl <= 1 {
            return Err(self.complain(
                turn,
                packet,
                parsed,
                IcmpError::TimeExceeded,
                DropReason::TtlExceeded,
            ));
        }
        if parsed.length > next_hop.mtu {
            let error = IcmpError::TooBig(next_hop.mtu);
            return Err(self.complain(turn, packet, parsed, error, DropReason::TooBig));
        }
        Ok(next_hop)
    }

    /// Makes the packet an ICMP error to its sender, as often as that is allowed.
    #[cold]
    fn complain<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        error: IcmpError,
        reason: DropReason,
    ) -> Verdict {
        let source = parsed.key.destination.addr;
        let is_ours =
            turn.snapshot.vip_addresses.contains(&source) || turn.snapshot.local.has_address(source);
        // Answers of backends in NAT mode are addressed to the client, whose name is not ours to speak in.
        if is_ours
            && self.icmp.allows(turn.snapshot.limits.icmp, turn.now)
            && generate_error(packet, parsed, error, source)
        {
            self.counters.add(WorkerCounter::IcmpGenerated, 1);
            return Verdict::Transmit(packet.port());
        }
        Verdict::Drop(reason)
    }

    /// Records what a packet says of its flow.
    #[inline]
    fn advance(&mut self, flow: &Found<'_>, flags: Option<u8>, one_sided: bool, last_seen_ms: u32) {
        let state = flow.entry.state.after(flow.direction, flags, one_sided);
        if state == flow.entry.state && last_seen_ms == flow.entry.last_seen_ms {
            return;
        }
        if state == FlowState::Free {
            self.close(flow.id);
        } else if let Some(entry) = self.table.entry_mut(flow.id) {
            entry.state = state;
            entry.last_seen_ms = last_seen_ms;
        }
    }
}

/// Rewrites the packet for its way out: its tuple becomes `to`, or stays as it is (DSR).
#[inline]
pub(super) fn send<P: Packet>(
    snapshot: &Snapshot,
    packet: &mut P,
    parsed: &Parsed,
    to: Option<&FlowKey>,
    next_hop: &NextHop,
) -> Verdict {
    let port = |port: crate::snapshot::PortId| snapshot.ports.get(usize::from(port.0));
    let Some(out) = port(next_hop.port) else { return Verdict::Drop(DropReason::NoPort) };
    let recompute = port(packet.port()).is_some_and(|port| port.recompute_checksums);
    match to {
        Some(to) => translate(packet, parsed, to, out.offload, recompute),
        None => pass_on(packet, parsed, recompute),
    }
    set_link_addresses(packet.bytes_mut(), next_hop.mac, out.mac);
    Verdict::Transmit(next_hop.port)
}
