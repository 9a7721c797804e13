//! Frames for tests, built and read by simple code of its own: what it computes is an oracle for what the datapath does.

use std::net::{IpAddr, SocketAddr};

use evenkeel_datapath::snapshot::MacAddress;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP_V6: u8 = 58;

/// RFC 1071, octet by octet.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let octets: Vec<u8> = parts.concat();
    let mut sum: u32 =
        octets.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut header = [octets(source), octets(destination)].concat();
    header.extend((length as u32).to_be_bytes());
    header.extend([0, 0, 0, protocol]);
    header
}

/// A packet to build, or one that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub link_destination: MacAddress,
    pub link_source: MacAddress,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub protocol: u8,
    pub ttl: u8,
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgment: u32,
    /// Payload of TCP and UDP; of ICMP the whole message but for its checksum, which stands in place as zero.
    pub payload: Vec<u8>,
    /// IPv4 options or IPv6 extension headers (the last octet pair of these is not interpreted).
    pub options: Vec<u8>,
}

impl Frame {
    pub fn new(protocol: u8, source: &str, destination: &str) -> Self {
        let parse = |text: &str| text.parse().unwrap_or_else(|_| SocketAddr::new(text.parse().unwrap(), 0));
        Self {
            link_destination: MacAddress::default(),
            link_source: MacAddress([2, 0, 0, 0, 0, 0xc1]),
            source: parse(source),
            destination: parse(destination),
            protocol,
            ttl: 64,
            flags: 0,
            sequence: 1000,
            acknowledgment: 2000,
            payload: Vec::new(),
            options: Vec::new(),
        }
    }

    pub fn tcp(source: &str, destination: &str, flags: u8) -> Self {
        Self { flags, ..Self::new(TCP, source, destination) }
    }

    pub fn udp(source: &str, destination: &str) -> Self {
        Self::new(UDP, source, destination)
    }

