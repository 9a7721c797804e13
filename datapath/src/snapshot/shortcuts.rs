//! What a snapshot says of IPv4 flows, laid out as [`crate::pipeline`] needs it for plain packets: a row for each backend and
//! each next hop, with everything that a packet is compared with and rewritten to.
//!
//! Invariant: a row is there only where a plain packet needs nothing else (the backend is active, everything is IPv4, the
//! way out completes no checksums); for all others forwarding goes by the snapshot itself, to the same end.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{BackendState, Mode, NextHopId, PortId, ServiceSlot, SnapshotParts};
use crate::key::{Addr, Protocol};
use crate::maglev::Maglev;
use crate::plain::End;

/// A backend, with its service.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(crate) struct Target {
    /// Its service.
    pub(crate) service: ServiceSlot,
    /// Which of the backends that ever had this slot.
    pub(crate) epoch: u16,
    /// Where clients find it.
    pub(crate) vip: End,
    /// Where it listens.
    pub(crate) endpoint: End,
    /// The way to it.
    pub(crate) next_hop: NextHopId,
    /// What its service speaks.
    pub(crate) protocol: Protocol,
    /// How packets reach it; `None` if this is no row to go by.
    pub(crate) mode: Option<Mode>,
}

/// A next hop, with what is needed of its port.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(crate) struct Hop {
    /// Destination and source of the Ethernet header.
    pub(crate) link: [u8; 12],
    /// Largest network-layer packet that may go this way, in octets; zero if this is no row to go by.
    pub(crate) mtu: u16,
    /// The port.
    pub(crate) port: PortId,
}

/// A service of IPv4 that new flows may be opened of.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    slot: ServiceSlot,
    pub(crate) mode: Mode,
    pub(crate) maglev: Arc<Maglev>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shortcuts {
    targets: Vec<Target>,
    hops: Vec<Hop>,
    /// From VIP and protocol to service.
    offers: HashMap<u64, Offer, foldhash::fast::FixedState>,
    local: Vec<u32>,
}

impl Shortcuts {
    /// Those of a snapshot.
    pub(super) fn of(snapshot: &SnapshotParts) -> Self {
        let hops: Vec<Hop> = snapshot
            .fib
            .next_hops()
            .iter()
            .map(|next_hop| {
                let out = snapshot.ports.get(usize::from(next_hop.port.0)).filter(|out| !out.offload.any());
                let mut link = [0; 12];
                link[..6].copy_from_slice(&next_hop.mac.0);
                link[6..].copy_from_slice(&out.map_or([0; 6], |out| out.mac.0));
                Hop { link, mtu: out.map_or(0, |_| next_hop.mtu), port: next_hop.port }
            })
            .collect();
        let offer = |(&(vip, protocol), &slot)| {
            let service = snapshot.service(slot)?;
            let maglev = Arc::clone(&service.maglev);
            Some((offer_key(End::of(&vip)?, protocol), Offer { slot, mode: service.mode, maglev }))
        };
        let slots = 0..u16::try_from(snapshot.backends.len()).unwrap_or(u16::MAX);
        Self {
            targets: slots.map(|slot| Target::of(snapshot, slot).unwrap_or(Target::NONE)).collect(),
            hops,
            offers: snapshot.vips.iter().filter_map(offer).collect(),
            local: snapshot.local.addresses.iter().map(Addr::v4_word).collect(),
        }
    }

    /// The backend in this slot.
    #[inline(always)]
    pub(crate) fn target(&self, slot: u16) -> Option<&Target> {
        self.targets.get(usize::from(slot))
    }

    /// The service at this VIP.
    #[inline(always)]
    pub(crate) fn offer(&self, vip: End, protocol: Protocol) -> Option<(ServiceSlot, &Offer)> {
        self.offers.get(&offer_key(vip, protocol)).map(|offer| (offer.slot, offer))
    }

    /// The next hop with this id.
    #[inline(always)]
    pub(crate) fn hop(&self, id: NextHopId) -> Option<&Hop> {
        self.hops.get(usize::from(id.0))
    }

    /// The address with this index that full NAT sends from, as in [`End::new`]. Flows to IPv4 backends name only IPv4 ones.
    #[inline(always)]
    pub(crate) fn local(&self, index: u8) -> Option<u32> {
        self.local.get(usize::from(index)).copied()
    }
}

const fn offer_key(vip: End, protocol: Protocol) -> u64 {
    vip.word() | (protocol as u64) << 48
}

impl Target {
    const NONE: Self = Self {
        service: ServiceSlot(0),
        epoch: 0,
        vip: End::new(0, 0),
        endpoint: End::new(0, 0),
        next_hop: NextHopId(0),
        protocol: Protocol::Tcp,
        mode: None,
    };

    fn of(snapshot: &SnapshotParts, slot: u16) -> Option<Self> {
        let backend = snapshot.backends.get(usize::from(slot))?.as_ref()?;
        let service = snapshot.service(backend.service)?;
        let is_active = backend.state == BackendState::Active;
        Some(Self {
            service: backend.service,
            epoch: backend.epoch,
            vip: End::of(&service.vip)?,
            endpoint: End::of(&backend.endpoint)?,
            next_hop: backend.next_hop?,
            protocol: service.protocol,
            mode: is_active.then_some(service.mode),
        })
    }
}
