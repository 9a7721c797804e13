//! The balancer's side: a proxy on a stack, as an application of a host.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_datapath::maglev::Maglev;
use evenkeel_l7::Work;
use evenkeel_l7::balance::{Candidate, Group, Policy};
use evenkeel_l7::http::{Limits, PathRules};
use evenkeel_l7::proxy::{Action, Backend, Cluster, OnStack, Proxy, Served, Site, Timeouts};
use evenkeel_l7::route::{Path, Route, Routes};
use evenkeel_tcp::{Endpoint, Event, HeapBuf, ListenerConfig, ListenerId, Settings, Stack, Time};

use crate::hosts::Application;

pub(crate) const VIP: &str = "192.0.2.10:80";
/// Where connections to backends come from.
const OWN: [u8; 4] = [10, 0, 0, 1];

/// See the module.
pub(crate) struct Balancer {
    proxy: Proxy<HeapBuf>,
    served: Rc<Served>,
    listener: Option<ListenerId>,
    next_port: u16,
}

/// A site whose requests go to these backends, but for those below `/fixed`.
pub(crate) fn site(backends: &[&str], connections: u32, queue: usize) -> Site {
    let backends: Vec<Backend> = (0..)
        .zip(backends)
        .map(|(slot, address)| Backend { slot, address: address.parse().unwrap() })
        .collect();
    let candidates: Vec<Candidate> =
        backends.iter().map(|backend| Candidate { slot: backend.slot, weight: 1 }).collect();
    let group = Group::new(Policy::RoundRobin, &candidates, Arc::new(Maglev::default()), Duration::ZERO);
    let route = |name: &str, path| Route {
        name: name.to_owned(),
        hosts: Vec::new(),
        path,
        methods: Vec::new(),
        conditions: Vec::new(),
    };
    let routes =
        vec![route("fixed", Path::Prefix("/fixed".to_owned())), route("all", Path::Prefix("/".to_owned()))];
    Site {
        routes: Routes::compile(routes).unwrap(),
        actions: vec![
            Action::Respond { status: 418, text: "I am a teapot.".to_owned() },
            Action::Forward { cluster: 0, timeouts: Timeouts::default() },
        ],
        clusters: vec![Cluster {
            group,
            backends,
            connections,
            queue,
            queue_time: Duration::from_secs(2),
            rest_time: Duration::from_secs(30),
        }],
        default_host: "default.example".to_owned(),
        limits: Limits::default(),
        paths: PathRules::default(),
        head_time: Duration::from_secs(10),
        rest_time: Duration::from_secs(60),
    }
}

impl Balancer {
    pub(crate) fn new(site: Site) -> Self {
        let slots = site.clusters[0].backends.len();
        Self {
            proxy: Proxy::new(4096, slots, 1, Time(0)),
            served: Served::new(Arc::new(site)),
            listener: None,
            next_port: 20_000,
        }
    }

    /// Calls the proxy with what it runs on.
    fn on<'s>(
        &'s mut self,
        stack: &'s mut Stack<HeapBuf>,
        call: impl FnOnce(
            &mut Proxy<HeapBuf>,
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
                self.proxy.accept(now, id, &self.served);
            }
            return;
        }
        self.on(stack, |proxy, net| proxy.event(net, now, event, &mut Work(3)));
    }

    fn deadline(&self) -> Option<Time> {
        self.proxy.deadline()
    }

    fn timer(&mut self, now: Time, stack: &mut Stack<HeapBuf>) {
        self.on(stack, |proxy, net| proxy.advance(net, now, &mut Work(20)));
    }
}
