//! Invariant 2 with a stage above layer 4: while a client holds a connection to a page, packets of layer 4 are forwarded without
//! any allocation, and turns in which nothing happens make none either.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use evenkeel_datapath::counters::{Bounds, WorkerCounter};
use evenkeel_datapath::fib::{Fib, NextHop, Prefix};
use evenkeel_datapath::key::{Addr, Endpoint, Protocol};
use evenkeel_datapath::maglev::{Candidate, Maglev};
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::port::MemoryQueue;
use evenkeel_datapath::rewrite::{write_ip_header, write_link_header};
use evenkeel_datapath::snapshot::{
    Backend, BackendState, MacAddress, Mode, PortId, PortInfo, Service, ServiceSlot, SnapshotParts, WorkerId,
};
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::{Handle, Links, Worker};
use evenkeel_l7::proxy::Site;
use evenkeel_l7::proxy::site::Action;
use evenkeel_l7::tcp::{Config as TcpConfig, HeapBuf, Incoming, Settings, Stack, Tuple};
use evenkeel_l7::{Config, L7, Page, Services};

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const BOUNDS: Bounds = Bounds { services: 4, backends: 4 };
const PORT: PortId = PortId(0);
const CLIENT: [u8; 4] = [198, 51, 100, 7];
const PAGE: [u8; 4] = [192, 0, 2, 40];
const NAT: [u8; 4] = [192, 0, 2, 20];

type TestWorker = Worker<MemoryQueue<HeapPacket>, HeapPool, L7<HeapPacket>>;

fn endpoint(addr: [u8; 4], port: u16) -> Endpoint {
    Endpoint { addr: Addr::from_v4(addr), port }
}

fn snapshot() -> SnapshotParts {
    let gateway = NextHop { port: PORT, mac: OTHER, mtu: 1500 };
    let fib = Fib::new([(Prefix::new(Addr::from_v4([0; 4]), 96), Some(gateway))]);
    let backend = endpoint([10, 0, 0, 1], 80);
    let next_hop = fib.lookup(backend.addr);
    let service =
        |vip, mode, maglev| Service { vip, protocol: Protocol::Tcp, mode, maglev: Arc::new(maglev) };
    let candidate = Candidate { identity: 1, weight: 1, slot: 0 };
    let mut parts = SnapshotParts {
        generation: 1,
        fib: Arc::new(fib),
        ports: vec![PortInfo { mac: OWN, mtu: 1500, ..PortInfo::default() }],
        services: vec![
            Some(service(endpoint(NAT, 80), Mode::Nat, Maglev::build(31, &[candidate]))),
            Some(service(endpoint(PAGE, 80), Mode::L7, Maglev::default())),
        ],
        backends: vec![Some(Backend {
            epoch: 1,
            service: ServiceSlot(0),
            endpoint: backend,
            state: BackendState::Active,
            next_hop,
        })],
        ..SnapshotParts::default()
    };
    for (slot, vip) in (0..).zip([NAT, PAGE]) {
        parts.vips.insert((endpoint(vip, 80), Protocol::Tcp), ServiceSlot(slot));
        parts.vip_addresses.insert(Addr::from_v4(vip));
    }
    parts.nat_endpoints.insert((backend, Protocol::Tcp));
    let page = Action::Page(Arc::new(Page::new(200, "text/plain", b"text")));
    let site = Arc::new(Site::always(page, vec![]));
    let vip = evenkeel_l7::tcp::Endpoint::v4(PAGE, 80);
    parts.l7 = Services(vec![evenkeel_l7::Service { slot: ServiceSlot(1), vip, site }]).sealed();
    parts
}

