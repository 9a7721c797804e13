//! The other ends of all flows: no more than their sequence numbers, and segments made from them.

use std::ops::Range;

use anyhow::{Result, ensure};

use super::{Contender, OCTETS};

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;

/// Where the stack under test listens.
pub(super) const SERVER: ([u8; 4], u16) = ([198, 18, 0, 2], 80);

/// Octets of IP and TCP headers together.
const HEADERS: usize = 40;
/// Octets of the options of a SYN: just the MSS.
const OPTIONS: usize = 4;

/// What one end of a flow knows.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    next: u32,
    expected: u32,
}

/// All of them.
pub(super) struct Peers {
    peers: Vec<Peer>,
    packet: [u8; HEADERS + OPTIONS + OCTETS],
    /// Segments, FINs and octets of payload that came, all in order.
    pub(super) segments: u64,
    pub(super) ends: u64,
    pub(super) octets: u64,
    disorder: u64,
}

impl Peers {
    pub(super) fn new(flows: u32) -> Self {
        let mut packet = [0x5a; HEADERS + OPTIONS + OCTETS];
        packet[..HEADERS].fill(0);
        packet[0] = 0x45;
        packet[6] = 0x40;
        packet[8] = 64;
        packet[9] = 6;
        packet[16..20].copy_from_slice(&SERVER.0);
        packet[22..24].copy_from_slice(&SERVER.1.to_be_bytes());
        packet[34..36].copy_from_slice(&u16::MAX.to_be_bytes());
        let peer = |flow| Peer { next: flow, expected: 0 };
        Self { peers: (0..flows).map(peer).collect(), packet, segments: 0, ends: 0, octets: 0, disorder: 0 }
    }

    /// A packet of a flow.
    pub(super) fn packet(&mut self, flow: u32, flags: u8, octets: usize) -> &[u8] {
        let peer = &mut self.peers[flow as usize];
        let options = if flags & SYN != 0 { OPTIONS } else { 0 };
        let length = HEADERS + options + octets;
        self.packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        self.packet[12..16].copy_from_slice(&(0x0a00_0000 | flow >> 12).to_be_bytes());
        self.packet[20..22].copy_from_slice(&(0x1000 | flow as u16 & 0x0fff).to_be_bytes());
        self.packet[24..28].copy_from_slice(&peer.next.to_be_bytes());
        self.packet[28..32].copy_from_slice(&peer.expected.to_be_bytes());
        self.packet[32] = ((20 + options) << 2) as u8;
        self.packet[33] = flags;
        if options > 0 {
            self.packet[HEADERS..HEADERS + OPTIONS].copy_from_slice(&[2, 4, 5, 0xb4]);
        }
        peer.next = peer.next.wrapping_add(octets as u32 + u32::from(flags & (SYN | FIN) != 0));
        &self.packet[..length]
    }

    /// Takes what the stack sent.
    #[inline]
    pub(super) fn take(&mut self, headers: &[u8], octets: usize) {
        let word =
            |at: usize| u32::from_be_bytes([headers[at], headers[at + 1], headers[at + 2], headers[at + 3]]);
        let flow = (word(16) & 0x00ff_ffff) << 12 | word(20) & 0x0fff;
        let (sequence, flags) = (word(24), headers[33]);
        let peer = &mut self.peers[flow as usize];
        if flags & SYN != 0 {
            peer.expected = sequence;
        }
        self.disorder += u64::from(sequence != peer.expected || word(28) != peer.next);
        peer.expected = peer.expected.wrapping_add(octets as u32 + u32::from(flags & (SYN | FIN) != 0));
        self.segments += 1;
        self.ends += u64::from(flags & FIN != 0);
        self.octets += octets as u64;
    }

    /// Opens a flow, whose place in the stack is `place` where that counts.
    pub(super) fn open_at(&mut self, stack: &mut impl Contender, place: u32, flow: u32) -> Result<()> {
        let before = self.segments;
        for flags in [SYN, ACK] {
            stack.give(place, self.packet(flow, flags, 0));
            stack.answer(|headers, octets| self.take(headers, octets));
        }
        stack.pass(1);
        ensure!(self.segments == before + 1, "flow {flow}: {} answers to a SYN", self.segments - before);
        self.check()
    }

    /// Opens these flows.
    pub(super) fn open(&mut self, stack: &mut impl Contender, flows: Range<u32>) -> Result<()> {
        flows.into_iter().try_for_each(|flow| self.open_at(stack, flow, flow))
    }

    /// Asks on one flow, and takes the answer.
    pub(super) fn ask_at(&mut self, stack: &mut impl Contender, place: u32, flow: u32) {
        stack.give(place, self.packet(flow, ACK | PSH, OCTETS));
        stack.answer(|headers, octets| self.take(headers, octets));
        stack.pass(1);
    }

    /// Asks on each of these flows at once, and takes the answers.
    pub(super) fn ask(&mut self, stack: &mut impl Contender, flows: &[u32]) {
        for &flow in flows {
            stack.give(flow, self.packet(flow, ACK | PSH, OCTETS));
        }
        stack.answer(|headers, octets| self.take(headers, octets));
        stack.pass(1);
    }

    /// Fails if anything came that was not next, or did not acknowledge all that was sent.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.disorder == 0, "{} segments are not what should have come", self.disorder);
        Ok(())
    }
}
