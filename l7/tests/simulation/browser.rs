//! Clients that fetch a page over HTTP and check every octet of it.

use std::collections::BTreeMap;

use evenkeel_tcp::{ConnectionId, Endpoint, Event, HeapBuf, Settings, Stack, Time, Tuple};

use crate::hosts::Application;

/// What one client does, over one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    pub(crate) vip: &'static str,
    /// How often it asks.
    pub(crate) times: usize,
    /// It asks for everything at once.
    pub(crate) pipelined: bool,
}

impl Visit {
    pub(crate) const fn new(vip: &'static str, times: usize) -> Self {
        Self { vip, times, pipelined: false }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Browser {
    visits: Vec<Visit>,
    body: Vec<u8>,
    open: BTreeMap<ConnectionId, Open>,
    satisfied: usize,
}

#[derive(Debug)]
struct Open {
    visit: Visit,
    got: Vec<u8>,
    answers: usize,
}

impl Browser {
    pub(crate) const fn new(visits: Vec<Visit>, body: Vec<u8>) -> Self {
        Self { visits, body, open: BTreeMap::new(), satisfied: 0 }
    }

    pub(crate) fn is_satisfied(&self) -> bool {
        self.satisfied == self.visits.len()
    }

    /// What came to those who are not satisfied.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.open.values().map(|open| format!("{}: {}", open.answers, open.got.escape_ascii())).collect()
    }

    fn read(&mut self, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let count = stack.readable(id);
        for slice in stack.read(id) {
            open.got.extend_from_slice(slice);
        }
        stack.consume(id, count);
        loop {
            let Some(end) = open.got.windows(4).position(|octets| octets == b"\r\n\r\n") else { return };
            let length = end + 4 + self.body.len();
            if open.got.len() < length {
                return;
            }
            let head = std::str::from_utf8(&open.got[..end]).expect("a head");
            let is_last = open.answers + 1 == open.visit.times;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains(&format!("Content-Length: {}", self.body.len())), "{head}");
            assert_eq!(head.contains("Connection: close"), is_last, "{head}");
            assert_eq!(open.got[end + 4..length], self.body, "wrong octets");
            open.got.drain(..length);
            open.answers += 1;
            if is_last {
                assert!(open.got.is_empty());
                assert!(stack.send(id, HeapBuf::from(b"late")).is_ok(), "this side is still open");
                stack.close(id);
            } else if !open.visit.pipelined {
                ask(stack, id, open.visit, open.answers);
            }
        }
    }
}

fn ask(stack: &mut Stack<HeapBuf>, id: ConnectionId, visit: Visit, number: usize) {
    let close = if number + 1 == visit.times { "Connection: close\r\n" } else { "" };
    let request = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n{close}\r\n");
    assert!(stack.send(id, HeapBuf::from(request.into_bytes())).is_ok(), "there is room for a request");
}

impl Application for Browser {
    fn start(&mut self, now: Time, stack: &mut Stack<HeapBuf>) {
        for (port, &visit) in (40_000..).zip(&self.visits) {
            let remote = Endpoint::from(visit.vip.parse::<std::net::SocketAddr>().unwrap());
            let client = if remote.addr.is_v4() { "198.51.100.7:0" } else { "[2001:db8:c::7]:0" };
            let local = Endpoint { port, ..client.parse::<std::net::SocketAddr>().unwrap().into() };
            let id = stack.connect(now, Tuple { local, remote }, &Settings::default()).unwrap();
            self.open.insert(id, Open { visit, got: Vec::new(), answers: 0 });
            let first = if visit.pipelined { 0..visit.times } else { 0..1 };
            first.for_each(|number| ask(stack, id, visit, number));
        }
    }

    fn event(&mut self, _: Time, stack: &mut Stack<HeapBuf>, event: Event) {
        match event {
            Event::Readable(id) => self.read(stack, id),
            Event::Closed(id, _) => {
                self.read(stack, id);
                let open = self.open.remove(&id).expect("it was open");
                assert_eq!(open.answers, open.visit.times, "it ended too early");
                self.satisfied += 1;
                stack.release(id);
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn timer(&mut self, _: Time, _: &mut Stack<HeapBuf>) {}
}
