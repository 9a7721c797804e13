//! Which slot of the snapshot each service and backend has.
//!
//! Invariants:
//! - What has a slot keeps it for life, and after its removal until no worker can have a flow in it: until every worker
//!   runs a snapshot in which it is down, and has published since that it has no flow of it.
//! - A backend's slot changes hands only with another epoch.

use std::collections::{BTreeMap, HashMap};

use evenkeel_datapath::counters::{BackendCounter, Bounds, ServiceCounter};
use evenkeel_datapath::key::{Endpoint, Protocol};
use evenkeel_datapath::snapshot::{BackendId, Mode, ServiceSlot};

use crate::desired::{DesiredState, Id, Service};
use crate::protocol::{Refusal, RefusalKind};
use crate::words;

/// Counters of a service, by [`ServiceCounter`].
pub(crate) type ServiceCounts = [u64; ServiceCounter::COUNT];
/// Counters of a backend, by [`BackendCounter`].
pub(crate) type BackendCounts = [u64; BackendCounter::COUNT];

/// What slots have to know of what the workers have published.
pub(crate) trait Ledger {
    /// The counters of a service's slot, over all workers.
    fn service(&self, slot: u16) -> ServiceCounts;

    /// The counters of a backend's slot, over all workers.
    fn backend(&self, slot: u16) -> BackendCounts;

    /// Which round of publishing each worker has come to (see `Published::rounds`), and the generation it runs.
    fn progress(&self) -> Vec<Progress>;
}

/// How far a worker is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    pub(crate) generation: u64,
    pub(crate) rounds: u64,
}

/// All slots, and who has them.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    bounds: Bounds,
    services: Vec<Option<PlacedService>>,
    backends: Vec<BackendPlace>,
    by_id: HashMap<Id, u16>,
    grace: BTreeMap<u64, Vec<Option<u64>>>,
}

/// A service's slot that is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlacedService {
    id: Id,
    pub(crate) vip: Endpoint,
    pub(crate) protocol: Protocol,
    pub(crate) mode: Mode,
    /// What the slot's counters stood at before.
    pub(crate) baseline: ServiceCounts,
    /// The first generation without it, if it has been removed.
    left: Option<u64>,
}

/// A backend's slot.
#[derive(Clone, Debug)]
struct BackendPlace {
    epoch: u16,
    occupant: Option<PlacedBackend>,
}

/// A backend's slot that is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlacedBackend {
    id: Id,
    pub(crate) service: ServiceSlot,
    pub(crate) endpoint: Endpoint,
    /// What the slot's counters stood at before.
    pub(crate) baseline: BackendCounts,
    /// The first generation without it, if it has been removed.
    left: Option<u64>,
}

