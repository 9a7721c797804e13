//! A pipeline with a small network around it: a client's side (port 0) and a backends' side (port 1).
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of a module of its own")]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]
#![allow(clippy::wrong_self_convention, reason = "packets go `to` somewhere")]

pub mod frames;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use evenkeel_datapath::counters::{Bounds, DropReason};
use evenkeel_datapath::fib::{Fib, NextHop, Prefix};
use evenkeel_datapath::hash::FlowHasher;
use evenkeel_datapath::key::{Addr, Endpoint, Protocol};
use evenkeel_datapath::maglev::{Candidate, Maglev};
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::parse::Parsed;
use evenkeel_datapath::pipeline::{Origin, Outcome, Pipeline, PipelineConfig, Verdict};
use evenkeel_datapath::snapshot::{
    Backend, BackendState, ChecksumOffload, LocalAddresses, MacAddress, Mode, PortId, PortInfo, Service,
    ServiceSlot, SnapshotParts, WorkerId,
};
use evenkeel_datapath::time::Time;

use frames::Frame;

pub const CLIENT_SIDE: PortId = PortId(0);
pub const BACKEND_SIDE: PortId = PortId(1);

pub const BOUNDS: Bounds = Bounds { services: 16, backends: 64 };

pub fn mac(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, last])
}

pub fn addr(text: &str) -> Addr {
    Addr::from(text.parse::<IpAddr>().unwrap())
}

pub fn endpoint(text: &str) -> Endpoint {
    Endpoint::from(text.parse::<SocketAddr>().unwrap())
}

/// Ports with addresses ..:0a and ..:0b; clients behind the gateway ..:c1, backends 10.0.0.N (fd00::N) at ..:N.
pub fn network() -> SnapshotParts {
    let info = |last| PortInfo { mac: mac(last), mtu: 1500, ..PortInfo::default() };
    let gateway = NextHop { port: CLIENT_SIDE, mac: mac(0xc1), mtu: 1500 };
    let mut routes: Vec<(Prefix, Option<NextHop>)> = vec![
        (Prefix::new(addr("0.0.0.0"), 96), Some(gateway)),
        (Prefix::new(addr("::"), 0), Some(gateway)),
        (Prefix::new(addr("10.0.0.0"), 120), None),
        (Prefix::new(addr("fd00::"), 64), None),
    ];
    for host in 1..=40_u8 {
        let next_hop = NextHop { port: BACKEND_SIDE, mac: mac(host), mtu: 1500 };
        routes.push((Prefix::new(addr(&format!("10.0.0.{host}")), 128), Some(next_hop)));
        routes.push((Prefix::new(addr(&format!("fd00::{host}")), 128), Some(next_hop)));
    }
    SnapshotParts {
        generation: 1,
        fib: Arc::new(Fib::new(routes)),
        ports: vec![info(0x0a), info(0x0b)],
        local: LocalAddresses::new(&[addr("10.0.0.200"), addr("fd00::200")], 1024, 32767),
        kernel_addresses: [addr("10.0.0.254"), addr("192.0.2.1")].into_iter().collect(),
        ..SnapshotParts::default()
    }
}

/// Adds a service, with backends in their slots from `first_slot` on.
pub fn add_service(
    snapshot: &mut SnapshotParts,
    mode: Mode,
    protocol: Protocol,
    vip: &str,
    backends: &[&str],
) -> ServiceSlot {
    let slot = ServiceSlot(snapshot.services.len() as u16);
    for text in backends {
        let endpoint = endpoint(text);
        snapshot.backends.push(Some(Backend {
            epoch: 1,
            service: slot,
            endpoint,
            state: BackendState::Active,
            next_hop: snapshot.fib.lookup(endpoint.addr),
        }));
        if mode == Mode::Nat {
            snapshot.nat_endpoints.insert((endpoint, protocol));
        }
    }
    let vip = endpoint(vip);
    snapshot.services.push(Some(Service { vip, protocol, mode, maglev: Arc::default() }));
    snapshot.vips.insert((vip, protocol), slot);
    snapshot.vip_addresses.insert(vip.addr);
    rebuild(snapshot, slot);
    slot
}

/// Builds the service's table anew from its active backends.
pub fn rebuild(snapshot: &mut SnapshotParts, service: ServiceSlot) {
    let candidates: Vec<Candidate> = (0..)
        .zip(&snapshot.backends)
        .filter_map(|(slot, backend)| Some((slot, backend.as_ref()?)))
        .filter(|(_, backend)| backend.service == service && backend.state == BackendState::Active)
        .map(|(slot, backend)| Candidate {
            identity: FlowHasher::SHARED.hash_endpoint(backend.endpoint),
            weight: 1,
            slot,
        })
        .collect();
    if let Some(service) = &mut snapshot.services[usize::from(service.0)] {
        service.maglev = Arc::new(Maglev::build(1021, &candidates));
    }
}

/// Sets the state of the backend in `slot` and rebuilds its service's table.
pub fn set_state(snapshot: &mut SnapshotParts, slot: u16, state: BackendState) {
    let backend = snapshot.backends[usize::from(slot)].as_mut().unwrap();
    backend.state = state;
    let service = backend.service;
    rebuild(snapshot, service);
}

pub struct Rig {
    pub snapshot: SnapshotParts,
    pub pipeline: Pipeline,
    pub now: Time,
    outcome: Outcome<HeapPacket>,
}

