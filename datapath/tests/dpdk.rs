//! The skin over DPDK, on virtual devices in this process: no huge pages, no root, no network.
#![cfg(feature = "dpdk")]

use std::sync::LazyLock;
use std::{fs, iter, process, thread};

use evenkeel_datapath::dpdk::{
    Eal, EalConfig, EalError, Mbuf, MbufPool, OpenPort, PoolError, PortConfig, PortError, PortWarning,
    open_port, register_thread, version,
};
use evenkeel_datapath::key::Protocol;
use evenkeel_datapath::packet::{Packet, PacketPool, Received, TransmitOffload};
use evenkeel_datapath::port::{BURST, Queue};
use evenkeel_datapath::snapshot::{ChecksumOffload, PortId};

/// DPDK starts once in a process, so the tests share it; each has devices and pools of its own.
static EAL: LazyLock<Eal> = LazyLock::new(|| {
    let config = EalConfig {
        huge_pages: false,
        memory_mib: 128,
        file_prefix: "evenkeel-test".to_owned(),
        args: vec!["--no-telemetry".to_owned()],
        ..EalConfig::default()
    };
    Eal::init(&config).expect("DPDK starts without huge pages and without root")
});

fn pool(packets: u32) -> MbufPool {
    MbufPool::new(&EAL, packets, 1500, None).expect("memory for a small pool")
}

fn try_open(devices: &[&str], pools: &[MbufPool], mtu: u16) -> Result<OpenPort, PortError> {
    let devices: Vec<_> = devices.iter().map(|device| (*device).to_owned()).collect();
    open_port(&EAL, &PortConfig { id: PortId(7), name: "wan", devices: &devices, mtu, pools })
}

fn open(devices: &[&str], pools: &[MbufPool]) -> OpenPort {
    try_open(devices, pools, 1500).unwrap_or_else(|error| panic!("{error}"))
}

fn frame(pool: &mut MbufPool, number: usize) -> Mbuf {
    let mut packet = pool.allocate().expect("the pool has packets");
    assert!(packet.resize(64 + number % 1000));
    packet.bytes_mut().fill(number as u8);
    packet
}

fn burst() -> Vec<Mbuf> {
    Vec::with_capacity(BURST)
}

#[test]
fn the_running_version_is_told() {
    assert!(version().starts_with("DPDK "), "{}", version());
}

#[test]
fn dpdk_starts_once() {
    let _ = &*EAL;
    assert!(matches!(
        Eal::init(&EalConfig { huge_pages: false, ..EalConfig::default() }),
        Err(EalError::Again)
    ));
}

#[test]
fn a_packet_grows_and_shrinks_within_its_buffer() {
    let mut pool = pool(64);
    let mut packet = pool.allocate().unwrap();
    assert_eq!((packet.bytes().len(), packet.total_len(), packet.segments()), (0, 0, 1));

    assert!(packet.resize(100));
    packet.bytes_mut().copy_from_slice(&[5; 100]);
    packet.truncate(60);
    assert_eq!((packet.bytes(), packet.total_len()), (&[5; 60][..], 60));
    packet.truncate(usize::MAX);
    assert_eq!(packet.total_len(), 60, "truncation never adds");

    assert!(packet.prepend(20));
    packet.bytes_mut()[..20].fill(6);
    assert_eq!((&packet.bytes()[..20], &packet.bytes()[20..]), (&[6; 20][..], &[5; 60][..]));
    assert!(!packet.prepend(109), "128 octets of headroom, 20 used");
    assert!(!packet.prepend(usize::MAX));
    assert_eq!(packet.total_len(), 80);
    assert!(packet.prepend(108));
    assert!(!packet.prepend(1));

    assert!(packet.resize(2048 + 128), "all of the buffer");
    assert!(!packet.resize(2048 + 129));
    assert!(!packet.resize(usize::MAX));
    assert_eq!(packet.total_len(), 2048 + 128);
    assert!(packet.resize(0));
    assert_eq!(packet.bytes(), &[]);

    packet.set_port(PortId(3));
    assert_eq!((packet.port(), packet.received()), (PortId(3), Received::default()));
    packet.set_offload(TransmitOffload { l4_checksum: Some(Protocol::Tcp), ..TransmitOffload::default() });
    assert_eq!(packet.received(), Received::default(), "what is asked for sending is not what was received");
}

#[test]
fn an_exhausted_pool_says_so_and_takes_back() {
    let mut pool = pool(128);
    assert_eq!((pool.in_use(), pool.available()), (0, 128));
    let mut packets: Vec<_> = iter::from_fn(|| pool.allocate()).collect();
    assert_eq!((packets.len(), pool.in_use(), pool.available()), (128, 128, 0));
    packets.pop();
    assert_eq!(pool.in_use(), 127);
    assert!(pool.allocate().is_some());
    drop(packets);
    assert_eq!((pool.in_use(), pool.available()), (0, 128));
}

