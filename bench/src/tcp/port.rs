//! What the relay moves packets between.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, ensure};
use tun_rs::SyncDevice;

use crate::hosts::{Application, Host};
use crate::network::Endpoint;

/// An end of the relay. Packets begin with their IP header. Nothing here ever waits.
pub trait Port {
    /// Takes the next packet that this end sends now into `packet`; false if there is none.
    ///
    /// # Errors
    /// When the end is gone.
    fn take(&mut self, now: u64, packet: &mut Vec<u8>) -> Result<bool>;

    /// Hands it a packet.
    ///
    /// # Errors
    /// When the end is gone.
    fn give(&mut self, now: u64, packet: &[u8]) -> Result<()>;

    /// When it may send though it is given nothing.
    fn deadline(&self) -> Option<u64> {
        None
    }

    /// What becomes readable when it sends otherwise.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// True if nothing more is wanted of this end.
    fn is_done(&self) -> bool {
        false
    }
}

impl<P: Port + ?Sized> Port for &mut P {
    fn take(&mut self, now: u64, packet: &mut Vec<u8>) -> Result<bool> {
        (**self).take(now, packet)
    }

    fn give(&mut self, now: u64, packet: &[u8]) -> Result<()> {
        (**self).give(now, packet)
    }

    fn deadline(&self) -> Option<u64> {
        (**self).deadline()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (**self).descriptor()
    }

    fn is_done(&self) -> bool {
        (**self).is_done()
    }
}

impl<A: Application> Port for Host<A> {
    fn take(&mut self, now: u64, packet: &mut Vec<u8>) -> Result<bool> {
        let sent = self.transmit(now);
        let is_there = sent.is_some();
        *packet = sent.unwrap_or_default();
        Ok(is_there)
    }

    fn give(&mut self, now: u64, packet: &[u8]) -> Result<()> {
        Host::take(self, now, packet);
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        Endpoint::deadline(self)
    }

    fn is_done(&self) -> bool {
        self.application.is_done()
    }
}

/// Two servers at one end, whose flows have ports in turn: the first one's, and then the other one's.
pub(super) struct Alternate<A, B> {
    pub(super) first_port: u16,
    pub(super) first: A,
    pub(super) second: B,
    /// Which of them may send next: nobody's packets wait for the other's.
    pub(super) is_turn_of_second: bool,
}

impl<A: Port, B: Port> Port for Alternate<A, B> {
    fn take(&mut self, now: u64, packet: &mut Vec<u8>) -> Result<bool> {
        for _ in 0..2 {
            self.is_turn_of_second ^= true;
            let is_there = if self.is_turn_of_second {
                self.first.take(now, packet)?
            } else {
                self.second.take(now, packet)?
            };
            if is_there {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn give(&mut self, now: u64, packet: &[u8]) -> Result<()> {
        match ports(packet) {
            Some((_, port)) if port.wrapping_sub(self.first_port) % 2 == 0 => self.first.give(now, packet),
            Some(_) => self.second.give(now, packet),
            None => Ok(()),
        }
    }

    fn deadline(&self) -> Option<u64> {
        [self.first.deadline(), self.second.deadline()].into_iter().flatten().min()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.first.descriptor().or_else(|| self.second.descriptor())
    }
}

const HEADER: usize = 14;
const MTU: usize = 1_500;

/// A TAP device, on whose far side the kernel is.
pub struct Tap {
    device: SyncDevice,
    to_kernel: [u8; HEADER + MTU],
    from_kernel: Vec<u8>,
}

impl Tap {
    pub(super) fn new(device: SyncDevice, kernel: [u8; 6], other: [u8; 6]) -> Self {
        let mut to_kernel = [0; HEADER + MTU];
        to_kernel[..6].copy_from_slice(&kernel);
        to_kernel[6..12].copy_from_slice(&other);
        Self { device, to_kernel, from_kernel: vec![0; 1 << 16] }
    }
}

impl Port for Tap {
    fn take(&mut self, _: u64, packet: &mut Vec<u8>) -> Result<bool> {
        loop {
            match self.device.recv(&mut self.from_kernel) {
                Ok(length) => {
                    let Some(octets) = self.from_kernel.get(HEADER..length) else { continue };
                    ensure!(octets.len() <= MTU, "the kernel sends {} octets: offload is on", octets.len());
                    if is_tcp(octets) {
                        packet.clear();
                        packet.extend_from_slice(octets);
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("cannot read from the TAP device"),
            }
        }
    }

    fn give(&mut self, _: u64, packet: &[u8]) -> Result<()> {
        let kind: [u8; 2] =
            if packet.first().is_some_and(|octet| octet >> 4 == 6) { [0x86, 0xdd] } else { [8, 0] };
        self.to_kernel[12..HEADER].copy_from_slice(&kind);
        let Some(room) = self.to_kernel.get_mut(HEADER..HEADER + packet.len()) else {
            return Err(io::Error::from(ErrorKind::InvalidInput)).context("a packet is larger than the MTU");
        };
        room.copy_from_slice(packet);
        self.device
            .send(&self.to_kernel[..HEADER + packet.len()])
            .context("cannot write to the TAP device")?;
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.device.as_fd())
    }
}

/// True for TCP, and not for what the kernel says to find its neighbours.
fn is_tcp(packet: &[u8]) -> bool {
    const TCP: u8 = 6;
    match packet.first().map(|octet| octet >> 4) {
        Some(4) => packet.get(9) == Some(&TCP),
        Some(6) => packet.get(6) == Some(&TCP),
        _ => false,
    }
}

/// Source and destination port of a packet with TCP in it.
pub(super) fn ports(packet: &[u8]) -> Option<(u16, u16)> {
    let header = match packet.first()? {
        octet if octet >> 4 == 6 => 40,
        octet => usize::from(octet & 15) * 4,
    };
    let octets = packet.get(header..header + 4)?;
    Some((u16::from_be_bytes([octets[0], octets[1]]), u16::from_be_bytes([octets[2], octets[3]])))
}
