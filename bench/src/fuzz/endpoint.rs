//! A TCP stack alone, with a listener and connections of its own, against segments that nearly fit.
//!
//! Whatever comes, the stack keeps its bounds; and once the application has let everything go, time alone ends all.

use evenkeel_tcp::{
    Checksums, Config, ConnectionId, Endpoint, Event, HeapBuf, IcmpError, Incoming, Keepalive,
    ListenerConfig, SequenceNumber, Settings, Stack, Time, Tuple,
};

use super::input::Input;

const LOCAL: Endpoint = Endpoint::v4([198, 18, 0, 2], 80);
const PEERS: usize = 4;
const MEMORY: u64 = 256 << 10;
const CONNECTIONS: u32 = 6;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What of a peer's connection was seen on the wire.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The next octet that the stack expects, and the next that it will send.
    expected: u32,
    next: u32,
    timestamp: u32,
}

struct World {
    stack: Stack<HeapBuf>,
    now: Time,
    open: Vec<ConnectionId>,
    seen: [Seen; PEERS],
}

/// The first octet chooses settings, the rest is what happens.
pub fn endpoint(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(input.octet());
    while !input.is_empty() {
        world.step(&mut input);
        world.settle();
    }
    world.end();
}

fn peer(number: usize) -> Endpoint {
    Endpoint::v4([198, 18, 0, 1], 1_000 + number as u16)
}

fn settings(setup: u8) -> Settings {
    Settings {
        send_buffer: 32 << 10,
        initial_window: if setup & 1 == 0 { 4_096 } else { 60_000 },
        receive_buffer: 64 << 10,
        no_delay: setup & 2 != 0,
        sack: setup & 4 == 0,
        timestamps: setup & 8 == 0,
        ecn: setup & 64 == 0,
        keepalive: (setup & 16 != 0).then(Keepalive::default),
        ..Settings::default()
    }
}

impl World {
    fn new(setup: u8) -> Self {
        let config = Config {
            max_connections: CONNECTIONS,
            max_time_wait: 2,
            memory: MEMORY,
            checksums: Checksums::Absent,
            ..Config::default()
        };
        let now = Time(1_000_000_000);
        let mut stack = Stack::new(&config, 11, now);
        let (syn_queue, accept_queue) = if setup & 32 == 0 { (4, 4) } else { (1, 1) };
        let listener = ListenerConfig { syn_queue, accept_queue, settings: settings(setup) };
        stack.listen(LOCAL, &listener).expect("it is the only listener");
        Self { stack, now, open: Vec::new(), seen: [Seen::default(); PEERS] }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.octet() % 20 {
            0..=10 => self.segment(input),
            11 | 12 => {
                let millis = input.choose(&[0, 1, 40, 200, 1_000, 10_000, 100_000, 8_000_000]);
                self.pass(millis * 1_000_000);
            }
            13 => {
                let count = usize::from(input.octet()) * 64;
                if let Some(&id) = self.chosen(input) {
                    let there: usize = self.stack.read(id).map(<[u8]>::len).sum();
                    assert_eq!(there, self.stack.readable(id));
                    self.stack.consume(id, count.min(there));
                }
            }
            14 | 15 => {
                let octets = vec![7; usize::from(input.octet()) * 50 + 1];
                if let Some(&id) = self.chosen(input) {
                    // Refusals are answers, too.
                    let _ = self.stack.send(id, HeapBuf::from(octets));
                }
            }
            16 => self.let_go(input),
            17 => {
                let tuple =
                    Tuple { local: Endpoint { port: 5_000, ..LOCAL }, remote: peer(input.below(PEERS)) };
                let setup = input.octet();
                if let Ok(id) = self.stack.connect(self.now, tuple, &settings(setup)) {
                    self.open.push(id);
                }
            }
            18 => self.error(input),
            _ => {
                let count: u8 = input.octet() % 80;
                let octets = input.octets(count.into());
                self.receive(input.below(PEERS), octets, 0);
            }
        }
    }

    /// A segment whose numbers lie at, or not far from, where they should.
    fn segment(&mut self, input: &mut Input<'_>) {
        let number = input.below(PEERS);
        let seen = self.seen[number];
        let flags = input.choose(&[
            ACK,
            ACK,
            SYN,
            SYN | ACK,
            RST,
            RST | ACK,
            ACK | 1,
            ACK | 8,
            0,
            0x3f,
            ACK | 32,
            SYN | 0xc0,
            ACK | 0x40,
            ACK | 0x80,
        ]);
        let place = input.octet();
        let port = if place & 7 == 7 { 5_000 } else { LOCAL.port };
        let sequence = seen.expected.wrapping_add(distance(input));
        let acknowledged = seen.next.wrapping_add(distance(input));
        let window = input.choose(&[u16::MAX, 8_000, 1_000, 100, 1, 0]);
        let options = self.options(input, seen, flags);
        let mut segment = Vec::new();
        segment.extend_from_slice(&peer(number).port.to_be_bytes());
        segment.extend_from_slice(&u16::to_be_bytes(port));
        segment.extend_from_slice(&sequence.to_be_bytes());
        segment.extend_from_slice(&acknowledged.to_be_bytes());
        segment.extend_from_slice(&[((20 + options.len()) << 2) as u8, flags]);
        segment.extend_from_slice(&window.to_be_bytes());
        segment.extend_from_slice(&[0, 0, 0, input.octet()]);
        segment.extend_from_slice(&options);
        let payload = input.choose(&[0_usize, 0, 1, 100, 1_448]);
        segment.resize(segment.len() + payload, 9);
        self.receive(number, &segment, place >> 3);
    }

