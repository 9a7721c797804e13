//! New flows of plain packets, in two steps, so that the memory that one needs is on its way while others are worked on:
//!
//! - *prepare*, between passes 2 and 3: service, backend, local port, and a prefetch of all that the flow will be entered into;
//! - *enter*, in pass 3: the same as [`super::open`] would come to.
//!
//! As with [`super::plain`], whatever is not as it nearly always is (a port in use, a crowded bucket, no backend) is left to
//! [`super::open`], untouched.

use super::{Lane, Pipeline, Step, Turn, Verdict};
use crate::counters::WorkerCounter;
use crate::flow::{Direction, FlowState};
use crate::flow_table::Entry;
use crate::hash::FlowHasher;
use crate::key::Protocol;
use crate::packet::{Packet, PacketPool};
use crate::plain::{End, PLAIN, Plain, Tuple};
use crate::rewrite::{pass_on_plain, translate_plain};
use crate::snapshot::{BackendId, Mode, ServiceSlot, Snapshot, Target};
use crate::wire::tcp;

/// Local ports drawn at most for a flow whose answers this worker must own, before that is left to [`super::open`].
const DRAWS: u32 = 16;

/// What is known of a flow before it is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opening {
    /// Where its packets are looked up in Maglev's table.
    shared_hash: u64,
    /// What answers are entered under, except with DSR.
    answer_hash: u64,
    pub(super) service: ServiceSlot,
    backend: BackendId,
    local_port: [u8; 2],
    local_addr: u8,
}

impl Pipeline {
    /// Prepares the lanes of plain packets that no flow is guessed for and that may open one, and the end of flows that
    /// are reset.
    #[inline(never)]
    pub(super) fn prepare_burst(&mut self, snapshot: &Snapshot, lanes: &mut [Lane]) {
        let mut openings = core::mem::take(&mut self.openings);
        for (lane, opening) in lanes.iter_mut().zip(&mut openings) {
            if !matches!(lane.step, Step::Plain | Step::Signal) {
                continue;
            }
            if lane.guess.is_some() {
                if lane.plain.tcp_flags & tcp::RST != 0 {
                    self.table.prefetch_removal(lane.guess);
                }
            } else {
                lane.step = self.offer(snapshot, &lane.plain, opening).unwrap_or(lane.step);
            }
        }
        for (lane, opening) in lanes.iter_mut().zip(&mut openings) {
            match lane.step {
                Step::Opening if !self.draw(snapshot, &lane.plain, opening) => lane.step = Step::Signal,
                Step::Signal if lane.guess.is_some() && lane.plain.tcp_flags & tcp::RST != 0 => {
                    self.table.prefetch_references(lane.guess);
                }
                _ => {}
            }
        }
        self.openings = openings;
    }

    /// Finds the service that the packet opens a flow of, or that it goes to at layer 7.
    #[inline(always)]
    fn offer(&self, snapshot: &Snapshot, plain: &Plain, opening: &mut Opening) -> Option<Step> {
        let (slot, service) = snapshot.shortcuts.offer(plain.tuple)?;
        opening.service = slot;
        let opens = match (plain.tuple.protocol(), service.mode) {
            (_, Mode::L7) => return Some(Step::L7),
            (Protocol::Udp, _) => true,
            (Protocol::Tcp, Mode::DsrMac) => plain.tcp_flags & tcp::RST == 0,
            (Protocol::Tcp, _) => plain.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN,
        };
        opening.shared_hash = FlowHasher::SHARED.hash_v4(plain.tuple);
        service.maglev.prefetch(opening.shared_hash);
        opens.then_some(Step::Opening)
    }

