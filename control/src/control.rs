//! The control thread's state, driven from outside: requests, next hops and time in; answers and snapshots out.
//!
//! Invariants:
//! - Every change is made on a copy and takes a generation of its own; a refused one leaves no trace.
//! - `ok` is answered when every worker runs the change. A worker that is not there in [`PATIENCE`] is named in a
//!   `pending` answer, and the change stands.
//! - Nothing here reads a clock, waits or blocks (but `reload`, which reads a file).

mod queries;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evenkeel_config::{self as config, Config, Service as FileService};
use evenkeel_datapath::counters::Bounds;
use evenkeel_datapath::port::PortCapabilities;
use evenkeel_datapath::time::Time;
use tracing::{debug, info, warn};

use crate::compile::{Fixed, Tables, compile};
use crate::connections::{Survey, answer_of};
use crate::desired::{DesiredState, NewService};
use crate::fleet::Fleet;
use crate::flows::Search;
use crate::next_hops::{NextHops, Wanted};
use crate::protocol::{Answer, Refusal, RefusalKind, Report, Request};
use crate::secrets::{ROTATION, Secrets};
use crate::setup::Setup;
use crate::slots::Slots;

/// How long workers are waited for before the answer is `pending`.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The control thread's state.
#[derive(Debug)]
pub struct Control {
    pub(crate) desired: DesiredState,
    pub(crate) slots: Slots,
    pub(crate) tables: Tables,
    pub(crate) fleet: Fleet,
    pub(crate) next_hops: NextHops,
    pub(crate) capabilities: Vec<PortCapabilities>,
    pub(crate) version: String,
    pub(crate) started: Time,
    fixed: Fixed,
    /// When the keys of tickets are made anew.
    rotates: Time,
    config_file: PathBuf,
    waiting: Vec<Waiting>,
    searches: Vec<(Ticket, Search)>,
    surveys: Vec<(Ticket, Survey)>,
    next_ticket: u64,
    missed: BTreeSet<IpAddr>,
    stopping: bool,
}

/// Stands for an answer that is not there yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ticket(u64);

impl Ticket {
    /// Its number, for tests to sort by.
    #[cfg(test)]
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its user; `None` for a signal.
    pub uid: Option<u32>,
    /// Its process, where the kernel tells.
    pub pid: Option<i32>,
}

/// What became of a request.
#[derive(Debug)]
pub enum Submitted {
    /// Answered at once.
    Answered(Answer),
    /// To be answered by [`Control::poll`].
    Waiting(Ticket),
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    generation: u64,
    until: Time,
    report: Option<Report>,
}

impl Control {
    /// Compiles the first snapshot and sends it to every worker.
    pub fn new(setup: Setup, next_hops: NextHops, now: Time) -> Result<Self, Refusal> {
        let Setup { config, config_file, workers, ports, version, clock: _ } = setup;
        let bounds = Bounds {
            services: usize::try_from(config.balancer.max_services).unwrap_or(usize::MAX),
            backends: usize::try_from(config.balancer.max_backends).unwrap_or(usize::MAX),
        };
        let fixed = Fixed::new(&config, &ports, workers.len());
        let secrets = read_secrets(&config, &Secrets::default())?;
        let desired = DesiredState::new(config, now).with_secrets(secrets);
        // Workers begin with all counters zero, whatever slots there will be.
        let slots = Slots::new(bounds).placed(&desired, 1, &Fleet::new(Vec::new()))?;
        let (snapshot, tables) = compile(&desired, &slots, &next_hops.fib, &fixed, &Tables::default(), 1);
        let mut fleet = Fleet::new(workers);
        fleet.adopt(snapshot);
        Ok(Self {
            desired,
            slots,
            tables,
            fleet,
            next_hops,
            capabilities: ports,
            version,
            started: now,
            fixed,
            rotates: now + ROTATION,
            config_file,
            waiting: Vec::new(),
            searches: Vec::new(),
            surveys: Vec::new(),
            next_ticket: 0,
            missed: BTreeSet::new(),
            stopping: false,
        })
    }

    /// Takes a request.
    pub fn submit(&mut self, request: Request, peer: Peer, now: Time) -> Submitted {
        if self.stopping {
            return Submitted::Answered(
                Refusal::new(RefusalKind::Stopping, "the balancer is stopping").into(),
            );
        }
        let outcome = if request.is_change() {
            self.change_logged(&request, peer, now)
        } else {
            self.query(request, now)
        };
        outcome.unwrap_or_else(|refusal| Submitted::Answered(refusal.into()))
    }

    fn change_logged(&mut self, request: &Request, peer: Peer, now: Time) -> Result<Submitted, Refusal> {
        let (uid, pid) = (peer.uid, peer.pid);
        let text = serde_json::to_string(request).unwrap_or_default();
        let outcome = self.change(request, now);
        match &outcome {
            Ok(_) => info!(uid, pid, generation = self.generation(), request = %text, "change"),
            Err(refusal) => warn!(uid, pid, request = %text, refusal = %refusal, "change refused"),
        }
        outcome
    }

