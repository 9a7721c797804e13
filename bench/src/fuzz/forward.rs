//! The datapath under arbitrary events, against a model of which flow went where.
//!
//! The model knows a flow by the client's tuple: what its packets looked like on the backends' side and which backend
//! that was. It needs to know nothing else, since workers count what they open: a packet that goes to a backend while no
//! flow is opened (and none answered from Maglev for want of room) goes where the flow's last one went.

use std::sync::Arc;

use evenkeel_datapath::key::FlowKey;
use evenkeel_datapath::snapshot::{BackendId, BackendState, Mode, PortId, SnapshotParts};
use evenkeel_datapath::time::Time;

use super::bursts;
use super::events::{Event, Talk};
use super::fleet::{Fleet, Totals};
use super::frames::{self, Frame, RST, Seen};
use super::input::Input;
use super::network::{
    self, BACKEND_SIDE, CLIENT_SIDE, GATEWAY, MACS, SERVICES, backend_of, put_backend, rebuild,
    toggle_service, vip,
};

/// The first octet chooses the setup, the rest are events: through a pipeline in bursts, or through one to three workers
/// with a model beside them.
///
/// What must hold: no panic; every packet has one fate; the table holds what was opened and not closed; a flow's packets
/// reach the backend that it was assigned to, and its answers the client; what arrives right is sent right.
pub fn forward(data: &[u8]) {
    let mut input = Input::new(data);
    let setup = input.octet();
    if setup & 0x80 == 0 { Balancer::new(setup).run(input) } else { bursts::run(setup, input) }
}

/// A flow as it was seen last.
#[derive(Clone, Copy, Debug)]
struct Flow {
    /// What the client sends.
    key: FlowKey,
    service: usize,
    backend: BackendId,
    /// What the backend was sent.
    sent: Seen,
}

struct Balancer {
    fleet: Fleet,
    snapshot: SnapshotParts,
    /// Of each slot: the latest epoch, and whether it is its second backend's.
    epochs: Vec<(u16, bool)>,
    flows: Vec<Flow>,
    now: Time,
}

impl Balancer {
    fn new(setup: u8) -> Self {
        let snapshot = network::of_setup(setup);
        let fleet = Fleet::new(setup, &Arc::new(snapshot.clone().into()));
        let epochs = vec![(1, false); snapshot.backends.len()];
        Self { fleet, snapshot, epochs, flows: Vec::new(), now: Time(1_000_000_000_000) }
    }

