//! Which worker owns a packet: one function, the same on every core and in both directions of a flow.
//!
//! - By *software*, the client's end decides: the source of packets to a VIP, the destination of answers. With full NAT
//!   the local end stands for the client in answers, and its port is chosen so that the worker owns it.
//! - By *RSS*, the device's hash of the whole tuple decides, and local ports are chosen to suit; only NAT that keeps
//!   the client's address, whose answers have a tuple nobody chose, goes by the client's end here too.
//!
//! An ICMP error is owned like a packet that would answer the quoted one, which is what its key says.

use crate::hash::FlowHasher;
use crate::key::{Endpoint, FlowKey};
use crate::port::PortCapabilities;
use crate::snapshot::{Mode, SnapshotParts, WorkerId};

/// How packets find their worker.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Steering {
    /// There is one worker.
    #[default]
    Single,
    /// A hash of ours over the client's end.
    Software {
        /// Number of workers.
        workers: u8,
    },
    /// The devices' hash.
    Rss {
        /// The Toeplitz key.
        key: Vec<u8>,
        /// From hash to worker; a power of two long.
        reta: Vec<u8>,
        /// Number of workers.
        workers: u8,
    },
}

impl Steering {
    /// By RSS if every port has it, all with one key and table; else by software.
    #[must_use]
    pub fn choose(workers: u8, ports: &[PortCapabilities]) -> Self {
        if workers <= 1 {
            return Self::Single;
        }
        let mut all = ports.iter().map(|port| port.rss.as_ref());
        if let Some(Some(first)) = all.next()
            && all.all(|other| other == Some(first))
            && first.reta.len().is_power_of_two()
            && let Some(reta) =
                first.reta.iter().map(|&queue| u8::try_from(queue).ok()).collect::<Option<Vec<_>>>()
            && reta.iter().all(|&worker| worker < workers)
        {
            return Self::Rss { key: first.key.clone(), reta, workers };
        }
        Self::Software { workers }
    }

    /// Number of workers.
    #[must_use]
    pub const fn workers(&self) -> u8 {
        match self {
            Self::Single => 1,
            Self::Software { workers } | Self::Rss { workers, .. } => *workers,
        }
    }

    /// True where there is one worker.
    #[must_use]
    #[inline(always)]
    pub const fn is_single(&self) -> bool {
        matches!(self, Self::Single)
    }

    /// The owner of a packet with this key, TCP or UDP; `None` if it belongs to no service, so that whoever has it keeps it.
    /// `rss_hash` is the device's hash of this very tuple, where it is known.
    #[must_use]
    pub fn owner(&self, snapshot: &SnapshotParts, key: &FlowKey, rss_hash: Option<u32>) -> Option<WorkerId> {
        if matches!(self, Self::Single) {
            return None;
        }
        if snapshot.vip_addresses.contains(&key.destination.addr) {
            let keeps_client = || {
                let slot = snapshot.vips.get(&(key.destination, key.protocol));
                slot.and_then(|&slot| snapshot.service(slot)).is_some_and(|service| service.mode == Mode::Nat)
            };
            return Some(self.of_side(key, key.source, keeps_client, rss_hash));
        }
        let from_nat_backend = snapshot.nat_endpoints.contains(&(key.source, key.protocol));
        if from_nat_backend || snapshot.local.contains(key.destination) {
            return Some(self.of_side(key, key.destination, || from_nat_backend, rss_hash));
        }
        None
    }

    /// The owner of the answer to a packet that full NAT would send: `key` is the answer's.
    #[must_use]
    pub fn owner_of_answer(&self, key: &FlowKey) -> Option<WorkerId> {
        match self {
            Self::Single => None,
            _ => Some(self.of_side(key, key.destination, || false, None)),
        }
    }

    fn of_side(
        &self,
        key: &FlowKey,
        client: Endpoint,
        keeps_client: impl FnOnce() -> bool,
        rss_hash: Option<u32>,
    ) -> WorkerId {
        match self {
            Self::Rss { key: toeplitz_key, reta, .. } if !keeps_client() => {
                let hash = rss_hash.unwrap_or_else(|| toeplitz(toeplitz_key, key));
                let index = hash as usize & (reta.len() - 1);
                WorkerId(reta.get(index).copied().unwrap_or_default())
            }
            Self::Single => WorkerId(0),
            Self::Software { workers } | Self::Rss { workers, .. } => {
                let hash = FlowHasher::SHARED.hash_endpoint(client) >> 32;
                WorkerId(((hash * u64::from(*workers)) >> 32) as u8)
            }
        }
    }
}

/// The RSS hash of a tuple: addresses and ports, in the order of the wire (Microsoft, "RSS hashing types").
#[must_use]
pub fn toeplitz(key: &[u8], tuple: &FlowKey) -> u32 {
    let mut hash = Toeplitz { key, at: 0, hash: 0 };
    for addr in [&tuple.source.addr, &tuple.destination.addr] {
        if addr.is_v4() { hash.add(&addr.v4_octets()) } else { hash.add(&addr.octets()) }
    }
    hash.add(&tuple.source.port.to_be_bytes());
    hash.add(&tuple.destination.port.to_be_bytes());
    hash.hash
}

struct Toeplitz<'a> {
    key: &'a [u8],
    at: usize,
    hash: u32,
}

impl Toeplitz<'_> {
    fn add(&mut self, octets: &[u8]) {
        for &octet in octets {
            // The 40 bits of the key at this octet: 32 for each of its 8 bits.
            let window = (0..5).fold(0_u64, |window, index| {
                window << 8 | u64::from(self.key.get(self.at + index).copied().unwrap_or(0))
            });
            for bit in 0..8 {
                if octet & (0x80 >> bit) != 0 {
                    self.hash ^= (window >> (8 - bit)) as u32;
                }
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::key::Protocol;

    /// The key of Microsoft's verification suite, which most drivers use by default.
    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    #[test]
    fn toeplitz_agrees_with_the_verification_suite() {
        // "Verifying the RSS hash calculation", Windows driver documentation.
        let cases = [
            ("66.9.149.187:2794", "161.142.100.80:1766", 0x51cc_c178),
            ("199.92.111.2:14230", "65.69.140.83:4739", 0xc626_b0ea),
            ("[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x4020_7d3d),
            ("[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0xdde5_1bbf),
        ];
        for (source, destination, expected) in cases {
            let end = |text: &str| Endpoint::from(text.parse::<SocketAddr>().unwrap());
            let key = FlowKey { source: end(source), destination: end(destination), protocol: Protocol::Tcp };
            assert_eq!(toeplitz(&KEY, &key), expected, "{source} to {destination}");
        }
    }
}
