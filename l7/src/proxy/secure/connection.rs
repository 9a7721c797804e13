//! One connection that speaks TLS: its session, what was decrypted and not read yet, and what is to be sent.

use std::collections::VecDeque;
use std::sync::Arc;

use evenkeel_tcp::{ConnectionId, Piece};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use super::told::Told;
use super::{Memory, Security};
use crate::tls::{Session, TlsError};

/// Octets that are encrypted together: what a record has room for (RFC 8446, section 5.1).
pub(super) const FRAGMENT: usize = 1 << 14;

/// Pieces of ciphertext that wait for room before nothing more is read: a peer that asks for answers and takes none gets no more.
const CLOGGED: usize = 8;

/// See the module.
pub(super) struct Secured<O> {
    pub(super) id: ConnectionId,
    pub(super) stage: Stage,
    /// The other end is a backend.
    pub(super) is_upstream: bool,
    pub(super) incoming: Incoming<O>,
    pub(super) outgoing: Outgoing<O>,
    pub(super) told: Told,
    pub(super) security: Security,
    /// It stands in the queue of those that have more to do.
    pub(super) is_waiting: bool,
    /// It stands in the list of those that are flushed at the end of a call.
    pub(super) is_touched: bool,
    /// The session failed, and an alert says why.
    pub(super) has_failed: bool,
    /// The connection under it is over.
    pub(super) is_closed: bool,
    /// The proxy has let go of it.
    pub(super) is_left: bool,
}

/// How far a connection is.
pub(super) enum Stage {
    /// A client is to speak first, and has not.
    Awaited(Arc<ServerConfig>),
    /// A backend is spoken to first, and was not.
    Opening(Arc<ClientConfig>, ServerName<'static>),
    /// TLS is spoken, or a handshake is under way.
    Session(Session),
    /// Nothing is understood any more.
    Over,
}

impl<O: Memory> Secured<O> {
    pub(super) fn new(id: ConnectionId, stage: Stage) -> Self {
        Self {
            id,
            is_upstream: matches!(stage, Stage::Opening(..)),
            stage,
            incoming: Incoming { pieces: VecDeque::new(), skip: 0, length: 0 },
            outgoing: Outgoing {
                plain: VecDeque::new(),
                length: 0,
                sealed: VecDeque::new(),
                end: End::Open,
                wants_room: false,
            },
            told: Told::default(),
            security: Security::default(),
            is_waiting: false,
            is_touched: false,
            has_failed: false,
            is_closed: false,
            is_left: false,
        }
    }

    /// True once what the proxy says can be encrypted.
    pub(super) fn is_established(&self) -> bool {
        matches!(&self.stage, Stage::Session(session) if session.is_established())
    }

    /// True if the other end has said that nothing follows.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(&self.stage, Stage::Session(session) if session.is_at_end())
    }

    /// Octets that are held for it.
    pub(super) fn held(&self) -> usize {
        self.incoming.len() + self.outgoing.held()
    }

    /// Gives a record to the session; what it says is appended to `text`, what is to be sent to the ciphertext.
    pub(super) fn receive(&mut self, record: &mut [u8], text: &mut Vec<u8>) -> Result<(), TlsError> {
        if let Stage::Awaited(config) = &self.stage {
            self.stage = Stage::Session(Session::server(config)?);
        }
        let Stage::Session(session) = &mut self.stage else { return Ok(()) };
        let mut out = Vec::new();
        let result = session.receive(record, &mut out, |plain| text.extend_from_slice(plain));
        self.outgoing.seal(out);
        result
    }

    /// A backend's connection is open: the handshake begins.
    pub(super) fn begin(&mut self) -> Result<(), TlsError> {
        if let Stage::Opening(config, name) = &self.stage {
            let mut out = Vec::new();
            self.stage = Stage::Session(Session::client(config, name.clone(), &mut out)?);
            self.outgoing.seal(out);
        }
        Ok(())
    }

