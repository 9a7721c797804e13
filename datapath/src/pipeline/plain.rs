//! The shortest way through pass 3: plain packets of known flows.
//!
//! It does what [`super::transport`] would do with the packet, by the snapshot's shortcuts. Whatever is not as it nearly
//! always is (the state of the flow or its backend, a way out that needs more than new octets) is left to that,
//! untouched; a test compares the two.
//!
//! Quiet packets, which change nothing about their flow, are taken in runs, in two steps: *recognize* finds out what each
//! becomes, and *rewrite* writes that. In a run no packet has a bearing on what another one becomes.

use super::{Lane, Pipeline, Step, Turn, Verdict};
use crate::counters::WorkerCounter;
use crate::flow::{Direction, FlowState};
use crate::flow_table::Entry;
use crate::packet::{Packet, PacketPool};
use crate::plain::{End, PLAIN, Plain, Tuple};
use crate::rewrite::{pass_on_plain, translate_plain};
use crate::snapshot::{Hop, Shortcuts, Snapshot, Target};
use crate::wire::tcp;

/// What a plain packet of a known flow becomes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    /// Its addresses and ports, as [`crate::plain::Tuple`] has them.
    addresses: u64,
    ports: u32,
    /// Destination and source of its Ethernet header.
    link: [u8; 12],
}

impl Way {
    #[inline(always)]
    fn set_tuple(&mut self, tuple: Tuple) {
        (self.addresses, self.ports) = (tuple.addresses(), tuple.ports());
    }

    /// Rewrites the packet for it.
    #[inline(always)]
    fn take<P: Packet>(&self, packet: &mut P, from: Tuple, is_translated: bool) {
        if let Some(frame) = packet.bytes_mut().first_chunk_mut::<PLAIN>() {
            if is_translated {
                translate_plain(frame, from, (self.addresses, self.ports), &self.link);
            } else {
                pass_on_plain(frame, &self.link);
            }
        }
    }
}

impl Pipeline {
    /// Finds out what the packets of a run of plain and quiet ones become: a lane is [`Step::Translate`] or [`Step::PassOn`]
    /// then, or as it was if it is not that simple.
    #[inline(never)]
    pub(super) fn recognize_run<A: PacketPool>(&mut self, turn: &Turn<'_, A>, lanes: &mut [Lane]) {
        let length = lanes.len();
        let mut others = 0;
        for lane in lanes {
            // Compiled once for each direction, without the other one's steps.
            let step = match lane.guess.direction() {
                Direction::Forward => self.recognize::<_, false>(Direction::Forward, turn, lane),
                Direction::Reverse => self.recognize::<_, false>(Direction::Reverse, turn, lane),
            };
            match step {
                Some((step, _)) => lane.step = step,
                None => others += 1,
            }
        }
        self.counters.add(WorkerCounter::Hits, (length - others) as u64);
    }

