//! The immutable state that workers forward by. The control thread builds it, workers only read it.
//!
//! Invariants that the builder keeps:
//! - A service or backend keeps its slot for life. A slot is given to another backend only with a new epoch.
//! - `Service::maglev` names only slots of backends of that service; it is empty when none may be picked.
//! - Every index in it (next hops, ports, slots) is within its vector.

mod shortcuts;

use core::any::Any;
use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::fib::Fib;
use crate::flow::FlowState;
use crate::key::{Addr, Endpoint, Protocol};
use crate::maglev::Maglev;
use crate::steering::Steering;
use crate::time::Time;
pub(crate) use shortcuts::{Hop, Shortcuts, Target};

/// Index of a port, in the order of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct PortId(pub u8);

/// Index of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct WorkerId(pub u8);

/// Slot of a service in [`SnapshotParts::services`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ServiceSlot(pub u16);

/// A backend of one service: its slot in [`SnapshotParts::backends`], and which of the backends that ever had the slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct BackendId {
    /// Index in [`SnapshotParts::backends`].
    pub slot: u16,
    /// Counts the backends that have had this slot, modulo 2^16.
    pub epoch: u16,
}

/// Index of a next hop in [`Fib::next_hop`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct NextHopId(pub u16);

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Its octets in one word, to be compared.
    #[must_use]
    #[inline]
    pub const fn word(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_ne_bytes([a, b, c, d, e, f, 0, 0])
    }

    /// True if the first six of the eight octets in `octets` are the address whose word is `address`.
    #[must_use]
    #[inline(always)]
    pub const fn is_in_word(octets: u64, address: u64) -> bool {
        let different = octets ^ address;
        (if cfg!(target_endian = "little") { different << 16 } else { different >> 16 }) == 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a service's packets reach its backends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// Source and destination are rewritten: the backend sees an address of the balancer.
    #[default]
    FullNat,
    /// The destination is rewritten: the backend sees the client and routes its answers through the balancer.
    Nat,
    /// Only the Ethernet addresses are rewritten: the backend carries the VIP and answers the client itself.
    DsrMac,
    /// They do not: connections of clients end in the layer 7 stage of the worker that owns them. TCP alone.
    L7,
}

/// What a backend may be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BackendState {
    /// New flows and packets of old ones.
    #[default]
    Active,
    /// Packets of flows that it has, until the deadline (for ever without one); no new flows.
    Draining {
        /// When its flows are cut.
        until: Option<Time>,
    },
    /// Nothing: its flows are reset or picked anew.
    Down,
}

impl BackendState {
    /// True if packets of a flow that the backend has may still be sent to it.
    #[must_use]
    #[inline]
    pub fn keeps_flows(self, now: Time) -> bool {
        matches!(self, Self::Active) || self.still_drains(now)
    }

    #[cold]
    #[inline(never)]
    fn still_drains(self, now: Time) -> bool {
        matches!(self, Self::Draining { until } if until.is_none_or(|until| now < until))
    }
}

/// A backend of one service.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Which of the backends that ever had this slot.
    pub epoch: u16,
    /// The service it belongs to.
    pub service: ServiceSlot,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What it may be given.
    pub state: BackendState,
    /// The way to it; `None` while its neighbour is unresolved.
    pub next_hop: Option<NextHopId>,
}

/// A virtual address with port and protocol, and how it is served.
#[derive(Clone, Debug)]
pub struct Service {
    /// Where clients find it.
    pub vip: Endpoint,
    /// What they speak.
    pub protocol: Protocol,
    /// How packets reach its backends.
    pub mode: Mode,
    /// From a flow's hash to the slot of a backend that may be picked.
    pub maglev: Arc<Maglev>,
}

/// Checksums that a port completes on sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChecksumOffload {
    /// The IPv4 header's.
    pub ipv4: bool,
    /// TCP's.
    pub tcp: bool,
    /// UDP's.
    pub udp: bool,
}

impl ChecksumOffload {
    /// True if it completes any.
    #[must_use]
    #[inline]
    pub const fn any(self) -> bool {
        self.ipv4 | self.tcp | self.udp
    }
}

