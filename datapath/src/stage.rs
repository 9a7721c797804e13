//! What a worker does above layer 4: a stage takes the packets that forwarding passes to it, and sends packets of its own.
//!
//! The worker drives it, once in each turn of its loop, and knows nothing else of it. Invariants of every stage:
//! - time, packets and memory are arguments: it reads no clock, polls no port and makes no thread;
//! - one call of [`Stage::turn`] does a bounded amount of work, so that packets of layer 4 wait for a bounded time.

use core::any::Any;

use crate::key::Addr;
use crate::packet::PacketPool;
use crate::parse::Parsed;
use crate::pipeline::Pipeline;
use crate::snapshot::{PortId, Snapshot};
use crate::time::Time;

/// What a stage works with, in one turn of its worker.
#[derive(Debug)]
pub struct Turn<'a, A: PacketPool> {
    /// The time.
    pub now: Time,
    /// What the worker forwards by.
    pub snapshot: &'a Snapshot,
    /// Where packets come from.
    pub pool: &'a mut A,
    /// What the worker forwards with: its counters, and its flows, among which connections of the stage's own have theirs.
    pub pipeline: &'a mut Pipeline,
    /// What is sent, and the ports to send it by: added to what is there, up to the capacity.
    pub out: &'a mut Vec<(A::Packet, PortId)>,
    /// Set to an address that nothing can be sent to for want of a neighbour, so that somebody looks for it.
    pub unresolved: Option<Addr>,
}

/// See the module.
pub trait Stage<A: PacketPool> {
    /// The worker forwards by this snapshot from now on.
    fn adopt(&mut self, now: Time, snapshot: &Snapshot);

    /// Takes all of `packets`, and what was read of each: TCP to a layer 7 service and from its backends,
    /// and ICMP errors about what was sent to either.
    fn receive(&mut self, turn: &mut Turn<'_, A>, packets: &mut Vec<A::Packet>, parsed: &[Parsed]);

    /// Does what is due, within its bounds; true if there was anything.
    fn turn(&mut self, turn: &mut Turn<'_, A>) -> bool;

    /// When [`Stage::turn`] wants to be called next if no packet comes before: the past if there is more to do at once.
    fn deadline(&self) -> Option<Time>;

    /// Answers a question of the control thread, in the memory that came with it. What is asked is the stage's affair.
    fn answer(&mut self, now: Time, question: &mut (dyn Any + Send));

    /// Shows others what it has counted.
    fn publish(&mut self);
}

/// The stage of a worker that has none.
impl<A: PacketPool> Stage<A> for () {
    #[inline]
    fn adopt(&mut self, _: Time, _: &Snapshot) {}

    #[inline]
    fn receive(&mut self, _: &mut Turn<'_, A>, packets: &mut Vec<A::Packet>, _: &[Parsed]) {
        packets.clear();
    }

    #[inline]
    fn turn(&mut self, _: &mut Turn<'_, A>) -> bool {
        false
    }

    #[inline]
    fn deadline(&self) -> Option<Time> {
        None
    }

    #[inline]
    fn answer(&mut self, _: Time, _: &mut (dyn Any + Send)) {}

    #[inline]
    fn publish(&mut self) {}
}
