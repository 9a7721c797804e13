//! What a configuration says, as plain values.
//!
//! Invariants: a [`Config`] that [`Config::parse`] returned is within every bound of [`crate::limits`]
//! and passed every check. The shape that serde writes is the file's own: what it writes parses to an equal value.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::respond::Respond;
use crate::site::Site;
use crate::units;
use crate::words::{BackendState, Idle, Mode, Protocol};

/// Everything that the file says, with defaults in place of what it leaves out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Config {
    /// `[balancer]`: workers and bounds.
    pub balancer: Balancer,
    /// `[dpdk]`: what the environment abstraction layer is started with.
    pub dpdk: Dpdk,
    /// `[timeouts]`: how long a flow may be silent.
    pub timeouts: Timeouts,
    /// `[limits]`: packets a second that are not flows' traffic.
    pub limits: Limits,
    /// `[full_nat]`: what full NAT sends from.
    pub full_nat: FullNat,
    /// `[l7]`: what connections at layer 7 may take.
    pub l7: L7,
    /// `[[port]]`, in the order of the file, which is the order of port ids.
    #[serde(rename = "port", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// `[[route]]`, in the order of the file.
    #[serde(rename = "route", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// `[[neighbor]]`, in the order of the file.
    #[serde(rename = "neighbor", skip_serializing_if = "Vec::is_empty")]
    pub neighbors: Vec<Neighbor>,
    /// `[[service]]`, in the order of the file.
    #[serde(rename = "service", skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
}

/// `[balancer]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Balancer {
    /// The core of each worker; distinct, 1 to 64 of them.
    pub workers: Vec<usize>,
    /// What a worker does when there is nothing to do.
    pub idle: Idle,
    /// Flows that each worker's table holds.
    pub flows: u32,
    /// Services that there may ever be at one time.
    pub max_services: u32,
    /// Backends, of all services together, that there may ever be at one time.
    pub max_backends: u32,
    /// Where the control socket is made.
    pub control_socket: PathBuf,
    /// How long a draining backend keeps its flows when the request does not say.
    #[serde(serialize_with = "duration")]
    pub drain_timeout: Duration,
    /// Seed of the hashes; drawn at start when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Default for Balancer {
    fn default() -> Self {
        Self {
            workers: Vec::new(),
            idle: Idle::default(),
            flows: 1_000_000,
            max_services: 256,
            max_backends: 4096,
            control_socket: PathBuf::from("/run/evenkeel/control.sock"),
            drain_timeout: Duration::from_secs(5 * 60),
            seed: None,
        }
    }
}

/// `[dpdk]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Dpdk {
    /// Memory is taken from huge pages; otherwise from ordinary ones (`--no-huge`).
    pub huge_pages: bool,
    /// Memory that EAL may take, in octets; a whole number of MiB.
    #[serde(serialize_with = "size")]
    pub memory: u64,
    /// Packet buffers in the pool.
    pub mbufs: u32,
    /// Keeps the files of several DPDK programs on one machine apart.
    pub file_prefix: String,
    /// PCI devices are probed; otherwise EAL is told `--no-pci`.
    pub pci: bool,
    /// Further arguments to EAL.
    pub args: Vec<String>,
}

impl Dpdk {
    /// Octets of the pool's memory for each packet buffer: a buffer of 2,048 with headroom, header and its share of rings.
    const MBUF_OCTETS: u64 = 2_432;

    /// Octets that the packet buffers take.
    #[must_use]
    pub fn pool_octets(&self) -> u64 {
        u64::from(self.mbufs) * Self::MBUF_OCTETS
    }
}

impl Default for Dpdk {
    fn default() -> Self {
        Self {
            huge_pages: true,
            memory: 512 << 20,
            mbufs: 32_768,
            file_prefix: "evenkeel".to_owned(),
            pci: true,
            args: Vec::new(),
        }
    }
}

/// `[timeouts]`: how long a flow may be silent before it is forgotten. Each is 1 s to 24 h.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Timeouts {
    /// TCP, until both sides have been heard.
    #[serde(serialize_with = "duration")]
    pub tcp_handshake: Duration,
    /// TCP, open.
    #[serde(serialize_with = "duration")]
    pub tcp_established: Duration,
    /// TCP, one side has sent FIN.
    #[serde(serialize_with = "duration")]
    pub tcp_half_closed: Duration,
    /// TCP, both sides have sent FIN, or one a RST.
    #[serde(serialize_with = "duration")]
    pub tcp_closed: Duration,
    /// UDP, only the client has been heard.
    #[serde(serialize_with = "duration")]
    pub udp_one_way: Duration,
    /// UDP, both sides have been heard.
    #[serde(serialize_with = "duration")]
    pub udp_two_way: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_handshake: Duration::from_secs(10),
            tcp_established: Duration::from_secs(15 * 60),
            tcp_half_closed: Duration::from_secs(2 * 60),
            tcp_closed: Duration::from_secs(10),
            udp_one_way: Duration::from_secs(30),
            udp_two_way: Duration::from_secs(2 * 60),
        }
    }
}

/// `[limits]`: packets that each worker may spend a second on what is not a flow's traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Limits {
    /// Passed to the kernel's twin of a port.
    pub to_kernel: u32,
    /// Resets; and as many segments that prompt silent ends of flows to be reset.
    pub resets: u32,
    /// ICMP errors and echo replies that the balancer makes.
    pub icmp: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { to_kernel: 20_000, resets: 1_000, icmp: 1_000 }
    }
}

