//! A queue pair of a device, polled by one worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::mbuf::Mbuf;
use super::port::Opened;
use crate::port::{BURST, Queue};

/// One receive and transmit queue. The port is closed when its last queue and [`super::PortMonitor`] are dropped.
#[derive(Debug)]
pub struct DpdkQueue {
    /// DPDK's number of the device.
    device: u16,
    /// Index of the queue pair on it.
    queue: u16,
    /// The logical port, as it stands in packets.
    port: u16,
    opened: Arc<Opened>,
}

impl DpdkQueue {
    /// The handle of a queue pair that is set up on a started device of `opened`; there is only one for each.
    pub(super) fn new(opened: Arc<Opened>, device: u16, queue: u16) -> Self {
        Self { device, queue, port: u16::from(opened.id.0), opened }
    }

    /// Makes packets that came in pieces whole; those that no buffer holds are dropped, as a device does with frames
    /// above its limit, and counted.
    #[cold]
    fn linearize(&self, burst: &mut Vec<Mbuf>, start: usize) {
        let mut index = start;
        while let Some(packet) = burst.get_mut(index) {
            if packet.segments() == 1 || packet.linearize() {
                index += 1;
            } else {
                burst.remove(index);
                self.opened.oversize.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Queue for DpdkQueue {
    type Packet = Mbuf;

    #[inline]
    fn receive(&mut self, burst: &mut Vec<Mbuf>) -> usize {
        let start = burst.len();
        let room = burst.spare_capacity_mut();
        let count = room.len().min(BURST) as u16;
        // SAFETY: an `Mbuf` is a pointer to an `rte_mbuf`, and there is room for `count`; the queue is set up, its device
        // is started as long as `opened` lives, and `&mut self` makes this its only poll. The packets become ours.
        let received = unsafe {
            let received = dpdk_sys::ek_rx_burst(self.device, self.queue, room.as_mut_ptr().cast(), count);
            burst.set_len(start + usize::from(received));
            received
        };
        if received == 0 {
            return 0;
        }
        let mut whole = true;
        for packet in &mut burst[start..] {
            whole &= packet.arrived(self.port);
        }
        if !whole {
            self.linearize(burst, start);
        }
        burst.len() - start
    }

    #[inline]
    fn transmit(&mut self, packets: &mut Vec<Mbuf>) -> usize {
        let present = packets.len();
        if present == 0 {
            return 0;
        }
        let count = u16::try_from(present).unwrap_or(u16::MAX);
        // SAFETY: as in `receive`; the device owns the first `sent` packets from here on, so they are moved out of the
        // vector without being dropped, and the rest to its front.
        unsafe {
            let sent = dpdk_sys::ek_tx_burst(self.device, self.queue, packets.as_mut_ptr().cast(), count);
            let sent = usize::from(sent);
            packets.set_len(0);
            if sent < present {
                let first = packets.as_mut_ptr();
                first.copy_from(first.add(sent), present - sent);
                packets.set_len(present - sent);
            }
            sent
        }
    }
}
