//! What a snapshot says of IPv4 flows, laid out as [`crate::pipeline`] needs it for plain packets: a row for each backend and
//! each next hop, with everything that a packet is compared with and rewritten to.
//!
//! Invariant: a row is there only where a plain packet needs nothing else (the backend is active, everything is IPv4, the
//! way out completes no checksums); for all others forwarding goes by the snapshot itself, to the same end.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{BackendState, Mode, NextHopId, PortId, PortInfo, ServiceSlot, SnapshotParts};
use crate::flow::{Direction, FlowState};
use crate::key::{Addr, Protocol};
use crate::maglev::Maglev;
use crate::pipeline::Verdict;
use crate::plain::{End, Tuple};
use crate::rewrite::link_octets;

/// A backend, with its service.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Target {
    /// From nobody to where clients find it.
    pub(crate) vip: Tuple,
    /// From nobody to where it listens.
    pub(crate) endpoint: Tuple,
    /// Its service.
    pub(crate) service: ServiceSlot,
    /// Which of the backends that ever had this slot.
    pub(crate) epoch: u16,
    /// In which states a quiet packet changes nothing about a flow, by number, forward and reverse: in none if this is no
    /// row to go by.
    steady: [u16; 2],
    /// How packets reach it; `None` if this is no row to go by.
    pub(crate) mode: Option<Mode>,
    /// True with full NAT.
    pub(crate) is_full_nat: bool,
    /// True with DSR.
    pub(crate) is_one_sided: bool,
    /// The way to it.
    pub(crate) hop: Hop,
}

/// A next hop, with what is needed of its port.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(crate) struct Hop {
    /// Destination and source of the Ethernet header.
    pub(crate) link: [u8; 12],
    /// Largest network-layer packet that may go this way, in octets; zero if this is no row to go by.
    pub(crate) mtu: u16,
    /// Send it by that port.
    pub(crate) verdict: Verdict,
}

/// A port, as far as packets from it are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    /// Its address: [`MacAddress::word`].
    pub(crate) own: u64,
    /// True if checksums of TCP and UDP are to be trusted, where the port does not say otherwise.
    pub(crate) is_trusted: bool,
}

impl Input {
    const fn of(port: &PortInfo) -> Self {
        Self { own: port.mac.word(), is_trusted: !port.recompute_checksums }
    }
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
    inputs: Vec<Input>,
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
                let link = link_octets(next_hop.mac, out.map(|out| out.mac).unwrap_or_default());
                Hop { link, mtu: out.map_or(0, |_| next_hop.mtu), verdict: Verdict::Transmit(next_hop.port) }
            })
            .collect();
        let offer = |(&(vip, protocol), &slot)| {
            let service = snapshot.service(slot)?;
            let maglev = Arc::clone(&service.maglev);
            Some((offer_key(End::of(&vip)?, protocol), Offer { slot, mode: service.mode, maglev }))
        };
        let slots = 0..u16::try_from(snapshot.backends.len()).unwrap_or(u16::MAX);
        Self {
            targets: slots.map(|slot| Target::of(snapshot, &hops, slot).unwrap_or(Target::NONE)).collect(),
            hops,
            inputs: snapshot.ports.iter().map(Input::of).collect(),
            offers: snapshot.vips.iter().filter_map(offer).collect(),
            local: snapshot.local.addresses.iter().map(Addr::v4_word).collect(),
        }
    }

    /// The backend in this slot.
    #[inline(always)]
    pub(crate) fn target(&self, slot: u16) -> Option<&Target> {
        self.targets.get(usize::from(slot))
    }

    /// The port.
    #[inline(always)]
    pub(crate) fn input(&self, port: PortId) -> Option<&Input> {
        self.inputs.get(usize::from(port.0))
    }

    /// The service that packets with this tuple are for.
    #[inline(always)]
    pub(crate) fn offer(&self, tuple: Tuple) -> Option<(ServiceSlot, &Offer)> {
        self.offers.get(&offer_key(tuple.destination(), tuple.protocol())).map(|offer| (offer.slot, offer))
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
    vip.address() as u64 | (vip.port() as u64) << 32 | (protocol as u64) << 48
}

impl Target {
    const NONE: Self = Self {
        vip: Tuple::new(End::new(0, 0), End::new(0, 0), Protocol::Tcp),
        endpoint: Tuple::new(End::new(0, 0), End::new(0, 0), Protocol::Tcp),
        service: ServiceSlot(0),
        epoch: 0,
        steady: [0; 2],
        mode: None,
        is_full_nat: false,
        is_one_sided: false,
        hop: Hop { link: [0; 12], mtu: 0, verdict: Verdict::Transmit(PortId(0)) },
    };

    fn of(snapshot: &SnapshotParts, hops: &[Hop], slot: u16) -> Option<Self> {
        let backend = snapshot.backends.get(usize::from(slot))?.as_ref()?;
        if backend.state != BackendState::Active {
            return None;
        }
        let service = snapshot.service(backend.service).filter(|service| service.mode != Mode::L7)?;
        let to = |end| Some(Tuple::new(End::default(), End::of(end)?, service.protocol));
        let steady = |direction| {
            let is_steady = |state: &&FlowState| state.is_steady(direction, service.mode == Mode::DsrMac);
            FlowState::ALL.iter().filter(is_steady).fold(0, |all, &state| all | 1 << state as u16)
        };
        Some(Self {
            vip: to(&service.vip)?,
            endpoint: to(&backend.endpoint)?,
            service: backend.service,
            epoch: backend.epoch,
            steady: [steady(Direction::Forward), steady(Direction::Reverse)],
            mode: Some(service.mode),
            is_full_nat: service.mode == Mode::FullNat,
            is_one_sided: service.mode == Mode::DsrMac,
            hop: *hops.get(usize::from(backend.next_hop?.0))?,
        })
    }

    /// The tuple of its packets to `to`.
    #[inline(always)]
    pub(crate) const fn answer_to(&self, to: End) -> Tuple {
        self.endpoint.from(to).reversed()
    }

    /// True if a quiet packet in this direction leaves the state of a flow as it is ([`FlowState::is_steady`]).
    #[inline(always)]
    pub(crate) const fn is_steady(&self, state: FlowState, direction: Direction) -> bool {
        self.steady[direction as usize] >> state as u16 & 1 == 1
    }
}
