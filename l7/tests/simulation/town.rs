//! Visitors and the backends that they are led to, at one end of the link.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use evenkeel_tcp::{ConnectionId, Event, HeapBuf, ListenerConfig, SendError, Stack, Time};

use crate::balancer::BACKENDS;
use crate::browser::Browser;
use crate::hosts::Application;

/// Octets that a backend sends at once.
const PIECE: usize = 8_000;
/// Every so many requests a backend closes the connection behind its answer.
const LAST: usize = 7;

/// See the module.
#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) browser: Browser,
    body: Vec<u8>,
    serving: BTreeMap<ConnectionId, Serving>,
    answered: usize,
}

/// A backend's end of a connection.
#[derive(Debug, Default)]
struct Serving {
    arrived: Vec<u8>,
    unsent: Vec<u8>,
    closes: bool,
}

impl Town {
    pub(crate) const fn new(browser: Browser, body: Vec<u8>) -> Self {
        Self { browser, body, serving: BTreeMap::new(), answered: 0 }
    }

    fn serve(&mut self, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        let Some(serving) = self.serving.get_mut(&id) else { return };
        let count = stack.readable(id);
        for slice in stack.read(id) {
            serving.arrived.extend_from_slice(slice);
        }
        stack.consume(id, count);
        while let Some(end) = serving.arrived.windows(4).position(|octets| octets == b"\r\n\r\n") {
            let head: Vec<u8> = serving.arrived.drain(..end + 4).collect();
            assert!(head.starts_with(b"GET /"), "{}", head.escape_ascii());
            self.answered += 1;
            serving.closes |= self.answered.is_multiple_of(LAST);
            let close = if serving.closes { "Connection: close\r\n" } else { "" };
            let length = self.body.len();
            let head = format!("HTTP/1.1 200 OK\r\n{close}Content-Length: {length}\r\n\r\n");
            serving.unsent.extend(head.bytes());
            serving.unsent.extend(&self.body);
        }
        while !serving.unsent.is_empty() {
            let length = serving.unsent.len().min(PIECE);
            match stack.send(id, HeapBuf::from(&serving.unsent[..length])) {
                Ok(()) => drop(serving.unsent.drain(..length)),
                Err((SendError::Full, _)) => return,
                Err((SendError::Closed, _)) => serving.unsent.clear(),
            }
        }
        if serving.closes || stack.is_at_end(id) {
            stack.close(id);
        }
    }
}

impl Application for Town {
    fn start(&mut self, now: Time, stack: &mut Stack<HeapBuf>) {
        for backend in BACKENDS {
            let backend: SocketAddr = backend.parse().expect("an address");
            stack.listen(backend.into(), &ListenerConfig::default()).expect("one listener each");
        }
        self.browser.start(now, stack);
    }

    fn event(&mut self, now: Time, stack: &mut Stack<HeapBuf>, event: Event) {
        match event {
            Event::Acceptable(listener) => {
                while let Some(id) = stack.accept(listener) {
                    self.serving.insert(id, Serving::default());
                    self.serve(stack, id);
                }
            }
            Event::Readable(id) | Event::Writable(id) if self.serving.contains_key(&id) => {
                self.serve(stack, id);
            }
            Event::Closed(id, _) if self.serving.remove(&id).is_some() => stack.release(id),
            _ => self.browser.event(now, stack, event),
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn timer(&mut self, _: Time, _: &mut Stack<HeapBuf>) {}
}
