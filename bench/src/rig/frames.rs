//! The capture files that the rig's devices replay: 64-octet frames of TCP over IPv4, one flow each, in random order.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Result};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use evenkeel_datapath::pcap;

pub use crate::network::Random;

/// Octets of every data frame.
pub const FRAME_LEN: usize = 64;

/// The Ethernet address that frames come from.
pub const NEIGHBOUR: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];

/// The address that net_pcap gives to its `device`-th instance in a process.
#[must_use]
pub const fn device_mac(device: u8) -> [u8; 6] {
    [0x02, 0x70, 0x63, 0x61, 0x70, device]
}

/// A client and the VIP that it speaks to, or any two ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pair {
    /// The sender.
    pub source: SocketAddrV4,
    /// The receiver.
    pub destination: SocketAddrV4,
}

/// `count` different flows from clients in 198.18.0.0/15 (RFC 2544), as many to each of `vips`, in random order.
#[must_use]
pub fn flows(count: usize, vips: &[SocketAddrV4], random: &mut Random) -> Vec<Pair> {
    let mut seen = HashSet::with_capacity(count);
    let mut flows = Vec::with_capacity(count);
    while flows.len() < count {
        let client = Ipv4Addr::from_bits(0xc612_0000 + random.below(1 << 17) as u32);
        let port = 1_024 + random.below(64_512) as u16;
        let vip = vips[flows.len() % vips.len()];
        let pair = Pair { source: SocketAddrV4::new(client, port), destination: vip };
        if seen.insert(pair) {
            flows.push(pair);
        }
    }
    random.shuffle(&mut flows);
    flows
}

/// What a TCP segment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segment {
    /// The first of a connection.
    Syn,
    /// Ten octets of an open connection.
    Data,
    /// The end of a connection.
    Reset,
}

impl Segment {
    const fn flags(self) -> u8 {
        match self {
            Self::Syn => 0x02,
            Self::Data => 0x18,
            Self::Reset => 0x04,
        }
    }
}

/// One frame to the device with this Ethernet address.
#[must_use]
pub fn frame(device: [u8; 6], pair: Pair, segment: Segment) -> [u8; FRAME_LEN] {
    const PAYLOAD: usize = FRAME_LEN - 54;
    let mut frame = [0; FRAME_LEN];
    frame[..6].copy_from_slice(&device);
    frame[6..12].copy_from_slice(&NEIGHBOUR);
    frame[12..14].copy_from_slice(&[0x08, 0]);
    let (payload, sequence) = match segment {
        Segment::Syn => (0, 1_u32),
        Segment::Data => (PAYLOAD, 2),
        Segment::Reset => (0, 2),
    };
    let ip_len = (40 + payload) as u16;

    let ip = &mut frame[14..34];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&ip_len.to_be_bytes());
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 6;
    ip[12..16].copy_from_slice(&pair.source.ip().octets());
    ip[16..20].copy_from_slice(&pair.destination.ip().octets());
    let checksum = !folded(sum(ip));
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let pseudo = sum(&ip[12..20]) + 6 + u32::from(ip_len - 20);

    let tcp = &mut frame[34..54 + payload];
    tcp[..2].copy_from_slice(&pair.source.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&pair.destination.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    tcp[8..12].copy_from_slice(&if segment == Segment::Data { 1_u32 } else { 0 }.to_be_bytes());
    tcp[12] = 0x50;
    tcp[13] = segment.flags();
    tcp[14..16].copy_from_slice(&1_000_u16.to_be_bytes());
    let checksum = !folded(pseudo + sum(tcp));
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// Sum of 16-bit words, of an even number of octets.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum()
}

const fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum + (sum >> 16)) as u16
}

/// Writes `frames` as a capture file, a microsecond apart.
///
/// # Errors
/// When the file cannot be written.
pub fn write_pcap(path: &Path, frames: impl IntoIterator<Item = [u8; FRAME_LEN]>) -> Result<()> {
    let mut writer = pcap::Writer::new(BufWriter::new(File::create(path)?), pcap::Resolution::Micro)?;
    for (nanos, frame) in (0_u64..).step_by(1_000).zip(frames) {
        writer.write(nanos, &frame)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_right_checksums() {
        let vips = [SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 80)];
        for pair in flows(100, &vips, &mut Random(1)) {
            for segment in [Segment::Syn, Segment::Data, Segment::Reset] {
                let frame = frame(device_mac(0), pair, segment);
                let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
                assert_eq!(folded(sum(&frame[14..34])), 0xffff);
                let pseudo = sum(&frame[26..34]) + 6 + (total - 20) as u32;
                assert_eq!(folded(pseudo + sum(&frame[34..14 + total])), 0xffff);
            }
        }
    }

    #[test]
    fn flows_differ_and_repeat() {
        let vips = [SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 80)];
        let once = flows(1_000, &vips, &mut Random(7));
        assert_eq!(once, flows(1_000, &vips, &mut Random(7)));
        assert_eq!(once.iter().collect::<HashSet<_>>().len(), 1_000);
    }
}
