//! Packet memory of one NUMA node.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk_sys::rte_mempool;

use super::eal::{Eal, last_error};
use super::error::PoolError;
use super::mbuf::Mbuf;
use super::numa::numa_node;
use crate::packet::PacketPool;

/// Packets that each registered thread keeps at hand, at most.
const CACHE: u32 = 256;

/// The smallest pool.
const LEAST_PACKETS: u32 = 64;

/// Link header with two VLAN tags, and the frame check sequence that some devices deliver.
const FRAMING: u16 = 14 + 2 * 4 + 4;

/// Room for a frame in each packet is at least this: drivers size their rings of buffers by it.
const LEAST_ROOM: u16 = 2048;

/// Packets of one size in one NUMA node. Clones are handles to the same pool, one for each thread.
#[derive(Clone, Debug)]
pub struct MbufPool {
    memory: Arc<Memory>,
}

#[derive(Debug)]
struct Memory {
    pool: NonNull<rte_mempool>,
    eal: Eal,
}

// SAFETY: DPDK's pools are used by many threads at once: a ring of its own kind, and a cache for each registered thread.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl MbufPool {
    /// A pool of `packets`, each with headroom and room for a frame of `mtu` octets of payload in one segment, in
    /// `node`'s memory (anywhere for `None`).
    ///
    /// # Errors
    /// When the memory is not there.
    pub fn new(eal: &Eal, packets: u32, mtu: u16, node: Option<u8>) -> Result<Self, PoolError> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if packets < LEAST_PACKETS {
            return Err(PoolError::Size(packets));
        }
        // Our own name: it has no zero octet.
        let name = format!("evenkeel-{}", MADE.fetch_add(1, Ordering::Relaxed));
        let name = CString::new(name).unwrap_or_default();
        let octets = buffer_octets(mtu);
        // DPDK wants the pool to hold one and a half times the cache; a small pool is not to vanish in caches.
        let cache = CACHE.min(packets / 8);
        let socket = node.map_or(-1, i32::from); // SOCKET_ID_ANY
        // SAFETY: the environment is up, the name ends in zero and is copied.
        let pool =
            unsafe { dpdk_sys::rte_pktmbuf_pool_create(name.as_ptr(), packets, cache, 0, octets, socket) };
        match NonNull::new(pool) {
            Some(pool) => Ok(Self { memory: Arc::new(Memory { pool, eal: eal.clone() }) }),
            None => Err(PoolError::Memory { packets, octets, source: last_error() }),
        }
    }

    /// For each of the workers' cores a handle to the pool of its node: one pool of `packets` a node.
    ///
    /// # Errors
    /// When the memory is not there.
    pub fn for_cores(eal: &Eal, cores: &[usize], packets: u32, mtu: u16) -> Result<Vec<Self>, PoolError> {
        let mut pools = BTreeMap::new();
        let nodes: Vec<_> = cores.iter().map(|core| numa_node(*core)).collect();
        for node in &nodes {
            if !pools.contains_key(node) {
                pools.insert(*node, Self::new(eal, packets, mtu, *node)?);
            }
        }
        Ok(nodes.iter().filter_map(|node| pools.get(node).cloned()).collect())
    }

    /// Packets that are out: in a queue of a device, in the pipeline or on a ring. Not exact while others use the pool.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.memory.in_use()
    }

    /// Packets that could still be had, in caches of threads too. Not exact while others use the pool.
    #[must_use]
    pub fn available(&self) -> usize {
        // SAFETY: the pool exists as long as `memory`.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.as_ptr()) as usize }
    }

    pub(super) fn as_ptr(&self) -> *mut rte_mempool {
        self.memory.pool.as_ptr()
    }
}

impl PacketPool for MbufPool {
    type Packet = Mbuf;

    #[inline]
    fn allocate(&mut self) -> Option<Mbuf> {
        // SAFETY: the pool exists as long as `memory`; what it gives is new and ours.
        unsafe { NonNull::new(dpdk_sys::ek_mbuf_alloc(self.as_ptr())).map(|packet| Mbuf::from_raw(packet)) }
    }
}

impl Memory {
    fn in_use(&self) -> usize {
        // SAFETY: the pool exists as long as this value.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.pool.as_ptr()) as usize }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.in_use() == 0 {
            // SAFETY: no packet of it is left, and no handle.
            unsafe { dpdk_sys::rte_mempool_free(self.pool.as_ptr()) };
        } else {
            // Someone holds packets of it, or a driver did not give back what its rings held.
            self.eal.keep();
        }
    }
}

/// Size of a packet's buffer: headroom, and a frame of `mtu` octets of payload in a multiple of a cache line.
fn buffer_octets(mtu: u16) -> u16 {
    let room = mtu.saturating_add(FRAMING).checked_next_multiple_of(64).unwrap_or(u16::MAX - 63);
    let headroom = u16::try_from(dpdk_sys::EK_PKTMBUF_HEADROOM).unwrap_or(u16::MAX);
    room.max(LEAST_ROOM).saturating_add(headroom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_a_frame_and_its_headroom() {
        assert_eq!(buffer_octets(1500), 2176);
        assert_eq!(buffer_octets(9000), 9088 + 128);
        assert_eq!(buffer_octets(u16::MAX), u16::MAX);
    }
}