    /// Whole options, as long as a multiple of four.
    fn options(&self, input: &mut Input<'_>, seen: Seen, flags: u8) -> Vec<u8> {
        let shape = input.octet();
        let mut options = Vec::new();
        if flags & SYN != 0 && shape & 1 != 0 {
            options.extend_from_slice(&[2, 4, shape, 0xb4, 4, 2, 3, 3, shape >> 4, 1, 1, 1]);
        }
        if shape & 2 != 0 {
            options.extend_from_slice(&[1, 1, 8, 10]);
            options.extend_from_slice(
                &(self.now.millis() as u32).wrapping_sub(u32::from(shape >> 6) * 5).to_be_bytes(),
            );
            options.extend_from_slice(&seen.timestamp.to_be_bytes());
        }
        if flags & SYN == 0 && shape & 4 != 0 {
            let start = seen.next.wrapping_add(distance(input));
            options.extend_from_slice(&[1, 1, 5, 10]);
            options.extend_from_slice(&start.to_be_bytes());
            options.extend_from_slice(&start.wrapping_add(distance(input)).to_be_bytes());
        }
        options
    }

    fn receive(&mut self, number: usize, segment: &[u8], ecn: u8) {
        let (local, remote) = (LOCAL.addr, peer(number).addr);
        self.stack.receive(self.now, Incoming { local, remote, ecn, segment: HeapBuf::from(segment) });
    }

    fn error(&mut self, input: &mut Input<'_>) {
        let number = input.below(PEERS);
        let port = input.choose(&[LOCAL.port, 5_000]);
        let tuple = Tuple { local: Endpoint { port, ..LOCAL }, remote: peer(number) };
        let quoted = SequenceNumber(self.seen[number].next.wrapping_sub(distance(input)));
        let mtu = input.choose(&[0, 68, 576, 1_280, 1_400, 100_000]);
        let error = input.choose(&[IcmpError::TooBig { mtu }, IcmpError::Refused, IcmpError::Unreachable]);
        self.stack.icmp(self.now, &tuple, quoted, error);
    }

    fn let_go(&mut self, input: &mut Input<'_>) {
        let how = input.octet();
        let Some(&id) = self.chosen(input) else { return };
        match how % 3 {
            0 => self.stack.close(id),
            1 => self.stack.abort(id),
            _ => self.stack.release(id),
        }
        if !how.is_multiple_of(3) {
            self.open.retain(|&other| other != id);
        }
    }

    fn chosen(&self, input: &mut Input<'_>) -> Option<&ConnectionId> {
        self.open.get(usize::from(input.octet()) % self.open.len().max(1))
    }

    fn pass(&mut self, nanos: u64) {
        self.now = Time(self.now.0 + nanos);
        self.stack.advance(self.now);
    }

    /// Takes what the stack says and sends, and looks at its bounds.
    fn settle(&mut self) {
        while let Some(event) = self.stack.next_event() {
            match event {
                Event::Acceptable(listener) => {
                    while let Some(id) = self.stack.accept(listener) {
                        self.open.push(id);
                    }
                }
                Event::Closed(id, _) => {
                    self.open.retain(|&other| other != id);
                    self.stack.release(id);
                }
                _ => {}
            }
        }
        let mut sent = 0;
        while let Some(outgoing) = self.stack.poll_transmit(self.now) {
            let header = outgoing.header;
            let octets: usize = outgoing.payload.slices().map(<[u8]>::len).sum();
            assert!(header.len() + octets <= 1_480, "{} and {octets} octets", header.len());
            let word = |at: usize| header[at..].first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
            let number = usize::from(outgoing.remote.port).wrapping_sub(1_000);
            if let Some(seen) = self.seen.get_mut(number).filter(|_| header[13] & RST == 0) {
                seen.next = word(4).wrapping_add(octets as u32 + u32::from(header[13] & 3 != 0));
                seen.expected = word(8);
                seen.timestamp = if header.len() >= 32 { word(header.len() - 8) } else { 0 };
            }
            sent += 1;
            assert!(sent < 2_000, "it sends for ever");
        }
        assert!(self.stack.connections() <= CONNECTIONS);
        assert!(self.stack.memory() <= MEMORY + 4_096, "{} octets", self.stack.memory());
    }

    /// Lets all go, and time pass until nothing can happen any more.
    fn end(mut self) {
        for id in std::mem::take(&mut self.open) {
            self.stack.release(id);
        }
        for _ in 0..20_000 {
            self.settle();
            for id in std::mem::take(&mut self.open) {
                self.stack.release(id);
            }
            self.settle();
            let Some(deadline) = self.stack.deadline() else { break };
            self.pass(deadline.0.saturating_sub(self.now.0).max(1));
        }
        assert_eq!(self.stack.connections(), 0, "connections");
        assert_eq!(self.stack.memory(), 0, "octets");
    }
}

fn distance(input: &mut Input<'_>) -> u32 {
    match input.octet() {
        near @ 0..160 => u32::from(near >> 5),
        far @ 160..192 => u32::from(far - 160) * 724,
        back @ 192..224 => 0_u32.wrapping_sub(u32::from(back - 192) * 100),
        other => 1 << (other - 224),
    }
}
