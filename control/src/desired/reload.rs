//! From one file to the next, as a difference.
//!
//! A service whose VIP, protocol or mode is another one is a new service under the old name. A backend that the file
//! says is draining and that drains already keeps its deadline.

use std::net::IpAddr;
use std::sync::Arc;

use evenkeel_config::{self as config, Balancer, Config, FullNat};
use evenkeel_datapath::snapshot::BackendState;
use evenkeel_datapath::time::Time;

use super::{Backend, DesiredState, Service, from_file};
use crate::protocol::{Refusal, RefusalKind, ReloadReport};

impl DesiredState {
    /// What `file` wants instead, at the time `now`.
    pub(crate) fn reloaded(&self, mut file: Config, now: Time) -> Result<(Self, ReloadReport), Refusal> {
        refuse_fixed(&self.config, &file)?;
        let settings_changed = settings_changed(&self.config, &file);
        // In another order they are the same addresses, and flows remember places.
        file.full_nat.local_addresses.clone_from(&self.config.full_nat.local_addresses);
        let mut desired = Self {
            config: Arc::new(file),
            secrets: Arc::clone(&self.secrets),
            services: Vec::new(),
            next_id: self.next_id,
        };
        let mut report = ReloadReport { settings_changed, ..ReloadReport::default() };
        for wanted in &Arc::clone(&desired.config).services {
            let old = self.services.iter().find(|old| same_service(old, wanted));
            desired.push_service(from_file(wanted), now);
            let at = desired.services.len() - 1;
            let service = &mut desired.services[at];
            match old {
                None => report.services_added.push(service.name.clone()),
                Some(old) => take_over(old, service, &mut report),
            }
        }
        let gone = |old: &&Service| !desired.services.iter().any(|service| service.id == old.id);
        report.services_removed.extend(self.services.iter().filter(gone).map(|old| old.name.clone()));
        Ok((desired, report))
    }
}

fn same_service(old: &Service, wanted: &config::Service) -> bool {
    (&old.name, old.vip, old.protocol, old.mode) == (&wanted.name, wanted.vip, wanted.protocol, wanted.mode)
}

/// Makes `service` the continuation of `old`.
fn take_over(old: &Service, service: &mut Service, report: &mut ReloadReport) {
    let name = |backend: &Backend| format!("{} {}", old.name, backend.address);
    service.id = old.id;
    if service.site == old.site {
        service.site = Arc::clone(&old.site);
    }
    let mut changed = (service.maglev_table, &service.respond, &service.site)
        != (old.maglev_table, &old.respond, &old.site);
    for backend in &mut service.backends {
        match old.backends.iter().find(|known| known.address == backend.address) {
            None => {
                report.backends_added.push(name(backend));
                changed = true;
            }
            Some(known) => {
                backend.id = known.id;
                if let (BackendState::Draining { .. }, BackendState::Draining { .. }) =
                    (known.state, backend.state)
                {
                    backend.state = known.state;
                }
                if backend != known {
                    report.backends_changed.push(name(backend));
                    changed = true;
                }
            }
        }
    }
    for known in &old.backends {
        if !service.backends.iter().any(|backend| backend.id == known.id) {
            report.backends_removed.push(name(known));
            changed = true;
        }
    }
    if changed {
        report.services_changed.push(old.name.clone());
    }
}

/// Refuses a file in which something differs that cannot change at run time. The patterns name every field, so that a
/// new one does not go unnoticed.
fn refuse_fixed(old: &Config, new: &Config) -> Result<(), Refusal> {
    let Config {
        balancer,
        dpdk,
        timeouts: _,
        limits: _,
        full_nat,
        l7,
        ports,
        routes: _,
        neighbors: _,
        services: _,
    } = new;
    let Balancer { workers, idle, flows, max_services, max_backends, control_socket, drain_timeout: _, seed } =
        balancer;
    let FullNat { local_addresses, ports: local_ports } = full_nat;
    let sorted = |addresses: &[IpAddr]| {
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        addresses
    };
    let locals = sorted(local_addresses) != sorted(&old.full_nat.local_addresses);
    let fixed = [
        ("balancer.workers", *workers != old.balancer.workers),
        ("balancer.idle", *idle != old.balancer.idle),
        ("balancer.flows", *flows != old.balancer.flows),
        ("balancer.max_services", *max_services != old.balancer.max_services),
        ("balancer.max_backends", *max_backends != old.balancer.max_backends),
        ("balancer.control_socket", *control_socket != old.balancer.control_socket),
        ("balancer.seed", *seed != old.balancer.seed),
        ("dpdk", *dpdk != old.dpdk),
        ("full_nat.local_addresses", locals),
        ("full_nat.ports", *local_ports != old.full_nat.ports),
        ("l7", *l7 != old.l7),
        ("port", *ports != old.ports),
    ];
    let differing: Vec<&str> = fixed.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    match differing.first() {
        None => Ok(()),
        Some(first) => {
            let message = format!("cannot change while the balancer runs: {}", differing.join(", "));
            Err(Refusal::new(RefusalKind::NotAtRunTime, message).field(*first))
        }
    }
}

fn settings_changed(old: &Config, new: &Config) -> Vec<String> {
    let settings = [
        ("balancer.drain_timeout", new.balancer.drain_timeout != old.balancer.drain_timeout),
        ("timeouts", new.timeouts != old.timeouts),
        ("limits", new.limits != old.limits),
        ("route", new.routes != old.routes),
        ("neighbor", new.neighbors != old.neighbors),
    ];
    settings.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()).collect()
}