/// `[full_nat]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct FullNat {
    /// Addresses that full NAT sends from, at most 256 and distinct.
    pub local_addresses: Vec<IpAddr>,
    /// Transport ports that full NAT sends from.
    pub ports: PortRange,
}

/// `[l7]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct L7 {
    /// Connections of each worker at one time.
    pub connections: u32,
    /// Octets of packet buffers and other memory that the connections of all workers hold, which share it evenly; absent: half
    /// of the packet buffers.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_size")]
    pub memory: Option<u64>,
}

impl Default for L7 {
    fn default() -> Self {
        Self { connections: 65_536, memory: None }
    }
}

impl Config {
    /// What the connections at layer 7 of one worker may hold, in octets.
    #[must_use]
    pub fn l7_memory_of_a_worker(&self) -> u64 {
        let all = self.l7.memory.unwrap_or_else(|| self.dpdk.pool_octets() / 2);
        all / (self.balancer.workers.len() as u64).max(1)
    }
}

/// Transport ports, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest; not below `first`.
    pub last: u16,
}

impl Default for PortRange {
    fn default() -> Self {
        Self { first: 1024, last: 32_767 }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// `[[port]]`: a network port of the balancer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Port {
    /// What it is called here; unique.
    pub name: String,
    /// One device, or a group of devices of one queue each that together are the port.
    #[serde(rename = "device")]
    pub devices: Vec<String>,
    /// Largest network-layer packet, in octets.
    pub mtu: u16,
    /// The interface that the kernel sees in the port's place; without one its neighbours are static.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Addresses of the balancer on this port, each with its subnet. They are put on the kernel's twin.
    pub addresses: Vec<Prefix>,
    /// The port's address where there is no device to ask (replay).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// TCP and UDP checksums of what is received here are computed whole.
    pub recompute_checksums: bool,
}

impl Port {
    /// The MTU of a port that the file does not give one.
    pub const MTU: u16 = 1_500;
}

/// An address and how many of its bits name the subnet. The bits past `length` are kept: they are the host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Prefix {
    /// An address in the subnet.
    pub addr: IpAddr,
    /// Bits that count: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub length: u8,
}

impl Prefix {
    /// True if `addr` is of the same family and lies in the subnet.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.network().is_some_and(|network| Self { addr, length: self.length }.network() == Some(network))
    }

    /// The subnet's own address: the bits past `length` zero. `None` if `length` is more than the family has.
    #[must_use]
    pub fn network(&self) -> Option<IpAddr> {
        let length = u32::from(self.length);
        match self.addr {
            IpAddr::V4(addr) => {
                let host = 32u32.checked_sub(length)?;
                let mask = u32::MAX.checked_shl(host).unwrap_or(0);
                Some(IpAddr::from((addr.to_bits() & mask).to_be_bytes()))
            }
            IpAddr::V6(addr) => {
                let host = 128u32.checked_sub(length)?;
                let mask = u128::MAX.checked_shl(host).unwrap_or(0);
                Some(IpAddr::from((addr.to_bits() & mask).to_be_bytes()))
            }
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.length)
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// `[[route]]`: the way to a prefix that is not on-link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Route {
    /// Where to; its host bits are zero.
    pub to: Prefix,
    /// The gateway: in the subnet of a port, or a static neighbour.
    pub via: IpAddr,
}

/// `[[neighbor]]`: a next hop that is not asked for by ARP or neighbour discovery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Neighbor {
    /// Its network-layer address.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: MacAddress,
    /// Name of the port that it is behind.
    pub port: String,
}

/// `[[service]]`: a virtual address and how it is served.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Service {
    /// What it is called; unique.
    pub name: String,
    /// Where clients find it; unique together with the protocol.
    pub vip: SocketAddr,
    /// What clients speak.
    pub protocol: Protocol,
    /// How packets reach its backends.
    pub mode: Mode,
    /// Slots of its Maglev table; a prime.
    pub maglev_table: u32,
    /// What requests are answered with, in mode `l7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
    /// What becomes of requests otherwise, in mode `l7`.
    #[serde(flatten)]
    pub site: Site,
    /// Where its flows go; each address once.
    #[serde(rename = "backend", skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
}

impl Service {
    /// Slots of a Maglev table that the file does not give a size.
    pub const MAGLEV_TABLE: u32 = 65_537;
}

/// `[[service.backend]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Backend {
    /// Where it listens; of the VIP's family.
    pub address: SocketAddr,
    /// Its share of new flows against the others'; 0 drains it.
    pub weight: u32,
    /// What it may be given.
    pub state: BackendState,
    /// The pool that it is in, in mode `l7`.
    #[serde(skip_serializing_if = "is_default_pool")]
    pub pool: String,
}

impl Backend {
    /// The weight of a backend that the file does not give one.
    pub const WEIGHT: u32 = 1;
}

/// Serialises as the text that `Display` writes.
macro_rules! serialize_as_text {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
serialize_as_text!(PortRange Prefix MacAddress);

fn is_default_pool(pool: &String) -> bool {
    pool == Site::DEFAULT_POOL
}

fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&units::duration_text(*duration))
}

fn some_size<S: Serializer>(octets: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    size(&octets.unwrap_or(0), serializer)
}

fn size<S: Serializer>(octets: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&units::size_text(*octets))
}