    /// Encrypts what the next record has room for, or says that nothing follows.
    pub(super) fn encrypt(&mut self, desk: &mut Vec<u8>) -> Result<(), TlsError> {
        let Stage::Session(session) = &mut self.stage else { return Ok(()) };
        let mut out = Vec::new();
        if self.outgoing.length > 0 {
            session.send(self.outgoing.fragment(desk), &mut out)?;
        } else {
            session.close(&mut out)?;
            self.outgoing.end = End::Said;
        }
        self.outgoing.seal(out);
        Ok(())
    }
}

/// What was decrypted and not read.
pub(super) struct Incoming<O> {
    pieces: VecDeque<O>,
    /// Octets of the first piece that were read.
    skip: usize,
    length: usize,
}

impl<O: Memory> Incoming<O> {
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push(&mut self, text: Vec<u8>) {
        self.length += text.len();
        self.pieces.push_back(O::of(text));
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'_, O>> {
        let skips = std::iter::once(self.skip).chain(std::iter::repeat(0));
        self.pieces.iter().zip(skips).map(|(piece, skip)| Piece::of(piece, skip))
    }

    pub(super) fn consume(&mut self, octets: usize) {
        let octets = octets.min(self.length);
        self.length -= octets;
        self.skip += octets;
        while let Some(first) = self.pieces.front()
            && first.octets().len() <= self.skip
        {
            self.skip -= first.octets().len();
            self.pieces.pop_front();
        }
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }
}

/// What is to be sent.
pub(super) struct Outgoing<O> {
    /// As the proxy gave it, so that what it gives piece by piece goes in few records.
    plain: VecDeque<O>,
    pub(super) length: usize,
    /// Ciphertext that there was no room for.
    pub(super) sealed: VecDeque<O>,
    pub(super) end: End,
    /// The proxy was told that there is no room.
    pub(super) wants_room: bool,
}

/// How far this side's end is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// More may follow.
    Open,
    /// Nothing follows what was given.
    Wanted,
    /// The other end is told so.
    Said,
    /// The connection is closed too.
    Closed,
}

impl<O: Memory> Outgoing<O> {
    pub(super) fn push(&mut self, octets: O) {
        self.length += octets.octets().len();
        self.plain.push_back(octets);
    }

    fn seal(&mut self, out: Vec<u8>) {
        if !out.is_empty() {
            self.sealed.push_back(O::of(out));
        }
    }

    pub(super) fn alert(&mut self, record: &[u8]) {
        self.seal(record.to_vec());
    }

    /// Octets of it that wait.
    pub(super) fn held(&self) -> usize {
        self.length + self.sealed.iter().map(|piece| piece.octets().len()).sum::<usize>()
    }

    /// True if all of it has gone.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0 && self.sealed.is_empty() && self.end != End::Wanted
    }

    pub(super) fn is_clogged(&self) -> bool {
        self.sealed.len() >= CLOGGED
    }

    /// Takes what the next record has room for: where it lies if that is one piece, else put together in `desk`.
    fn fragment<'d>(&mut self, desk: &'d mut Vec<u8>) -> &'d [u8] {
        desk.clear();
        while let Some(first) = self.plain.pop_front() {
            let (octets, room) = (first.octets(), FRAGMENT - desk.len());
            let taken = octets.get(..room).unwrap_or(octets);
            desk.extend_from_slice(taken);
            if taken.len() < octets.len() {
                let rest = first.part(taken.len()..octets.len());
                self.plain.push_front(rest);
                break;
            }
        }
        self.length -= desk.len();
        if self.plain.is_empty() {
            self.plain = VecDeque::new();
        }
        desk
    }

    /// Nothing of it will go any more.
    pub(super) fn clear(&mut self) {
        self.clear_plain();
        self.sealed = VecDeque::new();
        self.end = End::Closed;
    }

    /// What was not encrypted cannot be any more.
    pub(super) fn clear_plain(&mut self) {
        (self.plain, self.length) = (VecDeque::new(), 0);
    }
}
