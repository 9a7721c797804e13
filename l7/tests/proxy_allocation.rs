//! How often memory is taken for a request over HTTP/1.1 in the steady state: a handful of times, whatever is logged and counted.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_datapath::maglev::Maglev;
use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_l7::balance::{Candidate, Group, Policy};
use evenkeel_l7::proxy::seen::Log;
use evenkeel_l7::proxy::site::{Action, Backend, Cluster, Forward};
use evenkeel_l7::proxy::{Memory, Net, Proxy, Site};
use evenkeel_l7::route::{Path, Route, Routes};
use evenkeel_l7::{Listener, Page, Service, Work};
use evenkeel_tcp::{
    Buf, Config, ConnectError, ConnectionId, Endpoint, Event, HeapBuf, Piece, SendError, Settings, Stack,
    Time, Tuple,
};

/// Times that memory is taken for a request with a small response: the exchange; two heads and the content, each with the count of who refers
/// to it.
const HANDFUL: u64 = 7;

/// Octets on the heap, shared by part as those of packets are.
#[derive(Clone)]
struct Octets {
    octets: Rc<Vec<u8>>,
    place: Range<usize>,
}

impl Buf for Octets {
    fn octets(&self) -> &[u8] {
        &self.octets[self.place.clone()]
    }

    fn share(&self) -> Self {
        self.clone()
    }

    fn true_size(&self) -> u32 {
        64
    }
}

impl Memory for Octets {
    fn part(&self, place: Range<usize>) -> Self {
        let start = self.place.start;
        Self { octets: Rc::clone(&self.octets), place: start + place.start..start + place.end }
    }

    fn of(octets: Vec<u8>) -> Self {
        let place = 0..octets.len();
        Self { octets: Rc::new(octets), place }
    }

    fn of_page(page: &Arc<Page>, _: Range<u32>) -> Self {
        Self::of(page.octets().to_vec())
    }
}

/// Two connections whose other ends are the test, and which take no memory themselves.
struct Wire {
    ids: [ConnectionId; 2],
    arrived: [VecDeque<(Octets, usize)>; 2],
    sent: [Vec<Octets>; 2],
}

impl Wire {
    fn at(&self, id: ConnectionId) -> usize {
        usize::from(id == self.ids[1])
    }
}

impl Net for Wire {
    type Octets = Octets;

    fn unread(&self, id: ConnectionId) -> impl Iterator<Item = Piece<'_, Octets>> {
        self.arrived[self.at(id)].iter().map(|(octets, start)| Piece::of(octets, *start))
    }

    fn readable(&self, id: ConnectionId) -> usize {
        self.arrived[self.at(id)].iter().map(|(octets, start)| octets.octets().len() - start).sum()
    }

    fn consume(&mut self, id: ConnectionId, mut octets: usize) {
        let at = self.at(id);
        while let Some((first, start)) = self.arrived[at].front_mut() {
            let length = (first.octets().len() - *start).min(octets);
            *start += length;
            octets -= length;
            if *start < first.octets().len() {
                return;
            }
            self.arrived[at].pop_front();
        }
    }

    fn is_ending(&self, _: ConnectionId) -> bool {
        false
    }

    fn is_at_end(&self, _: ConnectionId) -> bool {
        false
    }

    fn send(&mut self, id: ConnectionId, octets: Octets) -> Result<(), (SendError, Octets)> {
        let at = self.at(id);
        self.sent[at].push(octets);
        Ok(())
    }

    fn close(&mut self, _: ConnectionId) {}

    fn release(&mut self, _: ConnectionId) {}

    fn abort(&mut self, _: ConnectionId) {}

    fn unacknowledged(&self, _: ConnectionId) -> usize {
        0
    }

    fn connect(&mut self, _: Time, _: Backend) -> Result<ConnectionId, ConnectError> {
        Ok(self.ids[1])
    }

    fn remote(&self, _: ConnectionId) -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, 1], 4000)))
    }

    fn local(&self, _: ConnectionId) -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, 10], 80)))
    }
}

fn site() -> Site {
    let route = Route {
        name: "all".to_owned(),
        hosts: Vec::new(),
        path: Path::Any,
        methods: Vec::new(),
        conditions: Vec::new(),
    };
    let backend = Backend { slot: 0, epoch: 0, address: "10.0.0.1:80".parse().unwrap(), identity: 1 };
    let candidates = [Candidate { slot: 0, weight: 1 }];
    let group = Group::new(Policy::PowerOfTwo, &candidates, Arc::new(Maglev::default()), Duration::ZERO);
    let cluster = Cluster::new("all", group, vec![backend]);
    let action = Action::Forward(Box::new(Forward::to(0)));
    Site::new(Routes::compile(vec![route]).unwrap(), vec![action], vec![cluster])
}

/// Two names of connections: only a stack makes them.
fn names() -> [ConnectionId; 2] {
    let mut stack: Stack<HeapBuf> = Stack::new(&Config::default(), 1, Time(0));
    let remote = Endpoint::v4([192, 0, 2, 1], 80);
    [1, 2].map(|port| {
        let local = Endpoint::v4([192, 0, 2, 2], port);
        stack.connect(Time(0), Tuple { local, remote }, &Settings::default()).unwrap()
    })
}

#[test]
fn a_request_takes_memory_a_handful_of_times() {
    const REQUEST: &[u8] =
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/8\r\nAccept: */*\r\nCookie: a=b\r\n\r\n";
    const RESPONSE: &[u8] =
        b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
    let ids = names();
    let [client, backend] = ids;
    let room = || VecDeque::with_capacity(16);
    let mut wire =
        Wire { ids, arrived: [room(), room()], sent: [Vec::with_capacity(16), Vec::with_capacity(16)] };
    let mut proxy = Proxy::new(64, 1, 1, Time(0));
    let log = Arc::new(Log::new(8));
    proxy.log_to(Arc::clone(&log));
    let vip = Endpoint::v4([192, 0, 2, 10], 80);
    let service = Service { slot: ServiceSlot(0), vip, site: Arc::new(site()) };
    proxy.accept(Time(0), client, &Rc::new(Listener::new(&service)));
    let [request, response] = [REQUEST, RESPONSE].map(|octets| Octets::of(octets.to_vec()));
    for round in 0..100_u64 {
        let now = Time(1_000_000_000 + round * 1_000_000);
        let [request, response] = [request.share(), response.share()];
        let measured = allocation_counter::measure(|| {
            wire.arrived[0].push_back((request, 0));
            proxy.event(&mut wire, now, Event::Readable(client), &mut Work(100));
            if round == 0 {
                proxy.event(&mut wire, now, Event::Connected(backend), &mut Work(100));
            }
            wire.arrived[1].push_back((response, 0));
            proxy.event(&mut wire, now, Event::Readable(backend), &mut Work(100));
        });
        let answer: Vec<u8> = wire.sent[0].iter().flat_map(|octets| octets.octets()).copied().collect();
        assert!(
            answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\r\n\r\nhello"),
            "round {round}"
        );
        assert_eq!(wire.sent[1].len(), 1);
        wire.sent.iter_mut().for_each(Vec::clear);
        assert_eq!(log.pop().map(|record| record.status), Some(200));
        if round > 0 {
            assert_eq!(measured.count_total, HANDFUL, "round {round}");
        }
    }
}
