//! A net over a net: some of its connections speak TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_tcp::{ConnectError, ConnectionId, Ending, Event, Piece, SendError, Time};

use rustls::ServerConfig;

use super::connection::{End, FRAGMENT, Secured, Stage};
use super::sessions::Sessions;
use super::{Identity, Memory, Net, Security, UpstreamTls};
use crate::Work;
use crate::proxy::site::Backend;
use crate::tls::{TlsError, record_length};

/// Units of work that a step of a handshake takes: all of a turn's. A signature alone takes some hundred times what a unit does.
const HANDSHAKE: u32 = 64;

/// Octets of a record's header.
const HEADER: usize = 5;

/// The type of a record that costs nothing, and says nothing in TLS 1.3.
const CHANGE_CIPHER_SPEC: u8 = 20;

/// How long a connection that the proxy has let go of may take for what it was given to send.
const LEAVE_TIME: Duration = Duration::from_secs(30);

/// Alerts before there are keys to encrypt them with (RFC 8446, section 6): what came is no TLS, or too long.
const UNEXPECTED: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];
const OVERFLOW: [u8; 7] = [21, 3, 3, 0, 2, 2, 22];

/// See the module.
pub(super) struct Secure<'s, N: Net> {
    net: &'s mut N,
    sessions: &'s mut Sessions<N::Octets>,
    now: Time,
}

impl<'s, N: Net> Secure<'s, N> {
    pub(super) const fn new(net: &'s mut N, sessions: &'s mut Sessions<N::Octets>, now: Time) -> Self {
        Self { net, sessions, now }
    }

    /// Something has happened to a connection of the net below: tells what the proxy is to know of it.
    pub(super) fn hear(&mut self, event: Event, work: &mut Work) -> Option<Event> {
        let (Event::Connected(id) | Event::Readable(id) | Event::Writable(id) | Event::Closed(id, _)) = event
        else {
            return Some(event);
        };
        let Some(mut secured) = self.sessions.take(id) else { return Some(event) };
        match event {
            Event::Writable(_) => {
                self.push_out(&mut secured);
                secured.told.is_writable =
                    secured.outgoing.length < FRAGMENT && std::mem::take(&mut secured.outgoing.wants_room);
            }
            Event::Closed(_, ending) => {
                secured.is_closed = true;
                secured.told.closed = Some(ending);
            }
            _ => {}
        }
        self.go_on(secured, work)
    }

    /// How many connections have more to do, or something to tell. After a turn in which one of them took all the work, none.
    pub(super) fn left(&mut self) -> usize {
        if std::mem::take(&mut self.sessions.is_others_turn) { 0 } else { self.sessions.waiting.len() }
    }

    /// The next of these: tells what the proxy is to know of it.
    pub(super) fn go_on_with_next(&mut self, work: &mut Work) -> Option<Event> {
        if !work.take() {
            return None;
        }
        let id = self.sessions.waiting.pop_front()?;
        let mut secured = self.sessions.take(id)?;
        secured.is_waiting = false;
        let event = self.go_on(secured, work);
        self.sessions.is_others_turn = work.0 == 0;
        event
    }

    /// Sends what was given to send since the last time.
    pub(super) fn flush(&mut self) {
        while let Some(id) = self.sessions.touched.pop() {
            if let Some(mut secured) = self.sessions.take(id) {
                secured.is_touched = false;
                self.push_out(&mut secured);
                self.keep(secured);
            }
        }
    }

    /// Ends those that had time enough to leave.
    pub(super) fn expire(&mut self) {
        while let Some((_, id)) = self.sessions.leaving.pop_front_if(|(until, _)| *until <= self.now) {
            if self.sessions.take(id).is_some() {
                self.net.abort(id);
            }
        }
    }

    /// Goes on with a connection as far as it can, and puts it back.
    fn go_on(&mut self, mut secured: Box<Secured<N::Octets>>, work: &mut Work) -> Option<Event> {
        if secured.is_left {
            self.drop_unread(&secured);
            self.leave(secured);
            return None;
        }
        self.begin(&mut secured, work);
        self.read(&mut secured, work);
        self.push_out(&mut secured);
        let event = secured.told.next(secured.id);
        self.keep(secured);
        event
    }