    fn run(mut self, mut input: Input<'_>) {
        while let Some(event) = Event::next(&mut input) {
            self.take(event);
            self.fleet.check();
        }
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::FromClient { service, client, talk } => self.send_from_client(service, client, &talk),
            Event::FromBackend { flow, talk } => {
                if let Some(&flow) = self.flows.get(flow % self.flows.len().max(1)) {
                    self.send_from_backend(&flow, &talk);
                }
            }
            Event::Error { flow, from_backend, quote } => {
                if let Some(&flow) = self.flows.get(flow % self.flows.len().max(1)) {
                    self.send_error(&flow, from_backend, quote);
                }
            }
            Event::Raw { port, kind, octets } => {
                let frame = [&MACS[port].0[..], &GATEWAY.0, &kind, octets].concat();
                self.unknown(|fleet, now| {
                    fleet.deliver(PortId(port as u8), [frame], 0, now);
                });
            }
            Event::Burst { service, first, count, flags } => {
                let frames: Vec<Vec<u8>> = (0..count)
                    .map(|n| network::client_frame(service, first.wrapping_add(n), flags, 64, &[]).bytes())
                    .collect();
                self.unknown(|fleet, now| {
                    for (_, packet) in fleet.deliver(CLIENT_SIDE, frames, usize::from(first), now) {
                        frames::read(&packet);
                    }
                });
            }
            Event::State { slot, state } => {
                let until = Some(Time(self.now.0 + 20_000_000_000));
                let states = [
                    BackendState::Active,
                    BackendState::Draining { until: None },
                    BackendState::Draining { until },
                    BackendState::Down,
                ];
                if let Some(backend) = &mut self.snapshot.backends[slot] {
                    backend.state = states[usize::from(state) % states.len()];
                }
                self.adopt(slot / network::BACKENDS);
            }
            Event::Recycle { slot } => {
                let (epoch, second) = &mut self.epochs[slot];
                *epoch += 1;
                *second = !*second;
                put_backend(&mut self.snapshot, slot, *epoch, *second);
                self.adopt(slot / network::BACKENDS);
            }
            Event::Remove { slot } => {
                self.snapshot.backends[slot] = None;
                self.adopt(slot / network::BACKENDS);
            }
            Event::Service { service } => {
                toggle_service(&mut self.snapshot, service);
                self.adopt(service);
            }
            Event::Pass { millis } => {
                self.now = Time(self.now.0.saturating_add_signed(millis * 1_000_000));
                self.fleet.settle(self.now);
            }
            Event::Ask { from, room } => self.fleet.list(u32::from(from), usize::from(room), self.now),
            Event::FromKernel { port, octets } => self.fleet.send_from_kernel(PortId(port), octets, self.now),
        }
    }

    fn adopt(&mut self, service: usize) {
        rebuild(&mut self.snapshot, service);
        self.snapshot.generation += 1;
        self.fleet.adopt(&Arc::new(self.snapshot.clone().into()), self.now);
    }

    /// Does what the model does not follow: if a flow is opened, all that it knows may be wrong.
    fn unknown(&mut self, act: impl FnOnce(&mut Fleet, Time)) {
        let before = self.fleet.totals();
        act(&mut self.fleet, self.now);
        if self.fleet.totals().since(&before).opened > 0 {
            self.flows.clear();
        }
    }

    fn send_from_client(&mut self, service: usize, client: u8, talk: &Talk<'_>) {
        let frame = network::client_frame(service, client, talk.flags, talk.ttl, talk.payload);
        let bytes = frame.bytes();
        if !talk.is_whole() {
            let bytes = talk.damaged(bytes);
            return self.unknown(|fleet, now| {
                fleet.deliver(CLIENT_SIDE, [bytes], usize::from(talk.worker), now);
            });
        }
        let before = self.fleet.totals();
        let sent = self.fleet.deliver(CLIENT_SIDE, [bytes], usize::from(talk.worker), self.now);
        let what = self.fleet.totals().since(&before);
        if what.opened > 0 {
            self.flows.retain(|flow| flow.key != frame.key);
        }
        let known = self.flows.iter().find(|flow| flow.key == frame.key).copied();
        for (port, packet) in sent {
            let seen = frames::read(&packet).expect("nothing but TCP, UDP and ICMP errors is sent");
            if port == CLIENT_SIDE {
                let is_answer = if seen.is_icmp {
                    seen.key == frame.key
                } else {
                    seen.key == frame.key.reversed() && seen.flags & RST != 0
                };
                assert!(is_answer, "{frame:?} was answered by {seen:?}");
            } else if what.originated > 0 {
                assert!(seen.flags & RST != 0, "{frame:?} made {seen:?}");
                if let Some(flow) = known {
                    assert_eq!((seen.key, seen.to), (flow.sent.key, flow.sent.to), "a reset of {flow:?}");
                }
            } else {
                self.went_to_backend(service, &frame, seen, known, &what);
            }
        }
        if what.originated > 0 {
            self.flows.retain(|flow| flow.key != frame.key);
        }
    }

    fn went_to_backend(
        &mut self,
        service: usize,
        frame: &Frame<'_>,
        seen: Seen,
        known: Option<Flow>,
        what: &Totals,
    ) {
        let key = frame.key;
        let found = backend_of(&self.snapshot, service, seen.to, seen.key.destination);
        let backend =
            found.unwrap_or_else(|| panic!("{frame:?} went to no backend of its service: {seen:?}"));
        let state = self.snapshot.backend(backend).map(|backend| backend.state);
        let may_have_it = state.is_some_and(|state| {
            state == BackendState::Active || (what.opened == 0 && state.keeps_flows(self.now))
        });
        assert!(may_have_it, "{frame:?} went to {backend:?}, which is {state:?}");
        if what.stateless > 0 {
            return;
        }
        let flow = Flow { key, service, backend, sent: seen };
        if what.opened > 0 {
            self.is_alone(&flow);
        } else if let Some(known) = known {
            assert_eq!(
                (known.backend, known.sent.key, known.sent.to),
                (backend, seen.key, seen.to),
                "{frame:?} left its flow"
            );
        }
        self.flows.retain(|other| other.key != key && other.sent.key != seen.key);
        self.flows.push(flow);
    }

    /// No other flow whose backend is still there gets its answers under the same tuple.
    fn is_alone(&mut self, flow: &Flow) {
        let others: Vec<FlowKey> = self
            .flows
            .iter()
            .filter(|other| other.key != flow.key && other.sent.key == flow.sent.key)
            .map(|other| other.key)
            .collect();
        for key in others {
            for view in self.fleet.lookup(key, self.now) {
                let Some(backend) = self.snapshot.backend(view.backend) else { continue };
                let local = view.local.map_or(view.client.port, |(_, port)| port);
                let is_same =
                    backend.endpoint == flow.sent.key.destination && local == flow.sent.key.source.port;
                assert!(!is_same, "{view:?} has the same answers as {flow:?}");
            }
        }
    }

    fn send_from_backend(&mut self, flow: &Flow, talk: &Talk<'_>) {
        let key = flow.sent.key.reversed();
        let Talk { flags, ttl, payload, .. } = *talk;
        let bytes = Frame { to: MACS[1], key, flags, ttl, payload }.bytes();
        let is_dsr = SERVICES[flow.service].0 == Mode::DsrMac;
        if is_dsr || !talk.is_whole() {
            let bytes = talk.damaged(bytes);
            return self.unknown(|fleet, now| {
                fleet.deliver(BACKEND_SIDE, [bytes], usize::from(talk.worker), now);
            });
        }
        for (port, packet) in self.fleet.deliver(BACKEND_SIDE, [bytes], usize::from(talk.worker), self.now) {
            let seen = frames::read(&packet).expect("nothing but TCP, UDP and ICMP errors is sent");
            let is_right = match (port == CLIENT_SIDE, seen.is_icmp) {
                (true, is_icmp) => !is_icmp && seen.key == flow.key.reversed(),
                (false, true) => seen.key == key,
                (false, false) => seen.key == flow.sent.key && seen.flags & RST != 0,
            };
            assert!(is_right, "an answer of {flow:?} became {seen:?} on {port:?}");
        }
    }

    fn send_error(&mut self, flow: &Flow, from_backend: bool, quote: usize) {
        let quoted = if from_backend { flow.sent.key } else { flow.key.reversed() };
        let source = quoted.destination.addr;
        let port = if from_backend { BACKEND_SIDE } else { CLIENT_SIDE };
        let to = MACS[usize::from(port.0)];
        let packet = Frame { to, key: quoted, flags: 0x10, ttl: 60, payload: &[7; 9] }.packet();
        let bytes = frames::icmp_error(to, source, quoted.source.addr, &packet, quote);
        let is_dsr = SERVICES[flow.service].0 == Mode::DsrMac;
        for (port, packet) in self.fleet.deliver(port, [bytes], quote, self.now) {
            let seen = frames::read(&packet).expect("an ICMP error stays one");
            let is_right = match (from_backend, is_dsr) {
                (true, _) => port == CLIENT_SIDE && seen.key == flow.key,
                (false, false) => {
                    port == BACKEND_SIDE && (seen.key, seen.to) == (flow.sent.key.reversed(), flow.sent.to)
                }
                (false, true) => {
                    let to = backend_of(&self.snapshot, flow.service, seen.to, vip(flow.service));
                    port == BACKEND_SIDE && seen.key == flow.key.reversed() && to.is_some()
                }
            };
            assert!(seen.is_icmp && is_right, "an error about {flow:?} became {seen:?} on {port:?}");
        }
    }
}
