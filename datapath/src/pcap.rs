//! Classic pcap files (draft-ietf-opsawg-pcap): both byte orders, microseconds and nanoseconds, Ethernet only.
//!
//! A file is a stranger's: lengths are bounded before memory is taken for them, and every error names the offset.

use std::io::{self, ErrorKind, Read, Write};

/// No record holds more: `MAXIMUM_SNAPLEN` of libpcap.
pub const MAX_RECORD: u32 = 262_144;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const ETHERNET: u32 = 1;
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// Why a capture cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It begins with this.
    #[error("it is no pcap file: it begins with {0:08x}")]
    Magic(u32),
    /// It is of the newer kind.
    #[error("it is a pcapng file; convert it with `editcap -F pcap IN OUT`")]
    NextGeneration,
    /// Its frames are not Ethernet's.
    #[error("its link type is {0}, and only Ethernet (1) can be replayed")]
    LinkType(u32),
    /// It ends amid something.
    #[error("the file ends inside the {what} at offset {offset}")]
    Truncated {
        /// What is cut short.
        what: &'static str,
        /// Where that begins.
        offset: u64,
    },
    /// A length that no record has.
    #[error(
        "the record at offset {offset} claims {length} octets, and no more than {MAX_RECORD} are possible"
    )]
    TooLong {
        /// Where the record begins.
        offset: u64,
        /// The length that it claims.
        length: u32,
    },
}

/// What a record's fraction of a second counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// Microseconds.
    Micro,
    /// Nanoseconds.
    Nano,
}

impl Resolution {
    const fn nanos(self) -> u64 {
        match self {
            Self::Micro => 1_000,
            Self::Nano => 1,
        }
    }
}

/// One packet of a capture.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds since 1970.
    pub nanos: u64,
    /// What was captured of it.
    pub frame: Vec<u8>,
    /// How many octets it had on the wire.
    pub wire_len: u32,
}

/// Reads a capture from its beginning.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    offset: u64,
    is_big_endian: bool,
    resolution: Resolution,
}

impl<R: Read> Reader<R> {
    /// Reads the file header.
    ///
    /// # Errors
    /// It is no capture that can be replayed.
    pub fn new(mut from: R) -> Result<Self, Error> {
        let mut header = [0; FILE_HEADER];
        if !fill(&mut from, &mut header, 0, "file header")? {
            return Err(Error::Truncated { what: "file header", offset: 0 });
        }
        let magic = word(&header, 0, false);
        let (is_big_endian, resolution) = match (magic, magic.swap_bytes()) {
            (MICROSECONDS, _) => (false, Resolution::Micro),
            (NANOSECONDS, _) => (false, Resolution::Nano),
            (_, MICROSECONDS) => (true, Resolution::Micro),
            (_, NANOSECONDS) => (true, Resolution::Nano),
            (0x0a0d_0d0a, _) => return Err(Error::NextGeneration),
            (_, shown) => return Err(Error::Magic(shown)),
        };
        // The upper bits say whether frames end with a checksum; the type is in the lower 16.
        let link_type = word(&header, 20, is_big_endian) & 0xffff;
        if link_type != ETHERNET {
            return Err(Error::LinkType(link_type));
        }
        Ok(Self { from, offset: FILE_HEADER as u64, is_big_endian, resolution })
    }

    /// What the capture's times are counted in.
    #[must_use]
    pub const fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// It ends amid a record, or claims one that cannot be.
    #[allow(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Record>, Error> {
        let mut header = [0; RECORD_HEADER];
        if !fill(&mut self.from, &mut header, self.offset, "record header")? {
            return Ok(None);
        }
        let field = |at| word(&header, at, self.is_big_endian);
        let length = field(8);
        if length > MAX_RECORD {
            return Err(Error::TooLong { offset: self.offset, length });
        }
        let mut frame = vec![0; length as usize];
        if !frame.is_empty() && !fill(&mut self.from, &mut frame, self.offset, "record")? {
            return Err(Error::Truncated { what: "record", offset: self.offset });
        }
        self.offset += RECORD_HEADER as u64 + u64::from(length);
        let nanos = u64::from(field(0)) * 1_000_000_000 + u64::from(field(4)) * self.resolution.nanos();
        Ok(Some(Record { nanos, frame, wire_len: field(12) }))
    }
}

/// Fills `buffer`; false at the end of the file, an error amid the buffer.
fn fill(from: &mut impl Read, buffer: &mut [u8], offset: u64, what: &'static str) -> Result<bool, Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(Error::Truncated { what, offset }),
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// The 32-bit word at `at`, which is within every header that it is asked of.
fn word(header: &[u8], at: usize, is_big_endian: bool) -> u32 {
    let mut octets = [0; 4];
    octets.copy_from_slice(&header[at..at + 4]);
    if is_big_endian { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) }
}