    /// Puts a connection back; what it has to tell is told later.
    fn keep(&mut self, mut secured: Box<Secured<N::Octets>>) {
        if !secured.told.is_empty() {
            self.sessions.wait(&mut secured);
        }
        self.sessions.put(secured);
    }

    /// The first words to a backend, once its connection is open.
    fn begin(&mut self, secured: &mut Secured<N::Octets>, work: &mut Work) {
        if !matches!(secured.stage, Stage::Opening(..)) || secured.is_closed {
            return;
        }
        if work.0 == 0 {
            return self.sessions.wait(secured);
        }
        work.spend(HANDSHAKE);
        if let Err(error) = secured.begin() {
            self.fail(secured, &error);
        }
    }

    /// Decrypts what has come, as far as there is work for handshakes and room for text.
    fn read(&mut self, secured: &mut Secured<N::Octets>, work: &mut Work) {
        let mut text = Vec::new();
        loop {
            if matches!(secured.stage, Stage::Over) {
                self.drop_unread(secured);
                break;
            }
            if secured.incoming.len() + text.len() >= self.sessions.window || secured.outgoing.is_clogged() {
                break;
            }
            match self.record(secured.id) {
                Ok(Some(length)) => {
                    let was_established = secured.is_established();
                    if !was_established && work.0 == 0 {
                        self.sessions.wait(secured);
                        break;
                    }
                    self.net.consume(secured.id, length);
                    self.take_record(secured, &mut text, was_established, work);
                }
                Ok(None) => {
                    self.look_for_end(secured);
                    break;
                }
                Err(error) => {
                    self.fail(secured, &error);
                    break;
                }
            }
        }
        if !text.is_empty() {
            secured.incoming.push(text);
            secured.told.is_readable = true;
        }
    }

    /// The record in the desk is the session's.
    fn take_record(
        &mut self,
        secured: &mut Secured<N::Octets>,
        text: &mut Vec<u8>,
        was_established: bool,
        work: &mut Work,
    ) {
        let mut record = std::mem::take(&mut self.sessions.desk);
        if !was_established && record.first() != Some(&CHANGE_CIPHER_SPEC) {
            work.spend(HANDSHAKE);
        }
        let was_at_end = secured.is_at_end();
        let result = secured.receive(&mut record, text);
        self.sessions.desk = record;
        if let Err(error) = result {
            return self.fail(secured, &error);
        }
        // The end of what comes is news even if nothing comes with it.
        secured.told.is_readable |= secured.is_at_end() && !was_at_end;
        if !was_established
            && let Stage::Session(session) = &secured.stage
            && session.is_established()
        {
            let counts = self.sessions.side(secured.is_upstream);
            counts.handshakes += 1;
            counts.resumed += u64::from(session.is_resumed());
            if secured.is_upstream {
                secured.told.is_connected = true;
            } else {
                secured.security.identity = session.peer().and_then(|peer| Identity::of(peer)).map(Box::new);
            }
        }
    }

    /// Puts the next record together in the desk, if it is whole; how long it is.
    fn record(&mut self, id: ConnectionId) -> Result<Option<usize>, TlsError> {
        let (net, desk) = (&*self.net, &mut self.sessions.desk);
        let readable = net.readable(id);
        if readable == 0 {
            return Ok(None);
        }
        desk.clear();
        fill(desk, net.unread(id), HEADER);
        let length = record_length(desk)?.filter(|length| *length <= readable);
        if let Some(length) = length {
            desk.clear();
            fill(desk, net.unread(id), length);
        }
        Ok(length)
    }

    /// No whole record is left: if none can come any more, the session was cut, unless it was ended before.
    fn look_for_end(&mut self, secured: &mut Secured<N::Octets>) {
        let id = secured.id;
        if secured.is_at_end() || !secured.is_closed && !self.net.is_ending(id) {
            return;
        }
        // Whoever was told that nothing follows may leave without a word.
        if secured.is_established() && secured.outgoing.end == End::Open {
            self.sessions.side(secured.is_upstream).cut += 1;
        }
        self.end(secured, Ending::Closed);
    }

