//! The balancer: a proxy on a stack of ours, whose time is taken.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use evenkeel_datapath::machine;
use evenkeel_datapath::maglev::Maglev;
use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_l7::balance::{Candidate, Group, Policy};
use evenkeel_l7::proxy::site::{Action, Backend, Cluster, Forward};
use evenkeel_l7::proxy::{OnStack, Site, TlsProxy};
use evenkeel_l7::route::{Path, Route, Routes};
use evenkeel_l7::{Listener, Service, Work};
use evenkeel_tcp::{
    Checksums, Config, Endpoint, Event, Incoming, ListenerConfig, ListenerId, Settings, Stack, Time,
};
use rustls::ServerConfig;

use super::octets::Octets;
use super::{BACKEND, OWN, VIP};

/// Units of work in a turn, as the stage has them.
const WORK: u32 = 64;

/// See the module.
pub(super) struct Front {
    stack: Stack<Octets>,
    pub(super) proxy: TlsProxy<Octets>,
    listener: Rc<Listener>,
    accepting: Option<ListenerId>,
    port: u16,
    /// Nanoseconds of turns in which something was to be done.
    pub(super) busy: u64,
}

fn site(tls: Option<Arc<ServerConfig>>) -> Result<Site> {
    let address: SocketAddr = BACKEND.parse()?;
    let backend = Backend { slot: 0, epoch: 0, address, identity: 1 };
    let candidates = [Candidate { slot: 0, weight: 1 }];
    let group = Group::new(Policy::PowerOfTwo, &candidates, Arc::new(Maglev::default()), Duration::ZERO);
    let path = Path::Prefix("/".to_owned());
    let route = Route {
        name: "all".to_owned(),
        hosts: Vec::new(),
        path,
        methods: Vec::new(),
        conditions: Vec::new(),
    };
    let hour = Duration::from_secs(3_600);
    let mut cluster = Cluster::new("all", group, vec![backend]);
    cluster.rest_time = hour;
    let action = Action::Forward(Box::new(Forward::to(0)));
    let site = Site::new(Routes::compile(vec![route])?, vec![action], vec![cluster]);
    Ok(Site { tls, rest_time: hour, ..site })
}

pub(super) fn config(connections: u32) -> Config {
    Config { max_connections: connections, checksums: Checksums::Absent, ..Config::default() }
}

impl Front {
    pub(super) fn new(connections: u32, tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let mut stack = Stack::new(&config(connections), 1, Time(0));
        let settings = Settings { no_delay: true, ..Settings::default() };
        let vip: SocketAddr = VIP.parse()?;
        stack.listen(vip.into(), &ListenerConfig { settings, ..ListenerConfig::default() })?;
        let proxy = TlsProxy::new(connections, 1, 1, Time(0));
        let service = Service { slot: ServiceSlot(0), vip: vip.into(), site: Arc::new(site(tls)?) };
        let listener = Rc::new(Listener::new(&service));
        Ok(Self { stack, proxy, listener, accepting: None, port: 20_000, busy: 0 })
    }

    /// Takes segments, does what is to be done, and sends what there is to send.
    pub(super) fn turn(
        &mut self,
        now: Time,
        arriving: &mut Vec<Incoming<Octets>>,
        leaving: &mut Vec<Incoming<Octets>>,
    ) {
        let due = [self.stack.deadline(), self.proxy.deadline()];
        if arriving.is_empty() && !due.into_iter().flatten().any(|due| due <= now) {
            return;
        }
        let start = machine::now();
        self.stack.receive_burst(now, arriving);
        self.stack.advance(now);
        let mut work = Work(WORK);
        let Self { stack, proxy, listener, accepting, port, .. } = self;
        let mut local = |_: SocketAddr| {
            *port = if *port == 60_000 { 20_000 } else { *port + 1 };
            Some(Endpoint::v4(OWN, *port))
        };
        let settings = Settings::towards_backends();
        let mut net = OnStack { stack, local: &mut local, settings };
        proxy.advance(&mut net, now, &mut work);
        while work.0 > 0 {
            if let Some(id) = accepting.and_then(|listener| net.stack.accept(listener)) {
                work.take();
                proxy.accept(now, id, listener);
                continue;
            }
            *accepting = None;
            match net.stack.next_event() {
                None => break,
                Some(Event::Acceptable(listener)) => *accepting = Some(listener),
                Some(event) => {
                    work.take();
                    proxy.event(&mut net, now, event, &mut work);
                }
            }
        }
        transmit(stack, now, leaving);
        self.busy += machine::now().nanos_since(start);
    }
}

/// Copies what is to be sent into packets.
pub(super) fn transmit(stack: &mut Stack<Octets>, now: Time, leaving: &mut Vec<Incoming<Octets>>) {
    while let Some(outgoing) = stack.poll_transmit(now) {
        let (local, remote) = (outgoing.remote.addr, outgoing.local.addr);
        let pieces = core::iter::once(outgoing.header).chain(outgoing.payload.slices());
        leaving.push(Incoming { local, remote, ecn: 0, segment: Octets::gathered(pieces) });
    }
}
