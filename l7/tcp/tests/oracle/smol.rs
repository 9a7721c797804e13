//! The other end: smoltcp, an interface and one socket.

use std::cell::Cell;
use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr};

use crate::hosts::Bytes;
use crate::network::{Endpoint, Random};
use crate::plan::{OURS, Plan, THEIRS};

/// How soon it is asked again when it says that it has something to do at once.
const PATIENCE_US: i64 = 100;

thread_local! {
    /// The clock of its timestamps, which are made by a function that knows nothing: milliseconds, as of the last poll.
    static CLOCK: Cell<u32> = const { Cell::new(0) };
}

/// Where packets wait.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut packet = vec![0; length];
        let result = fill(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Received(packet), Sending(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1_500;
        capabilities
    }
}

/// See the module.
pub(crate) struct Smol {
    plan: Plan,
    outgoing: Bytes,
    incoming: Bytes,
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    given: u64,
    pub(crate) received: u64,
    /// It was open.
    was_open: bool,
    has_closed: bool,
    /// It ended otherwise than by two FINs.
    pub(crate) was_reset: bool,
    /// When it wants to be polled.
    next: Option<u64>,
}

impl Smol {
    pub(crate) fn new(plan: Plan, random: &mut Random, now: u64) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = random.number();
        let mut wire = Wire::default();
        let instant = Instant::from_micros(now as i64 / 1_000);
        let mut interface = Interface::new(config, &mut wire, instant);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(THEIRS.0.into(), 24)).expect("there is room for one");
        });
        let mut buffer = || SocketBuffer::new(vec![0; 1 << (11 + random.below(6))]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(random.happens(0.5));
        socket.set_ack_delay(random.happens(0.5).then_some(Duration::from_millis(10)));
        socket.set_keep_alive(Some(Duration::from_secs(30)));
        if random.happens(0.5) {
            socket.set_tsval_generator(Some(|| CLOCK.get()));
        }
        if !plan.opens {
            socket.listen(THEIRS.1).expect("it is closed");
        }
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        if plan.opens {
            let socket = sockets.get_mut::<Socket<'_>>(handle);
            socket.connect(interface.context(), OURS, THEIRS.1).expect("both ends are somebody's");
        }
        Self {
            plan,
            outgoing: plan.outgoing(),
            incoming: plan.incoming(),
            wire,
            interface,
            sockets,
            handle,
            given: 0,
            received: 0,
            was_open: false,
            has_closed: false,
            was_reset: false,
            next: Some(now),
        }
    }

    pub(crate) fn state(&self) -> String {
        let socket = self.sockets.get::<Socket<'_>>(self.handle);
        format!("{}: {} received, {} given", socket.state(), self.received, self.given)
    }

    /// True if the connection was there and is no more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.sockets.get::<Socket<'_>>(self.handle).state();
        self.was_open && matches!(state, State::Closed | State::TimeWait | State::Listen)
    }

    fn go_on(&mut self) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        self.was_open |= socket.may_recv() || socket.may_send();
        while socket.can_recv() {
            let (received, incoming) = (self.received, &self.incoming);
            let count = socket.recv(|octets| {
                assert!(incoming.matches(received, octets), "wrong after {received}");
                (octets.len(), octets.len())
            });
            self.received += count.expect("it can receive") as u64;
        }
        if self.was_open && self.plan.aborts_after.is_some_and(|most| self.received >= most) {
            socket.abort();
            self.was_reset = true;
            return;
        }
        while socket.can_send() && self.given < self.plan.octets {
            let count = (self.plan.octets - self.given).min(4_000) as usize;
            let sent = socket.send_slice(self.outgoing.slice(self.given, count)).expect("it can send");
            self.given += sent as u64;
        }
        let may_close = !self.plan.closes_last || !socket.may_recv();
        if self.was_open && self.given == self.plan.octets && may_close && !self.has_closed {
            self.has_closed = true;
            socket.close();
        }
        if self.was_open && socket.state() == State::Closed && !self.has_closed {
            self.was_reset = true;
        }
    }

    fn poll(&mut self, now: u64) {
        let instant = Instant::from_micros(now as i64 / 1_000);
        CLOCK.set(instant.total_millis() as u32);
        self.interface.poll(instant, &mut self.wire, &mut self.sockets);
        self.go_on();
        self.interface.poll(instant, &mut self.wire, &mut self.sockets);
        let next = self.interface.poll_at(instant, &self.sockets);
        self.next =
            next.map(|next| next.total_micros().max(instant.total_micros() + PATIENCE_US) as u64 * 1_000);
    }
}

impl Endpoint for Smol {
    fn receive(&mut self, now: u64, packet: Vec<u8>) {
        self.wire.incoming.push_back(packet);
        self.poll(now);
    }

    fn transmit(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.wire.outgoing.is_empty() && self.deadline().is_none_or(|deadline| deadline <= now) {
            self.poll(now);
        }
        self.wire.outgoing.pop_front()
    }

    fn deadline(&self) -> Option<u64> {
        self.next
    }
}
