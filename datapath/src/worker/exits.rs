//! Where packets leave a worker: ports, other workers, the kernel. Each packet that cannot is dropped under a reason.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::counters::{Counters, DropReason, WorkerCounter};
use crate::packet::Packet;
use crate::pipeline::Verdict;
use crate::port::{BURST, Queue};
use crate::snapshot::PortId;

#[derive(Debug)]
pub(super) struct Exits<Q: Queue> {
    ports: Vec<Exit<Q>>,
    inboxes: Vec<Arc<ArrayQueue<Q::Packet>>>,
    to_kernel: Vec<Option<Arc<ArrayQueue<Q::Packet>>>>,
}

/// A port's queue, and what waits to be sent by it at the end of the turn.
#[derive(Debug)]
struct Exit<Q: Queue> {
    queue: Q,
    pending: Vec<Q::Packet>,
}

impl<Q: Queue> Exits<Q> {
    pub(super) fn new(
        queues: Vec<Q>,
        inboxes: Vec<Arc<ArrayQueue<Q::Packet>>>,
        to_kernel: Vec<Option<Arc<ArrayQueue<Q::Packet>>>>,
    ) -> Self {
        let with_room = |queue| Exit { queue, pending: Vec::with_capacity(2 * BURST) };
        Self { ports: queues.into_iter().map(with_room).collect(), inboxes, to_kernel }
    }

    pub(super) fn ports(&self) -> usize {
        self.ports.len()
    }

    pub(super) fn queue_mut(&mut self, port: PortId) -> Option<&mut Q> {
        self.ports.get_mut(usize::from(port.0)).map(|exit| &mut exit.queue)
    }

    #[inline]
    pub(super) fn receive(&mut self, port: usize, burst: &mut Vec<Q::Packet>) -> usize {
        self.ports.get_mut(port).map_or(0, |exit| exit.queue.receive(burst))
    }

    /// Carries out the verdicts on a burst and leaves it empty. Nearly always all of its packets leave by one port.
    #[inline]
    pub(super) fn carry_out_all(
        &mut self,
        burst: &mut Vec<Q::Packet>,
        verdicts: &[Verdict],
        counters: &mut Counters,
        for_l7: &mut Vec<Q::Packet>,
    ) {
        if let Some((Verdict::Transmit(port), others)) = verdicts.split_first()
            && others.iter().all(|verdict| *verdict == Verdict::Transmit(*port))
            && let Some(exit) = self.ports.get_mut(usize::from(port.0))
            && burst.len() == verdicts.len()
        {
            if exit.pending.capacity() - exit.pending.len() < burst.len() {
                exit.flush(counters);
            }
            exit.pending.append(burst);
            return;
        }
        for (packet, verdict) in burst.drain(..).zip(verdicts) {
            self.carry_out(packet, *verdict, counters, for_l7);
        }
    }

    #[inline]
    fn carry_out(
        &mut self,
        packet: Q::Packet,
        verdict: Verdict,
        counters: &mut Counters,
        for_l7: &mut Vec<Q::Packet>,
    ) {
        match verdict {
            Verdict::Transmit(port) => self.transmit(packet, port, counters),
            Verdict::Drop(reason) => counters.dropped(reason, 1),
            Verdict::L7 => {
                counters.add(WorkerCounter::ToL7, 1);
                for_l7.push(packet);
            }
            Verdict::HandOver(worker) => {
                let inbox = self.inboxes.get(usize::from(worker.0));
                let reason = DropReason::HandOverRingFull;
                put(inbox, packet, counters, WorkerCounter::HandedOut, reason);
            }
            Verdict::Kernel(port) => {
                let ring = self.to_kernel.get(usize::from(port.0)).and_then(Option::as_ref);
                let reason = if ring.is_some() { DropReason::KernelRingFull } else { DropReason::NoTwin };
                put(ring, packet, counters, WorkerCounter::ToKernel, reason);
            }
        }
    }

    #[inline]
    pub(super) fn transmit(&mut self, packet: Q::Packet, port: PortId, counters: &mut Counters) {
        match self.ports.get_mut(usize::from(port.0)) {
            None => counters.dropped(DropReason::NoPort, 1),
            Some(exit) => {
                if exit.pending.len() == exit.pending.capacity() {
                    exit.flush(counters);
                }
                exit.pending.push(packet);
            }
        }
    }

    #[inline]
    pub(super) fn flush(&mut self, counters: &mut Counters) {
        for exit in &mut self.ports {
            if !exit.pending.is_empty() {
                exit.flush(counters);
            }
        }
    }
}

impl<Q: Queue> Exit<Q> {
    fn flush(&mut self, counters: &mut Counters) {
        let octets =
            |packets: &[Q::Packet]| packets.iter().map(|packet| packet.total_len() as u64).sum::<u64>();
        let offered = octets(&self.pending);
        let sent = self.queue.transmit(&mut self.pending);
        let unsent = octets(&self.pending);
        counters.add(WorkerCounter::Sent, sent as u64);
        counters.add(WorkerCounter::SentBytes, offered - unsent);
        counters.dropped(DropReason::TransmitFull, self.pending.len() as u64);
        self.pending.clear();
    }
}

fn put<P>(
    ring: Option<&Arc<ArrayQueue<P>>>,
    packet: P,
    counters: &mut Counters,
    counter: WorkerCounter,
    reason: DropReason,
) {
    if ring.is_some_and(|ring| ring.push(packet).is_ok()) {
        counters.add(counter, 1);
    } else {
        counters.dropped(reason, 1);
    }
}
