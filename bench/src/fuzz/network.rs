//! The network around the fuzzed datapath: clients on port 0, backends on port 1, a service of each kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use evenkeel_datapath::counters::Bounds;
use evenkeel_datapath::fib::{Fib, NextHop, Prefix};
use evenkeel_datapath::hash::FlowHasher;
use evenkeel_datapath::key::{Addr, Endpoint, FlowKey, Protocol};
use evenkeel_datapath::maglev::{Candidate, Maglev};
use evenkeel_datapath::snapshot::{
    Backend, BackendId, BackendState, LocalAddresses, MacAddress, Mode, PortId, PortInfo, Service,
    ServiceSlot, SnapshotParts,
};
use evenkeel_datapath::steering::Steering;

use super::frames::Frame;

pub(super) const CLIENT_SIDE: PortId = PortId(0);
pub(super) const BACKEND_SIDE: PortId = PortId(1);
pub(super) const MACS: [MacAddress; 2] =
    [MacAddress([2, 0, 0, 0, 0, 0x0a]), MacAddress([2, 0, 0, 0, 0, 0x0b])];
pub(super) const GATEWAY: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xc1]);
pub(super) const BOUNDS: Bounds = Bounds { services: 16, backends: 64 };

/// Mode, IPv4, protocol and VIP number. The last two share an address and their backends' endpoints with another.
pub(super) const SERVICES: [(Mode, bool, Protocol, u8); 14] = [
    (Mode::FullNat, true, Protocol::Tcp, 10),
    (Mode::FullNat, true, Protocol::Udp, 10),
    (Mode::FullNat, false, Protocol::Tcp, 10),
    (Mode::FullNat, false, Protocol::Udp, 10),
    (Mode::Nat, true, Protocol::Tcp, 11),
    (Mode::Nat, true, Protocol::Udp, 11),
    (Mode::Nat, false, Protocol::Tcp, 11),
    (Mode::Nat, false, Protocol::Udp, 11),
    (Mode::DsrMac, true, Protocol::Tcp, 12),
    (Mode::DsrMac, true, Protocol::Udp, 12),
    (Mode::DsrMac, false, Protocol::Tcp, 12),
    (Mode::DsrMac, false, Protocol::Udp, 12),
    (Mode::Nat, true, Protocol::Tcp, 13),
    (Mode::FullNat, true, Protocol::Tcp, 14),
];

/// Backends of each service.
pub(super) const BACKENDS: usize = 4;

/// Every backend has this endpoint port, and every VIP.
const PORT: u16 = 80;

fn address(v4: bool, v4_net: [u8; 3], v6_net: u16, host: u8) -> Addr {
    let [a, b, c] = v4_net;
    if v4 {
        IpAddr::V4(Ipv4Addr::new(a, b, c, host)).into()
    } else {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, v6_net, 0, 0, 0, 0, u16::from(host))).into()
    }
}

pub(super) fn vip(service: usize) -> Endpoint {
    let (_, v4, _, number) = SERVICES[service];
    Endpoint { addr: address(v4, [192, 0, 2], 1, number), port: PORT }
}

fn client(number: u8, v4: bool) -> Endpoint {
    Endpoint {
        addr: address(v4, [198, 51, 100], 2, number % 8 + 1),
        port: 40_000 + u16::from(number / 8 % 4),
    }
}

/// What the backend in `slot` is, of the two that its slot has in turn.
fn backend_endpoint(slot: usize, second: bool) -> Endpoint {
    let service = slot / BACKENDS;
    let (_, v4, ..) = SERVICES[service];
    // The last two services send to the backends of services 4 and 0.
    let shown = match service {
        12 => 4,
        13 => 0,
        service => service,
    };
    let host = (shown * BACKENDS + slot % BACKENDS + 1 + if second { 100 } else { 0 }) as u8;
    Endpoint { addr: address(v4, [10, 0, 0], 3, host), port: PORT }
}

/// The network with every backend active and one worker: the same for every input.
static NETWORK: LazyLock<SnapshotParts> = LazyLock::new(|| {
    let info = |mac| PortInfo { mac, mtu: 1500, ..PortInfo::default() };
    let gateway = NextHop { port: CLIENT_SIDE, mac: GATEWAY, mtu: 1500 };
    let everything = |v4: bool| if v4 { (Addr::from_v4([0; 4]), 96) } else { (Addr::default(), 0) };
    let mut routes: Vec<(Prefix, Option<NextHop>)> =
        [true, false].map(everything).map(|(addr, length)| (Prefix::new(addr, length), Some(gateway))).into();
    for host in 1..=200 {
        let mac = MacAddress([2, 0, 0, 0, 1, host]);
        let next_hop = NextHop { port: BACKEND_SIDE, mac, mtu: 1500 };
        for v4 in [true, false] {
            routes.push((Prefix::new(address(v4, [10, 0, 0], 3, host), 128), Some(next_hop)));
        }
    }
    let mut snapshot = SnapshotParts {
        generation: 1,
        fib: Arc::new(Fib::new(routes)),
        ports: MACS.map(info).into(),
        kernel_addresses: [address(true, [10, 0, 0], 3, 254), address(true, [192, 0, 2], 1, 254)]
            .into_iter()
            .collect(),
        ..SnapshotParts::default()
    };
    for (service, (mode, _, protocol, _)) in SERVICES.into_iter().enumerate() {
        let vip = vip(service);
        snapshot.services.push(Some(Service { vip, protocol, mode, maglev: Arc::default() }));
        snapshot.vips.insert((vip, protocol), ServiceSlot(service as u16));
        snapshot.vip_addresses.insert(vip.addr);
        for slot in service * BACKENDS..(service + 1) * BACKENDS {
            snapshot.backends.push(None);
            put_backend(&mut snapshot, slot, 1, false);
        }
    }
    snapshot
});

