//! Layers 2 to 4: bytes in, verdict out.
//!
//! Start at [`pipeline::Pipeline::forward`], which decides on a burst of packets, and at [`worker::Worker::turn`], which
//! polls the ports, calls it, and carries its verdicts out. Everything that forwarding depends on is a
//! [`snapshot::Snapshot`]; everything that it remembers is a [`flow_table::FlowTable`].
//!
//! Invariants:
//! - Below [`worker`] nothing reads a clock, allocates, locks or makes a system call.
//! - `unsafe` stands in `dpdk` (the skin over DPDK) and [`machine`] only.
//! - Nothing here handles text.
#![deny(unsafe_code)]

pub mod checksum;
pub mod command;
pub mod counters;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod fib;
pub mod flow;
pub mod flow_table;
pub mod hash;
pub mod icmp;
pub mod key;
pub mod limit;
pub mod machine;
pub mod maglev;
pub mod packet;
pub mod parse;
pub mod pcap;
pub mod pipeline;
pub mod plain;
pub mod port;
pub mod reset;
pub mod rewrite;
pub mod snapshot;
pub mod stage;
pub mod steering;
pub mod time;
pub mod twin;
pub mod wire;
pub mod worker;