    fn change(&mut self, request: &Request, now: Time) -> Result<Submitted, Refusal> {
        let desired = &self.desired;
        let mut report = None;
        let wanted = match request {
            Request::ServiceAdd { service, vip, protocol, mode, maglev_table, respond, pools, backends } => {
                let wanted = NewService {
                    name: service.clone(),
                    vip: *vip,
                    protocol: *protocol,
                    mode: *mode,
                    maglev_table: maglev_table.unwrap_or(FileService::MAGLEV_TABLE),
                    respond: respond.clone(),
                    site: Arc::new(with_pools(pools)?),
                    backends: backends.clone(),
                };
                desired.with_service(wanted, now)?
            }
            Request::ServiceRemove { service } => desired.without_service(service)?,
            Request::BackendAdd { service, backend, weight, state, pool } => {
                let (address, weight, state, pool) = (*backend, *weight, *state, pool.clone());
                let spec = crate::protocol::BackendSpec { address, weight, state, pool };
                desired.with_backend(service, &spec, now)?
            }
            Request::BackendRemove { service, backend } => desired.without_backend(service, *backend)?,
            Request::BackendDrain { service, backend, deadline } => {
                desired.with_drain(service, *backend, *deadline, now)?
            }
            Request::BackendDown { service, backend } => desired.with_down(service, *backend)?,
            Request::BackendActivate { service, backend } => desired.with_active(service, *backend)?,
            Request::BackendWeight { service, backend, weight } => {
                desired.with_weight(service, *backend, *weight)?
            }
            Request::Reload {} => {
                let file = self.read_config()?;
                let secrets = read_secrets(&file, &desired.secrets)?;
                let (wanted, mut changes) = desired.reloaded(file, now)?;
                if secrets != *desired.secrets {
                    changes.settings_changed.push("certificates".to_owned());
                }
                report = Some(Report::Reload(changes));
                wanted.with_secrets(secrets)
            }
            Request::Stop {} => {
                self.stopping = true;
                return Ok(Submitted::Answered(self.done(None)));
            }
            query => unreachable!("{} is a query", query.command()),
        };
        self.commit(wanted)?;
        Ok(self.await_workers(report, now))
    }

    fn done(&self, report: Option<Report>) -> Answer {
        Answer::Done { generation: self.generation(), report }
    }

    fn read_config(&self) -> Result<Config, Refusal> {
        match Config::load(&self.config_file) {
            Ok(parsed) => {
                for warning in &parsed.warnings.0 {
                    warn!(file = %self.config_file.display(), "{warning}");
                }
                Ok(parsed.config)
            }
            Err(errors) => Err(Refusal::new(RefusalKind::BadConfiguration, errors.to_string())),
        }
    }

    /// Makes `desired` what is wanted and sends the workers a snapshot of it; nothing if it is already.
    fn commit(&mut self, desired: DesiredState) -> Result<(), Refusal> {
        if desired.is_same(&self.desired) {
            return Ok(());
        }
        let slots = self.slots.placed(&desired, self.generation() + 1, &self.fleet)?;
        self.slots = slots;
        self.desired = desired;
        self.compile_and_send();
        Ok(())
    }

    fn compile_and_send(&mut self) {
        let Self { desired, slots, next_hops, fixed, tables, .. } = self;
        let generation = self.fleet.newest().generation + 1;
        let (snapshot, tables) = compile(desired, slots, &next_hops.fib, fixed, tables, generation);
        self.tables = tables;
        self.fleet.adopt(snapshot);
    }

