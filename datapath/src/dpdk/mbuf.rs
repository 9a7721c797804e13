//! One packet in DPDK's memory.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use dpdk_sys::rte_mbuf;

use crate::key::Protocol;
use crate::packet::{ChecksumStatus, Packet, Received, SharedPacket, TransmitOffload};
use crate::snapshot::PortId;

/// A packet, or the chain of segments of one. Dropping it gives it back to its pool.
///
/// Invariant: nothing else refers to it, except inside a [`SharedMbuf`], which never changes it.
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: pools take packets back from any thread, and a packet has one owner.
unsafe impl Send for Mbuf {}
// SAFETY: `&Mbuf` only reads.
unsafe impl Sync for Mbuf {}

/// A field of `rte_mbuf` with the type that DPDK gives it.
#[derive(Clone, Copy)]
struct Field<T> {
    offset: usize,
    kind: PhantomData<T>,
}

const fn field<T>(offset: usize) -> Field<T> {
    Field { offset, kind: PhantomData }
}

const BUF_ADDR: Field<*mut u8> = field(dpdk_sys::EK_MBUF_BUF_ADDR);
const DATA_OFF: Field<u16> = field(dpdk_sys::EK_MBUF_DATA_OFF);
const NB_SEGS: Field<u16> = field(dpdk_sys::EK_MBUF_NB_SEGS);
const PORT: Field<u16> = field(dpdk_sys::EK_MBUF_PORT);
const OL_FLAGS: Field<u64> = field(dpdk_sys::EK_MBUF_OL_FLAGS);
const PKT_LEN: Field<u32> = field(dpdk_sys::EK_MBUF_PKT_LEN);
const DATA_LEN: Field<u16> = field(dpdk_sys::EK_MBUF_DATA_LEN);
const RSS: Field<u32> = field(dpdk_sys::EK_MBUF_RSS);
const BUF_LEN: Field<u16> = field(dpdk_sys::EK_MBUF_BUF_LEN);
const NEXT: Field<*mut rte_mbuf> = field(dpdk_sys::EK_MBUF_NEXT);
const TX_OFFLOAD: Field<u64> = field(dpdk_sys::EK_MBUF_TX_OFFLOAD);

/// Octets that a segment takes besides its buffer: its own record, and that of the pool.
const MBUF_OVERHEAD: u32 = dpdk_sys::EK_MBUF_OVERHEAD;

/// What [`Packet::set_offload`] may set.
const TX_FLAGS: u64 =
    dpdk_sys::EK_TX_IPV4 | dpdk_sys::EK_TX_IPV6 | dpdk_sys::EK_TX_IP_CKSUM | dpdk_sys::EK_TX_L4_MASK;

impl Mbuf {
    /// Takes over a packet.
    ///
    /// # Safety
    /// `packet` was just allocated or received, is the first segment of its chain, and has no other owner.
    #[inline]
    pub(super) unsafe fn from_raw(packet: NonNull<rte_mbuf>) -> Self {
        Self(packet)
    }

    #[inline]
    fn get<T: Copy>(&self, field: Field<T>) -> T {
        // SAFETY: fields are only the constants above, which lie within an `rte_mbuf` and are aligned there.
        unsafe { self.0.as_ptr().byte_add(field.offset).cast::<T>().read() }
    }

    #[inline]
    fn set<T: Copy>(&mut self, field: Field<T>, value: T) {
        // SAFETY: as in `get`, and nothing else refers to this packet.
        unsafe { self.0.as_ptr().byte_add(field.offset).cast::<T>().write(value) }
    }

    /// Number of segments: 1 for a packet in one piece.
    #[must_use]
    #[inline]
    pub fn segments(&self) -> u16 {
        self.get(NB_SEGS)
    }

    /// Moves all segments into the first one; false, and no change, where it has no room.
    #[cold]
    pub(super) fn linearize(&mut self) -> bool {
        // SAFETY: a whole packet, owned.
        unsafe { dpdk_sys::ek_mbuf_linearize(self.0.as_ptr()) == 0 }
    }