    /// The verdict on a packet that may change the state of its flow; `None` if it is not that simple, and then nothing has
    /// changed.
    #[inline(never)]
    pub(super) fn signal<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &mut Lane,
    ) -> Option<Verdict> {
        let (step, after) = self.recognize::<_, true>(lane.guess.direction(), turn, lane)?;
        self.counters.add(WorkerCounter::Hits, 1);
        if after == FlowState::Free
            && let Some((id, _)) = lane.guess.flow()
        {
            self.close(id);
        }
        lane.way.take(packet, lane.plain.tuple, step == Step::Translate);
        Some(lane.verdict)
    }

    /// What a packet of an open flow as guessed becomes, and the state of the flow after it, which only `SIGNAL`s may change.
    #[inline(always)]
    fn recognize<A: PacketPool, const SIGNAL: bool>(
        &mut self,
        direction: Direction,
        turn: &Turn<'_, A>,
        lane: &mut Lane,
    ) -> Option<(Step, FlowState)> {
        let shortcuts = &turn.snapshot.shortcuts;
        let entry = self.table.guessed_mut(lane.guess)?;
        let target = shortcuts.target(entry.backend.slot)?;
        let before = entry.state;
        let is_its = entry.service == target.service && entry.backend.epoch == target.epoch;
        if !is_its || !turn.is_alive(before, entry.last_seen_ms) {
            return None;
        }
        let after = match SIGNAL {
            true if target.mode.is_none() => return None,
            true => state_after(before, direction, &lane.plain, target.is_one_sided)?,
            false if target.is_steady(before, direction) => before,
            false => return None,
        };
        let (step, hop) = match direction {
            Direction::Forward => lane.lead_to_backend(shortcuts, entry, target)?,
            Direction::Reverse => lane.lead_to_client(turn.snapshot, entry, target)?,
        };
        if lane.plain.ttl <= 1 || lane.plain.length > hop.mtu {
            return None;
        }
        (lane.way.link, lane.verdict) = (hop.link, hop.verdict);
        entry.last_seen_ms = turn.now_ms;
        if SIGNAL && after != FlowState::Free {
            entry.state = after;
        }
        let (service, backend) = (entry.service.0, entry.backend.slot);
        self.counters.count_packet(direction, service, backend, u64::from(lane.plain.length));
        Some((step, after))
    }

    /// Rewrites the packets of a run; those that were not recognized are decided on one by one. `first` is the index of the
    /// first.
    #[inline(always)]
    pub(super) fn rewrite_run<A: PacketPool>(
        &mut self,
        turn: &mut Turn<'_, A>,
        packets: &mut [A::Packet],
        lanes: &mut [Lane],
        verdicts: &mut [Verdict],
        first: usize,
    ) {
        for (index, ((lane, packet), verdict)) in (first..).zip(lanes.iter_mut().zip(packets).zip(verdicts)) {
            match lane.step {
                Step::Translate => lane.way.take(packet, lane.plain.tuple, true),
                Step::PassOn => lane.way.take(packet, lane.plain.tuple, false),
                _ => lane.verdict = self.decide(turn, packet, lane, index),
            }
            *verdict = lane.verdict;
        }
    }
}

impl Lane {
    /// Where the packet goes if it is the client's of this flow, of IPv4 as its VIP is.
    #[inline(always)]
    fn lead_to_backend<'a>(
        &mut self,
        shortcuts: &Shortcuts,
        entry: &Entry,
        target: &'a Target,
    ) -> Option<(Step, &'a Hop)> {
        let client = client(entry);
        if self.plain.tuple != target.vip.from(client) {
            return None;
        }
        if target.is_one_sided {
            return Some((Step::PassOn, &target.hop));
        }
        let local = if target.is_full_nat { local(shortcuts, entry)? } else { client };
        self.way.set_tuple(target.endpoint.from(local));
        Some((Step::Translate, &target.hop))
    }

    /// Where the packet goes if it is the backend's of this flow.
    #[inline(always)]
    fn lead_to_client<'a>(
        &mut self,
        snapshot: &'a Snapshot,
        entry: &Entry,
        target: &Target,
    ) -> Option<(Step, &'a Hop)> {
        let client = client(entry);
        let local = if target.is_full_nat { local(&snapshot.shortcuts, entry)? } else { client };
        if self.plain.tuple != target.endpoint.from(local).reversed() {
            return None;
        }
        self.way.set_tuple(target.vip.from(client).reversed());
        let next_hop = snapshot.fib.lookup_v4(entry.client_addr.v4_octets())?;
        Some((Step::Translate, snapshot.shortcuts.hop(next_hop)?))
    }
}

#[inline(always)]
fn client(entry: &Entry) -> End {
    End::new(entry.client_addr.v4_word(), u16::from_ne_bytes(entry.client_port))
}

/// Where full NAT sends from.
#[inline(always)]
fn local(shortcuts: &Shortcuts, entry: &Entry) -> Option<End> {
    Some(End::new(shortcuts.local(entry.local_addr)?, u16::from_ne_bytes(entry.local_port)))
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
    let flags = plain.tuple.is_tcp().then_some(flags);
    Some(before.after(direction, flags, one_sided))
}
