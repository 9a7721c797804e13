//! Two stacks and a perfect link between them, in virtual time.

use std::collections::VecDeque;

use crate::segment::Segment;
use crate::{
    Addr, Config, ConnectionId, Endpoint, Event, HeapBuf, IcmpError, Incoming, ListenerConfig, ListenerId,
    Settings, Stack, Time, Tuple,
};

pub(super) const CLIENT: Endpoint = Endpoint::v4([192, 0, 2, 1], 40_000);
pub(super) const SERVER: Endpoint = Endpoint::v4([192, 0, 2, 2], 80);
pub(super) const TUPLE: Tuple = Tuple { local: CLIENT, remote: SERVER };

/// A segment on its way.
struct Flying {
    arrival: Time,
    from: Addr,
    to: Addr,
    octets: Vec<u8>,
    ecn: u8,
}

pub(super) struct Pair {
    pub(super) client: Stack<HeapBuf>,
    pub(super) server: Stack<HeapBuf>,
    pub(super) now: Time,
    pub(super) listener: ListenerId,
    /// Segments that went, both ways.
    pub(super) sent: usize,
    /// The MTU of a router on the way, which drops what is larger and says so by ICMP.
    pub(super) router: Option<usize>,
    delay_micros: u32,
    flying: VecDeque<Flying>,
}

impl Pair {
    pub(super) fn new(listener: &ListenerConfig) -> Self {
        Self::new_at(Time::from_millis(1_000), listener)
    }

    fn new_at(now: Time, listener: &ListenerConfig) -> Self {
        let config = Config { max_connections: 1_024, max_time_wait: 1_024, ..Config::default() };
        let client = Stack::new(&config, 1, now);
        let mut server = Stack::new(&config, 2, now);
        let listener = server.listen(SERVER, listener).unwrap();
        Self {
            client,
            server,
            now,
            listener,
            sent: 0,
            router: None,
            delay_micros: 500,
            flying: VecDeque::new(),
        }
    }

    /// A pair with one connection open: the client's id of it, and the server's.
    pub(super) fn connected(
        listener: &ListenerConfig,
        settings: &Settings,
    ) -> (Self, ConnectionId, ConnectionId) {
        Self::connected_at(Time::from_millis(1_000), listener, settings)
    }

    /// The same, at a certain time.
    pub(super) fn connected_at(
        now: Time,
        listener: &ListenerConfig,
        settings: &Settings,
    ) -> (Self, ConnectionId, ConnectionId) {
        let mut pair = Self::new_at(now, listener);
        let client = pair.client.connect(pair.now, TUPLE, settings).unwrap();
        pair.run(Time(0));
        assert_eq!(pair.client.next_event(), Some(Event::Connected(client)));
        assert_eq!(pair.server.next_event(), Some(Event::Acceptable(pair.listener)));
        let server = pair.server.accept(pair.listener).unwrap();
        assert_eq!(pair.server.next_event(), None);
        (pair, client, server)
    }

    /// Both open a connection to the other at the same time.
    pub(super) fn crossed(settings: &Settings) -> (Self, ConnectionId, ConnectionId) {
        let mut pair = Self::new(&ListenerConfig::default());
        let client = pair.client.connect(pair.now, TUPLE, settings).unwrap();
        let server = pair.server.connect(pair.now, TUPLE.reversed(), settings).unwrap();
        (pair, client, server)
    }

    fn collect(&mut self) {
        let arrival = self.now.plus_micros(self.delay_micros);
        for stack in [&mut self.client, &mut self.server] {
            let mut dropped = Vec::new();
            while let Some(segment) = stack.poll_transmit(self.now) {
                let (from, to, ecn) = (segment.local.addr, segment.remote.addr, segment.ecn);
                let mut octets = segment.header.to_vec();
                let tuple = Tuple { local: segment.local, remote: segment.remote };
                segment.payload.slices().for_each(|slice| octets.extend(slice));
                self.sent += 1;
                if let Some(mtu) = self.router.filter(|mtu| octets.len() + 20 > *mtu) {
                    let quoted = Segment::read(&octets).unwrap().sequence;
                    dropped.push((tuple, quoted, IcmpError::TooBig { mtu: mtu as u32 }));
                    continue;
                }
                self.flying.push_back(Flying { arrival, from, to, octets, ecn });
            }
            for (tuple, quoted, error) in dropped {
                stack.icmp(self.now, &tuple, quoted, error);
            }
        }
    }

    /// Lets happen what happens without the applications, until `until`, or until nothing is under way if that has passed.
    pub(super) fn run(&mut self, until: Time) {
        loop {
            self.collect();
            let next_deadline = [self.client.deadline(), self.server.deadline()].into_iter().flatten().min();
            let arrival = self.flying.front().map(|flying| flying.arrival);
            let next = match (arrival, next_deadline) {
                (Some(arrival), Some(deadline)) => arrival.min(deadline),
                (Some(arrival), None) => arrival,
                (None, Some(deadline)) if deadline <= until => deadline,
                (None, _) => break,
            };
            self.now = self.now.max(next);
            while let Some(flying) = self.flying.pop_front_if(|flying| flying.arrival <= self.now) {
                let stack = if flying.to == CLIENT.addr { &mut self.client } else { &mut self.server };
                let segment = HeapBuf::from(flying.octets);
                stack.receive(
                    self.now,
                    Incoming { local: flying.to, remote: flying.from, ecn: flying.ecn, segment },
                );
            }
            self.client.advance(self.now);
            self.server.advance(self.now);
        }
        self.now = self.now.max(until);
    }
}