/// What became of one packet.
#[derive(Debug)]
pub struct Sent {
    pub verdict: Verdict,
    pub packet: HeapPacket,
    pub originated: Vec<(HeapPacket, PortId)>,
    /// What was read of it, if it goes to layer 7.
    pub parsed: Option<Parsed>,
}

impl Rig {
    pub fn new(snapshot: SnapshotParts) -> Self {
        Self::with_flows(snapshot, 1024)
    }

    pub fn with_flows(snapshot: SnapshotParts, flows: u32) -> Self {
        let config = PipelineConfig { worker: WorkerId(0), flows, bounds: BOUNDS, seed: 7 };
        Self {
            snapshot,
            pipeline: Pipeline::new(&config).unwrap(),
            now: Time(1_000_000_000_000),
            outcome: Outcome::new(),
        }
    }

    pub fn pass_seconds(&mut self, seconds: u64) {
        self.now = Time(self.now.0 + seconds * 1_000_000_000);
    }

    /// Puts the bytes through, as received by `port`.
    pub fn put(&mut self, port: PortId, bytes: &[u8]) -> Sent {
        self.put_packet(HeapPacket::new(bytes, port))
    }

    pub fn put_packet(&mut self, packet: HeapPacket) -> Sent {
        let mut burst = [packet];
        self.pipeline.forward(
            &self.snapshot.clone().into(),
            self.now,
            Origin::Port,
            &mut burst,
            &mut HeapPool,
            &mut self.outcome,
        );
        let [packet] = burst;
        Sent {
            verdict: self.outcome.verdicts[0],
            packet,
            originated: self.outcome.originated.drain(..).collect(),
            parsed: self.outcome.parsed.first().copied(),
        }
    }

    /// Puts frames through in one burst, each addressed to the port that it comes by; what became of them.
    pub fn send_together(&mut self, frames: &[(PortId, Frame)]) -> Vec<(Verdict, HeapPacket)> {
        let packet = |(port, frame): &(PortId, Frame)| {
            let own = self.snapshot.ports[usize::from(port.0)].mac;
            HeapPacket::new(&Frame { link_destination: own, ..frame.clone() }.bytes(), *port)
        };
        let mut burst: Vec<HeapPacket> = frames.iter().map(packet).collect();
        self.pipeline.forward(
            &self.snapshot.clone().into(),
            self.now,
            Origin::Port,
            &mut burst,
            &mut HeapPool,
            &mut self.outcome,
        );
        self.outcome.originated.clear();
        self.outcome.verdicts.iter().copied().zip(burst).collect()
    }

    /// Lets time pass, and the whole table be swept meanwhile; returns what was sent of its own, with the ports.
    pub fn sweep_for_seconds(&mut self, seconds: u64) -> Vec<(PortId, Frame)> {
        let mut sent = Vec::new();
        for _ in 0..seconds * 4 {
            self.now = Time(self.now.0 + 250_000_000);
            let originated = &mut self.outcome.originated;
            self.pipeline.sweep(&self.snapshot.clone().into(), self.now, &mut HeapPool, originated);
            sent.extend(originated.drain(..).map(|(packet, port)| (port, Frame::read(packet.bytes()))));
        }
        sent
    }

    /// Puts a frame through, addressed to `port`.
    pub fn send(&mut self, port: PortId, frame: &Frame) -> Sent {
        let own = self.snapshot.ports[usize::from(port.0)].mac;
        self.put(port, &Frame { link_destination: own, ..frame.clone() }.bytes())
    }

    /// From the client's side to the backends'; panics if it does not get there.
    pub fn to_backend(&mut self, frame: &Frame) -> Frame {
        self.send(CLIENT_SIDE, frame).expect_on(BACKEND_SIDE)
    }

    /// From the backends' side to the client's; panics if it does not get there.
    pub fn to_client(&mut self, frame: &Frame) -> Frame {
        self.send(BACKEND_SIDE, frame).expect_on(CLIENT_SIDE)
    }

    pub fn drops(&mut self, port: PortId, frame: &Frame) -> DropReason {
        self.send(port, frame).expect_dropped()
    }

    /// Opens a TCP connection from `client` to `vip`; returns the SYN as the backend sees it.
    pub fn connect(&mut self, client: &str, vip: &str) -> Frame {
        let syn = self.to_backend(&Frame::tcp(client, vip, frames::SYN));
        let answer = answer_to(&syn, frames::SYN | frames::ACK);
        self.to_client(&answer);
        syn
    }
}

/// What the receiver of `frame` sends back.
pub fn answer_to(frame: &Frame, flags: u8) -> Frame {
    Frame {
        link_destination: frame.link_source,
        link_source: frame.link_destination,
        source: frame.destination,
        destination: frame.source,
        flags,
        ttl: 64,
        options: Vec::new(),
        ..frame.clone()
    }
}

impl Sent {
    pub fn expect_on(self, port: PortId) -> Frame {
        assert_eq!(self.verdict, Verdict::Transmit(port));
        Frame::read(self.packet.bytes())
    }

    pub fn expect_dropped(self) -> DropReason {
        match self.verdict {
            Verdict::Drop(reason) => reason,
            other => panic!("not dropped: {other:?}"),
        }
    }
}

/// How often each backend address was the destination.
pub fn tally(frames: impl IntoIterator<Item = Frame>) -> BTreeMap<SocketAddr, usize> {
    let mut tally = BTreeMap::new();
    for frame in frames {
        *tally.entry(frame.destination).or_default() += 1;
    }
    tally
}

pub fn offload_all() -> ChecksumOffload {
    ChecksumOffload { ipv4: true, tcp: true, udp: true }
}
