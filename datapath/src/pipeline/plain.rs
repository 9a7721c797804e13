//! The shortest way through pass 3: a plain packet of a known flow.
//!
//! It does what [`super::transport`] would do with the packet, by the snapshot's shortcuts. Whatever is not as it nearly
//! always is (the state of the flow or its backend, a way out that needs more than new octets) is left to that,
//! untouched; a test compares the two.

use super::{Lane, Pipeline, Turn, Verdict};
use crate::counters::WorkerCounter;
use crate::flow::{Direction, FlowState};
use crate::key::Protocol;
use crate::packet::{Packet, PacketPool};
use crate::plain::{End, PLAIN, Plain};
use crate::rewrite::{pass_on_plain, translate_plain};
use crate::snapshot::Mode;
use crate::wire::tcp;

impl Pipeline {
    /// The verdict on a plain and quiet packet of an open flow as guessed; `None` if it is not that simple, and then nothing
    /// has changed.
    #[inline(always)]
    pub(super) fn quiet<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Option<Verdict> {
        // Compiled once for each direction, without the other one's steps.
        match lane.guess.direction() {
            Direction::Forward => self.plain(Direction::Forward, true, turn, packet, lane),
            Direction::Reverse => self.plain(Direction::Reverse, true, turn, packet, lane),
        }
    }

    /// The same for one that may change the state of its flow.
    #[inline(never)]
    pub(super) fn signal<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Option<Verdict> {
        self.plain(lane.guess.direction(), false, turn, packet, lane)
    }

    #[inline(always)]
    fn plain<A: PacketPool>(
        &mut self,
        direction: Direction,
        is_quiet: bool,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
    ) -> Option<Verdict> {
        let shortcuts = &turn.snapshot.shortcuts;
        let plain = &lane.plain;
        let entry = self.table.guessed_mut(lane.guess)?;
        let target = shortcuts.target(entry.backend.slot)?;
        let is_alive = (entry.idle_ms(turn.now_ms) <= turn.idle_limits_ms[entry.state as usize])
            & (entry.service == target.service)
            & (entry.backend.epoch == target.epoch)
            & (plain.protocol == target.protocol);
        if !is_alive {
            return None;
        }
        let (before, mode) = (entry.state, target.mode?);
        let one_sided = mode == Mode::DsrMac;
        let after = if is_quiet {
            before.is_steady(direction, one_sided).then_some(before)?
        } else {
            state_after(before, direction, plain, one_sided)?
        };
        // It is an IPv4 one, since the VIP is.
        let client = End::new(entry.client_addr.v4_word(), entry.client_port.to_be());
        let local = match mode {
            Mode::FullNat => End::new(shortcuts.local(entry.local_addr)?, entry.local_port.to_be()),
            Mode::Nat | Mode::DsrMac | Mode::L7 => client,
        };
        let (from, to, next_hop) = match direction {
            Direction::Forward => ((client, target.vip), (local, target.endpoint), target.next_hop),
            Direction::Reverse => {
                let next_hop = turn.snapshot.fib.lookup_v4(client.address().to_ne_bytes())?;
                ((target.endpoint, local), (target.vip, client), next_hop)
            }
        };
        let hop = shortcuts.hop(next_hop)?;
        let is_its = (plain.source == from.0) & (plain.destination == from.1);
        if !(is_its & (plain.ttl > 1) & (plain.length <= hop.mtu)) {
            return None;
        }
        let frame: &mut [u8; PLAIN] = packet.bytes_mut().first_chunk_mut()?;
        if entry.last_seen_ms != turn.now_ms {
            entry.last_seen_ms = turn.now_ms;
        }
        if after != before && after != FlowState::Free {
            entry.state = after;
        }
        let (service, backend) = (entry.service.0, entry.backend.slot);
        self.counters.add(WorkerCounter::Hits, 1);
        self.counters.count_packet(direction, service, backend, u64::from(plain.length));
        if one_sided {
            pass_on_plain(frame, plain, &hop.link);
        } else {
            translate_plain(frame, plain, to, &hop.link);
        }
        if after == FlowState::Free
            && let Some((id, _)) = lane.guess.flow()
        {
            self.close(id);
        }
        Some(Verdict::Transmit(hop.port))
    }
}

/// The state of a flow after a packet that may change it; `None` where more than the state changes.
fn state_after(before: FlowState, direction: Direction, plain: &Plain, one_sided: bool) -> Option<FlowState> {
    let flags = plain.tcp_flags;
    let is_more = match direction {
        _ if matches!(before, FlowState::Free | FlowState::Cut) => true,
        // A new connection on the same tuple.
        Direction::Forward => before.is_over() && flags & (tcp::SYN | tcp::ACK) == tcp::SYN,
        // Resets of backends are counted.
        Direction::Reverse => flags & tcp::RST != 0,
    };
    if is_more {
        return None;
    }
    let flags = (plain.protocol == Protocol::Tcp).then_some(flags);
    Some(before.after(direction, flags, one_sided))
}
