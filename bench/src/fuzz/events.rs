//! What may happen to a balancer, read from octets: a small grammar, so that most inputs mean something.

use super::frames::{ACK, FIN, RST, SYN};
use super::input::Input;
use super::network::{BACKENDS, SERVICES};

/// One event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// A client's packet.
    FromClient { service: usize, client: u8, talk: Talk<'a> },
    /// What the backend of a flow that was seen answers.
    FromBackend { flow: usize, talk: Talk<'a> },
    /// An ICMP error about a flow that was seen, with so many octets of the packet it is about.
    Error { flow: usize, from_backend: bool, quote: usize },
    /// Octets behind a right Ethernet header.
    Raw { port: usize, kind: [u8; 2], octets: &'a [u8] },
    /// First packets of so many clients of one service, at once.
    Burst { service: usize, first: u8, count: u8, flags: u8 },
    /// Another state of a backend.
    State { slot: usize, state: u8 },
    /// Another backend in a slot.
    Recycle { slot: usize },
    /// A backend is gone.
    Remove { slot: usize },
    /// A service is removed, or comes back.
    Service { service: usize },
    /// Time passes, or (captures) jumps back.
    Pass { millis: i64 },
    /// A question about flows.
    Ask { from: u8, room: u8 },
    /// The kernel's twin sends.
    FromKernel { port: u8, octets: &'a [u8] },
}

/// What a packet says, and what the wire makes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk<'a> {
    pub(super) flags: u8,
    pub(super) ttl: u8,
    pub(super) payload: &'a [u8],
    /// Pairs of an offset and what the octet there is changed by.
    pub(super) damage: &'a [u8],
    /// Where it arrives, modulo the number of workers.
    pub(super) worker: u8,
}

impl Talk<'_> {
    /// True if the packet arrives as it was sent.
    pub(super) fn is_whole(&self) -> bool {
        self.damage.chunks_exact(2).all(|pair| pair[1] == 0)
    }

    pub(super) fn damaged(&self, mut frame: Vec<u8>) -> Vec<u8> {
        for pair in self.damage.chunks_exact(2) {
            // Past the link addresses, which would only have it dropped.
            if let Some(octet) = frame.get_mut(12 + usize::from(pair[0])) {
                *octet ^= pair[1];
            }
        }
        frame
    }
}

impl<'a> Event<'a> {
    /// The next one.
    pub(super) fn next(input: &mut Input<'a>) -> Option<Self> {
        if input.is_empty() {
            return None;
        }
        let kind = input.octet();
        let slots = SERVICES.len() * BACKENDS;
        Some(match kind % 20 {
            0..=5 => Self::FromClient {
                service: input.below(SERVICES.len()),
                client: input.octet(),
                talk: talk(input, kind >= 240),
            },
            6..=8 => Self::FromBackend { flow: input.octet().into(), talk: talk(input, kind >= 240) },
            9 => Self::Error {
                flow: input.octet().into(),
                from_backend: input.octet() & 1 == 0,
                quote: input.octet().into(),
            },
            10 => Self::Raw {
                port: input.below(2),
                kind: input.choose(&[[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06]]),
                octets: {
                    let count = input.octet();
                    input.octets(count.into())
                },
            },
            11 => Self::Burst {
                service: input.below(SERVICES.len()),
                first: input.octet(),
                count: input.octet() % 64 + 1,
                flags: input.choose(&[SYN, ACK, RST]),
            },
            12 | 13 => Self::State { slot: input.below(slots), state: input.octet() },
            14 => Self::Recycle { slot: input.below(slots) },
            15 => Self::Remove { slot: input.below(slots) },
            16 => Self::Service { service: input.below(SERVICES.len()) },
            17 => {
                Self::Pass { millis: input.choose(&[1, 50, 999, 11_000, 31_000, 121_000, 1_000_000, -500]) }
            }
            18 => Self::Ask { from: input.octet(), room: input.octet() },
            _ => Self::FromKernel {
                port: input.octet() % 3,
                octets: {
                    let count = input.octet() % 64;
                    input.octets(count.into())
                },
            },
        })
    }
}

fn talk<'a>(input: &mut Input<'a>, has_damage: bool) -> Talk<'a> {
    let shape = input.octet();
    let flags = [SYN, ACK, SYN | ACK, FIN | ACK, RST, RST | ACK, FIN, 0][usize::from(shape % 8)];
    let ttl = [64, 1, 2, 255][usize::from(shape / 8 % 4)];
    let worker = input.octet();
    let payload = input.octets(usize::from(shape / 32));
    let damage = if has_damage { usize::from(input.octet() % 4) * 2 } else { 0 };
    Talk { flags, ttl, payload, damage: input.octets(damage), worker }
}
