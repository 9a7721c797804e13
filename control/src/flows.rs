//! Questions about flows, put to the workers as [`crate::inquiry`] has it.

use std::net::SocketAddr;

use evenkeel_datapath::command::{Command, FlowQuery, FlowQuestion};
use evenkeel_datapath::flow::FlowView;
use evenkeel_datapath::key::{Endpoint, FlowKey};
use evenkeel_datapath::pipeline::{NewFlow, new_flow};
use evenkeel_datapath::snapshot::{ServiceSlot, Snapshot};
use evenkeel_datapath::time::Time;

use crate::desired::{DesiredState, Service};
use crate::fleet::Fleet;
use crate::inquiry::{Inquiries, PAGE};
use crate::protocol::{FlowReport, FlowsReport, NewFlowReport};
use crate::slots::Slots;
use crate::words;

/// Flows listed when the request does not say.
pub(crate) const LIMIT: u32 = 100;

/// Flows listed at most.
pub(crate) const MAX_LIMIT: u32 = 10_000;

/// One search under way: all workers are asked at once, each page by page.
#[derive(Debug)]
pub(crate) struct Search {
    question: FlowQuestion,
    filter: Filter,
    limit: usize,
    inquiries: Inquiries<FlowQuery>,
    found: Vec<(u8, FlowView)>,
    /// There is more than the limit lets in.
    cut: bool,
}

/// Which flows are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    /// Only of this service.
    pub(crate) service: Option<ServiceSlot>,
    /// Only of backends that listen here.
    pub(crate) backend: Option<SocketAddr>,
    /// Only of this worker.
    pub(crate) worker: Option<u8>,
}

impl Search {
    /// Begins a search among `workers`. `mark` tells it from all other searches.
    pub(crate) fn new(
        question: FlowQuestion,
        filter: Filter,
        limit: u32,
        workers: impl Iterator<Item = u8>,
        mark: u64,
        now: Time,
    ) -> Self {
        let asked = workers.filter(|worker| filter.worker.is_none_or(|wanted| wanted == *worker));
        let query = |token| FlowQuery { token, question, flows: Vec::with_capacity(PAGE), next: None };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let inquiries = Inquiries::new(asked, mark, now, query);
        Self { question, filter, limit, inquiries, found: Vec::new(), cut: false }
    }

    /// Takes an answer; gives it back if it is not to a question of this search.
    pub(crate) fn take(&mut self, answer: Box<FlowQuery>, snapshot: &Snapshot) -> Option<Box<FlowQuery>> {
        let Some(inquiry) = self.inquiries.awaited(answer.token) else { return Some(answer) };
        for flow in answer.flows.iter().filter(|flow| self.filter.admits(flow, snapshot)) {
            if self.found.len() == self.limit {
                self.cut = true;
                break;
            }
            self.found.push((inquiry.worker, *flow));
        }
        inquiry.answered(match answer.next {
            Some(from) if !self.cut && matches!(self.question, FlowQuestion::List { .. }) => {
                let mut next = answer;
                next.flows.clear();
                next.question = FlowQuestion::List { from };
                next.next = None;
                Some(next)
            }
            _ => None,
        });
        None
    }

    /// Puts the questions that are to be put; true when the search is over.
    pub(crate) fn poll(&mut self, fleet: &Fleet, now: Time) -> bool {
        if self.cut || (matches!(self.question, FlowQuestion::Lookup(_)) && !self.found.is_empty()) {
            self.inquiries.enough();
        }
        let back = |command| match command {
            Command::Flows(query) => Some(query),
            _ => None,
        };
        self.inquiries.poll(fleet, now, Command::Flows, back)
    }

    /// What was found, in the order of the workers.
    pub(crate) fn report(
        mut self,
        desired: &DesiredState,
        slots: &Slots,
        snapshot: &Snapshot,
    ) -> FlowsReport {
        let late = self.inquiries.late_workers();
        self.found.sort_by_key(|(worker, _)| *worker);
        let new_flow = match self.question {
            FlowQuestion::Lookup(key) if self.found.is_empty() && late.is_empty() => {
                new_flow_report(&key, desired, slots, snapshot).map(Box::new)
            }
            _ => None,
        };
        let report =
            |&(worker, ref flow): &(u8, FlowView)| flow_report(worker, flow, desired, slots, snapshot);
        FlowsReport {
            flows: self.found.iter().map(report).collect(),
            complete: !self.cut && late.is_empty(),
            late_workers: late,
            new_flow,
        }
    }
}

impl Filter {
    fn admits(&self, flow: &FlowView, snapshot: &Snapshot) -> bool {
        let endpoint = || snapshot.backend(flow.backend).map(|backend| backend.endpoint);
        self.service.is_none_or(|service| service == flow.service)
            && self.backend.is_none_or(|backend| endpoint() == Some(Endpoint::from(backend)))
    }
}

fn service_in<'a>(slot: ServiceSlot, desired: &'a DesiredState, slots: &Slots) -> Option<&'a Service> {
    desired.services.iter().find(|service| slots.of(service.id) == Some(slot.0))
}

fn new_flow_report(
    key: &FlowKey,
    desired: &DesiredState,
    slots: &Slots,
    snapshot: &Snapshot,
) -> Option<NewFlowReport> {
    let NewFlow { worker, service, backend } = new_flow(snapshot, key)?;
    let endpoint = |id| snapshot.backend(id).map(|backend| backend.endpoint.into());
    Some(NewFlowReport {
        worker: worker.0,
        service: service_in(service, desired, slots)?.name.clone(),
        protocol: words::protocol_word(key.protocol),
        client: key.source.into(),
        vip: key.destination.into(),
        backend: backend.ok().flatten().and_then(endpoint),
        drop: backend.err().map(|reason| reason.name().to_owned()),
    })
}

fn flow_report(
    worker: u8,
    flow: &FlowView,
    desired: &DesiredState,
    slots: &Slots,
    snapshot: &Snapshot,
) -> FlowReport {
    let service = service_in(flow.service, desired, slots);
    let local = flow.local.and_then(|(index, port)| {
        let addr = snapshot.local.address(index)?;
        Some(SocketAddr::from(Endpoint { addr, port }))
    });
    FlowReport {
        worker,
        service: service.map(|service| service.name.clone()),
        protocol: words::protocol_word(flow.protocol),
        client: flow.client.into(),
        vip: snapshot.service(flow.service).map(|service| service.vip.into()),
        local,
        backend: snapshot.backend(flow.backend).map(|backend| backend.endpoint.into()),
        state: flow.state.name().to_owned(),
        idle_ms: flow.idle_ms,
    }
}
