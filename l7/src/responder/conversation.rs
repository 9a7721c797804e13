//! One connection: requests are read, answered and forgotten, one after the other.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_datapath::packet::SharedPacket;
use evenkeel_tcp::{ConnectionId, SendError, Time};

use super::head::{Body, Refusal, Request};
use super::scan::{Found, Scan};
use super::{Desk, Ground};
use crate::{Action, Listener, Octets, Page, Work};

/// Octets of a head at most.
const HEAD: u32 = 16 << 10;
/// A head must have come so long after it began, the first one after the connection was accepted.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A connection may be at rest between two requests, and must make some progress if it is not.
const REST_TIME: Duration = Duration::from_secs(60);
/// How long a client may take to close its side once this side is closed.
const LINGER_TIME: Duration = Duration::from_secs(5);

/// What a conversation needs next.
pub(super) enum Next {
    /// Something to happen, until then at the latest.
    Wait(Time),
    /// Another turn.
    Again,
    /// Nothing: it is over.
    End,
}

/// See the module.
pub(super) struct Conversation {
    pub(super) id: ConnectionId,
    listener: Rc<Listener>,
    /// Of the head that is coming.
    scan: Scan,
    head_until: Time,
    /// Octets of the last request that are still to come, and that nobody wants.
    body: u64,
    /// What the connection had no room for.
    unsent: Option<Answer>,
    /// This side is to be closed, and what still comes is of no interest.
    closes: bool,
    /// From when on this side is closed, if it is.
    linger_until: Option<Time>,
    /// Octets that had not been acknowledged when a deadline last passed.
    unacknowledged: usize,
}

/// What is left of an answer.
struct Answer {
    page: Arc<Page>,
    parts: [Range<u32>; 2],
}

/// What a look at what was received came to.
enum Read {
    /// More is to come.
    Nothing,
    /// An empty line, which is ignored before a request (RFC 9112, section 2.2).
    EmptyLine,
    Request(Request),
    Refused(Refusal),
}

impl Conversation {
    /// One that begins now, and its first deadline.
    pub(super) fn new(id: ConnectionId, listener: Rc<Listener>, now: Time) -> (Self, Time) {
        let head_until = now + HEAD_TIME;
        let conversation = Self {
            id,
            listener,
            scan: Scan::default(),
            head_until,
            body: 0,
            unsent: None,
            closes: false,
            linger_until: None,
            unacknowledged: 0,
        };
        (conversation, head_until)
    }

    /// Goes on as far as it can.
    pub(super) fn go_on<S: SharedPacket>(
        &mut self,
        ground: &mut Ground<'_, S>,
        desk: &mut Desk,
        work: &mut Work,
    ) -> Next {
        if self.listener.is_gone() {
            ground.stack.abort(self.id);
            return Next::End;
        }
        loop {
            if !self.send(ground) {
                return Next::Wait(ground.now + REST_TIME);
            }
            self.skip_body(ground);
            if self.closes || ground.is_at_end() {
                return self.linger(ground);
            }
            if ground.readable() == 0 {
                return Next::Wait(ground.now + REST_TIME);
            }
            if !work.take() {
                return Next::Again;
            }
            match self.read(ground, desk) {
                Read::Nothing => return Next::Wait(self.head_until),
                Read::EmptyLine => {}
                Read::Request(request) => self.answer(request),
                Read::Refused(refusal) => self.refuse(refusal, desk),
            }
        }
    }

    /// A deadline has passed.
    pub(super) fn expire<S: SharedPacket>(&mut self, ground: &mut Ground<'_, S>, desk: &Desk) -> Next {
        let before = std::mem::replace(&mut self.unacknowledged, ground.stack.unacknowledged(self.id));
        let is_stuck = self.unacknowledged > 0 && self.unacknowledged == before;
        if self.listener.is_gone() || is_stuck {
            ground.stack.abort(self.id);
            return Next::End;
        }
        if self.unacknowledged > 0 {
            return Next::Wait(ground.now + REST_TIME);
        }
        let is_at_rest = self.scan.length() == 0 && self.body == 0;
        if self.closes || is_at_rest {
            ground.stack.release(self.id);
            return Next::End;
        }
        self.refuse(Refusal::Timeout, desk);
        self.send(ground);
        self.linger(ground)
    }

