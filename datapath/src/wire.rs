//! Offsets and constants of the headers that the datapath reads and writes.

/// Ethernet II (IEEE 802.3, clause 3): destination, source, type.
pub mod ethernet {
    /// Length of the header, in octets.
    pub const LEN: usize = 14;
    /// EtherType of IPv4.
    pub const IPV4: [u8; 2] = [0x08, 0x00];
    /// EtherType of IPv6.
    pub const IPV6: [u8; 2] = [0x86, 0xdd];
}

/// IPv4 (RFC 791).
pub mod ipv4 {
    /// Length of a header without options, in octets.
    pub const LEN: usize = 20;
    /// Total length.
    pub const TOTAL_LENGTH: usize = 2;
    /// Flags and fragment offset.
    pub const FRAGMENT: usize = 6;
    /// Time to live; the protocol follows.
    pub const TTL: usize = 8;
    /// Protocol.
    pub const PROTOCOL: usize = 9;
    /// Header checksum.
    pub const CHECKSUM: usize = 10;
    /// Source address.
    pub const SOURCE: usize = 12;
    /// Destination address.
    pub const DESTINATION: usize = 16;
}

/// IPv6 (RFC 8200).
pub mod ipv6 {
    /// Length of the fixed header, in octets.
    pub const LEN: usize = 40;
    /// Payload length.
    pub const PAYLOAD_LENGTH: usize = 4;
    /// Next header.
    pub const NEXT_HEADER: usize = 6;
    /// Hop limit.
    pub const HOP_LIMIT: usize = 7;
    /// Source address.
    pub const SOURCE: usize = 8;
    /// Destination address.
    pub const DESTINATION: usize = 24;
}

/// TCP (RFC 9293, section 3.1).
pub mod tcp {
    /// Length of a header without options, in octets.
    pub const LEN: usize = 20;
    /// Sequence number.
    pub const SEQUENCE: usize = 4;
    /// Acknowledgment number.
    pub const ACKNOWLEDGMENT: usize = 8;
    /// Data offset, in the high half of the octet.
    pub const DATA_OFFSET: usize = 12;
    /// Control bits.
    pub const FLAGS: usize = 13;
    /// Window.
    pub const WINDOW: usize = 14;
    /// Checksum.
    pub const CHECKSUM: usize = 16;

    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgment field counts.
    pub const ACK: u8 = 0x10;
}

/// UDP (RFC 768).
pub mod udp {
    /// Length of the header, in octets.
    pub const LEN: usize = 8;
    /// Length of header and data.
    pub const LENGTH: usize = 4;
    /// Checksum.
    pub const CHECKSUM: usize = 6;
}

/// ICMP for IPv4 (RFC 792) and IPv6 (RFC 4443).
pub mod icmp {
    /// Length of the header, in octets.
    pub const LEN: usize = 8;
    /// Checksum.
    pub const CHECKSUM: usize = 2;
    /// IP protocol number of ICMP for IPv4.
    pub const PROTOCOL_V4: u8 = 1;
    /// Next header value of ICMP for IPv6.
    pub const PROTOCOL_V6: u8 = 58;
    /// Echo request and reply for IPv4.
    pub const ECHO_V4: (u8, u8) = (8, 0);
    /// Echo request and reply for IPv6.
    pub const ECHO_V6: (u8, u8) = (128, 129);
}
