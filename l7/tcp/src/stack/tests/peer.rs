//! A stack and somebody at the other end who writes segments by hand.

use crate::segment::{Flags, MAX_HEADER, Options, Segment};
use crate::{
    Checksums, Config, ConnectionId, Endpoint, Event, HeapBuf, Incoming, ListenerConfig, ListenerId,
    SequenceNumber, Settings, Stack, Time, Tuple,
};

pub(super) const LOCAL: Endpoint = Endpoint::v4([192, 0, 2, 2], 80);
pub(super) const REMOTE: Endpoint = Endpoint::v4([192, 0, 2, 1], 40_000);
pub(super) const TUPLE: Tuple = Tuple { local: LOCAL, remote: REMOTE };
/// The other end's initial sequence number: numbers wrap soon after it.
pub(super) const PEER_ISN: SequenceNumber = SequenceNumber(0xffff_ff00);

pub(super) const ACK: Flags = Flags::ACK;
pub(super) const SYN: Flags = Flags::SYN;
pub(super) const FIN: Flags = Flags::FIN;
pub(super) const RST: Flags = Flags::RST;

/// A segment that the stack sent, with numbers counted from the initial ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub(super) flags: Flags,
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) payload: Vec<u8>,
    pub(super) window: u16,
    pub(super) options: Options,
    /// The ECN field of the IP header.
    pub(super) ecn: u8,
}

pub(super) struct Peer {
    pub(super) stack: Stack<HeapBuf>,
    pub(super) now: Time,
    pub(super) listener: ListenerId,
    /// The stack's initial sequence number, once it is known.
    pub(super) isn: SequenceNumber,
    /// SND.NXT of the other end, counted from its initial number.
    pub(super) next: u32,
    pub(super) window: u16,
    /// The ECN field of the IP headers of what the other end sends.
    pub(super) ecn: u8,
}

impl Peer {
    pub(super) fn listening(config: &ListenerConfig) -> Self {
        Self::with(&Config::default(), config)
    }

    pub(super) fn with(config: &Config, listener: &ListenerConfig) -> Self {
        let now = Time::from_millis(10_000);
        let config = Config {
            max_connections: config.max_connections.min(1_000),
            max_time_wait: 100,
            checksums: Checksums::Absent,
            ..config.clone()
        };
        let mut stack = Stack::new(&config, 42, now);
        let listener = stack.listen(LOCAL, listener).unwrap();
        Self { stack, now, listener, isn: SequenceNumber(0), next: 0, window: 65_535, ecn: 0 }
    }

    /// With a connection that was accepted. The SYN carries `options`.
    pub(super) fn open(config: &ListenerConfig, options: Options) -> (Self, ConnectionId) {
        let mut peer = Self::listening(config);
        let id = peer.connect(options);
        (peer, id)
    }

    /// Opens a connection by the book.
    pub(super) fn connect(&mut self, options: Options) -> ConnectionId {
        self.put(SYN, 0, 0, &[], options);
        let answer = self.one();
        assert_eq!(answer.flags, SYN | ACK);
        self.next = 1;
        self.put(ACK, 1, 1, &[], Options { mss: None, window_scale: None, sack_permitted: false, ..options });
        assert_eq!(self.stack.next_event(), Some(Event::Acceptable(self.listener)));
        self.stack.accept(self.listener).unwrap()
    }

    /// A connection of plain settings.
    pub(super) fn plain() -> (Self, ConnectionId) {
        let settings = Settings { no_delay: true, timestamps: false, ..Settings::default() };
        Self::open(&ListenerConfig { settings, ..ListenerConfig::default() }, mss(1000))
    }

    /// Sends a segment with numbers counted from the initial ones.
    pub(super) fn put(
        &mut self,
        flags: Flags,
        sequence: u32,
        acknowledgement: u32,
        payload: &[u8],
        options: Options,
    ) {
        let segment = Segment {
            source_port: REMOTE.port,
            destination_port: LOCAL.port,
            sequence: PEER_ISN + sequence,
            acknowledgement: if flags.contains(ACK) { self.isn + acknowledgement } else { SequenceNumber(0) },
            flags,
            window: self.window,
            options,
            ..Segment::default()
        };
        self.put_segment(&segment, payload);
    }

    pub(super) fn put_segment(&mut self, segment: &Segment, payload: &[u8]) {
        let mut header = [0; MAX_HEADER];
        let length = segment.write(&mut header);
        let octets = [&header[..length], payload].concat();
        self.put_octets(octets);
    }

    pub(super) fn put_octets(&mut self, octets: Vec<u8>) {
        let segment = HeapBuf::from(octets);
        self.stack
            .receive(self.now, Incoming { local: LOCAL.addr, remote: REMOTE.addr, ecn: self.ecn, segment });
    }

    /// Sends the next octets, and acknowledges so much.
    pub(super) fn data(&mut self, payload: &[u8], acknowledgement: u32) {
        self.put(ACK, self.next, acknowledgement, payload, Options::NONE);
        self.next += payload.len() as u32;
    }

    /// Everything that the stack sends now.
    pub(super) fn take(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        while let Some(out) = self.stack.poll_transmit(self.now) {
            let segment = Segment::read(out.header).unwrap();
            if (out.local, out.remote) != (LOCAL, REMOTE) {
                // The answer to something that was for nobody.
                assert!(segment.flags.contains(RST));
                continue;
            }
            if segment.flags.contains(SYN) {
                self.isn = segment.sequence;
            }
            all.push(Sent {
                flags: segment.flags,
                sequence: segment.sequence - self.isn,
                acknowledgement: if segment.flags.contains(ACK) {
                    segment.acknowledgement - PEER_ISN
                } else {
                    0
                },
                payload: out.payload.slices().flatten().copied().collect(),
                window: segment.window,
                options: segment.options,
                ecn: out.ecn,
            });
            assert!(all.len() < 10_000, "it sends for ever");
        }
        all
    }

    /// The headers of everything that the stack sends now, as they are.
    pub(super) fn take_segments(&mut self) -> Vec<Segment> {
        let mut all = Vec::new();
        while let Some(out) = self.stack.poll_transmit(self.now) {
            all.push(Segment::read(out.header).unwrap());
        }
        all
    }

    /// The only segment that the stack sends now.
    pub(super) fn one(&mut self) -> Sent {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Nothing is sent now.
    pub(super) fn silence(&mut self) {
        assert_eq!(self.take(), []);
    }

    /// A bare acknowledgement with these numbers, and nothing else, is sent.
    pub(super) fn acknowledges(&mut self, sequence: u32, acknowledgement: u32) {
        let sent = self.one();
        let seen = (sent.flags, sent.sequence, sent.acknowledgement, sent.payload.len());
        assert_eq!(seen, (ACK, sequence, acknowledgement, 0));
    }

    /// Lets so many milliseconds pass, waking the stack when it wants to be.
    pub(super) fn wait_ms(&mut self, millis: u32) -> Vec<Sent> {
        let until = self.now.plus_millis(millis);
        let mut all = self.take();
        for _ in 0..100_000 {
            match self.stack.deadline() {
                Some(deadline) if deadline <= until => self.now = self.now.max(deadline),
                _ => break,
            }
            self.stack.advance(self.now);
            all.extend(self.take());
        }
        self.now = until;
        self.stack.advance(self.now);
        all.extend(self.take());
        all
    }

    /// All events until now.
    pub(super) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.stack.next_event()).collect()
    }
}

/// The options of a SYN that says nothing but an MSS.
pub(super) fn mss(octets: u16) -> Options {
    Options { mss: Some(octets), ..Options::NONE }
}
