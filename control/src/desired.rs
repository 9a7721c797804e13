//! What is wanted: services, backends and limits, from the configuration and from requests at run time.
//!
//! Invariants:
//! - A request makes a copy; what it refuses has changed nothing.
//! - Names of services are unique, so are VIP and protocol together, so are backends' addresses in a service; each of
//!   them keeps its [`Id`] for life, and no id is ever given twice.
//! - `reload` makes all of it what the file says: the file wins over what was changed at run time, and what it does not
//!   name goes. What cannot change at run time is refused by name ([`mod@reload`]).

mod checks;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_config::nearest::nearest;
use evenkeel_config::{self as config, Config, Mode, Protocol};
use evenkeel_datapath::snapshot::BackendState;
use evenkeel_datapath::time::Time;

use crate::next_hops::Wanted;
use crate::protocol::{BackendSpec, Deadline, Refusal, RefusalKind};
use crate::secrets::Secrets;

/// Tells every service and backend that ever was from all others, also from one of the same name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Id(u64);

/// All that is wanted.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct DesiredState {
    /// The file's part that no request but `reload` changes. Its services are those of the file, not those wanted.
    pub(crate) config: Arc<Config>,
    /// What TLS is spoken with.
    pub(crate) secrets: Arc<Secrets>,
    /// In the order in which they were added.
    pub(crate) services: Vec<Service>,
    next_id: u64,
}

/// A service that is wanted.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Service {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) vip: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) mode: Mode,
    pub(crate) maglev_table: u32,
    pub(crate) respond: Option<config::Respond>,
    pub(crate) site: Arc<config::Site>,
    /// In the order in which they were added.
    pub(crate) backends: Vec<Backend>,
}

/// A backend that is wanted.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Backend {
    pub(crate) id: Id,
    pub(crate) address: SocketAddr,
    pub(crate) weight: u32,
    pub(crate) state: BackendState,
    /// The pool that it is in, in mode `l7`.
    pub(crate) pool: String,
}

impl Backend {
    /// What the datapath is told: without weight an active backend gets no new flows, and keeps what it has.
    pub(crate) fn effective_state(&self) -> BackendState {
        match self.state {
            BackendState::Active if self.weight == 0 => BackendState::Draining { until: None },
            state => state,
        }
    }
}

impl DesiredState {
    /// What a configuration wants at the time `now`.
    pub(crate) fn new(config: Config, now: Time) -> Self {
        let (config, secrets) = (Arc::new(config), Arc::default());
        let mut desired = Self { config, secrets, services: Vec::new(), next_id: 0 };
        for service in &Arc::clone(&desired.config).services {
            desired.push_service(from_file(service), now);
        }
        desired
    }