    /// Looks for the next request in what was received.
    fn read<S: SharedPacket>(&mut self, ground: &mut Ground<'_, S>, desk: &mut Desk) -> Read {
        if self.scan.length() == 0 {
            self.head_until = ground.now + HEAD_TIME;
        }
        let mut seen = self.scan.length() as usize;
        let mut found = Found::Nothing;
        for slice in ground.stack.read(self.id) {
            let new = slice.get(seen..).unwrap_or_default();
            seen = seen.saturating_sub(slice.len());
            found = self.scan.scan(new);
            if found != Found::Nothing || self.scan.length() > HEAD {
                break;
            }
        }
        match found {
            Found::BareLineEnd => Read::Refused(Refusal::Bad),
            _ if self.scan.length() > HEAD => Read::Refused(Refusal::TooLarge),
            Found::Nothing => Read::Nothing,
            Found::End(length) => {
                let is_empty = length == 2;
                let request = if is_empty { None } else { Some(self.parse(ground, desk, length as usize)) };
                ground.consume(length as usize);
                self.scan = Scan::default();
                match request {
                    None => Read::EmptyLine,
                    Some(Ok(request)) => Read::Request(request),
                    Some(Err(refusal)) => Read::Refused(refusal),
                }
            }
        }
    }

    /// Parses a head of `length` octets: where it lies if that is one piece.
    fn parse<S: SharedPacket>(
        &self,
        ground: &Ground<'_, S>,
        desk: &mut Desk,
        length: usize,
    ) -> Result<Request, Refusal> {
        let mut slices = ground.stack.read(self.id);
        if let Some(head) = slices.next().and_then(|first| first.get(..length)) {
            return Request::parse(head);
        }
        desk.scratch.clear();
        for slice in ground.stack.read(self.id) {
            let missing = length - desk.scratch.len();
            desk.scratch.extend_from_slice(&slice[..slice.len().min(missing)]);
        }
        Request::parse(&desk.scratch)
    }

    fn answer(&mut self, request: Request) {
        let Action::Respond(page) = self.listener.action();
        match request.body {
            Body::Length(length) => self.body = length,
            Body::Unknown => self.closes = true,
        }
        self.closes |= request.closes;
        let body = if request.is_head { 0..0 } else { page.body() };
        self.unsent = Some(Answer { parts: [page.head(self.closes), body], page });
    }

    fn refuse(&mut self, refusal: Refusal, desk: &Desk) {
        self.closes = true;
        let page = Arc::clone(desk.refusal(refusal));
        self.unsent = Some(Answer { parts: [page.head(true), page.body()], page });
    }

    /// Gives the connection what it has room for; true if that was everything.
    fn send<S: SharedPacket>(&mut self, ground: &mut Ground<'_, S>) -> bool {
        let Some(answer) = &mut self.unsent else { return true };
        for part in answer.parts.iter_mut().filter(|part| part.start < part.end) {
            let octets = Octets::of_page(&answer.page, part.clone());
            match ground.stack.send(self.id, octets) {
                Ok(()) => *part = 0..0,
                Err((SendError::Full, _)) => return false,
                Err((SendError::Closed, _)) => {
                    self.closes = true;
                    break;
                }
            }
        }
        self.unsent = None;
        true
    }

    fn skip_body<S: SharedPacket>(&mut self, ground: &mut Ground<'_, S>) {
        if self.body > 0 {
            let here = (ground.readable() as u64).min(self.body);
            ground.consume(here as usize);
            self.body -= here;
        }
    }

    /// Closes this side, and lets what comes from the other side pass until it closes too.
    fn linger<S: SharedPacket>(&mut self, ground: &mut Ground<'_, S>) -> Next {
        self.closes = true;
        ground.consume(ground.readable());
        let until = *self.linger_until.get_or_insert_with(|| {
            ground.stack.close(self.id);
            ground.now + LINGER_TIME
        });
        Next::Wait(until)
    }
}
