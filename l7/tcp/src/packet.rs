//! Segments on their way in and out, with what the IP header says about them.

use crate::{Addr, Endpoint};

/// A segment that arrived.
#[derive(Debug)]
pub struct Incoming<B> {
    /// Where it was sent to.
    pub local: Addr,
    /// Where it comes from.
    pub remote: Addr,
    /// The ECN field of the IP header (RFC 3168, section 5): its two lowest bits.
    pub ecn: u8,
    /// The TCP header and the payload, without any padding behind.
    pub segment: B,
}

/// What an ICMP error says about a segment that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpError {
    /// Too big: ICMPv4 type 3 code 4, with the MTU of the next hop or zero (RFC 1191), or ICMPv6 type 2 (RFC 8201).
    TooBig {
        /// The MTU of the next hop, as it stands in the message.
        mtu: u32,
    },
    /// Protocol or port unreachable: ICMPv4 type 3 codes 2 and 3, ICMPv6 type 1 codes 1 and 4. Hard errors, by name.
    Refused,
    /// Anything else that may pass: a soft error (RFC 9293, section 3.9.2.2).
    Unreachable,
}

/// A segment to send: its header, and its payload in pieces.
#[derive(Debug)]
pub struct Outgoing<'a, B> {
    /// Where from.
    pub local: Endpoint,
    /// Where to.
    pub remote: Endpoint,
    /// The ECN field of the IP header.
    pub ecn: u8,
    /// The TCP header with its options.
    pub header: &'a [u8],
    /// The payload.
    pub payload: Payload<'a, B>,
}
