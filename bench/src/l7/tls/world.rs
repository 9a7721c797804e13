//! Clients and a backend, whose time is not taken.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use evenkeel_l7::proxy::Memory;
use evenkeel_tcp::{
    Buf, ConnectionId, Endpoint, Event, Incoming, ListenerConfig, Settings, Stack, Time, Tuple,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::front::{config, transmit};
use super::octets::Octets;
use super::{BACKEND, CLIENT, NAME, VIP};

const REQUEST: &[u8] =
    b"GET /some/path HTTP/1.1\r\nHost: www.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

/// A client.
pub(super) struct Client {
    id: ConnectionId,
    tls: Option<Box<ClientConnection>>,
    has_asked: bool,
    /// The head of an answer, as far as it has come.
    head: Vec<u8>,
    /// Octets of its content that are still to come, once the head is whole.
    left: Option<usize>,
    /// Answers that came whole.
    pub(super) answers: usize,
}

/// See the module.
pub(super) struct World {
    stack: Stack<Octets>,
    config: Option<Arc<ClientConfig>>,
    /// An answer: its head with its content.
    answer: Octets,
    content: usize,
    pub(super) clients: Vec<Client>,
    backends: Vec<ConnectionId>,
    port: u32,
}

impl World {
    pub(super) fn new(
        connections: u32,
        config_of: Option<Arc<ClientConfig>>,
        content: usize,
    ) -> Result<Self> {
        let mut stack = Stack::new(&config(connections), 2, Time(0));
        let address: SocketAddr = BACKEND.parse()?;
        let settings = Settings { no_delay: true, ..Settings::default() };
        stack.listen(address.into(), &ListenerConfig { settings, ..ListenerConfig::default() })?;
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {content}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + content, b'x');
        let answer = Octets::of(answer);
        Ok(Self {
            stack,
            config: config_of,
            answer,
            content,
            clients: Vec::new(),
            backends: Vec::new(),
            port: 0,
        })
    }

    /// Another client connects.
    pub(super) fn open(&mut self, now: Time) -> Result<()> {
        let tls = match &self.config {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(NAME)?;
                Some(Box::new(ClientConnection::new(Arc::clone(config), name)?))
            }
        };
        self.port += 1;
        let [a, b, ..] = CLIENT;
        let [_, high, middle, low] = (self.port / 50_000 + 1).to_be_bytes();
        ensure!(high == 0, "too many clients");
        let local = Endpoint::v4([a, b, middle, low], (10_000 + self.port % 50_000) as u16);
        let remote = Endpoint::from(VIP.parse::<SocketAddr>()?);
        let settings = Settings { no_delay: true, ..Settings::default() };
        let id = self.stack.connect(now, Tuple { local, remote }, &settings)?;
        self.clients.push(Client { id, tls, has_asked: false, head: Vec::new(), left: None, answers: 0 });
        Ok(())
    }

    /// Takes what has come, and answers it. Clients that have not had `most` answers ask again.
    pub(super) fn turn(
        &mut self,
        now: Time,
        arriving: &mut Vec<Incoming<Octets>>,
        leaving: &mut Vec<Incoming<Octets>>,
        most: usize,
    ) -> Result<()> {
        self.stack.receive_burst(now, arriving);
        self.stack.advance(now);
        while let Some(event) = self.stack.next_event() {
            if let Event::Acceptable(listener) = event {
                self.backends.extend(std::iter::from_fn(|| self.stack.accept(listener)));
            }
        }
        for client in &mut self.clients {
            client.go_on(&mut self.stack, self.content, most)?;
        }
        for id in &self.backends {
            let count = self.stack.readable(*id);
            if count > 0 {
                self.stack.consume(*id, count);
                ensure!(self.stack.send(*id, self.answer.share()).is_ok(), "the backend has room");
            }
        }
        transmit(&mut self.stack, now, leaving);
        Ok(())
    }

    /// Clients close.
    pub(super) fn close(&mut self) {
        for client in self.clients.drain(..) {
            self.stack.release(client.id);
        }
    }

    /// Clients are no more, and nobody hears of it.
    pub(super) fn vanish(&mut self, now: Time) {
        for client in self.clients.drain(..) {
            self.stack.abort(client.id);
        }
        transmit(&mut self.stack, now, &mut Vec::new());
    }
}

impl Client {
    fn go_on(&mut self, stack: &mut Stack<Octets>, content: usize, most: usize) -> Result<()> {
        let count = stack.readable(self.id);
        match &mut self.tls {
            None => {
                for slice in stack.read(self.id) {
                    heard(&mut self.head, &mut self.left, slice, content);
                }
            }
            Some(tls) => {
                for mut slice in stack.read(self.id) {
                    while !slice.is_empty() {
                        tls.read_tls(&mut slice)?;
                        tls.process_new_packets()?;
                        let mut room = [0; 1 << 14];
                        while let Ok(length @ 1..) = tls.reader().read(&mut room) {
                            heard(&mut self.head, &mut self.left, &room[..length], content);
                        }
                    }
                }
            }
        }
        stack.consume(self.id, count);
        if self.left == Some(0) {
            self.head.clear();
            (self.left, self.has_asked) = (None, false);
            self.answers += 1;
        }
        let may_ask = stack.state(self.id).context("a client was cut")? == evenkeel_tcp::State::Established
            && !self.has_asked
            && self.answers < most;
        let mut out = Vec::new();
        match &mut self.tls {
            None if may_ask => {
                out.extend_from_slice(REQUEST);
                self.has_asked = true;
            }
            None => {}
            Some(tls) => {
                if may_ask && !tls.is_handshaking() {
                    tls.writer().write_all(REQUEST)?;
                    self.has_asked = true;
                }
                while tls.wants_write() {
                    tls.write_tls(&mut out)?;
                }
            }
        }
        if !out.is_empty() {
            ensure!(stack.send(self.id, Octets::of(out)).is_ok(), "a client has room");
        }
        Ok(())
    }
}

/// Octets of an answer.
fn heard(head: &mut Vec<u8>, left: &mut Option<usize>, octets: &[u8], content: usize) {
    match left {
        Some(left) => *left = left.saturating_sub(octets.len()),
        None => {
            head.extend_from_slice(octets);
            let end = head.windows(4).position(|four| four == b"\r\n\r\n");
            *left = end.map(|end| content.saturating_sub(head.len() - end - 4));
        }
    }
}
