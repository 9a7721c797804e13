//! A segment's header (RFC 9293, section 3.1): read once, after which nothing about it can fail, and written.
//!
//! Invariant: what [`Segment::write`] writes, [`Segment::read`] reads back as itself.

mod flags;
mod options;
mod plain;
#[cfg(test)]
mod tests;

use crate::SequenceNumber;

pub use flags::Flags;
pub(crate) use plain::Plain;

pub use options::{MAX_OPTIONS, MAX_WINDOW_SCALE, Options, SackBlocks, Timestamps};

/// The octets of a header without options.
pub const MIN_HEADER: usize = 20;
/// The most octets of a header.
pub const MAX_HEADER: usize = MIN_HEADER + MAX_OPTIONS;

/// Why octets are no segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Fewer octets than a header has.
    Truncated,
    /// The data offset points into the fixed header or past the end.
    DataOffset,
}

/// A segment without its payload, which stays where it is: `payload_start` says from which octet on.
///
/// Ports are not looked at: the caller has already found the connection by them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// SEG.SEQ: the number of the first octet, which is the SYN if there is one.
    pub sequence: SequenceNumber,
    /// SEG.ACK: what the sender expects next, if ACK is set.
    pub acknowledgement: SequenceNumber,
    /// The control bits; reserved ones are not looked at (RFC 9293, section 3.1, Rsrvd).
    pub flags: Flags,
    /// SEG.WND as it stands in the header, not scaled.
    pub window: u16,
    /// SEG.UP, if URG is set: where the urgent data ends, from `sequence` on (RFC 6093).
    pub urgent_pointer: u16,
    /// The header's length, and so the payload's first octet. [`Segment::write`] does not look at it.
    pub payload_start: u8,
    /// Octets of payload.
    pub payload_length: u32,
    /// The options.
    pub options: Options,
}

impl Segment {
    /// Reads the header of a segment, which `octets` hold whole and without padding behind (RFC 9293, section 3.1).
    ///
    /// The checksum is not looked at: see [`checksum`](crate::checksum).
    ///
    /// # Errors
    ///
    /// If the octets are too few for their header. A list of options that makes no sense is no error here: the segment
    /// is read as one without options, and says so.
    #[inline]
    pub fn read(octets: &[u8]) -> Result<Self, Malformed> {
        let Some((header, _)) = octets.split_first_chunk::<MIN_HEADER>() else {
            return Err(Malformed::Truncated);
        };
        let length = usize::from(header[12] >> 4) * 4;
        let Some(list) = octets.get(MIN_HEADER..length) else { return Err(Malformed::DataOffset) };
        let flags = Flags(header[13]);
        Ok(Self {
            source_port: u16::from_be_bytes([header[0], header[1]]),
            destination_port: u16::from_be_bytes([header[2], header[3]]),
            sequence: SequenceNumber(u32::from_be_bytes([header[4], header[5], header[6], header[7]])),
            acknowledgement: SequenceNumber(u32::from_be_bytes([
                header[8], header[9], header[10], header[11],
            ])),
            flags,
            window: u16::from_be_bytes([header[14], header[15]]),
            urgent_pointer: u16::from_be_bytes([header[18], header[19]]),
            payload_start: length as u8,
            payload_length: u32::try_from(octets.len() - length).unwrap_or(u32::MAX),
            options: Options::read(list, flags),
        })
    }

    /// The ports of sender and receiver, which stand first.
    #[inline]
    pub(crate) fn ports(octets: &[u8]) -> Option<[u16; 2]> {
        let &[a, b, c, d] = octets.first_chunk()?;
        Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])])
    }

    /// Writes the header and returns its length. The checksum field is left zero, for
    /// [`Segment::put_checksum`] or the device to fill.
    #[inline]
    pub fn write(&self, into: &mut [u8; MAX_HEADER]) -> usize {
        let (fixed, list) = into.split_at_mut(MIN_HEADER);
        let length = MIN_HEADER + list.first_chunk_mut().map_or(0, |list| self.options.write(list));
        if let Some(fixed) = fixed.first_chunk_mut::<MIN_HEADER>() {
            fixed[0..2].copy_from_slice(&self.source_port.to_be_bytes());
            fixed[2..4].copy_from_slice(&self.destination_port.to_be_bytes());
            fixed[4..8].copy_from_slice(&self.sequence.0.to_be_bytes());
            fixed[8..12].copy_from_slice(&self.acknowledgement.0.to_be_bytes());
            // Reserved bits are zero in what is sent (RFC 9293, section 3.1).
            fixed[12] = (length as u8 / 4) << 4;
            fixed[13] = self.flags.0;
            fixed[14..16].copy_from_slice(&self.window.to_be_bytes());
            fixed[16..18].fill(0);
            fixed[18..20].copy_from_slice(&self.urgent_pointer.to_be_bytes());
        }
        length
    }

    /// Puts a checksum into a header that [`Segment::write`] wrote.
    #[inline]
    pub fn put_checksum(header: &mut [u8; MAX_HEADER], checksum: [u8; 2]) {
        header[16] = checksum[0];
        header[17] = checksum[1];
    }

    /// SEG.LEN: octets of sequence space, SYN and FIN counted (RFC 9293, section 3.4).
    #[must_use]
    #[inline]
    pub const fn sequence_length(&self) -> u32 {
        let ends = self.flags.contains(Flags::SYN) as u32 + self.flags.contains(Flags::FIN) as u32;
        self.payload_length.saturating_add(ends)
    }
}
