//! Clients that ask for bytes and check each.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_tcp::{ConnectionId, Endpoint, Event, HeapBuf, Settings, Stack, Time, Tuple};

use super::bytes::Bytes;
use super::exchange::{Fetched, Request};
use super::host::Application;

/// What one client does: its requests, one after the other, each over a connection of its own.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The server that it asks.
    pub server: Endpoint,
    /// What it asks for.
    pub requests: Vec<Request>,
    /// How long each may take.
    pub limit: Duration,
    /// How long it waits between them.
    pub pause: Duration,
}

/// Clients that run at once.
pub struct Clients {
    address: evenkeel_tcp::Addr,
    settings: Settings,
    flows: Vec<Flow>,
    /// What each request of each flow brought, so far.
    pub fetched: Vec<Vec<Fetched>>,
    open: BTreeMap<ConnectionId, Open>,
    /// Flows that wait, and until when.
    waiting: Vec<(Time, usize)>,
    next_port: u16,
    /// False: connections end by a reset, as soon as the last byte is there. True: they are closed as they should be.
    ends_gently: bool,
    /// Connections that broke before all bytes were there.
    pub broken: u64,
}

struct Open {
    flow: usize,
    request: Request,
    bytes: Bytes,
    began: Time,
    octets: u64,
    /// The request was given to the stack.
    has_asked: bool,
}

impl Clients {
    /// Clients at `address` whose ports go round from 32,768 on.
    #[must_use]
    pub fn new(address: evenkeel_tcp::Addr, settings: Settings, flows: Vec<Flow>, ends_gently: bool) -> Self {
        let fetched = vec![Vec::new(); flows.len()];
        Self {
            address,
            settings,
            flows,
            fetched,
            open: BTreeMap::new(),
            waiting: Vec::new(),
            next_port: 32_768,
            ends_gently,
            broken: 0,
        }
    }

    /// True when every request has been answered, or has run out of time.
    #[must_use]
    pub fn are_done(&self) -> bool {
        self.open.is_empty()
            && self
                .flows
                .iter()
                .zip(&self.fetched)
                .all(|(flow, fetched)| fetched.len() >= flow.requests.len())
    }

    /// The connections that are open.
    pub fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.open.keys().copied()
    }

    /// Octets that each flow got, so far.
    #[must_use]
    pub fn progress(&self) -> Vec<u64> {
        let mut octets: Vec<u64> =
            self.fetched.iter().map(|fetched| fetched.iter().map(|one| one.octets).sum()).collect();
        self.open.values().for_each(|open| octets[open.flow] += open.octets);
        octets
    }

    /// The next request of a flow, if there is one.
    fn ask(&mut self, now: Time, stack: &mut Stack<HeapBuf>, flow: usize) {
        let Some(&request) = self.flows[flow].requests.get(self.fetched[flow].len()) else { return };
        let id = loop {
            let local = Endpoint { addr: self.address, port: self.next_port };
            self.next_port = if self.next_port == u16::MAX { 32_768 } else { self.next_port + 1 };
            let tuple = Tuple { local, remote: self.flows[flow].server };
            match stack.connect(now, tuple, &self.settings) {
                Ok(id) => break id,
                Err(evenkeel_tcp::ConnectError::InUse) => {}
                Err(error) => panic!("cannot connect: {error}"),
            }
        };
        let bytes = Bytes::new(request.seed);
        self.open.insert(id, Open { flow, request, bytes, began: now, octets: 0, has_asked: false });
    }

    /// Reads what there is; true if nothing more is wanted.
    fn read(&mut self, stack: &mut Stack<HeapBuf>, id: ConnectionId) -> bool {
        let Some(open) = self.open.get_mut(&id) else { return false };
        let mut count = 0;
        for slice in stack.read(id) {
            assert!(
                open.bytes.matches(open.octets + count, slice),
                "wrong bytes after {}",
                open.octets + count
            );
            count += slice.len() as u64;
        }
        open.octets += count;
        stack.consume(id, count as usize);
        assert!(open.octets <= open.request.octets, "more bytes than were asked for");
        open.octets == open.request.octets && (!self.ends_gently || stack.is_at_end(id))
    }

    fn go_on(&mut self, now: Time, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        if self.read(stack, id) {
            self.finish(now, stack, id);
        }
    }

    fn finish(&mut self, now: Time, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        let Some(open) = self.open.remove(&id) else { return };
        let is_whole = open.octets == open.request.octets;
        let completion = is_whole.then(|| Duration::from_nanos(now.nanos_since(open.began)));
        self.fetched[open.flow].push(Fetched { octets: open.octets, completion });
        if self.ends_gently && is_whole {
            stack.release(id);
        } else {
            stack.abort(id);
        }
        let pause = self.flows[open.flow].pause;
        if pause.is_zero() {
            self.ask(now, stack, open.flow);
        } else {
            self.waiting.push((now + pause, open.flow));
        }
    }
}

impl Application for Clients {
    fn start(&mut self, now: Time, stack: &mut Stack<HeapBuf>) {
        for flow in 0..self.flows.len() {
            self.ask(now, stack, flow);
        }
    }

    fn event(&mut self, now: Time, stack: &mut Stack<HeapBuf>, event: Event) {
        match event {
            Event::Connected(id) => {
                if let Some(open) = self.open.get_mut(&id).filter(|open| !open.has_asked) {
                    open.has_asked = true;
                    let octets = open.request.octets();
                    assert!(stack.send(id, HeapBuf::from(&octets)).is_ok(), "there is room for a request");
                }
            }
            Event::Readable(id) => self.go_on(now, stack, id),
            Event::Closed(id, _) if self.open.contains_key(&id) => {
                if !self.read(stack, id) {
                    self.broken += 1;
                }
                self.finish(now, stack, id);
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        let limits = self.open.values().map(|open| open.began + self.flows[open.flow].limit);
        limits.chain(self.waiting.iter().map(|(until, _)| *until)).min()
    }

    fn is_done(&self) -> bool {
        // A flow without a connection that does not wait has nothing more to ask.
        self.open.is_empty() && self.waiting.is_empty()
    }

    fn timer(&mut self, now: Time, stack: &mut Stack<HeapBuf>) {
        let is_late = |open: &Open| open.began + self.flows[open.flow].limit <= now;
        let late: Vec<ConnectionId> =
            self.open.iter().filter(|(_, open)| is_late(open)).map(|(id, _)| *id).collect();
        for id in late {
            self.finish(now, stack, id);
        }
        let is_over = |&mut (until, _): &mut (Time, usize)| until <= now;
        for (_, flow) in self.waiting.extract_if(.., is_over).collect::<Vec<_>>() {
            self.ask(now, stack, flow);
        }
    }
}
