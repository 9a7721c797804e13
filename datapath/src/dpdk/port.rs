//! A logical port: one device with a queue pair for each worker, or a group of devices with one each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::device::{Device, DeviceConfig};
use super::eal::Eal;
use super::error::{PortError, PortWarning};
use super::pool::MbufPool;
use super::queue::DpdkQueue;
use crate::port::PortCapabilities;
use crate::snapshot::{ChecksumOffload, PortId};

/// A port to open.
#[derive(Clone, Copy, Debug)]
pub struct PortConfig<'a> {
    /// Its index, which marks the packets that it receives.
    pub id: PortId,
    /// Its name, for messages.
    pub name: &'a str,
    /// DPDK device strings (`0000:03:00.0`, `net_af_packet0,iface=ek-wan,qpairs=2`): one, or as many as workers.
    pub devices: &'a [String],
    /// Largest network-layer packet, in octets; no larger than the pools were made for.
    pub mtu: u16,
    /// For each worker, in order, where the packets that it receives are put: the pool of its NUMA node.
    pub pools: &'a [MbufPool],
}

/// A port in operation.
#[derive(Debug)]
pub struct OpenPort {
    /// What it can do.
    pub capabilities: PortCapabilities,
    /// The queue of each worker, in order.
    pub queues: Vec<DpdkQueue>,
    /// What it does not do as asked.
    pub warnings: Vec<PortWarning>,
    /// For whoever reports on the port.
    pub monitor: PortMonitor,
}

/// The devices of a port, started; dropping them stops and closes them.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: PortId,
    pub(super) oversize: AtomicU64,
    devices: Vec<Device>,
}

/// Looks at an open port, from any thread. It keeps the port open.
#[derive(Clone, Debug)]
pub struct PortMonitor {
    opened: Arc<Opened>,
}

/// What a port's devices counted since they were started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortStatistics {
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets that the device dropped because its queue was full: the worker did not keep up.
    pub missed: u64,
    /// Packets that arrived damaged.
    pub receive_errors: u64,
    /// Packets that the device could not send.
    pub transmit_errors: u64,
    /// Times that there was no buffer to receive into: the pool is too small.
    pub no_buffers: u64,
    /// Packets in more than one segment that no buffer holds.
    pub oversize: u64,
}

/// State of a port's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// True if frames can pass: on every device of a group.
    pub up: bool,
    /// In Mbit/s, where the device knows it.
    pub speed_mbps: Option<u32>,
}

impl PortMonitor {
    /// What the devices counted, in sum; a device that does not count adds nothing.
    #[must_use]
    pub fn statistics(&self) -> PortStatistics {
        let own =
            PortStatistics { oversize: self.opened.oversize.load(Ordering::Relaxed), ..Default::default() };
        self.opened.devices.iter().filter_map(Device::statistics).fold(own, |sum, stats| PortStatistics {
            received: sum.received + stats.ipackets,
            sent: sum.sent + stats.opackets,
            missed: sum.missed + stats.imissed,
            receive_errors: sum.receive_errors + stats.ierrors,
            transmit_errors: sum.transmit_errors + stats.oerrors,
            no_buffers: sum.no_buffers + stats.rx_nombuf,
            oversize: sum.oversize,
        })
    }

    /// The state of the link; `None` where a device does not say.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        let links: Option<Vec<_>> = self.opened.devices.iter().map(Device::link).collect();
        let links = links?;
        let speed = links.first()?.speed_mbps;
        Some(Link {
            up: links.iter().all(|link| link.up),
            speed_mbps: (speed != 0 && speed != u32::MAX).then_some(speed),
        })
    }
}

/// Opens a port with one queue pair for each pool, that is for each worker, and starts it.
///
/// # Errors
/// When a device is not there, does not have the queues, or refuses a step. [`PortError::ReceiveQueue`] is what
/// `net_af_xdp` answers where the kernel or the interface cannot: try `net_af_packet` then.
pub fn open_port(eal: &Eal, config: &PortConfig<'_>) -> Result<OpenPort, PortError> {
    let mut warnings = Vec::new();
    let devices = devices_of(config)?
        .into_iter()
        .map(|device| Device::open(eal, &device, &mut warnings))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(first) = devices.first() else { return Err(nothing(config)) };

    for device in devices.iter().filter(|device| device.mac != first.mac) {
        warnings.push(PortWarning::OtherAddress { device: device.name().to_owned() });
    }
    warnings.extend(first.unpolled_queues(config.pools.len() as u16));
    let both =
        |pick: fn(&ChecksumOffload) -> bool| devices.iter().all(|device| pick(&device.transmit_checksums));
    let capabilities = PortCapabilities {
        mac: first.mac,
        mtu: devices.iter().map(|device| device.mtu).min().unwrap_or(config.mtu),
        transmit_checksums: ChecksumOffload {
            ipv4: both(|checksums| checksums.ipv4),
            tcp: both(|checksums| checksums.tcp),
            udp: both(|checksums| checksums.udp),
        },
        rss: if devices.len() == 1 { first.rss.clone() } else { None },
        queues: config.pools.len() as u16,
        numa_node: first.numa_node,
    };
    let pairs: Vec<_> =
        devices.iter().flat_map(|device| (0..device.queues).map(|queue| (device.number, queue))).collect();
    let opened = Arc::new(Opened { id: config.id, oversize: AtomicU64::new(0), devices });
    let queue = |(device, queue)| DpdkQueue::new(Arc::clone(&opened), device, queue);
    Ok(OpenPort {
        capabilities,
        queues: pairs.into_iter().map(queue).collect(),
        warnings,
        monitor: PortMonitor { opened },
    })
}

/// Shares the workers out over the devices: all to the only one, or one to each.
fn devices_of<'a>(config: &PortConfig<'a>) -> Result<Vec<DeviceConfig<'a>>, PortError> {
    let workers = config.pools.len();
    let device = |device, pools| DeviceConfig { port: config.name, device, mtu: config.mtu, pools };
    match config.devices {
        [] => Err(nothing(config)),
        _ if workers == 0 || workers > usize::from(u8::MAX) => Err(nothing(config)),
        [only] => Ok(vec![device(only, config.pools)]),
        group if group.len() == workers => {
            Ok(group.iter().zip(config.pools.chunks(1)).map(|(name, pools)| device(name, pools)).collect())
        }
        group => Err(PortError::QueueCount {
            port: config.name.to_owned(),
            devices: group.join(" "),
            queues: group.len() as u16,
            workers: workers as u16,
            advice: format!("in a list of devices each brings one, so list {workers}, or change `workers`"),
        }),
    }
}

fn nothing(config: &PortConfig<'_>) -> PortError {
    PortError::Nothing { port: config.name.to_owned() }
}
