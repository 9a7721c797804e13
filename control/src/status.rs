//! What queries are answered with, from the state and the counters that workers publish.

use evenkeel_config as config;
use evenkeel_datapath::counters::{BackendCounter, DropReason, ServiceCounter, WorkerCounter};
use evenkeel_datapath::fib::NextHop;
use evenkeel_datapath::snapshot::{BackendState, PortId};
use evenkeel_datapath::time::Time;

use crate::control::Control;
use crate::desired::{Backend, Service};
use crate::fleet::{dropped, imbalance};
use crate::protocol::{
    BackendReport, BackendTally, Counts, DropReport, DropsReport, HopReport, NextHopReport, PortReport,
    ServiceReport, StatusReport, VersionReport, WorkerReport,
};
use crate::slots::Ledger;
use crate::words;

impl Control {
    pub(crate) fn status(&self, now: Time) -> StatusReport {
        let late_workers = self.fleet.late(self.generation());
        let counters = WorkerCounter::ALL.iter().map(|&counter| {
            (counter.name().to_owned(), self.fleet.sum(|published| published.value(counter)))
        });
        let workers = self.fleet.handles().len();
        StatusReport {
            version: self.version.clone(),
            pid: std::process::id(),
            uptime_ms: now.nanos_since(self.started) / 1_000_000,
            in_force: late_workers.is_empty(),
            late_workers,
            workers,
            ports: self.capabilities.len(),
            services: self.desired.services.len(),
            backends: self.tally(),
            flows_active: self.fleet.sum(|published| published.value(WorkerCounter::FlowsActive)),
            flows_capacity: u64::from(self.desired.config.balancer.flows) * workers as u64,
            dropped: self.fleet.sum(dropped),
            imbalance: self.fleet.handles().map(|handle| imbalance(&handle.published)).sum(),
            counters: Counts(counters.collect()),
        }
    }

    fn tally(&self) -> BackendTally {
        let mut tally =
            BackendTally { leaving: self.slots.leaving_backends().count(), ..BackendTally::default() };
        for (_, backend) in self.desired.backends() {
            match backend.effective_state() {
                BackendState::Active => tally.active += 1,
                BackendState::Draining { .. } => tally.draining += 1,
                BackendState::Down => tally.down += 1,
            }
            tally.unresolved += usize::from(self.next_hop(backend).is_none());
        }
        tally
    }

    fn next_hop(&self, backend: &Backend) -> Option<&NextHop> {
        let fib = &self.next_hops.fib;
        fib.next_hop(fib.lookup(backend.address.ip().into())?)
    }

    pub(crate) fn services(&self, now: Time) -> Vec<ServiceReport> {
        self.desired.services.iter().map(|service| self.service(service, now)).collect()
    }

    pub(crate) fn service(&self, service: &Service, now: Time) -> ServiceReport {
        let slot = self.slots.of(service.id).unwrap_or(u16::MAX);
        let counts = self.fleet.service(slot);
        let baseline = self.slots.service(slot).map_or(counts, |placed| placed.baseline);
        let shares = self.tables.of(service.id).map_or_else(Vec::new, |maglev| maglev.shares());
        let backend = |backend: &Backend| self.backend(service, backend, &shares, now);
        ServiceReport {
            service: service.name.clone(),
            vip: service.vip,
            protocol: service.protocol,
            mode: service.mode,
            maglev_table: service.maglev_table,
            counters: since(ServiceCounter::ALL.iter().map(|counter| counter.name()), &counts, &baseline),
            backends: service.backends.iter().map(backend).collect(),
        }
    }

    fn backend(
        &self,
        service: &Service,
        backend: &Backend,
        shares: &[(u16, u32)],
        now: Time,
    ) -> BackendReport {
        let slot = self.slots.of(backend.id).unwrap_or(u16::MAX);
        let counts = self.fleet.backend(slot);
        let baseline = self.slots.backend(slot).map_or(counts, |placed| placed.baseline);
        let deadline = match backend.state {
            BackendState::Draining { until } => until,
            BackendState::Active | BackendState::Down => None,
        };
        let hop = self.next_hop(backend);
        BackendReport {
            service: service.name.clone(),
            backend: backend.address,
            weight: backend.weight,
            state: words::state_word(backend.effective_state()),
            pool: (service.mode == config::Mode::L7).then(|| backend.pool.clone()),
            deadline_ms: deadline.map(|until| until.nanos_since(now) / 1_000_000),
            resolved: hop.is_some(),
            next_hop: hop.map(|hop| self.hop(hop)),
            maglev_slots: shares.iter().find(|(of, _)| *of == slot).map_or(0, |(_, share)| *share),
            counters: since(BackendCounter::ALL.iter().map(|counter| counter.name()), &counts, &baseline),
        }
    }

