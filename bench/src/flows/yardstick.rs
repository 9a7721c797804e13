//! The same pipeline on hashbrown: the same parser, rewriting, counters and states, but its flows stand in a hash map by
//! their whole tuples, once for each direction.
//!
//! It leaves out what the real one does for correctness and safety (owners, expiry, verdict kinds), so it is a
//! yardstick that errs in favour of hashbrown.

use evenkeel_datapath::counters::{Bounds, Counters, WorkerCounter};
use evenkeel_datapath::flow::{Direction, FlowState};
use evenkeel_datapath::flow_table::Entry;
use evenkeel_datapath::hash::{FlowHasher, Random};
use evenkeel_datapath::key::FlowKey;
use evenkeel_datapath::packet::{HeapPacket, Packet};
use evenkeel_datapath::plain::{PLAIN, Plain, Tuple};
use evenkeel_datapath::port::BURST;
use evenkeel_datapath::rewrite::{link_octets, pass_on_plain, translate_plain};
use evenkeel_datapath::snapshot::{Backend, BackendId, Mode, Service, Snapshot};
use evenkeel_datapath::time::Time;
use hashbrown::HashMap;

/// See the module.
#[derive(Debug)]
pub(super) struct Yardstick {
    index: HashMap<FlowKey, (u32, Direction), foldhash::fast::RandomState>,
    entries: Vec<Entry>,
    /// What it counts.
    counters: Counters,
    random: Random,
    parsed: Vec<Option<Plain>>,
}

impl Yardstick {
    /// Without flows, and with room for `flows` of them in `mode`.
    #[must_use]
    pub(super) fn new(flows: u32, bounds: Bounds, mode: Mode) -> Self {
        let keys = flows as usize * if mode == Mode::DsrMac { 1 } else { 2 };
        Self {
            index: HashMap::with_capacity_and_hasher(keys, foldhash::fast::RandomState::default()),
            entries: Vec::with_capacity(flows as usize),
            counters: Counters::new(bounds),
            random: Random::new(7),
            parsed: Vec::with_capacity(BURST),
        }
    }

    /// Octets of memory.
    #[must_use]
    pub(super) fn octets(&self) -> usize {
        self.index.allocation_size() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Forwards a burst; returns how many packets were.
    pub(super) fn forward(&mut self, snapshot: &Snapshot, now: Time, burst: &mut [HeapPacket]) -> usize {
        let mut parsed = std::mem::take(&mut self.parsed);
        parsed.clear();
        parsed.extend(burst.iter().map(|packet| {
            let own = snapshot.ports.get(usize::from(packet.port().0))?.mac.word();
            let frame = packet.bytes().first_chunk()?;
            Plain::read(frame, packet.total_len(), packet.received().ip_checksum, own)
        }));
        let mut sent = 0;
        for (packet, parsed) in burst.iter_mut().zip(&parsed) {
            let forwarded = parsed.as_ref().and_then(|plain| self.packet(snapshot, now, packet, plain));
            sent += usize::from(forwarded.is_some());
        }
        self.parsed = parsed;
        sent
    }

    fn packet(
        &mut self,
        snapshot: &Snapshot,
        now: Time,
        packet: &mut HeapPacket,
        plain: &Plain,
    ) -> Option<()> {
        let (at, direction) = match self.index.get(&plain.tuple.key()) {
            Some(&found) => found,
            None => (self.open(snapshot, now, plain)?, Direction::Forward),
        };
        let entry = self.entries.get_mut(at as usize)?;
        let flags = plain.tuple.is_tcp().then_some(plain.tcp_flags);
        let service = snapshot.service(entry.service)?;
        let backend = snapshot.backend(entry.backend)?;
        let state = entry.state.after(direction, flags, service.mode == Mode::DsrMac);
        if state != entry.state || now.wrapping_millis() != entry.last_seen_ms {
            entry.state = state;
            entry.last_seen_ms = now.wrapping_millis();
        }
        let entry = *entry;
        self.counters.add(WorkerCounter::Hits, 1);
        let (in_service, at_backend) = (entry.service.0, entry.backend.slot);
        self.counters.count_packet(direction, in_service, at_backend, u64::from(plain.length));
        let answer = answer(snapshot, service, backend, &entry);
        let (to, next_hop) = match direction {
            Direction::Forward => (answer.map(FlowKey::reversed), backend.next_hop?),
            Direction::Reverse => {
                let to =
                    FlowKey { source: service.vip, destination: entry.client(), protocol: service.protocol };
                (Some(to), snapshot.fib.lookup(entry.client_addr)?)
            }
        };
        let next_hop = snapshot.fib.next_hop(next_hop)?;
        let out = snapshot.ports.get(usize::from(next_hop.port.0))?;
        let link = link_octets(next_hop.mac, out.mac);
        let frame: &mut [u8; PLAIN] = packet.bytes_mut().first_chunk_mut()?;
        match to {
            Some(to) => {
                let to = Tuple::of(&to)?;
                translate_plain(frame, plain.tuple, (to.addresses(), to.ports()), &link);
            }
            None => pass_on_plain(frame, &link),
        }
        Some(())
    }

    fn open(&mut self, snapshot: &Snapshot, now: Time, plain: &Plain) -> Option<u32> {
        let key = &plain.tuple.key();
        let service_slot = *snapshot.vips.get(&(key.destination, key.protocol))?;
        let service = snapshot.service(service_slot)?;
        let slot = service.maglev.pick(FlowHasher::SHARED.hash(key))?;
        let backend = snapshot.backends.get(usize::from(slot))?.as_ref()?;
        let mut entry = Entry {
            client_addr: key.source.addr,
            client_port: key.source.port.to_be_bytes(),
            service: service_slot,
            backend: BackendId { slot, epoch: backend.epoch },
            state: FlowState::at_first(plain.tuple.is_tcp().then_some(plain.tcp_flags)),
            last_seen_ms: now.wrapping_millis(),
            ..Entry::default()
        };
        if self.entries.len() == self.entries.capacity() {
            return None;
        }
        let at = self.entries.len() as u32;
        loop {
            let (addr, port) = snapshot.local.draw(true, self.random.next())?;
            (entry.local_addr, entry.local_port) = (addr, port.to_be_bytes());
            let Some(answer) = answer(snapshot, service, backend, &entry) else { break };
            if !self.index.contains_key(&answer) {
                self.index.insert(answer, (at, Direction::Reverse));
                break;
            }
        }
        self.index.insert(*key, (at, Direction::Forward));
        self.entries.push(entry);
        Some(at)
    }
}

/// The tuple of the backend's packets; `None` where they do not come this way.
fn answer(snapshot: &Snapshot, service: &Service, backend: &Backend, entry: &Entry) -> Option<FlowKey> {
    let mut destination = entry.client();
    match service.mode {
        Mode::DsrMac | Mode::L7 => return None,
        Mode::Nat => {}
        Mode::FullNat => {
            destination.addr = snapshot.local.address(entry.local_addr)?;
            destination.port = u16::from_be_bytes(entry.local_port);
        }
    }
    Some(FlowKey { source: backend.endpoint, destination, protocol: service.protocol })
}