    pub fn icmp(source: &str, destination: &str, message: Vec<u8>) -> Self {
        let frame = Self::new(ICMP, source, destination);
        let protocol = if frame.source.is_ipv4() { ICMP } else { ICMP_V6 };
        Self { protocol, payload: message, ..frame }
    }

    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    fn transport(&self) -> Vec<u8> {
        let (source, destination) = (self.source.port().to_be_bytes(), self.destination.port().to_be_bytes());
        let (mut segment, at) = match self.protocol {
            TCP => {
                let mut header = [source, destination].concat();
                header.extend(self.sequence.to_be_bytes());
                header.extend(self.acknowledgment.to_be_bytes());
                header.extend([0x50, self.flags, 0x20, 0x00, 0, 0, 0, 0]);
                (header, 16)
            }
            UDP => {
                let length = (8 + self.payload.len()) as u16;
                ([source, destination, length.to_be_bytes(), [0, 0]].concat(), 6)
            }
            _ => (Vec::new(), 2),
        };
        segment.extend(&self.payload);
        let pseudo = match self.protocol {
            ICMP => Vec::new(),
            protocol => pseudo_header(self.source.ip(), self.destination.ip(), protocol, segment.len()),
        };
        let sum = checksum(&[&pseudo, &segment]);
        let sum = if self.protocol == UDP && sum == 0 { 0xffff } else { sum };
        if segment.len() >= at + 2 {
            segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        segment
    }

    /// The IP packet.
    pub fn packet(&self) -> Vec<u8> {
        let transport = self.transport();
        let mut packet;
        if self.source.is_ipv4() {
            let header_len = 20 + self.options.len();
            packet = vec![0x40 | (header_len / 4) as u8, 0];
            packet.extend(((header_len + transport.len()) as u16).to_be_bytes());
            packet.extend([0x12, 0x34, 0x40, 0x00, self.ttl, self.protocol, 0, 0]);
            packet.extend(octets(self.source.ip()));
            packet.extend(octets(self.destination.ip()));
            packet.extend(&self.options);
            let sum = checksum(&[&packet]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            let next = if self.options.is_empty() { self.protocol } else { 60 };
            packet = vec![0x60, 0, 0, 0];
            packet.extend(((self.options.len() + transport.len()) as u16).to_be_bytes());
            packet.extend([next, self.ttl]);
            packet.extend(octets(self.source.ip()));
            packet.extend(octets(self.destination.ip()));
            packet.extend(&self.options);
        }
        packet.extend(transport);
        packet
    }

    /// The Ethernet frame.
    pub fn bytes(&self) -> Vec<u8> {
        let kind: [u8; 2] = if self.source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
        [&self.link_destination.0[..], &self.link_source.0, &kind, &self.packet()].concat()
    }

    /// Reads a frame without extension headers and checks every length and checksum in it.
    pub fn read(bytes: &[u8]) -> Self {
        let mac = |at: usize| MacAddress(bytes[at..at + 6].try_into().unwrap());
        let ip = &bytes[14..];
        let (source, destination, protocol, ttl, l4, end);
        if ip[0] >> 4 == 4 {
            l4 = usize::from(ip[0] & 15) * 4;
            end = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            assert_eq!(checksum(&[&ip[..l4]]), 0, "IPv4 header checksum");
            (protocol, ttl) = (ip[9], ip[8]);
            source = IpAddr::from(<[u8; 4]>::try_from(&ip[12..16]).unwrap());
            destination = IpAddr::from(<[u8; 4]>::try_from(&ip[16..20]).unwrap());
        } else {
            l4 = 40;
            end = 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            (protocol, ttl) = (ip[6], ip[7]);
            source = IpAddr::from(<[u8; 16]>::try_from(&ip[8..24]).unwrap());
            destination = IpAddr::from(<[u8; 16]>::try_from(&ip[24..40]).unwrap());
        }
        let segment = &ip[l4..end];
        let pseudo = pseudo_header(source, destination, protocol, segment.len());
        let is_without = protocol == UDP && segment[6..8] == [0, 0];
        if !is_without {
            let pseudo: &[u8] = if protocol == ICMP { &[] } else { &pseudo };
            assert_eq!(checksum(&[pseudo, segment]), 0, "checksum of protocol {protocol}");
        }
        let port = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
        let word = |at: usize| u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
        let has_ports = matches!(protocol, TCP | UDP);
        let (source_port, destination_port) = if has_ports { (port(0), port(2)) } else { (0, 0) };
        let is_tcp = protocol == TCP;
        let mut payload = segment[if is_tcp {
            20
        } else if protocol == UDP {
            8
        } else {
            0
        }..]
            .to_vec();
        if !has_ports {
            payload[2..4].copy_from_slice(&[0, 0]);
        }
        Self {
            link_destination: mac(0),
            link_source: mac(6),
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
            protocol,
            ttl,
            flags: if is_tcp { segment[13] } else { 0 },
            sequence: if is_tcp { word(4) } else { 1000 },
            acknowledgment: if is_tcp { word(8) } else { 2000 },
            payload,
            options: ip[20.min(l4)..l4.min(if l4 == 40 && ip[0] >> 4 == 6 { 20 } else { l4 })].to_vec(),
        }
    }

    /// `source > destination` with TCP flags, as a person would write it down.
    pub fn line(&self) -> String {
        let flags: String = [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (PSH, 'P'), (ACK, '.')]
            .iter()
            .filter(|(bit, _)| self.flags & bit != 0)
            .map(|(_, letter)| letter)
            .collect();
        match self.protocol {
            TCP => format!("tcp {} > {} {flags}", self.source, self.destination),
            UDP => format!("udp {} > {}", self.source, self.destination),
            _ => format!(
                "icmp {} > {} {}/{}",
                self.source.ip(),
                self.destination.ip(),
                self.payload[0],
                self.payload[1]
            ),
        }
    }
}
