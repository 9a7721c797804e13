//! From what is wanted, the slots and the ways out to a snapshot.
//!
//! Invariants: the same arguments give the same snapshot; a service whose candidates are what they were keeps its
//! Maglev table, the very same in memory; a backend without a way to it is not picked while another one can be. Where
//! none has a way, all are picked, so that packets are dropped for want of a next hop and not of a backend.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::{self as config, Config, FullNat};
use evenkeel_datapath::fib::Fib;
use evenkeel_datapath::key::{Addr, Endpoint};
use evenkeel_datapath::maglev::{Candidate, Maglev};
use evenkeel_datapath::port::PortCapabilities;
use evenkeel_datapath::snapshot::{
    Backend, BackendState, LocalAddresses, Mode, PortInfo, RateLimits, Service, ServiceSlot, Snapshot,
    SnapshotParts, Timeouts,
};
use evenkeel_datapath::steering::Steering;
use evenkeel_l7::Services;
use evenkeel_l7::proxy::Site;
use foldhash::fast::FixedState;
use hashbrown::HashSet;

use crate::desired::{self, DesiredState, Id};
use crate::sites::{Sites, Tls, members};
use crate::slots::Slots;
use crate::words;

/// What does not change while the balancer runs.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    ports: Vec<PortInfo>,
    steering: Arc<Steering>,
    local: LocalAddresses,
}

/// What was built for each service, with what it was built from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    maglev: HashMap<Id, Table>,
    sites: Sites,
}

#[derive(Clone, Debug)]
struct Table {
    size: u32,
    candidates: Vec<Candidate>,
    maglev: Arc<Maglev>,
}

impl Tables {
    /// The table of a service, and its size.
    pub(crate) fn of(&self, service: Id) -> Option<&Arc<Maglev>> {
        self.maglev.get(&service).map(|table| &table.maglev)
    }

    /// What becomes of requests to a service.
    pub(crate) fn site_of(&self, service: Id) -> Option<&Arc<Site>> {
        self.sites.current(service)
    }
}

impl Fixed {
    pub(crate) fn new(config: &Config, ports: &[PortCapabilities], workers: usize) -> Self {
        let info = |(port, capabilities): (&config::Port, &PortCapabilities)| PortInfo {
            mac: capabilities.mac,
            mtu: capabilities.mtu,
            offload: capabilities.transmit_checksums,
            recompute_checksums: port.recompute_checksums,
        };
        let workers = u8::try_from(workers).unwrap_or(u8::MAX);
        let FullNat { local_addresses, ports: range } = &config.full_nat;
        let addresses: Vec<Addr> = local_addresses.iter().map(|&address| address.into()).collect();
        Self {
            ports: config.ports.iter().zip(ports).map(info).collect(),
            steering: Arc::new(Steering::choose(workers, ports)),
            local: LocalAddresses::new(&addresses, range.first, range.last),
        }
    }
}

/// The snapshot, and the tables in it.
pub(crate) fn compile(
    desired: &DesiredState,
    slots: &Slots,
    fib: &Arc<Fib>,
    fixed: &Fixed,
    tables: &Tables,
    generation: u64,
) -> (Snapshot, Tables) {
    let config = &desired.config;
    let mut snapshot = SnapshotParts {
        generation,
        services: vec![None; slots.service_slots()],
        backends: vec![None; slots.backend_slots()],
        kernel_addresses: kernel_addresses(config),
        local: fixed.local.clone(),
        fib: Arc::clone(fib),
        ports: fixed.ports.clone(),
        steering: Arc::clone(&fixed.steering),
        timeouts: timeouts(&config.timeouts),
        limits: limits(config.limits),
        ..SnapshotParts::default()
    };
    let mut kept = Tables::default();
    let mut at_layer_7 = Services::default();
    for service in &desired.services {
        let Some(slot) = slots.of(service.id) else { continue };
        let candidates = candidates(service, slots, fib);
        let table = table(tables, service, candidates);
        let entry = Service {
            vip: service.vip.into(),
            protocol: words::protocol(service.protocol),
            mode: words::mode(service.mode),
            maglev: Arc::clone(&table.maglev),
        };
        if entry.mode == Mode::L7 {
            let tls = Tls::of(service, &desired.secrets);
            let members = members(service, slots, &table.candidates);
            let workers = fixed.steering.workers();
            let site = kept.sites.of(service, members, tls, usize::from(workers), &tables.sites);
            let (slot, vip) = (ServiceSlot(slot), service.vip.into());
            at_layer_7.0.push(evenkeel_l7::Service { slot, vip, site });
        }
        kept.maglev.insert(service.id, table);
        snapshot.vips.insert((entry.vip, entry.protocol), ServiceSlot(slot));
        snapshot.vip_addresses.insert(entry.vip.addr);
        for backend in &service.backends {
            let Some(id) = slots.backend_id(backend.id) else { continue };
            let endpoint = Endpoint::from(backend.address);
            if entry.mode == Mode::Nat {
                snapshot.nat_endpoints.insert((endpoint, entry.protocol));
            }
            snapshot.backends[usize::from(id.slot)] = Some(Backend {
                epoch: id.epoch,
                service: ServiceSlot(slot),
                endpoint,
                state: backend.effective_state(),
                next_hop: fib.lookup(endpoint.addr),
            });
        }
        snapshot.services[usize::from(slot)] = Some(entry);
    }
    keep_what_leaves(&mut snapshot, slots, fib);
    kept.sites.retire(&tables.sites);
    snapshot.l7 = at_layer_7.sealed();
    (snapshot.into(), kept)
}

