//! The skin over DPDK: its environment, packet memory, ports and queues as owned Rust values.
//!
//! - DPDK is initialised at most once in a process, and everything here holds on to that [`Eal`]: ports are stopped and
//!   closed before the memory they use goes, and the environment goes last.
//! - A [`Mbuf`] is owned by exactly one place; a pool that still has packets out when it is dropped stays mapped until
//!   the process ends.
//! - A burst costs one call into DPDK.
#![allow(unsafe_code)] // the one place that calls into DPDK

mod device;
mod eal;
mod error;
mod mbuf;
mod numa;
mod plug;
mod pool;
mod port;
mod queue;
mod rss;

pub use eal::{Eal, EalConfig, RegisteredThread, register_thread, version};
pub use error::{EalError, PoolError, PortError, PortWarning};
pub use mbuf::{Mbuf, SharedMbuf};
pub use numa::numa_node;
pub use pool::MbufPool;
pub use port::{Link, OpenPort, PortConfig, PortMonitor, PortStatistics, open_port};
pub use queue::DpdkQueue;
