//! Packets as the pipeline sees them: bytes with headroom, and what the port said of them.

use std::rc::Rc;

use crate::snapshot::PortId;

/// What a port found out about a checksum while receiving.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChecksumStatus {
    /// The port did not look: software must, where it matters.
    #[default]
    Unknown,
    /// The port verified it.
    Good,
    /// The port verified it and it is wrong.
    Bad,
}

/// What the port says of a received packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// The IPv4 header checksum.
    pub ip_checksum: ChecksumStatus,
    /// The TCP or UDP checksum.
    pub l4_checksum: ChecksumStatus,
    /// The RSS hash, where the port computed one.
    pub rss_hash: Option<u32>,
}

/// Checksums that the sending port is asked to complete.
///
/// For each one asked, the packet already holds what the device wants to find there: zero in the IPv4 header, the
/// pseudo-header's sum (not complemented) in TCP or UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TransmitOffload {
    /// Length of the link header, in octets.
    pub l2_len: u8,
    /// Length of the network header, in octets.
    pub l3_len: u16,
    /// True for IPv6.
    pub is_v6: bool,
    /// Complete the IPv4 header checksum.
    pub ip_checksum: bool,
    /// Complete the transport checksum of this protocol.
    pub l4_checksum: Option<crate::key::Protocol>,
}

/// One frame, owned: dropping it gives its memory back to where it came from.
///
/// The first segment begins with the Ethernet header and holds every header that the pipeline reads; a frame may
/// go on in further segments, which nothing here looks into.
pub trait Packet: Sized + Send {
    /// The same memory when it has several owners.
    type Shared: SharedPacket;

    /// Gives the packet up to be shared: nobody changes it any more.
    fn into_shared(self) -> Self::Shared;

    /// The first segment.
    fn bytes(&self) -> &[u8];

    /// The first segment, to rewrite.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Octets in all segments.
    fn total_len(&self) -> usize;

    /// Keeps the first `len` octets of the first segment and nothing else; `len` never exceeds that segment.
    fn truncate(&mut self, len: usize);

    /// Adds `octets` in front, from the headroom, with unspecified content; false, and no change, where there is no room.
    #[must_use]
    fn prepend(&mut self, octets: usize) -> bool;

    /// Makes the packet one segment of exactly `len` octets, new ones unspecified; false where there is no room.
    #[must_use]
    fn resize(&mut self, len: usize) -> bool;

    /// The port that it came in by.
    fn port(&self) -> PortId;

    /// Records the port that it came in by.
    fn set_port(&mut self, port: PortId);

    /// What that port said of it.
    fn received(&self) -> Received;

    /// Asks the sending port to complete checksums.
    fn set_offload(&mut self, offload: TransmitOffload);
}

/// A packet that several owners may hold, and that nobody changes. Its memory goes back with the last of them.
pub trait SharedPacket: Sized {
    /// The first segment.
    fn octets(&self) -> &[u8];

    /// A second reference to the same memory.
    #[must_use]
    fn share(&self) -> Self;

    /// Octets of memory that the packet keeps from other use, bookkeeping included.
    fn true_size(&self) -> u32;
}

/// Where packets that the balancer itself originates come from.
pub trait PacketPool {
    /// What it gives out.
    type Packet: Packet;

    /// An empty packet with headroom; `None` when the pool is exhausted.
    fn allocate(&mut self) -> Option<Self::Packet>;
}

/// A packet in ordinary heap memory: tests, `replay` and the pipeline's benchmarks.
#[derive(Clone, Debug, Default)]
pub struct HeapPacket {
    buffer: Vec<u8>,
    start: usize,
    port: PortId,
    received: Received,
    /// What was asked of the sending port.
    pub offload: Option<TransmitOffload>,
}

impl HeapPacket {
    /// Room in front of a frame, as DPDK's `RTE_PKTMBUF_HEADROOM`.
    pub const HEADROOM: usize = 128;

    /// A packet that holds `frame`, received by `port`.
    #[must_use]
    pub fn new(frame: &[u8], port: PortId) -> Self {
        let mut buffer = vec![0; Self::HEADROOM];
        buffer.extend_from_slice(frame);
        Self { buffer, start: Self::HEADROOM, port, ..Self::default() }
    }

    /// The same packet, with what a port would have said of it.
    #[must_use]
    pub fn with_received(mut self, received: Received) -> Self {
        self.received = received;
        self
    }
}

impl Packet for HeapPacket {
    type Shared = Rc<Self>;

    fn into_shared(self) -> Rc<Self> {
        Rc::new(self)
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    #[inline]
    fn total_len(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn truncate(&mut self, len: usize) {
        self.buffer.truncate(self.start + len);
    }

    fn prepend(&mut self, octets: usize) -> bool {
        match self.start.checked_sub(octets) {
            Some(start) => {
                self.start = start;
                true
            }
            None => false,
        }
    }

    fn resize(&mut self, len: usize) -> bool {
        self.buffer.resize(self.start + len, 0);
        true
    }

    #[inline]
    fn port(&self) -> PortId {
        self.port
    }

    fn set_port(&mut self, port: PortId) {
        self.port = port;
    }

    #[inline]
    fn received(&self) -> Received {
        self.received
    }

    fn set_offload(&mut self, offload: TransmitOffload) {
        self.offload = Some(offload);
    }
}

/// Packets of the heap are shared within a thread.
impl<P: Packet> SharedPacket for Rc<P> {
    fn octets(&self) -> &[u8] {
        self.bytes()
    }

    fn share(&self) -> Self {
        Self::clone(self)
    }

    fn true_size(&self) -> u32 {
        u32::try_from(HeapPacket::HEADROOM + self.total_len() + size_of::<P>()).unwrap_or(u32::MAX)
    }
}

/// A pool of [`HeapPacket`]s without a bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapPool;

impl PacketPool for HeapPool {
    type Packet = HeapPacket;

    fn allocate(&mut self) -> Option<HeapPacket> {
        Some(HeapPacket::new(&[], PortId::default()))
    }
}