    fn await_workers(&mut self, report: Option<Report>, now: Time) -> Submitted {
        let ticket = self.ticket();
        let generation = self.generation();
        self.waiting.push(Waiting { ticket, generation, until: now + PATIENCE, report });
        Submitted::Waiting(ticket)
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Takes other next hops.
    pub fn set_next_hops(&mut self, next_hops: NextHops) {
        let old = std::mem::replace(&mut self.next_hops, next_hops);
        if Arc::ptr_eq(&old.fib, &self.next_hops.fib) {
            return;
        }
        for (service, backend) in self.desired.backends() {
            let addr = backend.address.ip().into();
            let (before, after) = (old.fib.lookup(addr).is_some(), self.next_hops.fib.lookup(addr).is_some());
            match (before, after) {
                (true, false) => warn!(service = service.name, backend = %backend.address, "next hop lost"),
                (false, true) => info!(service = service.name, backend = %backend.address, "next hop found"),
                _ => {}
            }
        }
        self.compile_and_send();
        debug!(generation = self.generation(), "next hops changed");
    }

    /// What is wanted of whoever follows the kernel.
    pub fn wanted(&self) -> Wanted {
        self.desired.next_hops()
    }

    /// Does what time and the workers' rings ask for; returns the answers that are due.
    pub fn poll(&mut self, now: Time) -> Vec<(Ticket, Answer)> {
        let heard = self.fleet.poll();
        self.missed.extend(heard.unresolved.into_iter().map(IpAddr::from));
        for mut answer in heard.answers {
            for (_, search) in &mut self.searches {
                match search.take(answer, self.fleet.newest()) {
                    Some(other) => answer = other,
                    None => break,
                }
            }
        }
        for mut answer in heard.of_stages.into_iter().filter_map(answer_of) {
            for (_, survey) in &mut self.surveys {
                match survey.take(answer) {
                    Some(other) => answer = other,
                    None => break,
                }
            }
        }
        self.slots.release(&self.fleet);
        if let Some((desired, drained)) = self.desired.with_drained_down(now) {
            self.desired = desired;
            self.compile_and_send();
            for (service, backend) in drained {
                info!(service, %backend, generation = self.generation(), "drain deadline past: down");
            }
        }
        if now >= self.rotates {
            self.rotates = now + ROTATION;
            self.rotate();
        }
        let mut answers = self.acknowledged(now);
        self.finish_searches(now, &mut answers);
        self.finish_surveys(now, &mut answers);
        answers
    }

    /// Makes new keys for tickets; those of the last ones are still known.
    fn rotate(&mut self) {
        if self.desired.secrets.has_tickets() {
            self.desired.secrets = Arc::new(self.desired.secrets.rotated());
            self.compile_and_send();
            info!(generation = self.generation(), "keys of session tickets made anew");
        }
    }

    fn acknowledged(&mut self, now: Time) -> Vec<(Ticket, Answer)> {
        let mut answers = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let late = self.fleet.late(waiting.generation);
            let Waiting { ticket, generation, until, report } = waiting;
            if late.is_empty() {
                answers.push((ticket, Answer::Done { generation, report }));
            } else if now >= until {
                warn!(generation, ?late, "workers are late");
                answers.push((ticket, Answer::Pending { generation, late_workers: late }));
            } else {
                self.waiting.push(Waiting { ticket, generation, until, report });
            }
        }
        answers
    }

    fn finish_searches(&mut self, now: Time, answers: &mut Vec<(Ticket, Answer)>) {
        for (ticket, mut search) in std::mem::take(&mut self.searches) {
            if search.poll(&self.fleet, now) {
                let flows = search.report(&self.desired, &self.slots, self.fleet.newest());
                answers.push((ticket, self.done(Some(Report::Flows(flows)))));
            } else {
                self.searches.push((ticket, search));
            }
        }
    }

    fn finish_surveys(&mut self, now: Time, answers: &mut Vec<(Ticket, Answer)>) {
        for (ticket, mut survey) in std::mem::take(&mut self.surveys) {
            if survey.poll(&self.fleet, now) {
                let report = survey.report(&self.desired, &self.slots);
                answers.push((ticket, self.done(Some(report))));
            } else {
                self.surveys.push((ticket, survey));
            }
        }
    }

    /// Begins a survey of connections.
    pub(crate) fn survey(&mut self, wanted: crate::connections::Wanted, now: Time) -> Submitted {
        let ticket = self.ticket();
        let workers = self.fleet.handles().map(|handle| handle.id.0);
        let mut survey = Survey::new(wanted, workers, ticket.0, now);
        survey.poll(&self.fleet, now);
        self.surveys.push((ticket, survey));
        Submitted::Waiting(ticket)
    }

    /// The newest generation.
    pub(crate) fn generation(&self) -> u64 {
        self.fleet.newest().generation
    }

    /// Neighbours that packets were for and that are not known, since the last call.
    pub(crate) fn take_missed(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.missed)
    }

    /// True while an answer is due or a worker is behind: time to look often.
    pub(crate) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || !self.searches.is_empty() || !self.surveys.is_empty()
    }

    /// True once every worker runs the first snapshot or a later one.
    pub(crate) fn is_ready(&self) -> bool {
        self.fleet.late(1).is_empty()
    }

    /// True once the balancer has been asked to stop.
    pub(crate) const fn is_stopping(&self) -> bool {
        self.stopping
    }
}

/// Reads the files that a configuration names, as it is read itself. The only clock that is looked at here: by it certificates are valid.
fn read_secrets(config: &Config, before: &Secrets) -> Result<Secrets, Refusal> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Secrets::load(config, now, before).map_err(|flaws| {
        let flaws: Vec<String> = flaws.iter().map(ToString::to_string).collect();
        Refusal::new(RefusalKind::BadConfiguration, flaws.join("\n"))
    })
}

/// What a service that is added at run time does with requests: it has these pools, and no routes.
fn with_pools(names: &[String]) -> Result<config::Site, Refusal> {
    let mut site = config::Site::default();
    for (at, name) in names.iter().enumerate() {
        let refuse = |problem| Refusal::new(RefusalKind::BadValue, problem).field(format!("pools[{at}]"));
        let name = config::units::pool_name(name).map_err(refuse)?;
        site.pools.push(config::Pool { name, ..config::Pool::default() });
    }
    if site.pools.len() > config::limits::POOLS {
        let message = format!("a service has {} pools at most", config::limits::POOLS);
        return Err(Refusal::new(RefusalKind::BadValue, message).field("pools"));
    }
    Ok(site)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reload_tests;
#[cfg(test)]
mod route_tests;
#[cfg(test)]
mod tests;
