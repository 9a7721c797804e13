//! A pcap file of what a simulation sent (draft-ietf-opsawg-pcap), to be looked at with the usual tools.

use std::io::{Result, Write};

/// What the file says its packets begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkType {
    /// `LINKTYPE_ETHERNET`.
    Ethernet = 1,
    /// `LINKTYPE_RAW`: an IPv4 or IPv6 header.
    Ip = 101,
}

/// A capture file with nanoseconds.
#[derive(Debug)]
pub struct Capture<W> {
    to: W,
}

impl<W: Write> Capture<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(mut to: W, link_type: LinkType) -> Result<Self> {
        for word in [0xa1b2_3c4d_u32, 2 | 4 << 16, 0, 0, 65_535, link_type as u32] {
            to.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { to })
    }

    /// Adds a packet that was sent at this time, in nanoseconds.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, now: u64, packet: &[u8]) -> Result<()> {
        let length = packet.len() as u32;
        for word in [(now / 1_000_000_000) as u32, (now % 1_000_000_000) as u32, length, length] {
            self.to.write_all(&word.to_le_bytes())?;
        }
        self.to.write_all(packet)
    }

    /// Sees to it that all is written.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn flush(&mut self) -> Result<()> {
        self.to.flush()
    }
}
