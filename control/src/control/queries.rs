//! Queries: answered at once from the state and the counters, or by the workers.

use std::net::SocketAddr;

use evenkeel_datapath::command::FlowQuestion;
use evenkeel_datapath::key::FlowKey;
use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_datapath::time::Time;

use super::{Control, Submitted};
use crate::connections::Wanted;
use crate::explain::{Asked, explain};
use crate::flows::{Filter, LIMIT, MAX_LIMIT, Search};
use crate::protocol::{Refusal, RefusalKind, Report, Request, RouteReport};
use crate::words;

impl Control {
    pub(super) fn query(&mut self, request: Request, now: Time) -> Result<Submitted, Refusal> {
        let report = match request {
            Request::FlowLookup { protocol, source, destination } => {
                let protocol = words::protocol(protocol);
                let key = FlowKey { source: source.into(), destination: destination.into(), protocol };
                return Ok(self.search(FlowQuestion::Lookup(key), Filter::default(), 1, now));
            }
            Request::FlowList { service, backend, worker, limit } => {
                let filter = self.filter(service.as_deref(), backend, worker)?;
                let limit = listed(limit)?;
                return Ok(self.search(FlowQuestion::List { from: 0 }, filter, limit, now));
            }
            Request::ConnectionList { service, limit } => {
                let Filter { service, .. } = self.filter(service.as_deref(), None, None)?;
                let limit = listed(limit)? as usize;
                return Ok(self.survey(Wanted::List { service, limit }, now));
            }
            Request::ConnectionShow { client, vip } => {
                return Ok(self.survey(Wanted::Show(client, vip), now));
            }
            Request::ConnectionTrace { client, vip, end } => {
                let is_on = !end.unwrap_or(false);
                return Ok(self.survey(Wanted::Trace { client, vip, is_on }, now));
            }
            Request::ConnectionCounters {} => return Ok(self.survey(Wanted::Counters, now)),
            Request::Status {} => Report::Status(Box::new(self.status(now))),
            Request::ServiceList {} => Report::Services(self.services(now)),
            Request::ServiceShow { service } => {
                Report::Service(Box::new(self.service(self.desired.service(&service)?, now)))
            }
            Request::BackendList { service } => Report::Backends(match service {
                Some(name) => self.service(self.desired.service(&name)?, now).backends,
                None => self.services(now).into_iter().flat_map(|service| service.backends).collect(),
            }),
            Request::RouteExplain { service, method, url, headers } => {
                let asked = Asked { method: &method, url: &url, headers: &headers };
                Report::Route(Box::new(self.explain(service.as_deref(), &asked)?))
            }
            Request::Drops {} => Report::Drops(self.drops()),
            Request::WorkerList {} => Report::Workers(self.workers()),
            Request::PortList {} => Report::Ports(self.ports()),
            Request::NextHopList {} => Report::NextHops(self.next_hop_list()),
            Request::Version {} => Report::Version(self.version()),
            change => unreachable!("{} is a change", change.command()),
        };
        Ok(Submitted::Answered(self.done(Some(report))))
    }

    fn filter(
        &self,
        service: Option<&str>,
        backend: Option<SocketAddr>,
        worker: Option<u8>,
    ) -> Result<Filter, Refusal> {
        let named = service.map(|name| self.desired.service(name)).transpose()?;
        if let (Some(name), Some(backend)) = (service, backend) {
            self.desired.backend_position(name, backend)?;
        }
        if let Some(worker) = worker
            && !self.fleet.handles().any(|handle| handle.id.0 == worker)
        {
            let message = format!("there is no worker {worker}");
            return Err(Refusal::new(RefusalKind::UnknownWorker, message).field("worker"));
        }
        let slot = named.and_then(|service| self.slots.of(service.id)).map(ServiceSlot);
        Ok(Filter { service: slot, backend, worker })
    }

    /// Which route a request takes at a service, or at the only one that has routes.
    fn explain(&self, service: Option<&str>, asked: &Asked<'_>) -> Result<RouteReport, Refusal> {
        let at_layer_7 =
            || self.desired.services.iter().filter(|service| self.tables.site_of(service.id).is_some());
        let service = match service {
            Some(name) => self.desired.service(name)?,
            None => match (at_layer_7().next(), at_layer_7().nth(1)) {
                (Some(only), None) => only,
                (None, _) => {
                    let message = "there is no service in mode \"l7\"";
                    return Err(Refusal::new(RefusalKind::UnknownService, message).field("service"));
                }
                (Some(_), Some(_)) => {
                    let names: Vec<&str> = at_layer_7().map(|service| service.name.as_str()).collect();
                    let message = format!("name one of the services: {}", names.join(", "));
                    return Err(Refusal::new(RefusalKind::MissingField, message).field("service"));
                }
            },
        };
        let site = self.tables.site_of(service.id).ok_or_else(|| {
            let message =
                format!("the service {:?} looks at no requests: its mode is not \"l7\"", service.name);
            Refusal::new(RefusalKind::BadValue, message).field("service")
        })?;
        explain(service, site, asked)
    }

    fn search(&mut self, question: FlowQuestion, filter: Filter, limit: u32, now: Time) -> Submitted {
        let ticket = self.ticket();
        let workers = self.fleet.handles().map(|handle| handle.id.0);
        let mut search = Search::new(question, filter, limit, workers, ticket.0, now);
        search.poll(&self.fleet, now);
        self.searches.push((ticket, search));
        Submitted::Waiting(ticket)
    }
}

/// How many are listed, if that may be asked for.
fn listed(limit: Option<u32>) -> Result<u32, Refusal> {
    let limit = limit.unwrap_or(LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    let message = format!("a limit is 1 to {MAX_LIMIT}, and not {limit}");
    Err(Refusal::new(RefusalKind::BadValue, message).field("limit"))
}