    /// A session breaks off by an error.
    fn fail(&mut self, secured: &mut Secured<N::Octets>, error: &TlsError) {
        let counts = self.sessions.side(secured.is_upstream);
        if *error == TlsError::NotTls {
            counts.not_tls += 1;
        } else {
            counts.failed += 1;
        }
        if !secured.is_established() {
            match error {
                TlsError::NotTls => secured.outgoing.alert(&UNEXPECTED),
                TlsError::RecordTooLong => secured.outgoing.alert(&OVERFLOW),
                _ => {}
            }
        }
        secured.has_failed = true;
        self.end(secured, Ending::Aborted);
    }

    /// Nothing is understood or said any more.
    fn end(&mut self, secured: &mut Secured<N::Octets>, ending: Ending) {
        secured.stage = Stage::Over;
        secured.outgoing.clear_plain();
        secured.told.closed.get_or_insert(ending);
        self.drop_unread(secured);
    }

    fn drop_unread(&mut self, secured: &Secured<N::Octets>) {
        self.net.consume(secured.id, self.net.readable(secured.id));
    }

    /// Sends as much as there is room for.
    fn push_out(&mut self, secured: &mut Secured<N::Octets>) {
        loop {
            while let Some(sealed) = secured.outgoing.sealed.pop_front() {
                match self.net.send(secured.id, sealed) {
                    Ok(()) => {}
                    Err((SendError::Full, sealed)) => return secured.outgoing.sealed.push_front(sealed),
                    Err((SendError::Closed, _)) => return secured.outgoing.clear(),
                }
            }
            secured.outgoing.sealed = Default::default();
            let end = secured.outgoing.end;
            if matches!(secured.stage, Stage::Over) && end == End::Wanted {
                secured.outgoing.end = End::Said;
            } else if secured.outgoing.length > 0 || end == End::Wanted {
                if let Err(error) = secured.encrypt(&mut self.sessions.desk) {
                    self.fail(secured, &error);
                }
            } else {
                if end == End::Said {
                    self.net.close(secured.id);
                    secured.outgoing.end = End::Closed;
                }
                return;
            }
        }
    }

    /// The proxy has let go of a connection: it goes once all has gone that was given to send. Whoever is told why it ended has time to hear it.
    fn leave(&mut self, mut secured: Box<Secured<N::Octets>>) {
        let id = secured.id;
        self.push_out(&mut secured);
        let is_told = !secured.has_failed || self.net.is_at_end(id);
        if secured.is_closed || secured.outgoing.is_empty() && is_told {
            self.net.release(id);
        } else {
            if !std::mem::replace(&mut secured.is_left, true) {
                self.sessions.leaving.push_back((self.now + LEAVE_TIME, id));
            }
            self.sessions.put(secured);
        }
    }

    /// Nothing follows what was given to send.
    fn say_end(secured: &mut Secured<N::Octets>) {
        if !secured.is_established() {
            secured.stage = Stage::Over;
        }
        if secured.outgoing.end == End::Open {
            secured.outgoing.end = End::Wanted;
        }
    }
}

/// Appends octets up to `most` in all.
fn fill<'p, O: Memory + 'p>(desk: &mut Vec<u8>, pieces: impl Iterator<Item = Piece<'p, O>>, most: usize) {
    for piece in pieces {
        let missing = most - desk.len();
        let octets = piece.octets();
        desk.extend_from_slice(octets.get(..missing).unwrap_or(octets));
        if desk.len() == most {
            return;
        }
    }
}

/// Pieces of the net below, or of what was decrypted.
enum Either<P, S> {
    Plain(P),
    Secured(S),
}

impl<T, P: Iterator<Item = T>, S: Iterator<Item = T>> Iterator for Either<P, S> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match self {
            Self::Plain(pieces) => pieces.next(),
            Self::Secured(pieces) => pieces.next(),
        }
    }
}