/// Puts a backend into a slot, active, and its service's table right.
pub(super) fn put_backend(snapshot: &mut SnapshotParts, slot: usize, epoch: u16, second: bool) {
    let service = slot / BACKENDS;
    let endpoint = backend_endpoint(slot, second);
    snapshot.backends[slot] = Some(Backend {
        epoch,
        service: ServiceSlot(service as u16),
        endpoint,
        state: BackendState::Active,
        next_hop: snapshot.fib.lookup(endpoint.addr),
    });
    rebuild(snapshot, service);
}

/// Builds the service's table anew from its active backends, or empties it if the service has been removed; and what
/// follows from the backends of all.
pub(super) fn rebuild(snapshot: &mut SnapshotParts, service: usize) {
    let is_served = snapshot.vips.contains_key(&(vip(service), SERVICES[service].2));
    let slots = service * BACKENDS..(service + 1) * BACKENDS;
    let candidates: Vec<Candidate> = slots
        .filter_map(|slot| Some((slot, snapshot.backends.get(slot)?.as_ref()?)))
        .filter(|(_, backend)| is_served && backend.state == BackendState::Active)
        .map(|(slot, backend)| Candidate {
            identity: FlowHasher::SHARED.hash_endpoint(backend.endpoint),
            weight: 1,
            slot: slot as u16,
        })
        .collect();
    if let Some(service) = &mut snapshot.services[service] {
        service.maglev = Arc::new(Maglev::build(61, &candidates));
    }
    let by_nat = |backend: &Backend| SERVICES[usize::from(backend.service.0)].0 == Mode::Nat;
    let backends = snapshot.backends.iter().flatten().filter(|backend| by_nat(backend));
    snapshot.nat_endpoints =
        backends.map(|backend| (backend.endpoint, SERVICES[usize::from(backend.service.0)].2)).collect();
}

/// Adds a service that is not there, or takes one away and its backends down: what leaves keeps its slots.
pub(super) fn toggle_service(snapshot: &mut SnapshotParts, service: usize) {
    let key = (vip(service), SERVICES[service].2);
    if snapshot.vips.remove(&key).is_none() {
        snapshot.vips.insert(key, ServiceSlot(service as u16));
    } else {
        for backend in snapshot.backends.iter_mut().flatten() {
            if usize::from(backend.service.0) == service {
                backend.state = BackendState::Down;
            }
        }
    }
    snapshot.vip_addresses = snapshot.vips.keys().map(|(vip, _)| vip.addr).collect();
    rebuild(snapshot, service);
}

/// The backend of `service` that a frame with this link destination and tuple went to.
pub(super) fn backend_of(
    snapshot: &SnapshotParts,
    service: usize,
    to: MacAddress,
    destination: Endpoint,
) -> Option<BackendId> {
    (service * BACKENDS..(service + 1) * BACKENDS).find_map(|slot| {
        let backend = snapshot.backends.get(slot)?.as_ref()?;
        let next_hop = snapshot.fib.next_hop(backend.next_hop?)?;
        let is_it = next_hop.mac == to && (destination == backend.endpoint || destination == vip(service));
        is_it.then_some(BackendId { slot: slot as u16, epoch: backend.epoch })
    })
}

/// The packet of a client to a service.
pub(super) fn client_frame(service: usize, number: u8, flags: u8, ttl: u8, payload: &[u8]) -> Frame<'_> {
    let (_, v4, protocol, _) = SERVICES[service];
    let key = FlowKey { source: client(number, v4), destination: vip(service), protocol };
    Frame { to: MACS[0], key, flags, ttl, payload }
}

/// The network, with workers and local ports as the first octet of an input says.
pub(super) fn of_setup(setup: u8) -> SnapshotParts {
    let steering = match setup & 3 {
        0 => Steering::Single,
        1 => Steering::Software { workers: 2 },
        2 => Steering::Software { workers: 3 },
        _ => Steering::Rss { key: (1..=40).collect(), reta: vec![0, 1, 1, 0], workers: 2 },
    };
    // So few local ports that they run out, or plenty.
    let last_port = if setup & 0x10 == 0 { 1024 + 11 } else { 32_767 };
    let local = [true, false].map(|v4| address(v4, [10, 0, 0], 3, 250));
    SnapshotParts {
        local: LocalAddresses::new(&local, 1024, last_port),
        steering: Arc::new(steering),
        ..NETWORK.clone()
    }
}