/// What has been removed and may still have flows stays, down: so its flows are reset and not forgotten.
fn keep_what_leaves(snapshot: &mut SnapshotParts, slots: &Slots, fib: &Fib) {
    let none = Arc::new(Maglev::default());
    for slot in 0..=u16::MAX {
        let Some(place) = snapshot.services.get_mut(usize::from(slot)) else { break };
        if let Some(left) = slots.service(slot).filter(|service| service.has_left()) {
            let (vip, protocol, mode) = (left.vip, left.protocol, left.mode);
            // Packets of its flows still find their worker.
            snapshot.vip_addresses.insert(vip.addr);
            *place = Some(Service { vip, protocol, mode, maglev: Arc::clone(&none) });
        }
    }
    for (id, backend) in slots.leaving_backends() {
        if let Some(service) = slots.service(backend.service.0).filter(|service| service.mode == Mode::Nat) {
            snapshot.nat_endpoints.insert((backend.endpoint, service.protocol));
        }
        snapshot.backends[usize::from(id.slot)] = Some(Backend {
            epoch: id.epoch,
            service: backend.service,
            endpoint: backend.endpoint,
            state: BackendState::Down,
            next_hop: fib.lookup(backend.endpoint.addr),
        });
    }
}

/// The backends of `service` that new flows may go to.
fn candidates(service: &desired::Service, slots: &Slots, fib: &Fib) -> Vec<Candidate> {
    let active = service.backends.iter().filter(|backend| backend.effective_state() == BackendState::Active);
    let (mut resolved, mut unresolved) = (Vec::new(), Vec::new());
    for backend in active {
        let Some(slot) = slots.of(backend.id) else { continue };
        let endpoint = Endpoint::from(backend.address);
        let known = fib.lookup(endpoint.addr).is_some();
        let candidate = Candidate { identity: identity(endpoint), weight: backend.weight, slot };
        if known { &mut resolved } else { &mut unresolved }.push(candidate);
    }
    let mut candidates = if resolved.is_empty() { unresolved } else { resolved };
    candidates.sort_unstable_by_key(|candidate| (candidate.identity, candidate.slot));
    candidates
}

fn table(tables: &Tables, service: &desired::Service, candidates: Vec<Candidate>) -> Table {
    let size = service.maglev_table;
    match tables.maglev.get(&service.id) {
        Some(table) if table.size == size && table.candidates == candidates => table.clone(),
        _ => Table { size, maglev: Arc::new(Maglev::build(size, &candidates)), candidates },
    }
}

/// A number for what a backend is, the same in every process and release: balancers side by side pick alike
/// (FNV-1a, 64 bits, over address and port in network byte order).
fn identity(endpoint: Endpoint) -> u64 {
    let octets = endpoint.addr.octets().into_iter().chain(endpoint.port.to_be_bytes());
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What Linux answers for on its twins, VIPs and addresses of full NAT apart.
fn kernel_addresses(config: &Config) -> HashSet<Addr, FixedState> {
    let twins = config.ports.iter().filter(|port| port.kernel.is_some());
    twins.flat_map(|port| &port.addresses).map(|subnet| subnet.addr.into()).collect()
}

fn timeouts(timeouts: &config::Timeouts) -> Timeouts {
    let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    Timeouts {
        tcp_handshake_ms: millis(timeouts.tcp_handshake),
        tcp_established_ms: millis(timeouts.tcp_established),
        tcp_half_closed_ms: millis(timeouts.tcp_half_closed),
        tcp_closed_ms: millis(timeouts.tcp_closed),
        udp_one_way_ms: millis(timeouts.udp_one_way),
        udp_two_way_ms: millis(timeouts.udp_two_way),
    }
}

const fn limits(limits: config::Limits) -> RateLimits {
    RateLimits { to_kernel: limits.to_kernel, resets: limits.resets, icmp: limits.icmp }
}
