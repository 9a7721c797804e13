//! What queries are answered with. Counters stand under the names of [`evenkeel_datapath::counters`], in their order.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use evenkeel_config::{BackendState, Mode, Protocol};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Counters by name, in their own order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts(pub Vec<(String, u64)>);

impl Counts {
    /// The counter called `name`; zero if there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value)
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Counts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of counters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counts, A::Error> {
                let mut counts = Vec::new();
                while let Some(count) = map.next_entry()? {
                    counts.push(count);
                }
                Ok(Counts(counts))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The state of the whole balancer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// What is running.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Every worker forwards by the newest state.
    pub in_force: bool,
    /// Workers that do not yet.
    pub late_workers: Vec<u8>,
    /// Number of workers.
    pub workers: usize,
    /// Number of ports.
    pub ports: usize,
    /// Number of services.
    pub services: usize,
    /// Backends of all services by what they are given.
    pub backends: BackendTally,
    /// Flows that the tables of all workers hold.
    pub flows_active: u64,
    /// Flows that they have room for.
    pub flows_capacity: u64,
    /// Packets dropped, for whatever reason.
    pub dropped: u64,
    /// Packets that came in and neither went out nor were dropped: those under way, else a fault.
    pub imbalance: i64,
    /// The counters of all workers together.
    pub counters: Counts,
}

/// Numbers of backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BackendTally {
    /// Given new flows, as far as their next hops are resolved.
    pub active: usize,
    /// Given no new flows.
    pub draining: usize,
    /// Given nothing.
    pub down: usize,
    /// Of all these, without a resolved next hop.
    pub unresolved: usize,
    /// Removed, but their slots are not free yet.
    pub leaving: usize,
}

/// One worker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Its number.
    pub worker: u8,
    /// The core that it is pinned to.
    pub core: Option<usize>,
    /// The state that it forwards by.
    pub generation: u64,
    /// That is not the newest.
    pub late: bool,
    /// Commands that wait in its ring.
    pub commands_waiting: usize,
    /// Commands that its ring has room for.
    pub commands_capacity: usize,
    /// Packets dropped, for whatever reason.
    pub dropped: u64,
    /// Packets that came in and neither went out nor were dropped: those under way, else a fault.
    pub imbalance: i64,
    /// Its counters.
    pub counters: Counts,
}

/// One service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Its name.
    pub service: String,
    /// Where clients find it.
    pub vip: SocketAddr,
    /// What clients speak.
    pub protocol: Protocol,
    /// How packets reach its backends.
    pub mode: Mode,
    /// Slots of its Maglev table.
    pub maglev_table: u32,
    /// Its counters, over all workers.
    pub counters: Counts,
    /// Its backends, in the order in which they were added.
    pub backends: Vec<BackendReport>,
}

/// One backend of one service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackendReport {
    /// The service's name.
    pub service: String,
    /// Where the backend listens.
    pub backend: SocketAddr,
    /// Its share of new flows against the others'.
    pub weight: u32,
    /// What it is given; with weight 0 an active one is draining.
    pub state: BackendState,
    /// The pool that it is in, in mode `l7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Milliseconds until its flows are cut, if it is draining and has a deadline.
    pub deadline_ms: Option<u64>,
    /// The way to it is known.
    pub resolved: bool,
    /// The neighbour that its packets are sent to.
    pub next_hop: Option<HopReport>,
    /// Slots of the service's Maglev table that are its own: its share of new flows is this of `maglev_table`.
    pub maglev_slots: u32,
    /// Its counters, over all workers.
    pub counters: Counts,
}

/// Where frames are sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HopReport {
    /// Name of the port.
    pub port: String,
    /// The neighbour's Ethernet address.
    pub mac: String,
    /// Largest network-layer packet that may go this way.
    pub mtu: u16,
}

