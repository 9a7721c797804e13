//! TCP and UDP packets of flows that are known.

use super::{Lane, Pipeline, Turn, Verdict};
use crate::counters::{BackendCounter, DropReason, ServiceCounter, WorkerCounter};
use crate::fib::NextHop;
use crate::flow::{Direction, FlowState};
use crate::flow_table::{Entry, FlowId};
use crate::icmp::{IcmpError, generate_error};
use crate::key::{FlowKey, Protocol};
use crate::packet::{Packet, PacketPool};
use crate::parse::Parsed;
use crate::rewrite::{pass_on, set_link_addresses, translate};
use crate::snapshot::{Backend, Mode, NextHopId, Service, Snapshot};
use crate::time::Time;
use crate::wire::tcp;

/// True if a packet with this key belongs to the flow, going in this direction. A backend's packets belong only to a
/// flow of a backend that is still there (its epoch agrees).
#[inline]
pub(super) fn belongs(snapshot: &Snapshot, entry: &Entry, direction: Direction, key: &FlowKey) -> bool {
    let Some(service) = snapshot.service(entry.service) else { return false };
    if service.protocol != key.protocol {
        return false;
    }
    match direction {
        Direction::Forward => entry.client() == key.source && service.vip == key.destination,
        Direction::Reverse => snapshot.backend(entry.backend).is_some_and(|backend| {
            answer_key(snapshot, service, backend, entry).is_some_and(|answer| answer == *key)
        }),
    }
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
        Mode::Nat => {}
        Mode::FullNat => {
            destination.addr = snapshot.local.address(entry.local_addr)?;
            destination.port = entry.local_port;
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

#[inline]
fn is_expired(snapshot: &Snapshot, entry: &Entry, now: Time) -> bool {
    entry.idle_ms(now) > snapshot.timeouts.of(entry.state)
}

impl Pipeline {
    /// Finds the packet's flow, if there is one that has not expired.
    #[inline]
    pub(super) fn find(
        &mut self,
        snapshot: &Snapshot,
        now: Time,
        key: &FlowKey,
        hash: u64,
        guess: Option<(FlowId, Direction)>,
    ) -> Option<(FlowId, Direction)> {
        let right_guess = guess.filter(|&(id, direction)| {
            self.table.entry(id).is_some_and(|entry| belongs(snapshot, entry, direction, key))
        });
        let (id, direction) = right_guess
            .or_else(|| self.table.find(hash, |entry, direction| belongs(snapshot, entry, direction, key)))?;
        if is_expired(snapshot, self.table.entry(id)?, now) {
            self.expire(id);
            return None;
        }
        Some((id, direction))
    }

    #[inline]
    pub(super) fn transport<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
        guess: Option<(FlowId, Direction)>,
    ) -> Verdict {
        let snapshot = turn.snapshot;
        let key = &lane.parsed.key;
        let Some((id, direction)) = self.find(snapshot, turn.now, key, lane.hash, guess) else {
            return self.unknown(turn, packet, lane);
        };
        let entry = self.table.entry(id).copied().unwrap_or_default();
        let Some(service) = snapshot.service(entry.service) else {
            return Verdict::Drop(DropReason::NoService);
        };
        self.counters.add(WorkerCounter::Hits, 1);
        match (direction, snapshot.backend(entry.backend)) {
            (Direction::Forward, _) if is_syn(&lane.parsed) && entry.state.is_over() => {
                self.close(id);
                self.open(turn, packet, lane, entry.service, service)
            }
            (Direction::Forward, Some(backend)) if backend.state.keeps_flows(turn.now) => {
                self.deliver_to_backend(turn, packet, &lane.parsed, id, &entry, service, backend)
            }
            (Direction::Forward, gone) => self.cut_from_client(turn, packet, lane, id, &entry, service, gone),
            (Direction::Reverse, Some(backend)) if backend.state.keeps_flows(turn.now) => {
                self.deliver_to_client(turn, packet, &lane.parsed, id, &entry, service)
            }
            (Direction::Reverse, gone) => {
                self.cut_from_backend(turn, packet, &lane.parsed, id, &entry, service, gone)
            }
        }
    }

    /// Sends a client's packet to the flow's backend.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "everything that was looked up on the way, once")]
    pub(super) fn deliver_to_backend<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        id: FlowId,
        entry: &Entry,
        service: &Service,
        backend: &Backend,
    ) -> Verdict {
        let next_hop = match self.way(turn, packet, parsed, backend.next_hop) {
            Ok(next_hop) => next_hop,
            Err(verdict) => return verdict,
        };
        let octets = u64::from(parsed.length);
        if let Some(row) = self.counters.service(entry.service.0) {
            row[ServiceCounter::PacketsIn as usize] += 1;
            row[ServiceCounter::BytesIn as usize] += octets;
        }
        if let Some(row) = self.counters.backend(entry.backend.slot) {
            row[BackendCounter::PacketsIn as usize] += 1;
            row[BackendCounter::BytesIn as usize] += octets;
        }
        let to = answer_key(turn.snapshot, service, backend, entry).map(FlowKey::reversed);
        self.advance(id, entry, Direction::Forward, tcp_flags(parsed), to.is_none(), turn.now);
        send(turn.snapshot, packet, parsed, to.as_ref(), &next_hop)
    }

    /// Sends a backend's packet to the flow's client.
    #[inline]
    fn deliver_to_client<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        id: FlowId,
        entry: &Entry,
        service: &Service,
    ) -> Verdict {
        let way = turn.snapshot.fib.lookup(entry.client_addr);
        if way.is_none() {
            self.unresolved.push(entry.client_addr, turn.now);
        }
        let next_hop = match self.way(turn, packet, parsed, way) {
            Ok(next_hop) => next_hop,
            Err(verdict) => return verdict,
        };
        let octets = u64::from(parsed.length);
        if let Some(row) = self.counters.service(entry.service.0) {
            row[ServiceCounter::PacketsOut as usize] += 1;
            row[ServiceCounter::BytesOut as usize] += octets;
        }
        if let Some(row) = self.counters.backend(entry.backend.slot) {
            row[BackendCounter::PacketsOut as usize] += 1;
            row[BackendCounter::BytesOut as usize] += octets;
            row[BackendCounter::Resets as usize] += u64::from(parsed.tcp_flags & tcp::RST != 0);
        }
        self.advance(id, entry, Direction::Reverse, tcp_flags(parsed), false, turn.now);
        let to = FlowKey { source: service.vip, destination: entry.client(), protocol: service.protocol };
        send(turn.snapshot, packet, parsed, Some(&to), &next_hop)
    }

    /// The next hop, if the packet may take it; else what becomes of it.
    #[inline]
    pub(super) fn way<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packet: &mut A::Packet,
        parsed: &Parsed,
        next_hop: Option<NextHopId>,
    ) -> Result<NextHop, Verdict> {
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
        Ok(*next_hop)
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
    pub(super) fn advance(
        &mut self,
        id: FlowId,
        entry: &Entry,
        direction: Direction,
        flags: Option<u8>,
        one_sided: bool,
        now: Time,
    ) {
        let state = entry.state.after(direction, flags, one_sided);
        let last_seen_ms = now.wrapping_millis();
        if state == FlowState::Free {
            self.close(id);
        } else if (state != entry.state || last_seen_ms != entry.last_seen_ms)
            && let Some(entry) = self.table.entry_mut(id)
        {
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