    /// Marks the packet with the port it came in by and says if it is in one piece.
    #[inline]
    pub(super) fn arrived(&mut self, port: u16) -> bool {
        if self.get(PORT) != port {
            self.set(PORT, port);
        }
        self.get(NB_SEGS) == 1
    }

    /// Makes the first segment the only one, `len` octets long.
    #[inline]
    fn set_only_segment(&mut self, len: u16) {
        if self.get(NB_SEGS) > 1 {
            self.drop_further_segments();
        }
        self.set(DATA_LEN, len);
        self.set(PKT_LEN, u32::from(len));
    }

    #[cold]
    fn drop_further_segments(&mut self) {
        let next = self.get(NEXT);
        self.set(NEXT, ptr::null_mut());
        self.set(NB_SEGS, 1);
        // SAFETY: the rest of the chain was ours and has just been cut off; null is ignored.
        unsafe { dpdk_sys::ek_mbuf_free(next) };
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        // SAFETY: DPDK keeps the data within the buffer, and so do all changes here.
        unsafe { self.get(BUF_ADDR).add(usize::from(self.get(DATA_OFF))) }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the packet is owned and not used again.
        unsafe { dpdk_sys::ek_mbuf_free(self.0.as_ptr()) };
    }
}

/// A reference to a packet that nobody changes any more: DPDK counts them.
#[derive(Debug)]
pub struct SharedMbuf(Mbuf);

impl SharedPacket for SharedMbuf {
    #[inline]
    fn octets(&self) -> &[u8] {
        self.0.bytes()
    }

    #[inline]
    fn share(&self) -> Self {
        // SAFETY: the packet is held, so its count is at least one; what is made here gives its reference back when it is dropped,
        // and shows nobody a way to change the packet.
        unsafe {
            dpdk_sys::ek_mbuf_share(self.0.0.as_ptr());
            Self(Mbuf::from_raw(self.0.0))
        }
    }

    #[inline]
    fn true_size(&self) -> u32 {
        u32::from(self.0.segments()) * (u32::from(self.0.get(BUF_LEN)) + MBUF_OVERHEAD)
    }
}

impl Packet for Mbuf {
    type Shared = SharedMbuf;

    #[inline]
    fn into_shared(self) -> SharedMbuf {
        SharedMbuf(self)
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: the first segment's data, which lives as long as the packet.
        unsafe { slice::from_raw_parts(self.data(), usize::from(self.get(DATA_LEN))) }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and nothing else refers to this packet.
        unsafe { slice::from_raw_parts_mut(self.data(), usize::from(self.get(DATA_LEN))) }
    }

    #[inline]
    fn total_len(&self) -> usize {
        self.get(PKT_LEN) as usize
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        let present = self.get(DATA_LEN);
        self.set_only_segment(u16::try_from(len).map_or(present, |len| len.min(present)));
    }

    #[inline]
    fn prepend(&mut self, octets: usize) -> bool {
        let offset = self.get(DATA_OFF);
        let Some(octets) = u16::try_from(octets).ok().filter(|octets| *octets <= offset) else {
            return false;
        };
        self.set(DATA_OFF, offset - octets);
        self.set(DATA_LEN, self.get(DATA_LEN) + octets);
        self.set(PKT_LEN, self.get(PKT_LEN) + u32::from(octets));
        true
    }

    #[inline]
    fn resize(&mut self, len: usize) -> bool {
        let room = self.get(BUF_LEN) - self.get(DATA_OFF);
        let Some(len) = u16::try_from(len).ok().filter(|len| *len <= room) else { return false };
        self.set_only_segment(len);
        true
    }

    #[inline]
    fn port(&self) -> PortId {
        // A pool's own packets come from no port: DPDK's 0xffff.
        PortId(u8::try_from(self.get(PORT)).unwrap_or(u8::MAX))
    }

    #[inline]
    fn set_port(&mut self, port: PortId) {
        self.set(PORT, u16::from(port.0));
    }

