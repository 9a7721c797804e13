//! From packets to segments, and from ICMP errors to what they say of segments.

use evenkeel_datapath::key;
use evenkeel_datapath::packet::{ChecksumStatus, Packet};
use evenkeel_datapath::parse::{Content, Parsed};
use evenkeel_datapath::snapshot::Snapshot;
use evenkeel_datapath::time::Time;
use evenkeel_tcp::checksum::Sum;
use evenkeel_tcp::{Addr, Endpoint, IcmpError, Incoming, SequenceNumber, Stack, Tuple};

use super::{Held, tcp_time};
use crate::Octets;

/// Gives the stack what packets carry, in their order. `segments` is empty before and after.
pub(super) fn arrive<P: Packet>(
    stack: &mut Stack<Held<P>>,
    snapshot: &Snapshot,
    now: Time,
    packets: impl Iterator<Item = (P, Parsed)>,
    segments: &mut Vec<Incoming<Held<P>>>,
) {
    for (packet, parsed) in packets {
        match parsed.content {
            Content::Transport => segments.extend(segment(stack, snapshot, packet, &parsed)),
            Content::IcmpError { l4, .. } => {
                // What came before it may be what it is about.
                stack.receive_burst(tcp_time(now), segments);
                arrive_error(stack, now, packet.bytes(), &parsed, usize::from(l4));
            }
            Content::Other | Content::EchoRequest => {}
        }
    }
    stack.receive_burst(tcp_time(now), segments);
}

/// The segment in a packet, if there is one and its checksum is right.
fn segment<P: Packet>(
    stack: &mut Stack<Held<P>>,
    snapshot: &Snapshot,
    packet: P,
    parsed: &Parsed,
) -> Option<Incoming<Held<P>>> {
    let start = usize::from(parsed.l4);
    let place = start..start + usize::from(parsed.l4_length());
    let segment = packet.bytes().get(place.clone())?;
    let (local, remote) = (address(parsed.key.destination.addr), address(parsed.key.source.addr));
    let is_believed = packet.received().l4_checksum == ChecksumStatus::Good
        || snapshot.ports.get(usize::from(packet.port().0)).is_some_and(|port| port.recompute_checksums);
    if !is_believed && !Sum::pseudo_header(&remote, &local, segment.len() as u32).octets(segment).is_right() {
        stack.refuse_checksum();
        return None;
    }
    let ecn = ecn(packet.bytes(), parsed);
    let segment = Octets::of_packet(packet.into_shared(), place)?;
    Some(Incoming { local, remote, ecn, segment })
}

/// An error that quotes a segment of ours, whose transport header begins at `l4`: at least its first eight octets are there.
fn arrive_error<B: evenkeel_tcp::Buf>(
    stack: &mut Stack<B>,
    now: Time,
    bytes: &[u8],
    parsed: &Parsed,
    l4: usize,
) {
    let message = bytes.get(usize::from(parsed.l4)..).and_then(|rest| rest.first_chunk::<8>());
    let sequence = bytes.get(l4 + 4..).and_then(|rest| rest.first_chunk::<4>());
    let (Some(message), Some(sequence)) = (message, sequence) else { return };
    let tuple = Tuple { local: endpoint(parsed.key.destination), remote: endpoint(parsed.key.source) };
    let sequence = SequenceNumber(u32::from_be_bytes(*sequence));
    stack.icmp(tcp_time(now), &tuple, sequence, meaning(parsed.v6, message));
}

/// What an ICMP error says (RFC 792; RFC 1191, section 4; RFC 4443, section 3).
fn meaning(v6: bool, message: &[u8; 8]) -> IcmpError {
    let [kind, code, _, _, a, b, c, d] = *message;
    match (v6, kind, code) {
        (false, 3, 4) => IcmpError::TooBig { mtu: u32::from(u16::from_be_bytes([c, d])) },
        (true, 2, _) => IcmpError::TooBig { mtu: u32::from_be_bytes([a, b, c, d]) },
        (false, 3, 2 | 3) | (true, 1, 1 | 4) => IcmpError::Refused,
        _ => IcmpError::Unreachable,
    }
}

/// The ECN field of the IP header (RFC 3168, section 5).
fn ecn(bytes: &[u8], parsed: &Parsed) -> u8 {
    let header = bytes.get(usize::from(parsed.l3)..).and_then(|rest| rest.first_chunk::<2>());
    let [first, second] = header.copied().unwrap_or_default();
    3 & if parsed.v6 {
        u8::try_from(u16::from_be_bytes([first, second]) >> 4 & 0xff).unwrap_or(0)
    } else {
        second
    }
}

fn address(addr: key::Addr) -> Addr {
    Addr(addr.octets())
}

fn endpoint(endpoint: key::Endpoint) -> Endpoint {
    Endpoint { addr: address(endpoint.addr), port: endpoint.port }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_mean_what_the_rfcs_say() {
        for (v6, message, expected) in [
            (false, [3, 4, 0, 0, 0, 0, 0x05, 0x00], IcmpError::TooBig { mtu: 1280 }),
            (true, [2, 0, 0, 0, 0, 0, 0x05, 0x00], IcmpError::TooBig { mtu: 1280 }),
            (false, [3, 3, 0, 0, 0, 0, 0, 0], IcmpError::Refused),
            (true, [1, 4, 0, 0, 0, 0, 0, 0], IcmpError::Refused),
            (false, [3, 1, 0, 0, 0, 0, 0, 0], IcmpError::Unreachable),
            (false, [11, 0, 0, 0, 0, 0, 0, 0], IcmpError::Unreachable),
            (true, [1, 3, 0, 0, 0, 0, 0, 0], IcmpError::Unreachable),
        ] {
            assert_eq!(meaning(v6, &message), expected, "{message:?}");
        }
    }
}