#[test]
fn a_pool_too_small_or_too_large_is_refused() {
    assert!(matches!(MbufPool::new(&EAL, 63, 1500, None), Err(PoolError::Size(63))));
    let error = MbufPool::new(&EAL, 10_000_000, 9000, None).expect_err("128 MiB hold less");
    assert!(matches!(error, PoolError::Memory { packets: 10_000_000, octets: 9216, .. }), "{error}");
}

#[test]
fn registered_threads_use_one_pool() {
    let pool = pool(512);
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let mut pool = pool.clone();
            thread::spawn(move || {
                let _registered = register_thread(&EAL).expect("room for a thread");
                for round in 1..500 {
                    let packets: Vec<_> = (0..round % 100).filter_map(|_| pool.allocate()).collect();
                    assert!(packets.iter().all(|packet| packet.total_len() == 0));
                }
                pool.allocate()
            })
        })
        .collect();
    let carried: Vec<_> = workers.into_iter().filter_map(|worker| worker.join().unwrap()).collect();
    assert_eq!((carried.len(), pool.in_use()), (3, 3), "packets outlive the thread that allocated them");
    drop(carried);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn packets_pass_through_a_ring() {
    let mut pool = pool(2048);
    let mut port = open(&["net_ring_pass"], &[pool.clone()]);
    assert_eq!((port.capabilities.queues, port.capabilities.mtu), (1, 1500));
    assert_eq!(port.capabilities.transmit_checksums, ChecksumOffload::default());
    assert_eq!((port.capabilities.rss.clone(), port.queues.len()), (None, 1));
    let queue = &mut port.queues[0];

    let mut sent: Vec<_> = (0..100).map(|number| frame(&mut pool, number)).collect();
    assert_eq!((queue.transmit(&mut sent), sent.len()), (100, 0));
    assert_eq!(queue.transmit(&mut sent), 0);

    let mut received = burst();
    assert_eq!((queue.receive(&mut received), received.len()), (BURST, BURST));
    assert_eq!(queue.receive(&mut received), 0, "the vector is full");
    let mut rest = Vec::with_capacity(10);
    rest.push(frame(&mut pool, 0));
    assert_eq!((queue.receive(&mut rest), rest.len()), (9, 10), "within the capacity, after what is there");
    rest.remove(0);
    received.append(&mut rest);
    let mut rest = burst();
    assert_eq!(queue.receive(&mut rest), 100 - BURST - 9);
    received.append(&mut rest);
    for (number, packet) in received.iter().enumerate() {
        assert_eq!((packet.port(), packet.total_len()), (PortId(7), 64 + number));
        assert!(packet.bytes().iter().all(|octet| *octet == number as u8));
    }
    let statistics = port.monitor.statistics();
    assert_eq!((statistics.received, statistics.sent, statistics.missed), (100, 100, 0));
    assert!(port.monitor.link().is_some_and(|link| link.up));

    assert_eq!(pool.in_use(), 100);
    drop((received, port));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn what_a_full_ring_does_not_take_stays_in_order() {
    let mut pool = pool(2048);
    let mut port = open(&["net_ring_full"], &[pool.clone()]);
    let queue = &mut port.queues[0];
    let mut packets: Vec<_> = (0..1500).map(|number| frame(&mut pool, number)).collect();
    let sent = queue.transmit(&mut packets);
    assert!((1..1500).contains(&sent), "{sent}");
    assert_eq!(packets.len(), 1500 - sent);
    for (offset, packet) in packets.iter().enumerate() {
        assert_eq!(packet.bytes()[0], (sent + offset) as u8);
    }
    assert_eq!(queue.transmit(&mut packets), 0);
    assert_eq!((packets.len(), pool.in_use()), (1500 - sent, 1500));

    let mut taken = 0;
    let mut received = burst();
    while queue.receive(&mut received) > 0 {
        taken += received.len();
        received.clear();
    }
    assert_eq!((taken, pool.in_use()), (sent, 1500 - sent));
    assert_eq!(queue.transmit(&mut packets), 1500 - sent);
    while queue.receive(&mut received) > 0 {
        received.clear();
    }
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn each_worker_has_a_queue_of_one_device_or_a_device_of_a_group() {
    let pools = [pool(256), pool(256)];
    for (devices, count) in [(&["net_null_pair"][..], 1), (&["net_null_first", "net_null_second"][..], 2)] {
        let mut port = open(devices, &pools);
        assert_eq!((port.capabilities.queues, port.queues.len()), (2, 2));
        let differ = port.warnings.iter().any(|warning| matches!(warning, PortWarning::OtherAddress { .. }));
        assert_eq!(differ, count == 2, "{:?}", port.warnings);
        for (queue, pool) in port.queues.iter_mut().zip(&pools) {
            let mut received = burst();
            assert_eq!(queue.receive(&mut received), BURST, "net_null always has packets");
            assert_eq!(pool.in_use(), BURST, "from the worker's own pool");
            assert_eq!(queue.transmit(&mut received), BURST);
            assert_eq!(pool.in_use(), 0);
        }
    }
    let error = try_open(&["net_null_a", "net_null_b", "net_null_c"], &pools, 1500).unwrap_err();
    assert!(matches!(error, PortError::QueueCount { queues: 3, workers: 2, .. }), "{error}");
}

#[test]
fn a_port_closes_with_its_last_handle_and_can_be_opened_again() {
    let pools = [pool(256)];
    for _ in 0..3 {
        let OpenPort { queues, monitor, .. } = open(&["net_null_again"], &pools);
        let error = try_open(&["net_null_again"], &pools, 1500).unwrap_err();
        assert!(matches!(error, PortError::InUse { .. }), "{error}");
        drop(queues);
        assert!(try_open(&["net_null_again"], &pools, 1500).is_err(), "the monitor holds it");
        drop(monitor);
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    let pools = [pool(64)];
    let error = try_open(&["net_nonsense0"], &pools, 1500).unwrap_err();
    assert!(matches!(error, PortError::Probe { .. }), "{error}");
    assert!(error.to_string().contains("port wan: device net_nonsense0 cannot be opened"), "{error}");
    let error = try_open(&["net_null_zero\0"], &pools, 1500).unwrap_err();
    assert!(matches!(error, PortError::Probe { .. }), "{error}");
    assert!(matches!(try_open(&[], &pools, 1500), Err(PortError::Nothing { .. })));
    assert!(matches!(try_open(&["net_null_none"], &[], 1500), Err(PortError::Nothing { .. })));
}

/// A capture file of this name with frames of these lengths, filled with their index.
fn capture(name: &str, lengths: &[usize]) -> String {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        bytes.extend(word.to_ne_bytes());
    }
    for (index, length) in lengths.iter().enumerate() {
        for word in [0, 0, *length as u32, *length as u32] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(iter::repeat_n(index as u8, *length));
    }
    let path = format!("{}/{name}-{}.pcap", env!("CARGO_TARGET_TMPDIR"), process::id());
    fs::write(&path, bytes).expect("the folder for tests is there");
    path
}

#[test]
fn a_frame_that_no_buffer_holds_is_counted_and_the_others_pass() {
    let pool = pool(512);
    let file = capture("large", &[60, 1514, 5000, 100, 9000, 2048]);
    let device = format!("net_pcap_large,rx_pcap={file}");
    let mut port = open(&[&device], std::slice::from_ref(&pool));
    let mut received = burst();
    assert_eq!(port.queues[0].receive(&mut received), 4);
    let shape: Vec<_> = received.iter().map(|packet| (packet.bytes()[0], packet.total_len())).collect();
    assert_eq!(shape, [(0, 60), (1, 1514), (3, 100), (5, 2048)]);
    assert_eq!((port.monitor.statistics().oversize, pool.in_use()), (2, 4));
    drop((received, port));
    assert_eq!(pool.in_use(), 0);
    fs::remove_file(file).unwrap();
}

#[test]
fn a_device_whose_queues_are_fixed_must_have_as_many_as_there_are_workers() {
    let file = capture("fixed", &[60]);
    let device = format!("net_pcap_fixed,rx_pcap={file}");
    let error = try_open(&[&device], &[pool(64), pool(64)], 1500).unwrap_err();
    assert!(matches!(error, PortError::QueueCount { queues: 1, workers: 2, .. }), "{error}");
    open(&[&device], &[pool(64)]);
    fs::remove_file(file).unwrap();
}

#[test]
fn a_device_without_an_mtu_of_its_own_says_so() {
    let pool = MbufPool::new(&EAL, 64, 9000, None).unwrap();
    let port = try_open(&["net_ring_jumbo"], &[pool], 9000).unwrap();
    let asked = PortWarning::MtuNotSet { device: "net_ring_jumbo".to_owned(), asked: 9000 };
    assert!(port.warnings.contains(&asked), "{:?}", port.warnings);
    assert_eq!(port.capabilities.mtu, 9000);
}
