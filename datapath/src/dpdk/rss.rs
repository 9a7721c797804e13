//! Receive-side scaling: what is asked of a device, and what it says that it does.

use dpdk_sys::{rte_eth_dev_info, rte_eth_rss_conf, rte_eth_rss_reta_entry64};

use crate::port::Rss;

/// The Toeplitz key of Microsoft's specification, which every device's documentation is written for. The octets after
/// the fortieth, for devices that want 52, meet no bit of an address or port.
const KEY: [u8; 52] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa, 0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25,
    0x3d,
];

/// Hashes over addresses and ports.
const TUPLES: u64 = dpdk_sys::EK_ETH_RSS_IPV4_TCP
    | dpdk_sys::EK_ETH_RSS_IPV4_UDP
    | dpdk_sys::EK_ETH_RSS_IPV6_TCP
    | dpdk_sys::EK_ETH_RSS_IPV6_UDP;

/// Largest redirection table that any device has, so far.
const LARGEST_RETA: usize = 4096;

/// The scaling to ask of a device.
pub(super) struct Plan {
    /// A prefix of [`KEY`], writable since DPDK's interface says so.
    key: Vec<u8>,
    /// Which hashes.
    functions: u64,
    /// Length of the redirection table.
    reta: usize,
}

impl Plan {
    /// What to ask of a device with `queues` queues; `None` where it cannot or need not scale.
    pub(super) fn new(info: &rte_eth_dev_info, queues: u16) -> Option<Self> {
        let wanted = TUPLES | dpdk_sys::EK_ETH_RSS_IPV4 | dpdk_sys::EK_ETH_RSS_IPV6;
        let functions = wanted & info.flow_type_rss_offloads;
        let reta = usize::from(info.reta_size);
        // A device that does not say how long its key is takes the usual one.
        let key = match usize::from(info.hash_key_size) {
            0 => 40,
            length => length,
        };
        let able = functions & TUPLES != 0
            && reta.is_power_of_two()
            && (usize::from(queues)..=LARGEST_RETA).contains(&reta)
            && (key == 40 || key == 52);
        (queues > 1 && able).then(|| Self { key: KEY[..key].to_vec(), functions, reta })
    }

    /// For `rte_eth_dev_configure`; it points into this plan.
    pub(super) fn configuration(&mut self) -> rte_eth_rss_conf {
        rss_configuration(&mut self.key, self.functions)
    }

    /// True if the hash in a received TCP or UDP packet that is whole is always that of its addresses and ports.
    pub(super) fn hashes_tuples(&self) -> bool {
        self.functions & TUPLES == TUPLES
    }

    /// Spreads the redirection table over the queues and reads back what the started device made of it and of the key;
    /// `None` where it does not do as it was told, so that nothing relies on it.
    pub(super) fn establish(&self, port: u16, queues: u16) -> Option<Rss> {
        let mut groups = self.groups(|index| (index % usize::from(queues)) as u16);
        let length = self.reta as u16;
        // SAFETY: there is an entry for every `length` of the table.
        if unsafe { dpdk_sys::rte_eth_dev_rss_reta_update(port, groups.as_mut_ptr(), length) } != 0 {
            return None;
        }
        let mut found = self.groups(|_| u16::MAX);
        // SAFETY: as above.
        if unsafe { dpdk_sys::rte_eth_dev_rss_reta_query(port, found.as_mut_ptr(), length) } != 0 {
            return None;
        }
        let reta: Vec<u16> = found.iter().flat_map(|group| group.reta).take(self.reta).collect();

        let mut key = vec![0; self.key.len()];
        let mut configuration = rss_configuration(&mut key, 0);
        // SAFETY: the key has the length that the device said.
        if unsafe { dpdk_sys::rte_eth_dev_rss_hash_conf_get(port, &raw mut configuration) } != 0 {
            return None;
        }
        (key == self.key && reta.iter().all(|queue| *queue < queues)).then_some(Rss { key, reta })
    }

    fn groups(&self, queue_of: impl Fn(usize) -> u16) -> Vec<rte_eth_rss_reta_entry64> {
        let size = dpdk_sys::EK_ETH_RETA_GROUP;
        (0..self.reta.div_ceil(size))
            .map(|group| {
                let mut entry = rte_eth_rss_reta_entry64 { mask: u64::MAX, ..Default::default() };
                for (offset, queue) in entry.reta.iter_mut().enumerate() {
                    *queue = queue_of(group * size + offset);
                }
                entry
            })
            .collect()
    }
}

#[allow(clippy::needless_update, reason = "DPDK 23.11 and newer have a field more")]
fn rss_configuration(key: &mut [u8], functions: u64) -> rte_eth_rss_conf {
    rte_eth_rss_conf {
        rss_key: key.as_mut_ptr(),
        rss_key_len: key.len() as u8,
        rss_hf: functions,
        ..Default::default()
    }
}