/// Some flows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FlowsReport {
    /// They.
    pub flows: Vec<FlowReport>,
    /// There are no more; false if the limit was reached, or a worker did not answer in time.
    pub complete: bool,
    /// Workers that did not answer in time.
    pub late_workers: Vec<u8>,
    /// Of `flow lookup`: where a new flow would go now, if there is none and a service has its destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_flow: Option<Box<NewFlowReport>>,
}

/// A flow that is not there, as it would be if it were opened now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewFlowReport {
    /// The worker that would own it.
    pub worker: u8,
    /// The service's name.
    pub service: String,
    /// What both sides would speak.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// Where the client would send to.
    pub vip: SocketAddr,
    /// The backend that Maglev picks; absent if the first packet would be dropped, or the service is at layer 7.
    pub backend: Option<SocketAddr>,
    /// The reason for which it would be dropped, if it would.
    pub drop: Option<String>,
}

/// One flow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FlowReport {
    /// The worker that owns it.
    pub worker: u8,
    /// The service's name; absent if the service has been removed.
    pub service: Option<String>,
    /// What both sides speak.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// Where the client sends to; absent if the service has been removed.
    pub vip: Option<SocketAddr>,
    /// What full NAT sends from.
    pub local: Option<SocketAddr>,
    /// The backend; absent if it has been removed.
    pub backend: Option<SocketAddr>,
    /// How far the flow has come.
    pub state: String,
    /// Milliseconds since its last packet.
    pub idle_ms: u32,
}

/// Drops by reason, over all workers and by worker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DropsReport {
    /// Every reason, those never seen included.
    pub reasons: Vec<DropReport>,
    /// Packets dropped, for whatever reason.
    pub dropped: u64,
    /// Packets that came in and neither went out nor were dropped: those under way, else a fault.
    pub imbalance: i64,
    /// The workers, in the order of `by_worker`.
    pub workers: Vec<u8>,
}

/// One reason for drops.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DropReport {
    /// Its name.
    pub reason: String,
    /// What it means.
    pub help: String,
    /// Packets dropped for it.
    pub count: u64,
    /// The same for each worker.
    pub by_worker: Vec<u64>,
}

/// One port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortReport {
    /// Its name.
    pub port: String,
    /// The devices that it consists of.
    pub devices: Vec<String>,
    /// Its Ethernet address.
    pub mac: String,
    /// Largest network-layer packet.
    pub mtu: u16,
    /// Its queue pairs: one for each worker.
    pub queues: u16,
    /// The device spreads packets over the queues by a hash that workers know.
    pub rss: bool,
    /// Checksums that the device completes on sending: some of `ipv4`, `tcp`, `udp`.
    pub transmit_checksums: Vec<String>,
    /// Checksums of what is received are computed whole.
    pub recompute_checksums: bool,
    /// NUMA node of the device, where it is known.
    pub numa_node: Option<u8>,
    /// The kernel's twin.
    pub kernel: Option<String>,
    /// Addresses on the twin.
    pub addresses: Vec<String>,
}

/// One neighbour.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NextHopReport {
    /// Its network-layer address.
    pub address: IpAddr,
    /// Name of the port that it is behind.
    pub port: String,
    /// Its Ethernet address, once it is known.
    pub mac: Option<String>,
    /// `static`, `resolved`, `probing` or `failed`.
    pub state: String,
    /// Number of backends whose packets go to it.
    pub backends: usize,
}

/// What a reload changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Services that are new.
    pub services_added: Vec<String>,
    /// Services that are gone.
    pub services_removed: Vec<String>,
    /// Services of both that are different now, their backends included.
    pub services_changed: Vec<String>,
    /// Backends that are new in services of both, as `service address`.
    pub backends_added: Vec<String>,
    /// Backends that are gone from services of both.
    pub backends_removed: Vec<String>,
    /// Backends of both with another state or weight now.
    pub backends_changed: Vec<String>,
    /// Other settings with another value now.
    pub settings_changed: Vec<String>,
}

/// What is running.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VersionReport {
    /// Version, and what it was built from.
    pub version: String,
}
