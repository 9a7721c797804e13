//! One device of DPDK's: found, configured, started, and closed when dropped.

use std::ffi::{CStr, c_int};
use std::{fs, ptr};

use dpdk_sys::{ek_link, rte_device, rte_eth_conf, rte_eth_dev_info, rte_eth_stats};

use super::eal::Eal;
use super::error::{PortError, PortWarning};
use super::plug::{close, error_of, find, name_of};
use super::pool::MbufPool;
use super::rss::Plan;
use crate::port::Rss;
use crate::snapshot::{ChecksumOffload, MacAddress};

/// Descriptors that are asked for in each direction; a device may round or limit them.
const DESCRIPTORS: u16 = 1024;

/// The MTU that every device has before anything is set.
const ETHERNET_MTU: u16 = 1500;

/// Drivers whose arguments fix how many queues get packets: not polling one of them loses its share.
const FIXED_QUEUES: [&str; 3] = ["net_af_packet", "net_af_xdp", "net_pcap"];

/// Drivers whose checksum offloads are made in software, or make the peer leave checksums out: both cost more than they
/// save a balancer that updates checksums incrementally.
const NO_OFFLOADS: [&str; 3] = ["net_tap", "net_virtio", "net_virtio_user"];

/// A device to open, with one queue pair for each pool.
pub(super) struct DeviceConfig<'a> {
    pub(super) port: &'a str,
    pub(super) device: &'a str,
    pub(super) mtu: u16,
    pub(super) pools: &'a [MbufPool],
}

impl DeviceConfig<'_> {
    /// Turns DPDK's negative result into an error that names this device.
    fn check(&self, result: c_int, step: &'static str) -> Result<(), PortError> {
        if result >= 0 { Ok(()) } else { Err(self.failed(step, result)) }
    }

    fn failed(&self, step: &'static str, result: c_int) -> PortError {
        let (port, device) = (self.port.to_owned(), self.device.to_owned());
        PortError::Setup { port, device, step, source: error_of(result) }
    }

    fn queues(&self) -> u16 {
        self.pools.len() as u16
    }
}

/// A device that belongs to one port and is started.
#[derive(Debug)]
pub(super) struct Device {
    /// DPDK's number of it.
    pub(super) number: u16,
    /// Queue pairs that are set up.
    pub(super) queues: u16,
    pub(super) mac: MacAddress,
    pub(super) mtu: u16,
    pub(super) transmit_checksums: ChecksumOffload,
    pub(super) rss: Option<Rss>,
    pub(super) numa_node: Option<u8>,
    /// The device string.
    device: String,
    driver: String,
    started: bool,
    /// It was plugged for us and is to be unplugged.
    plugged: bool,
    /// What its queues take packets from: must outlive them.
    _pools: Vec<MbufPool>,
    /// Last, so that all the rest goes before DPDK does.
    _eal: Eal,
}

impl Device {
    /// Finds or plugs the device, sets up its queues and starts it.
    pub(super) fn open(
        eal: &Eal,
        config: &DeviceConfig<'_>,
        warnings: &mut Vec<PortWarning>,
    ) -> Result<Self, PortError> {
        let (number, plugged) = find(config.port, config.device)?;
        let mut device = Self {
            number,
            queues: config.queues(),
            mac: MacAddress::default(),
            mtu: config.mtu,
            transmit_checksums: ChecksumOffload::default(),
            rss: None,
            numa_node: None,
            device: config.device.to_owned(),
            driver: String::new(),
            started: false,
            plugged,
            _pools: config.pools.to_vec(),
            _eal: eal.clone(),
        };
        let info = device.info().map_err(|result| config.failed("be asked what it can do", result))?;
        device.driver = driver_of(&info);
        device.check_queues(config, &info)?;

        let mut plan = Plan::new(&info, device.queues);
        device.configure(config, &info, plan.as_mut(), warnings)?;
        device.set_up_queues(config)?;
        device.set_mtu(config, warnings)?;
        // SAFETY: the device is configured with all its queues.
        config.check(unsafe { dpdk_sys::rte_eth_dev_start(number) }, "be started")?;
        device.started = true;

        device.filter(warnings);
        device.rss = plan.and_then(|plan| plan.establish(number, device.queues));
        device.identify(config)?;
        Ok(device)
    }

    /// Its name, without arguments.
    pub(super) fn name(&self) -> &str {
        name_of(&self.device)
    }

    /// What it counted; `None` where it does not count.
    pub(super) fn statistics(&self) -> Option<rte_eth_stats> {
        let mut stats = rte_eth_stats::default();
        // SAFETY: the device exists and `stats` is ours to fill.
        (unsafe { dpdk_sys::rte_eth_stats_get(self.number, &raw mut stats) } == 0).then_some(stats)
    }

    /// The state of its link; `None` where it does not say.
    pub(super) fn link(&self) -> Option<ek_link> {
        let mut link = ek_link::default();
        // SAFETY: the device exists and `link` is ours to fill.
        (unsafe { dpdk_sys::ek_link(self.number, &raw mut link) } == 0).then_some(link)
    }

