//! Segments on their way in and out, with what the IP header says about them.

use crate::{Addr, Buf, Endpoint, Piece, Pieces};

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
#[must_use = "what is not sent is lost"]
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

/// The payload of a segment, in pieces as it lies in the application's buffers.
#[derive(Debug)]
pub struct Payload<'a, B> {
    pieces: Option<Pieces<'a, B>>,
    length: u32,
}

impl<'a, B: Buf> Payload<'a, B> {
    pub(crate) const fn none() -> Self {
        Self { pieces: None, length: 0 }
    }

    pub(crate) const fn new(pieces: Pieces<'a, B>, length: u32) -> Self {
        Self { pieces: Some(pieces), length }
    }

    /// Octets.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    /// True if the segment has no payload.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The pieces with their buffers, for who shares them.
    pub fn pieces(self) -> impl Iterator<Item = Piece<'a, B>> {
        self.pieces.into_iter().flatten()
    }

    /// The octets, for who copies them.
    pub fn slices(self) -> impl Iterator<Item = &'a [u8]>
    where
        B: 'a,
    {
        self.pieces().map(|piece| piece.octets())
    }
}
