//! What can go wrong between here and DPDK, and what to do about it.

use std::io;

use thiserror::Error;

/// DPDK's environment did not come up.
#[derive(Debug, Error)]
pub enum EalError {
    /// It can be initialised once in the life of a process.
    #[error("DPDK was initialised before in this process, and that works only once")]
    Again,
    /// Huge pages were asked for, and the machine has none left.
    #[error(
        "no huge page is free: reserve some (`scripts/hugepages 512`), or set `huge_pages = false` under [dpdk] \
         to do without, slower"
    )]
    NoHugePages,
    /// An argument cannot be given to C.
    #[error("the EAL argument {0:?} contains a zero octet: remove it from `args` under [dpdk]")]
    Argument(String),
    /// `rte_eal_init` refused.
    #[error(
        "DPDK did not start with `{arguments}`: {source}; its own message is above, and `--log-level=*:debug` in `args` under [dpdk] shows more"
    )]
    Init {
        /// What it was started with.
        arguments: String,
        /// Its reason.
        source: io::Error,
    },
    /// `rte_thread_register` refused.
    #[error(
        "a worker's thread could not be registered with DPDK: {0}; it knows at most 128 threads (RTE_MAX_LCORE)"
    )]
    Thread(io::Error),
}

/// Packet memory could not be had.
#[derive(Debug, Error)]
pub enum PoolError {
    /// Too small to be of any use.
    #[error("a packet pool holds at least 64 packets, not {0}: raise `mbufs` under [dpdk]")]
    Size(u32),
    /// The memory is not there.
    #[error(
        "no memory for {packets} packets of {octets} octets ({source}): reserve more huge pages \
         (`scripts/hugepages`), raise `memory`, or lower `mbufs` under [dpdk]"
    )]
    Memory {
        /// How many were asked for.
        packets: u32,
        /// Size of each, headroom included.
        octets: u16,
        /// DPDK's reason.
        source: io::Error,
    },
}

/// A port could not be opened.
#[derive(Debug, Error)]
pub enum PortError {
    /// The port has no device, or there is no worker for it.
    #[error("port {port}: a port needs a device and a worker")]
    Nothing {
        /// The port's name.
        port: String,
    },
    /// The devices of the port offer another number of queue pairs than there are workers.
    #[error(
        "port {port} ({devices}) needs one queue pair for each worker, but queue pairs: {queues}, workers: {workers}: {advice}"
    )]
    QueueCount {
        /// The port's name.
        port: String,
        /// Its devices.
        devices: String,
        /// The queue pairs that they offer.
        queues: u16,
        /// The workers that want one.
        workers: u16,
        /// How to bring both together.
        advice: String,
    },
    /// DPDK has no such device, or its driver does not want it.
    #[error("port {port}: device {device} cannot be opened ({source}): {advice}")]
    Probe {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// DPDK's reason.
        source: io::Error,
        /// What to look at.
        advice: &'static str,
    },
    /// Another port has the device already.
    #[error(
        "port {port}: device {device} belongs to another port already; a device string names one device only once"
    )]
    InUse {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
    },
    /// The driver cannot give the receive queue: with `net_af_xdp`, the kernel or the interface does not support it,
    /// and `net_af_packet` is the way out.
    #[error("port {port}: {device} cannot receive by queue {queue} ({source}): {advice}")]
    ReceiveQueue {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// Index of the queue on the device.
        queue: u16,
        /// DPDK's reason.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// Any other step failed.
    #[error("port {port}: {device} cannot {step}: {source}")]
    Setup {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// What could not be done.
        step: &'static str,
        /// DPDK's reason.
        source: io::Error,
    },
}

/// What a port does not do as asked, while it works.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PortWarning {
    /// The device's limit is lower than the MTU asked for, and the limit holds.
    #[error("{device} sends at most {offered} octets of {asked}: its limit is used as the MTU")]
    MtuLimited {
        /// The device.
        device: String,
        /// What the configuration says.
        asked: u16,
        /// What the device can do.
        offered: u16,
    },
    /// The device has no way to set the MTU; what is behind it must be set alike.
    #[error("{device} cannot set the MTU: set that of the interface behind it to {asked}")]
    MtuNotSet {
        /// The device.
        device: String,
        /// What the configuration says.
        asked: u16,
    },
    /// Frames for other stations may arrive; the balancer drops them itself.
    #[error("{device} cannot leave promiscuous mode")]
    Promiscuous {
        /// The device.
        device: String,
    },
    /// Neighbour discovery and routing protocols of the kernel's twin may miss packets.
    #[error("{device} cannot be told to accept all multicast frames")]
    Multicast {
        /// The device.
        device: String,
    },
    /// The devices of a group differ in address; the first one's is the port's.
    #[error(
        "{device} has another hardware address than the first device of its port: frames for it are dropped"
    )]
    OtherAddress {
        /// The device.
        device: String,
    },
    /// An interface spreads its packets over more queues than the port polls: the kernel gets the others.
    #[error(
        "{interface} has {queues} receive queues and the port polls {polled}: the kernel gets the other packets; \
         `ethtool -L {interface} rx {polled} tx {polled}` mends that"
    )]
    UnpolledQueues {
        /// The kernel's name of the interface.
        interface: String,
        /// Its receive queues.
        queues: u16,
        /// Those of the port.
        polled: u16,
    },
}
