//! Answers requests on some ports.

use std::collections::BTreeMap;
use std::ops::Range;

use evenkeel_tcp::{Addr, Buf, ConnectionId, Endpoint, Event, HeapBuf, ListenerConfig, Stack, Time};

use super::bytes::{Bytes, PERIOD};
use super::exchange::Request;
use super::host::Application;

/// A server.
pub struct Server {
    ports: Range<u16>,
    config: ListenerConfig,
    serving: BTreeMap<ConnectionId, Answer>,
    /// Requests that were answered to the last byte and acknowledged.
    pub answered: u64,
}

/// One connection.
enum Answer {
    Awaited,
    /// All whole pieces are the same memory.
    Given {
        piece: HeapBuf,
        octets: u64,
        given: u64,
    },
    /// All is given; what remains is the protocol's.
    Whole,
}

impl Server {
    /// A server on these ports.
    #[must_use]
    pub const fn new(ports: Range<u16>, config: ListenerConfig) -> Self {
        Self { ports, config, serving: BTreeMap::new(), answered: 0 }
    }

    /// Connections that it has not let go.
    #[must_use]
    pub fn open(&self) -> usize {
        self.serving.len()
    }

    /// The connections that it has not let go.
    pub fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.serving.keys().copied()
    }

    fn go_on(&mut self, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        let Some(answer) = self.serving.get_mut(&id) else { return };
        if matches!(answer, Answer::Awaited) {
            if stack.readable(id) < Request::LEN {
                return;
            }
            let mut octets = [0; Request::LEN];
            let read = stack.read_into(id, &mut octets);
            assert_eq!(read, Request::LEN, "what is readable can be read");
            let request = Request::parse(octets);
            let most = request.octets.min(PERIOD as u64) as usize;
            let piece = HeapBuf::from(Bytes::new(request.seed).slice(0, most));
            *answer = Answer::Given { piece, octets: request.octets, given: 0 };
        }
        if let Answer::Given { piece, octets, given } = answer {
            while *given < *octets {
                let count = (*octets - *given).min(PERIOD as u64) as usize;
                let is_whole = count == piece.octets().len();
                let next = if is_whole { piece.share() } else { HeapBuf::from(&piece.octets()[..count]) };
                // Refused for now, or for ever: then its end is about to be told.
                if stack.send(id, next).is_err() {
                    return;
                }
                *given += count as u64;
            }
            stack.close(id);
            *answer = Answer::Whole;
        }
    }
}

impl Application for Server {
    fn start(&mut self, _: Time, stack: &mut Stack<HeapBuf>) {
        for port in self.ports.clone() {
            let endpoint = Endpoint { addr: Addr::UNSPECIFIED, port };
            stack.listen(endpoint, &self.config).expect("the ports differ");
        }
    }

    fn event(&mut self, _: Time, stack: &mut Stack<HeapBuf>, event: Event) {
        match event {
            Event::Acceptable(listener) => {
                while let Some(id) = stack.accept(listener) {
                    self.serving.insert(id, Answer::Awaited);
                    self.go_on(stack, id);
                }
            }
            Event::Readable(id) | Event::Writable(id) => self.go_on(stack, id),
            Event::Closed(id, ending) => {
                let answer = self.serving.remove(&id);
                let is_whole = matches!(answer, Some(Answer::Whole));
                self.answered += u64::from(is_whole && ending == evenkeel_tcp::Ending::Closed);
                stack.release(id);
            }
            Event::Connected(_) | Event::Urgent(_) | Event::Struggling(_) => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn timer(&mut self, _: Time, _: &mut Stack<HeapBuf>) {}
}