    /// Picks backend and local port.
    #[inline(always)]
    fn draw(&mut self, snapshot: &Snapshot, plain: &Plain, opening: &mut Opening) -> bool {
        let Some(service) = snapshot.service(opening.service) else { return false };
        let Some(slot) = service.maglev.pick(opening.shared_hash) else { return false };
        let Some(target) = snapshot.shortcuts.target(slot) else { return false };
        let may_pass = (plain.ttl > 1) & (plain.length <= target.hop.mtu);
        if !may_pass || self.table.len() == self.table.capacity() {
            return false;
        }
        opening.backend = BackendId { slot, epoch: target.epoch };
        let answer = match target.mode {
            None | Some(Mode::L7) => return false,
            Some(Mode::DsrMac) => return true,
            Some(Mode::Nat) => target.answer_to(plain.tuple.source()),
            Some(Mode::FullNat) => match self.draw_local(snapshot, target, opening) {
                Some(answer) => answer,
                None => return false,
            },
        };
        opening.answer_hash = self.hasher.hash_v4(answer);
        self.table.prefetch(opening.answer_hash);
        true
    }

    /// Draws a local address and port whose answers this worker owns; the tuple of these.
    #[inline(always)]
    fn draw_local(&mut self, snapshot: &Snapshot, target: &Target, opening: &mut Opening) -> Option<Tuple> {
        for _ in 0..DRAWS {
            let (index, port) = snapshot.local.draw(true, self.random.next())?;
            let local = End::new(snapshot.shortcuts.local(index)?, port.to_be());
            let answer = target.answer_to(local);
            if snapshot.steering.is_single()
                || snapshot.steering.owner_of_answer(&answer.key()).is_none_or(|owner| owner == self.worker)
            {
                (opening.local_addr, opening.local_port) = (index, port.to_be_bytes());
                return Some(answer);
            }
        }
        None
    }

    /// The verdict on a packet that opens a flow as prepared; `None` if it is not that simple, and then nothing has changed.
    #[inline(never)]
    pub(super) fn open_plain<A: PacketPool>(
        &mut self,
        turn: &Turn<'_, A>,
        packet: &mut A::Packet,
        lane: &Lane,
        index: usize,
    ) -> Option<Verdict> {
        let opening = *self.openings.get(index)?;
        let shortcuts = &turn.snapshot.shortcuts;
        let plain = &lane.plain;
        let target = shortcuts.target(opening.backend.slot)?;
        let mode = target.mode?;
        let hop = &target.hop;
        let answer_hash = (mode != Mode::DsrMac).then_some(opening.answer_hash);
        // Packets before it in the burst may have opened its flow, or one with its port.
        let is_new = self.table.lacks(lane.hash) && answer_hash.is_none_or(|hash| self.table.lacks(hash));
        if !is_new {
            return None;
        }
        let frame: &mut [u8; PLAIN] = packet.bytes_mut().first_chunk_mut()?;
        let client = plain.tuple.source().endpoint();
        let is_full_nat = mode == Mode::FullNat;
        let entry = Entry {
            client_addr: client.addr,
            client_port: client.port.to_be_bytes(),
            service: opening.service,
            backend: opening.backend,
            local_port: if is_full_nat { opening.local_port } else { [0; 2] },
            local_addr: if is_full_nat { opening.local_addr } else { 0 },
            state: FlowState::at_first(plain.tuple.is_tcp().then_some(plain.tcp_flags)),
            last_seen_ms: turn.now_ms,
        };
        self.enter(entry, lane.hash, answer_hash)?;
        self.counters.add(WorkerCounter::Misses, 1);
        let (service, backend) = (opening.service.0, opening.backend.slot);
        self.counters.count_packet(Direction::Forward, service, backend, u64::from(plain.length));
        let local = match mode {
            Mode::DsrMac | Mode::L7 => {
                pass_on_plain(frame, &hop.link);
                return Some(hop.verdict);
            }
            Mode::Nat => plain.tuple.source(),
            Mode::FullNat => {
                End::new(shortcuts.local(opening.local_addr)?, u16::from_ne_bytes(opening.local_port))
            }
        };
        let to = target.endpoint.from(local);
        translate_plain(frame, plain.tuple, (to.addresses(), to.ports()), &hop.link);
        Some(hop.verdict)
    }
}