impl Slots {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            services: Vec::new(),
            backends: Vec::new(),
            by_id: HashMap::new(),
            grace: BTreeMap::new(),
        }
    }

    /// The slots when `desired` is what `generation` holds: what is new has a slot, what is gone begins to leave.
    pub(crate) fn placed(
        &self,
        desired: &DesiredState,
        generation: u64,
        ledger: &impl Ledger,
    ) -> Result<Self, Refusal> {
        let mut slots = self.clone();
        slots.mark_left(desired, generation);
        for service in &desired.services {
            let slot = match slots.by_id.get(&service.id) {
                Some(&slot) => slot,
                None => slots.take_service(service, ledger)?,
            };
            for backend in &service.backends {
                if !slots.by_id.contains_key(&backend.id) {
                    slots.take_backend(backend.id, ServiceSlot(slot), backend.address.into(), ledger)?;
                }
            }
        }
        Ok(slots)
    }

    fn mark_left(&mut self, desired: &DesiredState, generation: u64) {
        let services = desired.services.iter().map(|service| service.id);
        let backends =
            desired.services.iter().flat_map(|service| &service.backends).map(|backend| backend.id);
        let living: std::collections::HashSet<Id> = services.chain(backends).collect();
        let services = self.services.iter_mut().flatten().map(|service| (&service.id, &mut service.left));
        let backends = self.backends.iter_mut().filter_map(|place| place.occupant.as_mut());
        let backends = backends.map(|backend| (&backend.id, &mut backend.left));
        for (id, left) in services.chain(backends) {
            if left.is_none() && !living.contains(id) {
                *left = Some(generation);
                self.by_id.remove(id);
                self.grace.entry(generation).or_default();
            }
        }
    }

    fn take_service(&mut self, service: &Service, ledger: &impl Ledger) -> Result<u16, Refusal> {
        let at = self.services.iter().position(Option::is_none).unwrap_or(self.services.len());
        if at >= self.bounds.services {
            return Err(self.full("max_services", self.bounds.services, self.leaving_services()));
        }
        if at == self.services.len() {
            self.services.push(None);
        }
        let slot = slot(at);
        let baseline = ledger.service(slot);
        self.services[at] = Some(PlacedService {
            id: service.id,
            vip: service.vip.into(),
            protocol: words::protocol(service.protocol),
            mode: words::mode(service.mode),
            baseline,
            left: None,
        });
        self.by_id.insert(service.id, slot);
        Ok(slot)
    }

    fn take_backend(
        &mut self,
        id: Id,
        service: ServiceSlot,
        endpoint: Endpoint,
        ledger: &impl Ledger,
    ) -> Result<(), Refusal> {
        let free = self.backends.iter().position(|place| place.occupant.is_none());
        let at = free.unwrap_or(self.backends.len());
        if at >= self.bounds.backends {
            return Err(self.full("max_backends", self.bounds.backends, self.leaving_backends().count()));
        }
        match self.backends.get_mut(at) {
            Some(place) => place.epoch = place.epoch.wrapping_add(1),
            None => self.backends.push(BackendPlace { epoch: 0, occupant: None }),
        }
        let slot = slot(at);
        let baseline = ledger.backend(slot);
        self.backends[at].occupant = Some(PlacedBackend { id, service, endpoint, baseline, left: None });
        self.by_id.insert(id, slot);
        Ok(())
    }

    fn full(&self, bound: &str, limit: usize, leaving: usize) -> Refusal {
        let mut message = format!("balancer.{bound} is {limit}, and all are in use");
        if leaving > 0 {
            message.push_str(&format!(", {leaving} by what was removed and still has flows"));
        }
        Refusal::new(RefusalKind::BoundReached, message).field(format!("balancer.{bound}"))
    }

    /// Frees the slots of what has left and has no flows any more.
    pub(crate) fn release(&mut self, ledger: &impl Ledger) {
        if self.grace.is_empty() {
            return;
        }
        let progress = ledger.progress();
        for (&generation, marks) in &mut self.grace {
            marks.resize(progress.len(), None);
            for (mark, worker) in marks.iter_mut().zip(&progress) {
                if mark.is_none() && worker.generation >= generation {
                    *mark = Some(worker.rounds);
                }
            }
        }
        // Two rounds later each gauge has been published after the worker adopted the snapshot.
        let settled = |generation: u64| {
            self.grace.get(&generation).is_some_and(|marks| {
                marks.iter().zip(&progress).all(|(mark, now)| mark.is_some_and(|then| now.rounds >= then + 2))
            })
        };
        let mut held = vec![false; self.services.len()];
        for (at, place) in self.backends.iter_mut().enumerate() {
            let Some(backend) = &place.occupant else { continue };
            let gone = backend.left.is_some_and(settled)
                && ledger.backend(slot(at))[BackendCounter::FlowsActive as usize] == 0;
            if gone {
                place.occupant = None;
            } else if let Some(held) = held.get_mut(usize::from(backend.service.0)) {
                *held = true;
            }
        }
        for (at, (place, held)) in self.services.iter_mut().zip(held).enumerate() {
            let Some(service) = place else { continue };
            let flows = ledger.service(slot(at))[ServiceCounter::FlowsActive as usize];
            if !held && flows == 0 && service.left.is_some_and(settled) {
                *place = None;
            }
        }
        let left = self.services.iter().flatten().filter_map(|service| service.left);
        let still: std::collections::HashSet<u64> =
            left.chain(self.leaving_backends().filter_map(|(_, backend)| backend.left)).collect();
        self.grace.retain(|generation, _| still.contains(generation));
    }

    /// Slots for services up to the last that is taken.
    pub(crate) fn service_slots(&self) -> usize {
        self.services.len()
    }

    /// Slots for backends up to the last that is taken.
    pub(crate) fn backend_slots(&self) -> usize {
        self.backends.len()
    }

    /// The slot of a service or backend that is wanted.
    pub(crate) fn of(&self, id: Id) -> Option<u16> {
        self.by_id.get(&id).copied()
    }

    /// The slot of a backend with its epoch.
    pub(crate) fn backend_id(&self, id: Id) -> Option<BackendId> {
        let slot = self.of(id)?;
        let place = self.backends.get(usize::from(slot))?;
        Some(BackendId { slot, epoch: place.epoch })
    }

    /// Who has a service's slot.
    pub(crate) fn service(&self, slot: u16) -> Option<&PlacedService> {
        self.services.get(usize::from(slot))?.as_ref()
    }

    /// Who has a backend's slot.
    pub(crate) fn backend(&self, slot: u16) -> Option<&PlacedBackend> {
        self.backends.get(usize::from(slot))?.occupant.as_ref()
    }

    /// Backends that have been removed and whose slots are not free yet, with their epochs.
    pub(crate) fn leaving_backends(&self) -> impl Iterator<Item = (BackendId, &PlacedBackend)> {
        self.backends.iter().enumerate().filter_map(|(at, place)| {
            let occupant = place.occupant.as_ref().filter(|backend| backend.left.is_some())?;
            Some((BackendId { slot: slot(at), epoch: place.epoch }, occupant))
        })
    }

    fn leaving_services(&self) -> usize {
        self.services.iter().flatten().filter(|service| service.left.is_some()).count()
    }
}

impl PlacedService {
    /// True from its removal on.
    pub(crate) const fn has_left(&self) -> bool {
        self.left.is_some()
    }
}

fn slot(at: usize) -> u16 {
    u16::try_from(at).expect("bounds of slots are checked to be below 2^16")
}
