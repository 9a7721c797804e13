//! Ports: what a worker polls and sends by, whatever device stands behind.

use crate::packet::Packet;
use crate::snapshot::{ChecksumOffload, MacAddress};

/// Packets taken from a queue at most in one turn.
pub const BURST: usize = 64;

/// One receive and transmit queue of one port, owned by one worker.
pub trait Queue {
    /// What it carries.
    type Packet: Packet;

    /// Appends at most [`BURST`] packets to `burst`, within its capacity, each marked with this port; returns how many.
    fn receive(&mut self, burst: &mut Vec<Self::Packet>) -> usize;

    /// Sends from the front of `packets` and removes what was sent; the rest, which the device had no room for,
    /// stays. Returns how many were sent.
    fn transmit(&mut self, packets: &mut Vec<Self::Packet>) -> usize;
}

/// What a started port turned out to be able to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortCapabilities {
    /// Its hardware address.
    pub mac: MacAddress,
    /// Largest network-layer packet that it sends and receives, in octets.
    pub mtu: u16,
    /// Checksums that it completes on sending.
    pub transmit_checksums: ChecksumOffload,
    /// Receive-side scaling that was set up on it: `None` where it has none or only one queue.
    pub rss: Option<Rss>,
    /// Number of its queue pairs.
    pub queues: u16,
    /// NUMA node of the device, where it is known.
    pub numa_node: Option<u8>,
}

/// How a device spreads packets over its queues: `queue = reta[toeplitz(key, tuple) % reta.len()]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rss {
    /// The Toeplitz key, 40 or 52 octets.
    pub key: Vec<u8>,
    /// The redirection table, a power of two long.
    pub reta: Vec<u16>,
}

/// A queue in memory: the wire of tests, `replay` and simulations.
#[derive(Debug, Default)]
pub struct MemoryQueue<P> {
    /// What will be received, in order.
    pub incoming: std::collections::VecDeque<P>,
    /// What was sent, in order.
    pub outgoing: Vec<P>,
    /// Packets that are taken for sending in one call; no bound where it is `None`.
    pub room: Option<usize>,
}

impl<P: Packet> Queue for MemoryQueue<P> {
    type Packet = P;

    fn receive(&mut self, burst: &mut Vec<P>) -> usize {
        let count = self.incoming.len().min(BURST).min(burst.capacity() - burst.len());
        burst.extend(self.incoming.drain(..count));
        count
    }

    fn transmit(&mut self, packets: &mut Vec<P>) -> usize {
        let count = self.room.map_or(packets.len(), |room| room.min(packets.len()));
        self.outgoing.extend(packets.drain(..count));
        count
    }
}
