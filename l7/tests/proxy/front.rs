//! The balancer's side: a proxy on a stack, as an application of a host.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_datapath::maglev::{self, Maglev};
use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_l7::balance::{Candidate, Group, Policy};
use evenkeel_l7::proxy::site::{Action, Backend, Cluster, Edits, Forward};
use evenkeel_l7::proxy::{OnStack, Served, Site, TlsProxy};
use evenkeel_l7::route::{Path, Route, Routes};
use evenkeel_l7::{Listener, Service, Work};
use evenkeel_tcp::{Endpoint, Event, HeapBuf, ListenerConfig, ListenerId, Settings, Stack, Time};

use crate::hosts::Application;

pub(crate) const VIP: &str = "192.0.2.10:80";
/// Where connections to backends come from.
const OWN: [u8; 4] = [10, 0, 0, 1];

/// See the module.
pub(crate) struct Balancer {
    pub(crate) proxy: TlsProxy<HeapBuf>,
    service: Rc<Listener>,
    /// The service as it is now.
    pub(crate) served: Rc<Served>,
    listener: Option<ListenerId>,
    next_port: u16,
    /// What is served instead, once so many responses have gone by.
    pub(crate) next_site: Option<(u32, Arc<Site>)>,
}

/// Backends at these addresses, in turn.
pub(crate) fn cluster(name: &str, first_slot: u16, addresses: &[&str]) -> Cluster {
    let backends: Vec<Backend> = (first_slot..)
        .zip(addresses)
        .map(|(slot, address)| Backend {
            slot,
            epoch: 0,
            address: address.parse().unwrap(),
            identity: 1000 + u64::from(slot),
        })
        .collect();
    Cluster::new(name, group(Policy::RoundRobin, &backends), backends)
}

pub(crate) fn group(policy: Policy, backends: &[Backend]) -> Group {
    let candidates: Vec<Candidate> =
        backends.iter().map(|backend| Candidate { slot: backend.slot, weight: 1 }).collect();
    let in_table =
        |backend: &Backend| maglev::Candidate { identity: backend.identity, weight: 1, slot: backend.slot };
    let table = Maglev::build(251, &backends.iter().map(in_table).collect::<Vec<_>>());
    Group::new(policy, &candidates, Arc::new(table), Duration::ZERO)
}

/// A route by the beginning of a path, and what becomes of its requests.
pub(crate) fn route(prefix: &str, action: Action) -> (Route, Action) {
    let path = Path::Prefix(prefix.to_owned());
    let name = prefix.to_owned();
    (Route { name, hosts: Vec::new(), path, methods: Vec::new(), conditions: Vec::new() }, action)
}

pub(crate) fn site_of(routes: Vec<(Route, Action)>, clusters: Vec<Cluster>) -> Site {
    let (routes, actions) = routes.into_iter().unzip();
    Site {
        default_host: "default.example".to_owned(),
        ..Site::new(Routes::compile(routes).unwrap(), actions, clusters)
    }
}

/// A site whose requests go to these backends, but for those below `/fixed`.
pub(crate) fn site(backends: &[&str], connections: u32, queue: usize) -> Site {
    let text = "I am a teapot.".to_owned();
    let fixed = Action::Respond { status: 418, text, fields: Edits::default() };
    let mut cluster = cluster("all", 0, backends);
    (cluster.connections, cluster.queue) = (connections, queue);
    site_of(
        vec![route("/fixed", fixed), route("/", Action::Forward(Box::new(Forward::to(0))))],
        vec![cluster],
    )
}

impl Balancer {
    pub(crate) fn new(site: Site) -> Self {
        let slots = site.clusters.iter().map(|cluster| cluster.backends.len()).sum();
        let vip = VIP.parse::<SocketAddr>().unwrap().into();
        let listener = Listener::new(&Service { slot: ServiceSlot(0), vip, site: Arc::new(site) });
        Self {
            proxy: TlsProxy::new(4096, slots, 1, Time(0)),
            served: listener.served(),
            service: Rc::new(listener),
            listener: None,
            next_port: 20_000,
            next_site: None,
        }
    }

    /// Calls the proxy with what it runs on.
    fn on<'s>(
        &'s mut self,
        stack: &'s mut Stack<HeapBuf>,
        call: impl FnOnce(
            &mut TlsProxy<HeapBuf>,
            &mut OnStack<'_, HeapBuf, &mut dyn FnMut(SocketAddr) -> Option<Endpoint>>,
        ),
    ) {
        let Self { proxy, next_port, .. } = self;
        let mut local = |_: SocketAddr| {
            *next_port = if *next_port == 60_000 { 20_000 } else { *next_port + 1 };
            Some(Endpoint::v4(OWN, *next_port))
        };
        let settings = Settings { no_delay: true, ..Settings::default() };
        call(proxy, &mut OnStack { stack, local: &mut local, settings });
    }
}

impl Application for Balancer {
    fn start(&mut self, _: Time, stack: &mut Stack<HeapBuf>) {
        let vip: SocketAddr = VIP.parse().unwrap();
        self.listener = Some(stack.listen(vip.into(), &ListenerConfig::default()).unwrap());
    }

    fn event(&mut self, now: Time, stack: &mut Stack<HeapBuf>, event: Event) {
        if let Event::Acceptable(listener) = event {
            while let Some(id) = stack.accept(listener) {
                self.proxy.accept(now, id, &self.service);
            }
            return;
        }
        self.on(stack, |proxy, net| proxy.event(net, now, event, &mut Work(3)));
        let answered: u64 = self.served.route(0).map_or(0, |tally| tally.classes.iter().sum());
        if let Some((_, site)) = self.next_site.take_if(|(after, _)| answered >= u64::from(*after)) {
            let Listener { slot, vip, .. } = *self.service;
            self.service.change(&Service { slot, vip, site });
            self.served = self.service.served();
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.proxy.deadline()
    }

    fn timer(&mut self, now: Time, stack: &mut Stack<HeapBuf>) {
        self.on(stack, |proxy, net| proxy.advance(net, now, &mut Work(20)));
    }
}
