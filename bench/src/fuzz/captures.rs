//! The captures that `evenkeel replay` reads.

use std::io::{self, Read};

use evenkeel_datapath::pcap::{Error, Reader, Record, Resolution, Writer};

/// The first octet says how many octets a read gets at most, the rest is the file.
///
/// What must hold: what is read lies in the file, and is the same however it comes; an error has something to say; and
/// records that are written again read back.
pub fn pcap(data: &[u8]) {
    let Some((most, file)) = data.split_first() else { return };
    let capture = Capture::read(file);
    assert_eq!(capture, Capture::read(InPieces { rest: file, most: usize::from(*most).max(1) }));
    let octets: usize = capture.records.iter().map(|record| record.frame.len() + 16).sum();
    assert!(capture.records.is_empty() || 24 + octets <= file.len(), "{capture:?}");
    assert_ne!(capture.error.as_deref(), Some(""));
    if let Some(resolution) = capture.resolution {
        let again = Capture::read(&written(&capture.records, resolution)[..]);
        assert_eq!((again.resolution, &again.error), (Some(resolution), &None));
        assert_eq!(again.records.len(), capture.records.len());
        for (again, record) in again.records.iter().zip(&capture.records) {
            // The seconds have 32 bits, which a fraction of more than a second can carry into a 33rd.
            let fits = u32::try_from(record.nanos / 1_000_000_000).is_ok();
            assert!(again.frame == record.frame && (again.nanos == record.nanos || !fits), "{record:?}");
        }
    }
}

/// All that can be read of a file.
#[derive(Debug, PartialEq, Eq)]
struct Capture {
    resolution: Option<Resolution>,
    records: Vec<Record>,
    error: Option<String>,
}

impl Capture {
    fn read(file: impl Read) -> Self {
        let mut capture = Self { resolution: None, records: Vec::new(), error: None };
        capture.error = capture.read_on(file).err().map(|error| error.to_string());
        capture
    }

    fn read_on(&mut self, file: impl Read) -> Result<(), Error> {
        let mut reader = Reader::new(file)?;
        self.resolution = Some(reader.resolution());
        while let Some(record) = reader.next()? {
            self.records.push(record);
        }
        Ok(())
    }
}

fn written(records: &[Record], resolution: Resolution) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, resolution).expect("memory takes everything");
    for record in records {
        writer.write(record.nanos, &record.frame).expect("memory takes everything");
    }
    writer.finish().expect("memory takes everything");
    file
}

/// A file that comes a few octets at a time, as from a pipe.
struct InPieces<'a> {
    rest: &'a [u8],
    most: usize,
}

impl Read for InPieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.most);
        self.rest.read(&mut buffer[..room])
    }
}