    /// A warning where the kernel's interface below has more queues than are polled.
    pub(super) fn unpolled_queues(&self, polled: u16) -> Option<PortWarning> {
        if self.driver != "net_af_xdp" {
            return None;
        }
        let interface = self.device.split(',').find_map(|argument| argument.strip_prefix("iface="))?;
        let folder = fs::read_dir(format!("/sys/class/net/{interface}/queues")).ok()?;
        let is_receive = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("rx-");
        let queues = folder.flatten().filter(is_receive).count() as u16;
        let interface = interface.to_owned();
        (queues > polled).then_some(PortWarning::UnpolledQueues { interface, queues, polled })
    }

    fn info(&self) -> Result<rte_eth_dev_info, c_int> {
        let mut info = rte_eth_dev_info::default();
        // SAFETY: the device exists and `info` is ours to fill.
        match unsafe { dpdk_sys::rte_eth_dev_info_get(self.number, &raw mut info) } {
            0 => Ok(info),
            result => Err(result),
        }
    }

    fn check_queues(&self, config: &DeviceConfig<'_>, info: &rte_eth_dev_info) -> Result<(), PortError> {
        let offered = info.max_rx_queues.min(info.max_tx_queues);
        let fixed = FIXED_QUEUES.contains(&self.driver.as_str());
        if offered == self.queues || (offered > self.queues && !fixed) {
            return Ok(());
        }
        let workers = self.queues;
        let advice = match self.driver.as_str() {
            "net_af_packet" => format!("write `qpairs={workers}` in the device string, or change `workers`"),
            "net_af_xdp" => {
                format!("list {workers} devices, with `start_queue` from 0 up, or change `workers`")
            }
            _ => format!("give the device {workers}, list {workers} devices, or change `workers`"),
        };
        Err(PortError::QueueCount {
            port: config.port.to_owned(),
            devices: config.device.to_owned(),
            queues: offered,
            workers,
            advice,
        })
    }

    /// Sets offloads, scaling and the number of queues, all within what the device can do.
    fn configure(
        &mut self,
        config: &DeviceConfig<'_>,
        info: &rte_eth_dev_info,
        mut plan: Option<&mut Plan>,
        warnings: &mut Vec<PortWarning>,
    ) -> Result<(), PortError> {
        let largest = largest_mtu(info);
        if largest < config.mtu {
            let device = self.name().to_owned();
            warnings.push(PortWarning::MtuLimited { device, asked: config.mtu, offered: largest });
            self.mtu = largest;
        }
        let mut conf = rte_eth_conf::default();
        conf.rxmode.mtu = u32::from(self.mtu);
        conf.rxmode.mq_mode = dpdk_sys::EK_ETH_MQ_RX_NONE;
        if let Some(plan) = plan.as_mut() {
            conf.rxmode.mq_mode = dpdk_sys::EK_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf = plan.configuration();
            if plan.hashes_tuples() {
                conf.rxmode.offloads |= dpdk_sys::EK_ETH_RX_RSS_HASH & info.rx_offload_capa;
            }
        }
        if !NO_OFFLOADS.contains(&self.driver.as_str()) {
            conf.rxmode.offloads |= info.rx_offload_capa
                & (dpdk_sys::EK_ETH_RX_IPV4_CKSUM
                    | dpdk_sys::EK_ETH_RX_TCP_CKSUM
                    | dpdk_sys::EK_ETH_RX_UDP_CKSUM);
            conf.txmode.offloads |= info.tx_offload_capa
                & (dpdk_sys::EK_ETH_TX_IPV4_CKSUM
                    | dpdk_sys::EK_ETH_TX_TCP_CKSUM
                    | dpdk_sys::EK_ETH_TX_UDP_CKSUM);
        }
        let set = |offload| conf.txmode.offloads & offload != 0;
        self.transmit_checksums = ChecksumOffload {
            ipv4: set(dpdk_sys::EK_ETH_TX_IPV4_CKSUM),
            tcp: set(dpdk_sys::EK_ETH_TX_TCP_CKSUM),
            udp: set(dpdk_sys::EK_ETH_TX_UDP_CKSUM),
        };
        // SAFETY: `conf` is read during the call only, and so is the key that it points to, which `plan` holds.
        let result = unsafe {
            dpdk_sys::rte_eth_dev_configure(self.number, self.queues, self.queues, &raw const conf)
        };
        config.check(result, "be configured")
    }