impl<N: Net> Net for Secure<'_, N> {
    type Octets = N::Octets;

    fn unread(&self, id: ConnectionId) -> impl Iterator<Item = Piece<'_, N::Octets>> {
        match self.sessions.at(id) {
            None => Either::Plain(self.net.unread(id)),
            Some(secured) => Either::Secured(secured.incoming.pieces()),
        }
    }

    fn readable(&self, id: ConnectionId) -> usize {
        self.sessions.at(id).map_or_else(|| self.net.readable(id), |secured| secured.incoming.len())
    }

    fn consume(&mut self, id: ConnectionId, octets: usize) {
        let Some(secured) = self.sessions.at_mut(id) else { return self.net.consume(id, octets) };
        secured.incoming.consume(octets);
        if secured.is_established()
            && let Some(mut secured) = self.sessions.take(id)
        {
            self.read(&mut secured, &mut Work(0));
            self.keep(secured);
        }
    }

    fn is_ending(&self, id: ConnectionId) -> bool {
        match self.sessions.at(id) {
            Some(secured) if !matches!(secured.stage, Stage::Over) => secured.is_at_end(),
            _ => self.net.is_ending(id),
        }
    }

    fn is_at_end(&self, id: ConnectionId) -> bool {
        match self.sessions.at(id) {
            Some(secured) if secured.incoming.len() > 0 => false,
            // What was cut has no end, but for whoever has closed before and only waits.
            Some(Secured { stage: Stage::Over, outgoing, .. }) => {
                outgoing.end != End::Open && self.net.is_at_end(id)
            }
            Some(secured) => secured.is_at_end(),
            None => self.net.is_at_end(id),
        }
    }

    fn send(&mut self, id: ConnectionId, octets: N::Octets) -> Result<(), (SendError, N::Octets)> {
        let Some(mut secured) = self.sessions.take(id) else { return self.net.send(id, octets) };
        let result = if !secured.is_established() || secured.outgoing.end != End::Open {
            Err((SendError::Closed, octets))
        } else if secured.outgoing.length >= FRAGMENT {
            secured.outgoing.wants_room = true;
            Err((SendError::Full, octets))
        } else {
            secured.outgoing.push(octets);
            if secured.outgoing.length >= FRAGMENT {
                self.push_out(&mut secured);
            } else if !std::mem::replace(&mut secured.is_touched, true) {
                self.sessions.touched.push(id);
            }
            Ok(())
        };
        self.keep(secured);
        result
    }

    fn close(&mut self, id: ConnectionId) {
        let Some(mut secured) = self.sessions.take(id) else { return self.net.close(id) };
        Self::say_end(&mut secured);
        self.push_out(&mut secured);
        self.keep(secured);
    }

    fn release(&mut self, id: ConnectionId) {
        let Some(mut secured) = self.sessions.take(id) else { return self.net.release(id) };
        Self::say_end(&mut secured);
        self.drop_unread(&secured);
        self.leave(secured);
    }

    fn abort(&mut self, id: ConnectionId) {
        match self.sessions.take(id) {
            // The alert says more than a reset.
            Some(mut secured) if secured.has_failed => {
                Self::say_end(&mut secured);
                self.leave(secured);
            }
            _ => self.net.abort(id),
        }
    }

    fn unacknowledged(&self, id: ConnectionId) -> usize {
        self.net.unacknowledged(id) + self.sessions.at(id).map_or(0, |secured| secured.outgoing.held())
    }

    fn connect(&mut self, now: Time, to: Backend) -> Result<ConnectionId, ConnectError> {
        self.net.connect(now, to)
    }

    fn remote(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.net.remote(id)
    }

    fn local(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.net.local(id)
    }

    fn secure_client(&mut self, id: ConnectionId, by: &Arc<ServerConfig>, window: usize) -> bool {
        self.sessions.window = self.sessions.window.max(window);
        self.sessions.begin(Secured::new(id, Stage::Awaited(Arc::clone(by))));
        true
    }

    fn secure_backend(&mut self, id: ConnectionId, by: &Arc<UpstreamTls>) -> bool {
        let Some(remote) = self.net.remote(id) else { return false };
        let config = Arc::clone(self.sessions.configs.of(by, remote));
        self.sessions.begin(Secured::new(id, Stage::Opening(config, by.name.clone())));
        true
    }

    fn security(&self, id: ConnectionId) -> Option<&Security> {
        self.sessions.at(id).map(|secured| &secured.security)
    }
}