/// What forwarding must know of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortInfo {
    /// Its own address: the source of what it sends; unicast frames for others are dropped.
    pub mac: MacAddress,
    /// Largest network-layer packet, in octets.
    pub mtu: u16,
    /// Checksums it completes on sending.
    pub offload: ChecksumOffload,
    /// TCP and UDP checksums of packets received here are not to be trusted and are computed whole
    /// (a virtual wire whose sender leaves them to a device that is not there).
    pub recompute_checksums: bool,
}

/// How long a flow may be silent before it is forgotten, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// TCP, until both sides have been heard (NAT) or the client's ACK was seen (DSR).
    pub tcp_handshake_ms: u32,
    /// TCP, open.
    pub tcp_established_ms: u32,
    /// TCP, one side has sent FIN.
    pub tcp_half_closed_ms: u32,
    /// TCP, both sides have sent FIN, or one a RST; and from when a flow is cut until it is forgotten.
    pub tcp_closed_ms: u32,
    /// UDP, only the client has been heard.
    pub udp_one_way_ms: u32,
    /// UDP, both sides have been heard.
    pub udp_two_way_ms: u32,
}

impl Timeouts {
    /// How long a flow may be silent, in milliseconds, by the number of its state.
    #[must_use]
    pub fn by_state(&self) -> [u32; FlowState::COUNT] {
        FlowState::ALL.map(|state| self.of(state))
    }

    /// How long a flow in `state` may be silent, in milliseconds.
    #[must_use]
    pub const fn of(&self, state: FlowState) -> u32 {
        match state {
            FlowState::Free => 0,
            FlowState::Handshake => self.tcp_handshake_ms,
            FlowState::Established => self.tcp_established_ms,
            FlowState::ClientClosed | FlowState::BackendClosed => self.tcp_half_closed_ms,
            FlowState::Closed | FlowState::ClientReset | FlowState::BackendReset | FlowState::Cut => {
                self.tcp_closed_ms
            }
            FlowState::OneWay => self.udp_one_way_ms,
            FlowState::TwoWay => self.udp_two_way_ms,
            FlowState::Upstream => u32::MAX,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_handshake_ms: 10_000,
            tcp_established_ms: 900_000,
            tcp_half_closed_ms: 120_000,
            tcp_closed_ms: 10_000,
            udp_one_way_ms: 30_000,
            udp_two_way_ms: 120_000,
        }
    }
}

/// How many packets a second each worker may spend on what is not a flow's traffic (token buckets of one second).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimits {
    /// To the kernel's twin of a port.
    pub to_kernel: u32,
    /// Resets; and as many segments that prompt silent ends of flows to be reset.
    pub resets: u32,
    /// ICMP errors that the balancer generates, and echo replies.
    pub icmp: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { to_kernel: 20_000, resets: 1_000, icmp: 1_000 }
    }
}

/// The addresses and ports that full NAT sends from. They stay as they are while the program runs, since flows name an
/// address by its index.
#[derive(Clone, Debug, Default)]
pub struct LocalAddresses {
    addresses: Vec<Addr>,
    v4: Vec<u8>,
    v6: Vec<u8>,
    first_port: u16,
    last_port: u16,
}

impl LocalAddresses {
    /// Most addresses that there can be.
    pub const MAX: usize = 256;

    /// The first [`LocalAddresses::MAX`] of `addresses`, and the ports from `first_port` to `last_port`.
    #[must_use]
    pub fn new(addresses: &[Addr], first_port: u16, last_port: u16) -> Self {
        let addresses: Vec<Addr> = addresses.iter().copied().take(Self::MAX).collect();
        let of_family = |v4: bool| {
            (0..=u8::MAX)
                .zip(&addresses)
                .filter(|(_, addr)| addr.is_v4() == v4)
                .map(|(index, _)| index)
                .collect()
        };
        Self { v4: of_family(true), v6: of_family(false), addresses, first_port, last_port }
    }

    /// The address with this index.
    #[must_use]
    #[inline]
    pub fn address(&self, index: u8) -> Option<Addr> {
        self.addresses.get(usize::from(index)).copied()
    }

    /// Indices of the addresses of one family.
    #[must_use]
    pub fn of_family(&self, v4: bool) -> &[u8] {
        if v4 { &self.v4 } else { &self.v6 }
    }