fn worker() -> TestWorker {
    let handle = Handle::new(WorkerId(0), None, 8, BOUNDS);
    let pipeline =
        Pipeline::new(&PipelineConfig { worker: WorkerId(0), flows: 64, bounds: BOUNDS, seed: 1 }).unwrap();
    let links = Links { inboxes: vec![], to_kernel: vec![], from_kernel: vec![] };
    let stage = L7::new(Config { connections: 64, memory: 1 << 20, seed: 1 });
    let queues = vec![MemoryQueue { outgoing: Vec::with_capacity(4096), ..MemoryQueue::default() }];
    Worker::new(handle, pipeline, queues, HeapPool, links, Arc::new(snapshot().into()))
        .with_stage(stage, Time(1_000_000_000))
}

/// A frame to the balancer with this segment in it.
fn frame(source: [u8; 4], destination: [u8; 4], segment: &[u8]) -> HeapPacket {
    let mut frame = vec![0; 34 + segment.len()];
    write_link_header(&mut frame, OWN, OTHER, false);
    let (source, destination) = (Addr::from_v4(source), Addr::from_v4(destination));
    write_ip_header(&mut frame[14..], false, &source, &destination, 6, segment.len(), 0);
    frame[34..].copy_from_slice(segment);
    HeapPacket::new(&frame, PORT)
}

fn layer_4(port: u16, flags: u8) -> HeapPacket {
    let [a, b] = port.to_be_bytes();
    let segment = [a, b, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
    frame(CLIENT, NAT, &segment)
}

#[test]
fn packets_of_layer_4_are_forwarded_without_any() {
    let mut worker = worker();
    let mut now = 1_000_000_000;
    let mut client: Stack<HeapBuf> = Stack::new(&TcpConfig::default(), 7, evenkeel_l7::tcp::Time(now));
    let [local, remote] =
        [(CLIENT, 40_000), (PAGE, 80)].map(|(addr, port)| evenkeel_l7::tcp::Endpoint::v4(addr, port));
    let id =
        client.connect(evenkeel_l7::tcp::Time(now), Tuple { local, remote }, &Settings::default()).unwrap();
    client.send(id, HeapBuf::from(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
    for _ in 0..20 {
        now += 10_000_000;
        client.advance(evenkeel_l7::tcp::Time(now));
        while let Some(out) = client.poll_transmit(evenkeel_l7::tcp::Time(now)) {
            let mut segment = out.header.to_vec();
            out.payload.slices().for_each(|slice| segment.extend(slice));
            worker.queue_mut(PORT).unwrap().incoming.push_back(frame(CLIENT, PAGE, &segment));
        }
        worker.turn(Time(now));
        for packet in std::mem::take(&mut worker.queue_mut(PORT).unwrap().outgoing) {
            let segment = HeapBuf::from(&packet.bytes()[34..]);
            let incoming = Incoming { local: local.addr, remote: remote.addr, ecn: 0, segment };
            client.receive(evenkeel_l7::tcp::Time(now), incoming);
        }
    }
    let answer: Vec<u8> = client.read(id).flatten().copied().collect();
    assert!(answer.ends_with(b"\r\n\r\ntext"), "{}", answer.escape_ascii());

    let ports = 10_000..10_032;
    worker.queue_mut(PORT).unwrap().outgoing = Vec::with_capacity(8_192);
    worker.queue_mut(PORT).unwrap().incoming.extend(ports.clone().map(|port| layer_4(port, 2)));
    worker.turn(Time(now));
    for round in 0..100 {
        let packets = ports.clone().map(|port| layer_4(port, 16));
        worker.queue_mut(PORT).unwrap().incoming.extend(packets);
        for _ in 0..3 {
            now += 1_000_000;
            let measured = allocation_counter::measure(|| {
                worker.turn(Time(now));
            });
            assert_eq!(measured.count_total, 0, "allocations in round {round}");
        }
    }
    let value = |counter| worker.pipeline().counters.value(counter);
    assert_eq!((value(WorkerCounter::FlowsOpened), value(WorkerCounter::Hits)), (32, 3_200));
    assert!(value(WorkerCounter::ToL7) > 2);
}