    /// The same with other secrets.
    pub(crate) fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets: Arc::new(secrets), ..self }
    }

    /// Every backend with its service.
    pub(crate) fn backends(&self) -> impl Iterator<Item = (&Service, &Backend)> {
        self.services
            .iter()
            .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)))
    }

    /// What is wanted of whoever follows the kernel.
    pub(crate) fn next_hops(&self) -> Wanted {
        let backends = self.backends().map(|(_, backend)| backend);
        let vips = self.services.iter().map(|service| service.vip.ip());
        Wanted {
            backends: backends.map(|backend| backend.address.ip()).collect(),
            carried: vips.chain(self.config.full_nat.local_addresses.iter().copied()).collect(),
            routes: self.config.routes.clone(),
            neighbors: self.config.neighbors.clone(),
        }
    }

    /// True if nothing differs that anybody could see.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.services == other.services && self.config == other.config && self.secrets == other.secrets
    }

    /// With a service more.
    pub(crate) fn with_service(&self, wanted: NewService, now: Time) -> Result<Self, Refusal> {
        self.check_new_service(&wanted)?;
        let mut desired = self.clone();
        desired.push_service(wanted, now);
        let field_of = |path: &str| path.replace("backend[", "backends[");
        desired.check_together(desired.services.len() - 1, field_of, "vip")?;
        Ok(desired)
    }

    /// With a service less.
    pub(crate) fn without_service(&self, name: &str) -> Result<Self, Refusal> {
        let at = self.position(name)?;
        let mut desired = self.clone();
        desired.services.remove(at);
        Ok(desired)
    }

    /// With a backend more.
    pub(crate) fn with_backend(
        &self,
        service: &str,
        backend: &BackendSpec,
        now: Time,
    ) -> Result<Self, Refusal> {
        let at = self.position(service)?;
        Self::check_new_backend(&self.services[at], backend)?;
        let mut desired = self.clone();
        desired.push_backend(at, backend, now);
        desired.check_together(at, |_| "backend".to_owned(), "backend")?;
        Ok(desired)
    }

    /// With a backend less.
    pub(crate) fn without_backend(&self, service: &str, backend: SocketAddr) -> Result<Self, Refusal> {
        let (at, place) = self.backend_position(service, backend)?;
        let mut desired = self.clone();
        desired.services[at].backends.remove(place);
        Ok(desired)
    }

    /// With a backend changed.
    fn with_changed(
        &self,
        service: &str,
        backend: SocketAddr,
        change: impl FnOnce(&mut Backend),
    ) -> Result<Self, Refusal> {
        let (at, place) = self.backend_position(service, backend)?;
        let mut desired = self.clone();
        change(&mut desired.services[at].backends[place]);
        Ok(desired)
    }

    /// With a backend that gets no new flows, and keeps those that it has until the deadline.
    pub(crate) fn with_drain(
        &self,
        service: &str,
        backend: SocketAddr,
        deadline: Option<Deadline>,
        now: Time,
    ) -> Result<Self, Refusal> {
        let until = match deadline.unwrap_or(Deadline::After(self.config.balancer.drain_timeout)) {
            Deadline::After(duration) if duration > *config::limits::DRAIN.end() => {
                let longest = config::units::duration_text(*config::limits::DRAIN.end());
                let message = format!("a deadline may be at most {longest} away, or \"never\"");
                return Err(Refusal::new(RefusalKind::BadValue, message).field("deadline"));
            }
            Deadline::After(duration) => Some(now + duration),
            Deadline::Never => None,
        };
        self.with_changed(service, backend, |backend| backend.state = BackendState::Draining { until })
    }

    /// With a backend that gets nothing.
    pub(crate) fn with_down(&self, service: &str, backend: SocketAddr) -> Result<Self, Refusal> {
        self.with_changed(service, backend, |backend| backend.state = BackendState::Down)
    }

    /// With a backend that gets new flows, as far as its weight lets it.
    pub(crate) fn with_active(&self, service: &str, backend: SocketAddr) -> Result<Self, Refusal> {
        self.with_changed(service, backend, |backend| backend.state = BackendState::Active)
    }

    /// With a backend of another weight.
    pub(crate) fn with_weight(
        &self,
        service: &str,
        backend: SocketAddr,
        weight: u32,
    ) -> Result<Self, Refusal> {
        checks::weight(weight).map_err(|(kind, message)| Refusal::new(kind, message).field("weight"))?;
        self.with_changed(service, backend, |backend| backend.weight = weight)
    }

    /// With backends down whose drain deadlines are past at `now`, and who they are; `None` if there are none.
    pub(crate) fn with_drained_down(&self, now: Time) -> Option<(Self, Vec<(String, SocketAddr)>)> {
        let past = |backend: &Backend| {
            matches!(backend.state, BackendState::Draining { .. }) && !backend.state.keeps_flows(now)
        };
        if !self.services.iter().flat_map(|service| &service.backends).any(past) {
            return None;
        }
        let mut desired = self.clone();
        let mut drained = Vec::new();
        for service in &mut desired.services {
            for backend in service.backends.iter_mut().filter(|backend| past(backend)) {
                backend.state = BackendState::Down;
                drained.push((service.name.clone(), backend.address));
            }
        }
        Some((desired, drained))
    }

    /// The service of this name.
    pub(crate) fn service(&self, name: &str) -> Result<&Service, Refusal> {
        self.position(name).map(|at| &self.services[at])
    }

    fn position(&self, name: &str) -> Result<usize, Refusal> {
        self.services.iter().position(|service| service.name == name).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            let names = self.services.iter().map(|service| service.name.as_str());
            Refusal::new(RefusalKind::UnknownService, format!("there is no service {shown:?}"))
                .field("service")
                .nearest(nearest(name, names))
        })
    }

    /// The places of a service and its backend.
    pub(crate) fn backend_position(
        &self,
        service: &str,
        backend: SocketAddr,
    ) -> Result<(usize, usize), Refusal> {
        let at = self.position(service)?;
        let backends = &self.services[at].backends;
        let place = backends.iter().position(|known| known.address == backend).ok_or_else(|| {
            let names: Vec<String> = backends.iter().map(|known| known.address.to_string()).collect();
            let message = format!("the service {service:?} has no backend {backend}");
            Refusal::new(RefusalKind::UnknownBackend, message)
                .field("backend")
                .nearest(nearest(&backend.to_string(), names.iter().map(String::as_str)))
        })?;
        Ok((at, place))
    }

    fn push_service(&mut self, wanted: NewService, now: Time) {
        let id = self.new_id();
        let NewService { name, vip, protocol, mode, maglev_table, respond, site, backends } = wanted;
        let service =
            Service { id, name, vip, protocol, mode, maglev_table, respond, site, backends: Vec::new() };
        self.services.push(service);
        for backend in &backends {
            self.push_backend(self.services.len() - 1, backend, now);
        }
    }

    fn push_backend(&mut self, service: usize, wanted: &BackendSpec, now: Time) {
        let state = match wanted.state.unwrap_or_default() {
            config::BackendState::Active => BackendState::Active,
            config::BackendState::Draining => {
                BackendState::Draining { until: Some(now + self.config.balancer.drain_timeout) }
            }
            config::BackendState::Down => BackendState::Down,
        };
        let weight = wanted.weight.unwrap_or(config::Backend::WEIGHT);
        let pool = wanted.pool.clone().unwrap_or_else(|| config::Site::DEFAULT_POOL.to_owned());
        let id = self.new_id();
        self.services[service].backends.push(Backend { id, address: wanted.address, weight, state, pool });
    }

    fn new_id(&mut self) -> Id {
        self.next_id += 1;
        Id(self.next_id)
    }
}

/// A service that is to be added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NewService {
    pub(crate) name: String,
    pub(crate) vip: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) mode: Mode,
    pub(crate) maglev_table: u32,
    pub(crate) respond: Option<config::Respond>,
    pub(crate) site: Arc<config::Site>,
    pub(crate) backends: Vec<BackendSpec>,
}

fn from_file(service: &config::Service) -> NewService {
    let config::Service { name, vip, protocol, mode, maglev_table, respond, site, backends } = service;
    let spec = |backend: &config::Backend| BackendSpec {
        address: backend.address,
        weight: Some(backend.weight),
        state: Some(backend.state),
        pool: Some(backend.pool.clone()),
    };
    NewService {
        name: name.clone(),
        vip: *vip,
        protocol: *protocol,
        mode: *mode,
        maglev_table: *maglev_table,
        respond: respond.clone(),
        site: Arc::new(site.clone()),
        backends: backends.iter().map(spec).collect(),
    }
}
