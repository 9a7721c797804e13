//! From pools and their backends to clusters.

use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_config as config;
use evenkeel_datapath::maglev::{self, Maglev};
use evenkeel_datapath::snapshot::BackendId;
use evenkeel_l7::balance::{Candidate, Group, Policy};
use evenkeel_l7::proxy::site::{Backend, Budget, Cluster, Ejection};
use evenkeel_l7::proxy_protocol::Version;

use crate::desired::Service;
use crate::slots::Slots;

/// A backend that may get new requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pool: String,
    address: SocketAddr,
    /// Which of the backends that ever had its slot.
    epoch: u16,
    candidate: maglev::Candidate,
}

#[cfg(test)]
impl Member {
    pub(super) fn new(pool: &str, address: SocketAddr, identity: u64, weight: u32, slot: u16) -> Self {
        Self {
            pool: pool.to_owned(),
            address,
            epoch: 0,
            candidate: maglev::Candidate { identity, weight, slot },
        }
    }
}

/// Those of a service that are among the candidates.
pub(crate) fn members(service: &Service, slots: &Slots, candidates: &[maglev::Candidate]) -> Vec<Member> {
    let in_pool = |backend: &crate::desired::Backend| {
        let BackendId { slot, epoch } = slots.backend_id(backend.id)?;
        let candidate = *candidates.iter().find(|candidate| candidate.slot == slot)?;
        Some(Member { pool: backend.pool.clone(), address: backend.address, epoch, candidate })
    };
    service.backends.iter().filter_map(in_pool).collect()
}

/// A cluster for each pool, in the order of [`config::Site::pool_names`].
pub(super) fn clusters(
    wanted: &config::Site,
    table: u32,
    members: &[Member],
    workers: usize,
) -> Vec<Cluster> {
    let default = config::Pool::default();
    let settings = |name: &str| wanted.pools.iter().find(|pool| pool.name == name).unwrap_or(&default);
    wanted.pool_names().map(|name| cluster(name, settings(name), table, members, workers)).collect()
}

fn cluster(name: &str, pool: &config::Pool, table: u32, members: &[Member], workers: usize) -> Cluster {
    let members: Vec<&Member> = members.iter().filter(|member| member.pool == name).collect();
    let policy = policy(pool.balance);
    let candidates: Vec<Candidate> = members.iter().map(|member| candidate(&member.candidate)).collect();
    let table = match policy {
        Policy::Maglev => {
            let mut candidates: Vec<_> = members.iter().map(|member| member.candidate).collect();
            candidates.sort_unstable_by_key(|candidate| (candidate.identity, candidate.slot));
            Maglev::build(table, &candidates)
        }
        _ => Maglev::default(),
    };
    let group = Group::new(policy, &candidates, Arc::new(table), pool.slow_start);
    let backend = |member: &&Member| Backend {
        slot: member.candidate.slot,
        epoch: member.epoch,
        address: member.address,
        identity: member.candidate.identity,
    };
    let mut cluster = Cluster::new(name, group, members.iter().map(backend).collect());
    cluster.connections = share(pool.connections, workers);
    cluster.queue = share(pool.queue, workers) as usize;
    (cluster.pending, cluster.tunnels) = (share(pool.pending, workers), share(pool.tunnels, workers));
    cluster.announce = pool.proxy_protocol.map(|version| match version {
        config::ProxyProtocol::V1 => Version::V1,
        config::ProxyProtocol::V2 => Version::V2,
    });
    let config::Budget { percent, per_second, burst, at_once } = pool.retries;
    cluster.budget = Budget { percent, per_second, burst, at_once };
    cluster.ejection = ejection(&pool.ejection);
    (cluster.queue_time, cluster.rest_time) = (pool.queue_timeout, pool.idle);
    cluster
}

fn ejection(wanted: &config::Ejection) -> Option<Ejection> {
    let config::Ejection { enabled, consecutive, percent, window, least, quarantine } = *wanted;
    enabled.then_some(Ejection { consecutive, percent, window, least, quarantine })
}

/// One worker's part of what all have together, rounded up where it does not come out even: nobody's is nothing unless all is.
fn share(whole: u32, workers: usize) -> u32 {
    let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
    whole.div_ceil(workers)
}

fn candidate(candidate: &maglev::Candidate) -> Candidate {
    Candidate { slot: candidate.slot, weight: u16::try_from(candidate.weight).unwrap_or(u16::MAX) }
}

const fn policy(word: config::Balance) -> Policy {
    match word {
        config::Balance::PowerOfTwo => Policy::PowerOfTwo,
        config::Balance::PeakEwma => Policy::PeakEwma,
        config::Balance::RoundRobin => Policy::RoundRobin,
        config::Balance::LeastRequests => Policy::LeastRequests,
        config::Balance::Random => Policy::Random,
        config::Balance::Maglev => Policy::Maglev,
    }
}
