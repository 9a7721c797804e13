//! How somebody else speaks over a connection: plainly, or by rustls as its other users call it.

use std::io::Read;
use std::sync::Arc;

use evenkeel_tcp::{ConnectionId, HeapBuf, SendError, Stack};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig, ServerConnection};

/// Times that a client changes its keys without having anything else to say: rustls allows 32.
const MOST_REFRESHES: u8 = 20;

/// How a client speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct Secrecy {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: &'static str,
    /// Octets of ciphertext that it gives to its stack at once.
    pub(crate) piece: usize,
    /// It closes its connection without a word.
    pub(crate) cuts: bool,
    /// What it says before anything else.
    pub(crate) before: &'static str,
    /// The octet of ciphertext that arrives as another one.
    pub(crate) spoils: Option<usize>,
    /// It changes its keys, and has the other side change its own, whenever something has come.
    pub(crate) refreshes: bool,
}

/// See the module.
pub(crate) struct Line {
    tls: Option<Box<Connection>>,
    out: Vec<u8>,
    piece: usize,
    cuts: bool,
    does_refresh: bool,
    /// Times that it may still do so before it has something to say again.
    refreshes: u8,
    /// Octets of ciphertext up to the one that is spoiled.
    spoils: Option<usize>,
    /// What it did not like.
    pub(crate) failure: Option<rustls::Error>,
}

impl Line {
    pub(crate) fn plain() -> Self {
        Self {
            tls: None,
            out: Vec::new(),
            piece: 8_000,
            cuts: false,
            does_refresh: false,
            refreshes: 0,
            spoils: None,
            failure: None,
        }
    }

    pub(crate) fn client(secrecy: Option<&Secrecy>) -> Self {
        let Some(secrecy) = secrecy else { return Self::plain() };
        let Secrecy { config, name, .. } = secrecy;
        let name = ServerName::try_from(*name).unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self {
            tls: Some(Box::new(connection.into())),
            out: secrecy.before.as_bytes().to_vec(),
            piece: secrecy.piece,
            cuts: secrecy.cuts,
            does_refresh: secrecy.refreshes,
            spoils: secrecy.spoils,
            ..Self::plain()
        }
    }

    pub(crate) fn server(config: Option<&Arc<ServerConfig>>, cuts: bool) -> Self {
        let Some(config) = config else { return Self::plain() };
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        Self { tls: Some(Box::new(connection.into())), cuts, ..Self::plain() }
    }

    /// Takes what has come. True once nothing more will, as far as TLS says so.
    pub(crate) fn read(&mut self, stack: &mut Stack<HeapBuf>, id: ConnectionId, into: &mut Vec<u8>) -> bool {
        let count = stack.readable(id);
        let mut is_at_end = false;
        for mut slice in stack.read(id) {
            let Some(tls) = self.tls.as_mut().filter(|_| self.failure.is_none()) else {
                if self.tls.is_none() {
                    into.extend_from_slice(slice);
                }
                continue;
            };
            while !slice.is_empty() && self.failure.is_none() {
                tls.read_tls(&mut slice).unwrap();
                match tls.process_new_packets() {
                    Ok(state) => is_at_end |= state.peer_has_closed(),
                    Err(error) => self.failure = Some(error),
                }
                let _ = tls.reader().read_to_end(into);
            }
        }
        stack.consume(id, count);
        if let Some(tls) =
            self.tls.as_mut().filter(|tls| self.refreshes > 0 && count > 0 && !tls.is_handshaking())
        {
            tls.refresh_traffic_keys().unwrap();
            self.refreshes -= 1;
        }
        self.write(stack, id, &mut Vec::new());
        is_at_end || self.failure.is_some()
    }

    /// Sends what there is room for.
    pub(crate) fn write(&mut self, stack: &mut Stack<HeapBuf>, id: ConnectionId, unsent: &mut Vec<u8>) {
        match &mut self.tls {
            None => self.out.append(unsent),
            Some(tls) => {
                if !tls.is_handshaking() && self.out.is_empty() && !unsent.is_empty() {
                    if self.does_refresh {
                        self.refreshes = MOST_REFRESHES;
                    }
                    for piece in unsent.chunks(30_000) {
                        std::io::Write::write_all(&mut tls.writer(), piece).unwrap();
                        while tls.wants_write() {
                            tls.write_tls(&mut self.out).unwrap();
                        }
                    }
                    unsent.clear();
                }
                while tls.wants_write() {
                    tls.write_tls(&mut self.out).unwrap();
                }
            }
        }
        if let Some(at) = self.spoils.filter(|at| *at < self.out.len()) {
            self.out[at] ^= 1 << (at % 8);
            self.spoils = None;
        }
        let mut sent = 0;
        for piece in self.out.chunks(self.piece) {
            match stack.send(id, HeapBuf::from(piece)) {
                Ok(()) => sent += piece.len(),
                Err((SendError::Full, _)) => break,
                Err((SendError::Closed, _)) => sent = self.out.len(),
            }
        }
        let sent = sent.min(self.out.len());
        self.out.drain(..sent);
        self.spoils = self.spoils.map(|at| at - sent);
    }

    /// True if all has been given to the stack.
    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub(crate) fn close(&mut self, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        if let Some(tls) = self.tls.as_mut().filter(|_| !self.cuts) {
            tls.send_close_notify();
            self.write(stack, id, &mut Vec::new());
        }
        stack.close(id);
    }

    /// True once what is asked can be.
    pub(crate) fn is_speaking(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// The first certificate of the other side.
    pub(crate) fn peer(&self) -> Option<Vec<u8>> {
        Some(self.tls.as_ref()?.peer_certificates()?.first()?.to_vec())
    }
}