    /// An address (by its index) of one family and a port, as the random number `draw` says; `None` if there is none.
    #[must_use]
    #[inline]
    pub fn draw(&self, v4: bool, draw: u64) -> Option<(u8, u16)> {
        let addresses = self.of_family(v4);
        let ports = u64::from(self.last_port.saturating_sub(self.first_port)) + 1;
        let index = ((draw >> 32) * addresses.len() as u64) >> 32;
        let port = ((draw & 0xffff_ffff) * ports) >> 32;
        Some((*addresses.get(index as usize)?, self.first_port + port as u16))
    }

    /// First and last port.
    #[must_use]
    pub const fn ports(&self) -> (u16, u16) {
        (self.first_port, self.last_port)
    }

    /// True if `address` is one of them.
    #[must_use]
    pub fn has_address(&self, address: Addr) -> bool {
        self.addresses.contains(&address)
    }

    /// True if `endpoint` is one that full NAT may send from, so that packets to it are answers.
    #[must_use]
    pub fn contains(&self, endpoint: Endpoint) -> bool {
        (self.first_port..=self.last_port).contains(&endpoint.port) && self.addresses.contains(&endpoint.addr)
    }
}

/// What only the layer 7 stage looks into. Neither it nor connections ever free the last reference: whoever made it keeps one for
/// as long as there are others.
#[derive(Clone, Default)]
pub struct ForL7(pub Option<Arc<dyn Any + Send + Sync>>);

impl fmt::Debug for ForL7 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForL7").finish_non_exhaustive()
    }
}

/// What forwarding depends on, besides the packet, the flow table, the time and the seed.
#[derive(Clone, Debug, Default)]
pub struct SnapshotParts {
    /// Grows by one with each change.
    pub generation: u64,
    /// By slot; `None` where there is none.
    pub services: Vec<Option<Service>>,
    /// By slot; `None` where there is none.
    pub backends: Vec<Option<Backend>>,
    /// From VIP to service.
    pub vips: HashMap<(Endpoint, Protocol), ServiceSlot, foldhash::fast::FixedState>,
    /// Every address that is some service's VIP.
    pub vip_addresses: hashbrown::HashSet<Addr, foldhash::fast::FixedState>,
    /// Backends of services in NAT mode, by what their answers come from: such packets belong to flows.
    pub nat_endpoints: hashbrown::HashSet<(Endpoint, Protocol), foldhash::fast::FixedState>,
    /// Addresses of the kernel's twins: what is for them and belongs to no flow is the kernel's, probes' answers too.
    pub kernel_addresses: hashbrown::HashSet<Addr, foldhash::fast::FixedState>,
    /// What full NAT sends from.
    pub local: LocalAddresses,
    /// Routes and neighbours.
    pub fib: Arc<Fib>,
    /// By [`PortId`].
    pub ports: Vec<PortInfo>,
    /// Which worker owns a packet.
    pub steering: Arc<Steering>,
    /// Idle timeouts of flows.
    pub timeouts: Timeouts,
    /// What each worker may spend on other packets.
    pub limits: RateLimits,
    /// How services of [`Mode::L7`] are served.
    pub l7: ForL7,
}

impl SnapshotParts {
    /// The backend with this id; `None` if it is gone or its slot has another now.
    #[must_use]
    #[inline]
    pub fn backend(&self, id: BackendId) -> Option<&Backend> {
        self.backends.get(usize::from(id.slot))?.as_ref().filter(|backend| backend.epoch == id.epoch)
    }

    /// The service in this slot.
    #[must_use]
    #[inline]
    pub fn service(&self, slot: ServiceSlot) -> Option<&Service> {
        self.services.get(usize::from(slot.0))?.as_ref()
    }
}

/// [`SnapshotParts`] that nobody changes any more, and what follows from them.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    parts: SnapshotParts,
    pub(crate) shortcuts: Shortcuts,
}

impl From<SnapshotParts> for Snapshot {
    fn from(parts: SnapshotParts) -> Self {
        Self { shortcuts: Shortcuts::of(&parts), parts }
    }
}

impl Deref for Snapshot {
    type Target = SnapshotParts;

    #[inline]
    fn deref(&self) -> &SnapshotParts {
        &self.parts
    }
}