    fn hop(&self, hop: &NextHop) -> HopReport {
        HopReport { port: self.port_name(hop.port), mac: hop.mac.to_string(), mtu: hop.mtu }
    }

    fn port_name(&self, port: PortId) -> String {
        let ports = &self.desired.config.ports;
        ports.get(usize::from(port.0)).map_or_else(|| port.0.to_string(), |port| port.name.clone())
    }

    pub(crate) fn drops(&self) -> DropsReport {
        let reason = |&reason: &DropReason| {
            let by_worker: Vec<u64> =
                self.fleet.handles().map(|handle| handle.published.drops(reason)).collect();
            DropReport {
                reason: reason.name().to_owned(),
                help: reason.help().to_owned(),
                count: by_worker.iter().copied().fold(0, u64::wrapping_add),
                by_worker,
            }
        };
        DropsReport {
            reasons: DropReason::ALL.iter().map(reason).collect(),
            dropped: self.fleet.sum(dropped),
            imbalance: self.fleet.handles().map(|handle| imbalance(&handle.published)).sum(),
            workers: self.fleet.handles().map(|handle| handle.id.0).collect(),
        }
    }

    pub(crate) fn workers(&self) -> Vec<WorkerReport> {
        let newest = self.generation();
        let report = self.fleet.handles().map(|handle| {
            let generation = handle.generation.load(std::sync::atomic::Ordering::Acquire);
            let counters = WorkerCounter::ALL
                .iter()
                .map(|&counter| (counter.name().to_owned(), handle.published.value(counter)));
            WorkerReport {
                worker: handle.id.0,
                core: handle.core,
                generation,
                late: generation < newest,
                commands_waiting: handle.commands.len(),
                commands_capacity: handle.commands.capacity(),
                dropped: dropped(&handle.published),
                imbalance: imbalance(&handle.published),
                counters: Counts(counters.collect()),
            }
        });
        report.collect()
    }

    pub(crate) fn ports(&self) -> Vec<PortReport> {
        let report = |(port, device): (&config::Port, &evenkeel_datapath::port::PortCapabilities)| {
            let offload = device.transmit_checksums;
            let checksums = [("ipv4", offload.ipv4), ("tcp", offload.tcp), ("udp", offload.udp)];
            PortReport {
                port: port.name.clone(),
                devices: port.devices.clone(),
                mac: device.mac.to_string(),
                mtu: device.mtu,
                queues: device.queues,
                rss: device.rss.is_some(),
                transmit_checksums: checksums
                    .iter()
                    .filter(|(_, on)| *on)
                    .map(|(name, _)| (*name).to_owned())
                    .collect(),
                recompute_checksums: port.recompute_checksums,
                numa_node: device.numa_node,
                kernel: port.kernel.clone(),
                addresses: port.addresses.iter().map(ToString::to_string).collect(),
            }
        };
        self.desired.config.ports.iter().zip(&self.capabilities).map(report).collect()
    }

    pub(crate) fn next_hop_list(&self) -> Vec<NextHopReport> {
        let backends: Vec<&Backend> = self.desired.backends().map(|(_, backend)| backend).collect();
        let report = self.next_hops.neighbors.iter().map(|neighbor| {
            let leads = |backend: &&&Backend| {
                backend.address.ip() == neighbor.address
                    || self
                        .next_hop(backend)
                        .is_some_and(|hop| hop.port == neighbor.port && Some(hop.mac) == neighbor.mac)
            };
            NextHopReport {
                address: neighbor.address,
                port: self.port_name(neighbor.port),
                mac: neighbor.mac.map(|mac| mac.to_string()),
                state: neighbor.state.as_str().to_owned(),
                backends: backends.iter().filter(leads).count(),
            }
        });
        report.collect()
    }

    pub(crate) fn version(&self) -> VersionReport {
        VersionReport { version: self.version.clone() }
    }
}

/// Counters since their slot was given to whom it has now.
fn since<'a>(names: impl Iterator<Item = &'a str>, counts: &[u64], baseline: &[u64]) -> Counts {
    let grown = counts.iter().zip(baseline).map(|(now, then)| now.saturating_sub(*then));
    Counts(names.map(ToOwned::to_owned).zip(grown).collect())
}