    #[inline]
    fn received(&self) -> Received {
        received(self.get(OL_FLAGS), || self.get(RSS))
    }

    #[inline]
    fn set_offload(&mut self, offload: TransmitOffload) {
        let flags = transmit_flags(offload);
        self.set(OL_FLAGS, self.get(OL_FLAGS) & !TX_FLAGS | flags);
        if flags != 0 {
            let lengths = u64::from(offload.l2_len) << dpdk_sys::EK_TX_OFFLOAD_L2_LEN
                | u64::from(offload.l3_len) << dpdk_sys::EK_TX_OFFLOAD_L3_LEN;
            self.set(TX_OFFLOAD, lengths);
        }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf")
            .field("port", &self.get(PORT))
            .field("segments", &self.segments())
            .field("total_len", &self.total_len())
            .finish_non_exhaustive()
    }
}

/// What `ol_flags` say of a received packet.
#[inline]
fn received(flags: u64, rss: impl FnOnce() -> u32) -> Received {
    let status = |mask, good, bad| match flags & mask {
        found if found == good => ChecksumStatus::Good,
        found if found == bad => ChecksumStatus::Bad,
        // Not looked at, or right in a packet whose checksum field is not (a peer on this machine left it out).
        _ => ChecksumStatus::Unknown,
    };
    Received {
        ip_checksum: status(
            dpdk_sys::EK_RX_IP_CKSUM_MASK,
            dpdk_sys::EK_RX_IP_CKSUM_GOOD,
            dpdk_sys::EK_RX_IP_CKSUM_BAD,
        ),
        l4_checksum: status(
            dpdk_sys::EK_RX_L4_CKSUM_MASK,
            dpdk_sys::EK_RX_L4_CKSUM_GOOD,
            dpdk_sys::EK_RX_L4_CKSUM_BAD,
        ),
        rss_hash: (flags & dpdk_sys::EK_RX_RSS_HASH != 0).then(rss),
    }
}

