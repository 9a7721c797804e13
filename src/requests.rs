//! From a command to the request that it stands for.

use evenkeel_config::Respond;
use evenkeel_control::protocol::{BackendSpec, Request};

use crate::cli::{Ask, Backend, BackendName, Connection, Flow, Route, Service, ServiceAdd};

/// What `command` asks of the running balancer.
pub(crate) fn request(command: &Ask) -> Request {
    match command {
        Ask::Status => Request::Status {},
        Ask::Service(service) => self::service(service),
        Ask::Backend(backend) => self::backend(backend),
        Ask::Flow(flow) => self::flow(flow),
        Ask::Connection(connection) => self::connection(connection),
        Ask::Route(Route::Explain { method, url, headers, service }) => Request::RouteExplain {
            service: service.clone(),
            method: method.clone(),
            url: url.clone(),
            headers: headers.clone(),
        },
        Ask::Drops { .. } => Request::Drops {},
        Ask::Worker(_) => Request::WorkerList {},
        Ask::Port(_) => Request::PortList {},
        Ask::NextHop(_) => Request::NextHopList {},
        Ask::Reload => Request::Reload {},
        Ask::Stop => Request::Stop {},
    }
}

fn service(service: &Service) -> Request {
    match service {
        Service::List => Request::ServiceList {},
        Service::Show { name } => Request::ServiceShow { service: name.clone() },
        Service::Add(ServiceAdd {
            name,
            vip,
            protocol,
            mode,
            maglev_table,
            status,
            body,
            pools,
            backends,
        }) => {
            let default = Respond::default();
            let status_or_default = status.unwrap_or(default.status);
            let answer = || Respond { status: status_or_default, body: body.clone(), ..default };
            Request::ServiceAdd {
                service: name.clone(),
                vip: *vip,
                protocol: *protocol,
                mode: *mode,
                maglev_table: *maglev_table,
                respond: (status.is_some() || body.is_some()).then(answer),
                pools: pools.clone(),
                backends: backends
                    .iter()
                    .map(|&address| BackendSpec { address, weight: None, state: None, pool: None })
                    .collect(),
            }
        }
        Service::Remove { name } => Request::ServiceRemove { service: name.clone() },
    }
}

fn backend(backend: &Backend) -> Request {
    let named = |BackendName { service, backend }: &BackendName| (service.clone(), *backend);
    match backend {
        Backend::List { service } => Request::BackendList { service: service.clone() },
        Backend::Add { which, weight, state, pool } => {
            let (service, backend) = named(which);
            let (weight, state, pool) = (Some(*weight), Some(*state), pool.clone());
            Request::BackendAdd { service, backend, weight, state, pool }
        }
        Backend::Remove(which) => {
            let (service, backend) = named(which);
            Request::BackendRemove { service, backend }
        }
        Backend::Drain { which, deadline } => {
            let (service, backend) = named(which);
            Request::BackendDrain { service, backend, deadline: *deadline }
        }
        Backend::Down(which) => {
            let (service, backend) = named(which);
            Request::BackendDown { service, backend }
        }
        Backend::Activate(which) => {
            let (service, backend) = named(which);
            Request::BackendActivate { service, backend }
        }
        Backend::Weight { which, weight } => {
            let (service, backend) = named(which);
            Request::BackendWeight { service, backend, weight: *weight }
        }
    }
}

fn connection(connection: &Connection) -> Request {
    match connection {
        Connection::List { service, limit } => {
            Request::ConnectionList { service: service.clone(), limit: Some(*limit) }
        }
        Connection::Show(which) => Request::ConnectionShow { client: which.client, vip: which.vip },
        Connection::Trace { which, end } => {
            Request::ConnectionTrace { client: which.client, vip: which.vip, end: Some(*end) }
        }
        Connection::Counters { .. } => Request::ConnectionCounters {},
    }
}

fn flow(flow: &Flow) -> Request {
    match flow {
        Flow::Lookup { client, vip, protocol } => {
            Request::FlowLookup { protocol: *protocol, source: *client, destination: *vip }
        }
        Flow::List { service, backend, worker, limit } => Request::FlowList {
            service: service.clone(),
            backend: *backend,
            worker: *worker,
            limit: Some(*limit),
        },
    }
}
