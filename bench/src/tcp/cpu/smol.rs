//! smoltcp, an interface and a socket set for each flow.

use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use super::Contender;
use super::peers::SERVER;

/// Where packets wait, both ways.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) incoming: VecDeque<Vec<u8>>,
    pub(super) outgoing: VecDeque<Vec<u8>>,
    pub(super) spare: Vec<Vec<u8>>,
}

impl Wire {
    pub(super) const fn new() -> Self {
        Self { incoming: VecDeque::new(), outgoing: VecDeque::new(), spare: Vec::new() }
    }

    pub(super) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(2_048));
        buffer.clear();
        buffer
    }
}

pub(super) struct Received<'a>(Vec<u8>, &'a mut Vec<Vec<u8>>);
pub(super) struct Sending<'a>(Vec<u8>, &'a mut VecDeque<Vec<u8>>);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.0);
        self.1.push(self.0);
        result
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, length: usize, f: F) -> R {
        self.0.resize(length, 0);
        let result = f(&mut self.0);
        self.1.push_back(self.0);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let packet = self.incoming.pop_front()?;
        let buffer = self.buffer();
        Some((Received(packet, &mut self.spare), Sending(buffer, &mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        let buffer = self.buffer();
        Some(Sending(buffer, &mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1_500;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities.checksum.tcp = Checksum::None;
        capabilities
    }
}

/// One flow.
pub(super) struct Flow {
    pub(super) interface: Interface,
    pub(super) sockets: SocketSet<'static>,
    pub(super) handle: SocketHandle,
}

impl Flow {
    pub(super) fn new(wire: &mut Wire, address: [u8; 4], buffer: usize) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = 7;
        let mut interface = Interface::new(config, wire, Instant::ZERO);
        let [a, b, c, d] = address;
        interface.update_ip_addrs(|addresses| {
            // There is room for more than one.
            let _ = addresses.push(IpCidr::new(IpAddress::v4(a, b, c, d), 8));
        });
        let [receive, send] = [(); 2].map(|()| SocketBuffer::new(vec![0; buffer]));
        let mut socket = Socket::new(receive, send);
        socket.set_congestion_control(CongestionControl::None);
        socket.set_nagle_enabled(false);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self { interface, sockets, handle }
    }

    pub(super) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    pub(super) fn poll(&mut self, now: Instant, wire: &mut Wire) {
        self.interface.poll(now, wire, &mut self.sockets);
    }
}

/// All flows.
pub(super) struct Smol {
    flows: Vec<Flow>,
    wire: Wire,
    asked: Vec<(u32, Vec<u8>)>,
    scratch: [u8; 2_048],
    now: Instant,
}

impl Smol {
    /// Listens on each, with buffers that hold one question and one answer.
    pub(super) fn new(flows: u32) -> Self {
        let mut wire = Wire::new();
        let mut smol = Self {
            flows: (0..flows).map(|_| Flow::new(&mut wire, SERVER.0, 256)).collect(),
            wire,
            asked: Vec::new(),
            scratch: [0; 2_048],
            now: Instant::ZERO,
        };
        smol.flows.iter_mut().for_each(listen);
        smol
    }
}

fn listen(flow: &mut Flow) {
    // It is closed, so it can.
    let _ = flow.socket().listen(SERVER.1);
}

impl Contender for Smol {
    fn give(&mut self, flow: u32, packet: &[u8]) {
        let mut buffer = self.wire.buffer();
        buffer.extend_from_slice(packet);
        self.asked.push((flow, buffer));
    }

    fn answer(&mut self, mut sent: impl FnMut(&[u8], usize)) {
        for (number, packet) in self.asked.drain(..) {
            let flow = &mut self.flows[number as usize];
            self.wire.incoming.push_back(packet);
            flow.poll(self.now, &mut self.wire);
            let socket = flow.sockets.get_mut::<Socket<'_>>(flow.handle);
            let mut has_something_to_send = false;
            if socket.can_recv()
                && let Ok(count) = socket.recv_slice(&mut self.scratch)
            {
                has_something_to_send = socket.send_slice(&self.scratch[..count]).is_ok();
            }
            if !socket.may_recv() && socket.may_send() {
                socket.close();
                has_something_to_send = true;
            }
            if has_something_to_send {
                flow.interface.poll_egress(self.now, &mut self.wire, &mut flow.sockets);
            }
            let socket = flow.sockets.get_mut::<Socket<'_>>(flow.handle);
            if !socket.is_open() {
                // Closed by both, or timed out: the next client may come.
                let _ = socket.listen(SERVER.1);
            }
            while let Some(packet) = self.wire.outgoing.pop_front() {
                let headers = 20 + usize::from(packet[32] >> 4) * 4;
                sent(&packet, packet.len() - headers);
                self.wire.spare.push(packet);
            }
        }
    }

    fn pass(&mut self, micros: u64) {
        self.now += Duration::from_micros(micros);
    }
}
