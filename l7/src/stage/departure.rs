//! From segments to packets: headers around them, by the ways that the snapshot knows.

use evenkeel_datapath::counters::{Counters, DropReason, WorkerCounter};
use evenkeel_datapath::fib::NextHop;
use evenkeel_datapath::key::{self, Protocol};
use evenkeel_datapath::packet::{Packet, PacketPool, TransmitOffload};
use evenkeel_datapath::rewrite::{write_ip_header, write_link_header};
use evenkeel_datapath::snapshot::PortInfo;
use evenkeel_datapath::stage::Turn;
use evenkeel_datapath::wire::{ethernet, ipv4, ipv6, tcp};
use evenkeel_tcp::checksum::Sum;
use evenkeel_tcp::{Addr, Buf, Endpoint, IcmpError, Outgoing, SequenceNumber, Stack, Tuple};

use super::tcp_time;

/// Segments that find no way out in one turn, at most: each costs as much as one that does.
const LOST: u32 = 64;

/// What became of a segment.
enum Fate {
    /// It is in the packet, which leaves by the port of this way.
    Written,
    /// It is lost, as a network might lose it.
    Lost(DropReason),
    /// The way takes no packets of this size.
    TooBig { mtu: u16, tuple: Tuple, sequence: SequenceNumber },
}

/// Sends what the stack has to send, as far as there is room; true if that was everything.
pub(super) fn depart<A: PacketPool, B: Buf>(
    stack: &mut Stack<B>,
    turn: &mut Turn<'_, A>,
    spare: &mut Option<A::Packet>,
) -> bool {
    let mut lost = 0;
    while turn.out.len() < turn.out.capacity() && lost < LOST {
        // First the packet: what is asked of the stack counts as sent.
        let Some(mut packet) = spare.take().or_else(|| turn.pool.allocate()) else {
            turn.pipeline.counters.add(WorkerCounter::AllocationFailures, 1);
            return false;
        };
        let Some(segment) = stack.poll_transmit(tcp_time(turn.now)) else {
            *spare = Some(packet);
            return true;
        };
        let remote = address(segment.remote.addr);
        let way = turn.snapshot.fib.lookup(remote).and_then(|id| turn.snapshot.fib.next_hop(id));
        let out = way.and_then(|way| turn.snapshot.ports.get(usize::from(way.port.0)));
        let ends = [segment.local, segment.remote].map(endpoint);
        match write(segment, &mut packet, way.zip(out)) {
            Fate::Written => {
                let octets = packet.total_len() - ethernet::LEN;
                turn.pipeline.count_sent(turn.snapshot, ends[0], ends[1], octets as u64);
                if let Some(way) = way {
                    turn.out.push((packet, way.port));
                }
                continue;
            }
            Fate::Lost(reason) => {
                if reason == DropReason::NoNextHop {
                    turn.unresolved = Some(remote);
                }
                drop_one(&mut turn.pipeline.counters, reason);
            }
            Fate::TooBig { mtu, tuple, sequence } => {
                drop_one(&mut turn.pipeline.counters, DropReason::TooBig);
                stack.icmp(tcp_time(turn.now), &tuple, sequence, IcmpError::TooBig { mtu: mtu.into() });
            }
        }
        lost += 1;
        *spare = Some(packet);
    }
    false
}

/// A packet that was made and lost at once.
fn drop_one(counters: &mut Counters, reason: DropReason) {
    counters.add(WorkerCounter::Originated, 1);
    counters.dropped(reason, 1);
}

/// Makes `packet` this segment.
fn write<P: Packet, B: Buf>(
    segment: Outgoing<'_, B>,
    packet: &mut P,
    way: Option<(&NextHop, &PortInfo)>,
) -> Fate {
    let Some((way, out)) = way else { return Fate::Lost(DropReason::NoNextHop) };
    let v6 = !segment.remote.addr.is_v4();
    let l3_len = if v6 { ipv6::LEN } else { ipv4::LEN };
    let length = segment.header.len() + segment.payload.len();
    if l3_len + length > usize::from(way.mtu) {
        return Fate::TooBig { mtu: way.mtu, tuple: tuple_of(&segment), sequence: sequence_of(&segment) };
    }
    if !packet.resize(ethernet::LEN + l3_len + length) {
        return Fate::Lost(DropReason::TooBig);
    }
    let bytes = packet.bytes_mut();
    write_link_header(bytes, way.mac, out.mac, v6);
    let (source, destination) = (address(segment.local.addr), address(segment.remote.addr));
    let ip = bytes.get_mut(ethernet::LEN..).unwrap_or_default();
    write_ip_header(ip, v6, &source, &destination, Protocol::Tcp as u8, length, segment.ecn);
    fill(segment, ip.get_mut(l3_len..).unwrap_or_default(), out.offload.tcp);
    if out.offload.tcp {
        packet.set_offload(TransmitOffload {
            l2_len: ethernet::LEN as u8,
            l3_len: l3_len as u16,
            is_v6: v6,
            ip_checksum: false,
            l4_checksum: Some(Protocol::Tcp),
        });
    }
    Fate::Written
}

/// Writes TCP header and payload. The stack has put the sum of the pseudo-header into the checksum's field: there a port goes on
/// from it, or it is completed here.
fn fill<B: Buf>(segment: Outgoing<'_, B>, l4: &mut [u8], is_completed_by_port: bool) {
    let mut rest = &mut *l4;
    for slice in core::iter::once(segment.header).chain(segment.payload.slices()) {
        let Some((here, behind)) = rest.split_at_mut_checked(slice.len()) else { return };
        here.copy_from_slice(slice);
        rest = behind;
    }
    if !is_completed_by_port {
        let checksum = Sum::ZERO.octets(l4).checksum();
        if let Some(field) = l4.get_mut(tcp::CHECKSUM..tcp::CHECKSUM + 2) {
            field.copy_from_slice(&checksum);
        }
    }
}

fn tuple_of<B: Buf>(segment: &Outgoing<'_, B>) -> Tuple {
    Tuple { local: segment.local, remote: segment.remote }
}

fn sequence_of<B: Buf>(segment: &Outgoing<'_, B>) -> SequenceNumber {
    let octets = segment.header.get(tcp::SEQUENCE..).and_then(|rest| rest.first_chunk::<4>());
    SequenceNumber(octets.map_or(0, |octets| u32::from_be_bytes(*octets)))
}

fn endpoint(end: Endpoint) -> key::Endpoint {
    key::Endpoint { addr: address(end.addr), port: end.port }
}

fn address(addr: Addr) -> key::Addr {
    key::Addr::from_octets(addr.0)
}
