//! DPDK stays until the last handle is gone, whatever the order: on its own, since it is cleaned up here.
#![cfg(feature = "dpdk")]

use std::thread;

use evenkeel_datapath::dpdk::{Eal, EalConfig, MbufPool, PortConfig, numa_node, open_port};
use evenkeel_datapath::packet::{Packet, PacketPool};
use evenkeel_datapath::port::{BURST, Queue};
use evenkeel_datapath::snapshot::PortId;

#[test]
fn handles_may_go_in_any_order() {
    let eal = Eal::init(&EalConfig {
        huge_pages: false,
        memory_mib: 64,
        file_prefix: "evenkeel-test".to_owned(),
        ..EalConfig::default()
    })
    .unwrap();
    let cores = [0, 0];
    let mut pools = MbufPool::for_cores(&eal, &cores, 1024, 1500).unwrap();
    assert_eq!(pools.len(), cores.len(), "a handle for each core");
    let devices = ["net_null0".to_owned()];
    let config = PortConfig { id: PortId(0), name: "wan", devices: &devices, mtu: 1500, pools: &pools };
    let port = open_port(&eal, &config).unwrap();
    let own = pools[0].allocate().unwrap();
    assert_eq!((pools[0].in_use(), pools[1].in_use()), (1, 1), "both cores are of node {:?}", numa_node(0));

    // The environment's own handle and the pools' go first; the queues keep both.
    drop((pools, eal, port.monitor));
    let workers: Vec<_> = port
        .queues
        .into_iter()
        .map(|mut queue| {
            thread::spawn(move || {
                let mut burst = Vec::with_capacity(BURST);
                assert_eq!(queue.receive(&mut burst), BURST);
                assert_eq!(burst[0].total_len(), 64);
                assert_eq!(queue.transmit(&mut burst), BURST);
            })
        })
        .collect();
    drop(own);
    for worker in workers {
        worker.join().unwrap();
    }
}