    fn set_up_queues(&self, config: &DeviceConfig<'_>) -> Result<(), PortError> {
        let (mut receive, mut transmit) = (DESCRIPTORS, DESCRIPTORS);
        // SAFETY: the device is configured, and both numbers are ours.
        let result = unsafe {
            dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.number, &raw mut receive, &raw mut transmit)
        };
        config.check(result, "say how long its queues may be")?;
        // SAFETY: the device exists. A negative answer is "any node", which this conversion keeps.
        let node = unsafe { dpdk_sys::rte_eth_dev_socket_id(self.number) } as u32;
        for (queue, pool) in (0..).zip(config.pools) {
            // SAFETY: the device is configured for this queue, the defaults are taken for null, and the device holds on
            // to the pool.
            let result = unsafe {
                dpdk_sys::rte_eth_rx_queue_setup(
                    self.number,
                    queue,
                    receive,
                    node,
                    ptr::null(),
                    pool.as_ptr(),
                )
            };
            if result < 0 {
                return Err(PortError::ReceiveQueue {
                    port: config.port.to_owned(),
                    device: config.device.to_owned(),
                    queue,
                    source: error_of(result),
                    advice: receive_advice(&self.driver),
                });
            }
            // SAFETY: as above.
            let result =
                unsafe { dpdk_sys::rte_eth_tx_queue_setup(self.number, queue, transmit, node, ptr::null()) };
            config.check(result, "set up a queue to send by")?;
        }
        Ok(())
    }

    /// Sets the MTU of what is behind a virtual device too, where it can be.
    fn set_mtu(&self, config: &DeviceConfig<'_>, warnings: &mut Vec<PortWarning>) -> Result<(), PortError> {
        // SAFETY: the device is configured.
        let result = unsafe { dpdk_sys::rte_eth_dev_set_mtu(self.number, self.mtu) };
        if !is_unsupported(result) {
            return config.check(result, "set its MTU");
        }
        if self.mtu != ETHERNET_MTU {
            warnings.push(PortWarning::MtuNotSet { device: self.name().to_owned(), asked: self.mtu });
        }
        Ok(())
    }

    /// Frames for this station and all multicast: the kernel's twin has groups that the device does not know.
    fn filter(&self, warnings: &mut Vec<PortWarning>) {
        let device = || self.name().to_owned();
        // SAFETY: the device is started.
        if unsafe { dpdk_sys::rte_eth_promiscuous_disable(self.number) } != 0 {
            warnings.push(PortWarning::Promiscuous { device: device() });
        }
        // SAFETY: as above.
        if unsafe { dpdk_sys::rte_eth_allmulticast_enable(self.number) } != 0 {
            warnings.push(PortWarning::Multicast { device: device() });
        }
    }

    fn identify(&mut self, config: &DeviceConfig<'_>) -> Result<(), PortError> {
        let mut address = dpdk_sys::rte_ether_addr::default();
        // SAFETY: the device exists and `address` is ours to fill.
        let result = unsafe { dpdk_sys::rte_eth_macaddr_get(self.number, &raw mut address) };
        config.check(result, "say its hardware address")?;
        self.mac = MacAddress(address.addr_bytes);
        // SAFETY: the device exists.
        self.numa_node = u8::try_from(unsafe { dpdk_sys::rte_eth_dev_socket_id(self.number) }).ok();
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let bus_device = self.info().map_or(ptr::null_mut(), |info| info.device.cast::<rte_device>());
        // SAFETY: no queue of the device is left to be polled, since each holds on to it; the number goes with `self`.
        unsafe {
            if self.started {
                dpdk_sys::rte_eth_dev_stop(self.number);
            }
            close(self.number, if self.plugged { bus_device } else { ptr::null_mut() });
        }
    }
}

fn driver_of(info: &rte_eth_dev_info) -> String {
    if info.driver_name.is_null() {
        return String::new();
    }
    // SAFETY: a driver's name is a constant of the driver.
    unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned()
}

/// The largest MTU that a device takes: its own word, and what its largest frame leaves.
fn largest_mtu(info: &rte_eth_dev_info) -> u16 {
    // A device that does not name its largest MTU has the usual header and frame check sequence around it.
    let own = u32::from(info.max_mtu);
    let framing =
        if own != u32::from(u16::MAX) && info.max_rx_pktlen > own { info.max_rx_pktlen - own } else { 18 };
    u16::try_from(info.max_rx_pktlen.saturating_sub(framing))
        .map_or(info.max_mtu, |mtu| mtu.min(info.max_mtu))
}

fn receive_advice(driver: &str) -> &'static str {
    match driver {
        "net_af_xdp" => {
            "is `start_queue` one of the interface's queues and the largest MTU at most 3400? Else AF_XDP does not work on \
             this interface: use net_af_packet instead"
        }
        _ => "is the MTU within what the driver takes, and `mbufs` under [dpdk] large enough?",
    }
}

fn is_unsupported(result: c_int) -> bool {
    result == -libc::ENOTSUP || result == -libc::ENOSYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_mtu_is_what_both_limits_allow() {
        for (driver, max_mtu, max_rx_pktlen, largest) in [
            ("net_af_packet", u16::MAX, 1518, 1500),
            ("net_null", u16::MAX, u32::MAX, u16::MAX),
            ("net_e1000_em", 16_110, 16_128, 16_110),
            ("net_ixgbe", 9702, 15_872, 9702),
            ("net_virtio", 9698, 9728, 9698),
        ] {
            let info = rte_eth_dev_info { max_mtu, max_rx_pktlen, ..Default::default() };
            assert_eq!(largest_mtu(&info), largest, "{driver}");
        }
    }
}
