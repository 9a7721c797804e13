//! Our stack, as the worker loop drives it: a burst of segments, then events, then what is to be sent.

use evenkeel_tcp::{
    Addr, Checksums, Config, Endpoint, Event, Incoming, ListenerConfig, Settings, Stack, Time,
};

use super::Contender;
use super::buffers::Recycled;
use super::peers::SERVER;

/// A stack that listens.
pub(super) struct Ours {
    pub(super) stack: Stack<Recycled>,
    pub(super) now: Time,
    /// Segments that have arrived.
    burst: Vec<Incoming<Recycled>>,
    scratch: [u8; 2_048],
}

/// For segments of 1,460 octets, like smoltcp's.
pub(super) fn settings() -> Settings {
    Settings { no_delay: true, timestamps: false, ..Settings::default() }
}

impl Ours {
    pub(super) fn new(flows: u32) -> Self {
        let config = Config {
            max_connections: flows.max(64),
            max_time_wait: 64,
            checksums: Checksums::Absent,
            ..Config::default()
        };
        let mut stack = Stack::new(&config, 7, Time(0));
        let endpoint = Endpoint { addr: Addr::UNSPECIFIED, port: SERVER.1 };
        let config = ListenerConfig { settings: settings(), ..ListenerConfig::default() };
        stack.listen(endpoint, &config).expect("it is the only one");
        Self { stack, now: Time(0), burst: Vec::new(), scratch: [0; 2_048] }
    }
}

impl Contender for Ours {
    fn give(&mut self, _: u32, packet: &[u8]) {
        let address = |at: usize| Addr::from_v4([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        let incoming = Incoming {
            local: address(16),
            remote: address(12),
            ecn: packet[1] & 3,
            segment: Recycled::from(&packet[20..]),
        };
        self.burst.push(incoming);
    }

    fn answer(&mut self, mut sent: impl FnMut(&[u8], usize)) {
        self.stack.receive_burst(self.now, &mut self.burst);
        while let Some(event) = self.stack.next_event() {
            match event {
                Event::Acceptable(listener) => while self.stack.accept(listener).is_some() {},
                Event::Readable(id) => {
                    let count = self.stack.read_into(id, &mut self.scratch);
                    if count > 0 {
                        let answer = Recycled::from(&self.scratch[..count]);
                        assert!(self.stack.send(id, answer).is_ok(), "there is room for an answer");
                    }
                    if self.stack.is_at_end(id) {
                        self.stack.release(id);
                    }
                }
                Event::Closed(id, _) => self.stack.release(id),
                _ => {}
            }
        }
        let mut headers = [0; 100];
        while let Some(outgoing) = self.stack.poll_transmit(self.now) {
            let length = outgoing.header.len();
            headers[12..16].copy_from_slice(&outgoing.local.addr.v4_octets());
            headers[16..20].copy_from_slice(&outgoing.remote.addr.v4_octets());
            headers[20..20 + length].copy_from_slice(outgoing.header);
            sent(&headers[..20 + length], outgoing.payload.len());
        }
    }

    fn pass(&mut self, micros: u64) {
        self.now = Time(self.now.0 + micros * 1_000);
        if self.stack.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.stack.advance(self.now);
        }
    }
}