/// Writes a capture, little-endian.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    resolution: Resolution,
}

impl<W: Write> Writer<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut to: W, resolution: Resolution) -> io::Result<Self> {
        let magic = match resolution {
            Resolution::Micro => MICROSECONDS,
            Resolution::Nano => NANOSECONDS,
        };
        for (word, octets) in [(magic, 4), (2, 2), (4, 2), (0, 4), (0, 4), (MAX_RECORD, 4), (ETHERNET, 4)] {
            to.write_all(&word.to_le_bytes()[..octets])?;
        }
        Ok(Self { to, resolution })
    }

    /// Writes one frame, sent at `nanos` since 1970.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, nanos: u64, frame: &[u8]) -> io::Result<()> {
        let frame = frame.get(..MAX_RECORD as usize).unwrap_or(frame);
        let length = u32::try_from(frame.len()).unwrap_or(MAX_RECORD);
        let seconds = u32::try_from(nanos / 1_000_000_000).unwrap_or(u32::MAX);
        let fraction = u32::try_from(nanos % 1_000_000_000 / self.resolution.nanos()).unwrap_or(0);
        for word in [seconds, fraction, length, length] {
            self.to.write_all(&word.to_le_bytes())?;
        }
        self.to.write_all(frame)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(magic: u32, link_type: u32, is_big_endian: bool, records: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let word = |word: u32| if is_big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        let half = |half: u16| if is_big_endian { half.to_be_bytes() } else { half.to_le_bytes() };
        let mut file = Vec::new();
        file.extend(word(magic));
        file.extend([half(2), half(4)].concat());
        file.extend([word(0), word(0), word(65_535), word(link_type)].concat());
        for (seconds, fraction, length, frame) in records {
            file.extend([word(*seconds), word(*fraction), word(*length), word(*length + 4)].concat());
            file.extend_from_slice(frame);
        }
        file
    }

    fn read(file: &[u8]) -> Result<Vec<Record>, Error> {
        let mut reader = Reader::new(file)?;
        let mut records = Vec::new();
        while let Some(record) = reader.next()? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn both_byte_orders_and_both_resolutions_are_read() {
        for (magic, is_big_endian, nanos) in [
            (MICROSECONDS, false, 7_000_005_000),
            (MICROSECONDS, true, 7_000_005_000),
            (NANOSECONDS, false, 7_000_000_005),
            (NANOSECONDS, true, 7_000_000_005),
        ] {
            let records = read(&file(magic, 1, is_big_endian, &[(7, 5, 3, b"abc"), (7, 5, 0, b"")])).unwrap();
            assert_eq!(records[0], Record { nanos, frame: b"abc".to_vec(), wire_len: 7 });
            assert_eq!(records[1], Record { nanos, frame: Vec::new(), wire_len: 4 });
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for resolution in [Resolution::Micro, Resolution::Nano] {
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes, resolution).unwrap();
            writer.write(3_000_002_000, b"frame").unwrap();
            writer.finish().unwrap();
            let records = read(&bytes).unwrap();
            assert_eq!(records, [Record { nanos: 3_000_002_000, frame: b"frame".to_vec(), wire_len: 5 }]);
        }
    }

    #[test]
    fn hostile_files_get_an_error_that_names_the_offset() {
        let good = file(MICROSECONDS, 1, false, &[(1, 0, 3, b"abc"), (1, 0, 3, b"abc")]);
        for (bytes, message) in [
            (&good[..0], "the file ends inside the file header at offset 0"),
            (&good[..10], "the file ends inside the file header at offset 0"),
            (&good[..30], "the file ends inside the record header at offset 24"),
            (&good[..40], "the file ends inside the record at offset 24"),
            (&good[..60], "the file ends inside the record at offset 43"),
            (&[0x0a; 24], "it is no pcap file: it begins with 0a0a0a0a"),
            (
                &file(0x0a0d_0d0a, 1, false, &[]),
                "it is a pcapng file; convert it with `editcap -F pcap IN OUT`",
            ),
            (
                &file(NANOSECONDS, 113, true, &[]),
                "its link type is 113, and only Ethernet (1) can be replayed",
            ),
            (
                &file(NANOSECONDS, 1, true, &[(0, 0, 0x7fff_ffff, b"")]),
                "the record at offset 24 claims 2147483647 octets, and no more than 262144 are possible",
            ),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn every_cut_and_every_changed_octet_ends_in_records_or_an_error() {
        let good = file(NANOSECONDS, 1, true, &[(1, 0, 3, b"abc"), (2, 9, 5, b"fghij")]);
        for at in 0..good.len() {
            assert!(read(&good[..at]).map_or(true, |records| records.len() < 2));
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                assert!(read(&changed).map_or(true, |records| records.len() <= 2));
            }
        }
    }
}
