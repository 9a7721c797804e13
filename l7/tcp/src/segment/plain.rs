//! The header of nearly every segment, read and written without a loop: ACK, perhaps PSH, and no options but timestamps in the form
//! of RFC 7323, appendix A.
//!
//! Invariant: what [`Plain::read`] takes, [`Segment::read`](super::Segment::read) takes for the same.

use super::options::ALIGNED_TIMESTAMPS;
use super::{Flags, MAX_HEADER, MIN_HEADER, Options, Segment, Timestamps};
use crate::SequenceNumber;

/// The header with timestamps.
const STAMPED: usize = MIN_HEADER + 12;

/// What such a header says. What is not here is zero, or follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plain {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: SequenceNumber,
    pub(crate) acknowledgement: SequenceNumber,
    /// As it stands in the header, not scaled.
    pub(crate) window: u16,
    pub(crate) timestamps: Option<Timestamps>,
}

impl Plain {
    /// Reads the header of a segment, if it is of this kind. Reserved bits mean nothing, yet a header with one set is not.
    #[inline]
    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        let header = octets.first_chunk::<MIN_HEADER>()?;
        let timestamps = match header[12] {
            0x50 => None,
            0x80 => {
                let header = octets.first_chunk::<STAMPED>()?;
                if header[20..24] != ALIGNED_TIMESTAMPS {
                    return None;
                }
                Some(Timestamps { value: word(header, 24), echo: word(header, 28) })
            }
            _ => return None,
        };
        if Flags(header[13] & !Flags::PSH.0) != Flags::ACK {
            return None;
        }
        Some(Self {
            source_port: u16::from_be_bytes([header[0], header[1]]),
            destination_port: u16::from_be_bytes([header[2], header[3]]),
            sequence: SequenceNumber(word(header, 4)),
            acknowledgement: SequenceNumber(word(header, 8)),
            window: u16::from_be_bytes([header[14], header[15]]),
            timestamps,
        })
    }

    /// The header's length: where the payload begins.
    #[inline]
    pub(crate) const fn length(&self) -> usize {
        if self.timestamps.is_some() { STAMPED } else { MIN_HEADER }
    }

    /// The same with these control bits, for more to be added.
    pub(crate) fn segment(&self, flags: Flags) -> Segment {
        Segment {
            source_port: self.source_port,
            destination_port: self.destination_port,
            sequence: self.sequence,
            acknowledgement: self.acknowledgement,
            flags,
            window: self.window,
            options: Options { timestamps: self.timestamps, ..Options::NONE },
            ..Segment::default()
        }
    }

    /// Writes the header with these control bits and returns its length, as [`Segment::write`](super::Segment::write) does.
    #[inline]
    pub(crate) fn write(&self, flags: Flags, into: &mut [u8; MAX_HEADER]) -> usize {
        let length = self.length();
        into[0..2].copy_from_slice(&self.source_port.to_be_bytes());
        into[2..4].copy_from_slice(&self.destination_port.to_be_bytes());
        into[4..8].copy_from_slice(&self.sequence.0.to_be_bytes());
        into[8..12].copy_from_slice(&self.acknowledgement.0.to_be_bytes());
        into[12] = (length as u8 / 4) << 4;
        into[13] = flags.0;
        into[14..16].copy_from_slice(&self.window.to_be_bytes());
        into[16..20].fill(0);
        if let Some(timestamps) = self.timestamps {
            into[20..24].copy_from_slice(&ALIGNED_TIMESTAMPS);
            into[24..28].copy_from_slice(&timestamps.value.to_be_bytes());
            into[28..32].copy_from_slice(&timestamps.echo.to_be_bytes());
        }
        length
    }
}

#[inline]
fn word<const N: usize>(header: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_and_writes_what_segments_do(
            header: [u8; 32], stamped: bool, pushed: bool, lead: bool, rest in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut octets = [&header[..], &rest].concat();
            octets[12] = if stamped { 0x80 } else { 0x50 };
            octets[13] = 0x10 | u8::from(pushed) << 3;
            if lead {
                octets[20..24].copy_from_slice(&ALIGNED_TIMESTAMPS);
            }
            let whole = Segment::read(&octets).unwrap();
            let plain = Plain::read(&octets);
            prop_assert_eq!(plain.is_some(), lead || !stamped);
            let Some(plain) = plain else { return Ok(()) };
            let same = Segment {
                payload_start: plain.length() as u8,
                payload_length: (octets.len() - plain.length()) as u32,
                urgent_pointer: whole.urgent_pointer,
                ..plain.segment(whole.flags)
            };
            prop_assert_eq!(whole, same);
            let (mut here, mut there) = ([0xaa; MAX_HEADER], [0xbb; MAX_HEADER]);
            let length = plain.write(whole.flags, &mut here);
            prop_assert_eq!(Segment { urgent_pointer: 0, ..same }.write(&mut there), length);
            prop_assert_eq!(&here[..length], &there[..length]);
        }

        #[test]
        fn nothing_else_is_plain(octets in prop::collection::vec(any::<u8>(), 0..40), offset: u8, flags: u8) {
            let mut octets = octets;
            if let Some(fixed) = octets.get_mut(12..14) {
                fixed.copy_from_slice(&[offset, flags]);
            }
            if Plain::read(&octets).is_some() {
                prop_assert!(matches!(offset, 0x50 | 0x80) && matches!(flags, 0x10 | 0x18));
                prop_assert!(Segment::read(&octets).is_ok());
            }
        }
    }
}