/// The `ol_flags` that ask for these checksums; none where nothing is asked.
#[inline]
fn transmit_flags(offload: TransmitOffload) -> u64 {
    let ip = if offload.ip_checksum && !offload.is_v6 { dpdk_sys::EK_TX_IP_CKSUM } else { 0 };
    let l4 = match offload.l4_checksum {
        Some(Protocol::Tcp) => dpdk_sys::EK_TX_TCP_CKSUM,
        Some(Protocol::Udp) => dpdk_sys::EK_TX_UDP_CKSUM,
        None => 0,
    };
    let family = if offload.is_v6 { dpdk_sys::EK_TX_IPV6 } else { dpdk_sys::EK_TX_IPV4 };
    if ip | l4 == 0 { 0 } else { ip | l4 | family }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpdk::{Eal, EalConfig, MbufPool};
    use crate::packet::PacketPool;

    /// A packet of three segments, as a device with small buffers makes them.
    fn chain(pool: &mut MbufPool) -> Mbuf {
        let mut segments = [100, 50, 25].map(|len| {
            let mut segment = pool.allocate().unwrap();
            assert!(segment.resize(len));
            segment.bytes_mut().fill(len as u8);
            segment
        });
        segments[0].set(NB_SEGS, 3);
        segments[0].set(PKT_LEN, 175);
        for index in [1, 2] {
            let next = segments[index].0.as_ptr();
            segments[index - 1].set(NEXT, next);
        }
        let [first, second, third] = segments;
        std::mem::forget((second, third)); // the first owns them now
        first
    }

    /// The one test here that starts DPDK, which works once in a process.
    #[test]
    fn chains_are_cut_joined_and_freed_whole() {
        let eal = Eal::init(&EalConfig {
            huge_pages: false,
            memory_mib: 32,
            file_prefix: "evenkeel-test".to_owned(),
            args: vec!["--no-telemetry".to_owned()],
            ..EalConfig::default()
        })
        .unwrap();
        let mut pool = MbufPool::new(&eal, 64, 1500, None).unwrap();

        let packet = chain(&mut pool);
        assert_eq!(
            (packet.bytes().len(), packet.total_len(), packet.segments(), pool.in_use()),
            (100, 175, 3, 3)
        );
        drop(packet);
        assert_eq!(pool.in_use(), 0);

        let mut packet = chain(&mut pool);
        assert!(packet.prepend(8));
        assert_eq!((packet.bytes().len(), packet.total_len()), (108, 183));
        packet.truncate(108);
        assert_eq!((packet.total_len(), packet.segments(), pool.in_use()), (108, 1, 1));

        packet = chain(&mut pool);
        assert!(!packet.resize(4000));
        assert_eq!((packet.total_len(), packet.segments()), (175, 3), "refused: nothing changed");
        assert!(packet.resize(300));
        assert_eq!((packet.total_len(), packet.segments(), pool.in_use()), (300, 1, 1));

        packet = chain(&mut pool);
        assert!(!packet.arrived(5));
        assert!(packet.linearize() && packet.arrived(5));
        assert_eq!((packet.port(), packet.bytes().len(), packet.segments()), (PortId(5), 175, 1));
        assert_eq!([packet.bytes()[99], packet.bytes()[100], packet.bytes()[174]], [100, 50, 25]);
        assert_eq!(pool.in_use(), 1);

        // Shared packets go back with their last owner.
        let shared = packet.into_shared();
        let other = shared.share();
        assert_eq!((shared.octets(), shared.true_size()), (other.octets(), 2048 + 128 + 128 + 24));
        drop(shared);
        assert_eq!((other.octets()[174], pool.in_use()), (25, 1));
        drop(other);
        assert_eq!(pool.in_use(), 0);

        packet = chain(&mut pool);
        assert!(packet.linearize());

        // A packet outlives pool and environment: their memory stays.
        drop((pool, eal));
        assert_eq!(packet.bytes()[174], 25);
    }

    #[test]
    fn flags_of_received_packets() {
        use dpdk_sys as d;
        let cases = [
            (0, ChecksumStatus::Unknown, ChecksumStatus::Unknown, None),
            (d::EK_RX_IP_CKSUM_GOOD | d::EK_RX_L4_CKSUM_BAD, ChecksumStatus::Good, ChecksumStatus::Bad, None),
            (d::EK_RX_IP_CKSUM_BAD | d::EK_RX_L4_CKSUM_GOOD, ChecksumStatus::Bad, ChecksumStatus::Good, None),
            (
                d::EK_RX_IP_CKSUM_MASK | d::EK_RX_L4_CKSUM_MASK | d::EK_RX_RSS_HASH,
                ChecksumStatus::Unknown,
                ChecksumStatus::Unknown,
                Some(7),
            ),
        ];
        for (flags, ip_checksum, l4_checksum, rss_hash) in cases {
            assert_eq!(received(flags, || 7), Received { ip_checksum, l4_checksum, rss_hash }, "{flags:#x}");
        }
    }

    #[test]
    fn flags_that_ask_for_checksums() {
        use dpdk_sys as d;
        let ask = |is_v6, ip_checksum, l4_checksum| {
            transmit_flags(TransmitOffload { l2_len: 14, l3_len: 20, is_v6, ip_checksum, l4_checksum })
        };
        assert_eq!(ask(false, false, None), 0);
        assert_eq!(ask(true, true, None), 0, "IPv6 has no header checksum");
        assert_eq!(ask(false, true, None), d::EK_TX_IPV4 | d::EK_TX_IP_CKSUM);
        assert_eq!(
            ask(false, true, Some(Protocol::Tcp)),
            d::EK_TX_IPV4 | d::EK_TX_IP_CKSUM | d::EK_TX_TCP_CKSUM
        );
        assert_eq!(ask(true, false, Some(Protocol::Udp)), d::EK_TX_IPV6 | d::EK_TX_UDP_CKSUM);
    }
}
