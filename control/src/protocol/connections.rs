//! What queries about connections at layer 7 are answered with.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::report::Counts;

/// Some connections.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConnectionsReport {
    /// They.
    pub connections: Vec<ConnectionReport>,
    /// There are no more; false if the limit was reached, or a worker did not answer in time.
    pub complete: bool,
    /// Workers that did not answer in time.
    pub late_workers: Vec<u8>,
    /// Of `connection trace`: the last segments, the oldest first; empty if none has passed since they are remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<StepReport>>,
}

/// One connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConnectionReport {
    /// The worker that has it.
    pub worker: u8,
    /// The service's name; absent if the service has been removed.
    pub service: Option<String>,
    /// Of a client's connection: the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<SocketAddr>,
    /// Where the client connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<SocketAddr>,
    /// Of a connection to a backend: where it leaves from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// The backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<SocketAddr>,
    /// Where it stands, as `ss` says it.
    pub state: String,
    /// In the terms of Linux's TCP_INFO: times in microseconds, and what is called `bytes` in octets.
    pub tcp_info: Counts,
}

/// A segment that came or went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepReport {
    /// When, on the clock of the process, in microseconds.
    pub time_us: u64,
    /// It went out.
    pub outgoing: bool,
    /// The state of the connection before it came, or after it went.
    pub state: String,
    /// Its control bits.
    pub flags: String,
    /// Its sequence number.
    pub sequence: u32,
    /// Its acknowledgement number.
    pub acknowledgement: u32,
    /// Octets of payload.
    pub length: u32,
    /// Its window, as it stood in the header.
    pub window: u32,
    /// The congestion window, in octets.
    pub congestion_window: u32,
}

/// What the TCP of each worker has counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TcpCountersReport {
    /// Every counter, those that are zero included.
    pub counters: Vec<CounterReport>,
    /// The workers, in the order of `by_worker`.
    pub workers: Vec<u8>,
    /// Workers that did not answer in time.
    pub late_workers: Vec<u8>,
}

/// One counter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CounterReport {
    /// Its name: `nstat`'s, where Linux has the same.
    pub name: String,
    /// What it means.
    pub help: String,
    /// Over all workers.
    pub count: u64,
    /// The same for each worker.
    pub by_worker: Vec<u64>,
}
