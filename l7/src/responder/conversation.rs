//! One connection: requests are read, answered and forgotten, one after the other.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_datapath::packet::SharedPacket;
use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_tcp::{ConnectionId, SendError, Time};

use super::{Desk, Ground};
use crate::gather::in_one_piece;
use crate::http::{Framing, HeadEnd, Limits, Method, Refusal, Request, Scratch};
use crate::{Action, Listener, Octets, Page, Work};

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
    head_end: HeadEnd,
    head_until: Time,
    /// Some of it is here.
    has_begun: bool,
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

/// What an answer depends on.
#[derive(Clone, Copy)]
struct Question {
    /// The answer has a head alone (RFC 9110, section 9.3.2).
    is_head: bool,
    /// It is for a tunnel, which leads nowhere here (RFC 9110, section 9.3.6).
    is_connect: bool,
    framing: Framing,
    /// The connection ends with the answer.
    closes: bool,
}

impl Conversation {
    /// One that begins now, and its first deadline.
    pub(super) fn new(id: ConnectionId, listener: Rc<Listener>, now: Time) -> (Self, Time) {
        let head_until = now + HEAD_TIME;
        let conversation = Self {
            id,
            listener,
            head_end: HeadEnd::of_request(),
            head_until,
            has_begun: false,
            body: 0,
            unsent: None,
            closes: false,
            linger_until: None,
            unacknowledged: 0,
        };
        (conversation, head_until)
    }

    /// Whose it is.
    pub(super) fn service(&self) -> ServiceSlot {
        self.listener.slot
    }

    /// True if its service is gone.
    pub(super) fn is_of_the_past(&self) -> bool {
        self.listener.is_gone()
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
                // Half of a head, and nothing is to follow: no answer is owed.
                Ok(None) if ground.is_other_side_closed() => return self.linger(ground),
                Ok(None) => return Next::Wait(self.head_until),
                Ok(Some(question)) if question.is_connect => self.refuse(&desk.not_allowed),
                Ok(Some(question)) => self.answer(question),
                Err(refusal) => self.refuse(desk.refusal(refusal)),
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
        let is_at_rest = !self.has_begun && self.body == 0;
        if self.closes || is_at_rest {
            ground.stack.release(self.id);
            return Next::End;
        }
        self.refuse(&desk.timeout);
        self.send(ground);
        self.linger(ground)
    }

    /// The next request in what was received, if it is there.
    fn read<S: SharedPacket>(
        &mut self,
        ground: &mut Ground<'_, S>,
        desk: &mut Desk,
    ) -> Result<Option<Question>, Refusal> {
        if !self.has_begun {
            self.has_begun = true;
            self.head_until = ground.now + HEAD_TIME;
        }
        let limits = Limits::default();
        let octets = in_one_piece(ground.stack.read(self.id), limits.window(), &mut desk.scratch);
        let Some(place) = self.head_end.find(octets, &limits)? else { return Ok(None) };
        let length = place.end;
        let question = question(octets.get(place).unwrap_or_default(), &limits)?;
        ground.consume(length);
        self.has_begun = false;
        self.head_end = HeadEnd::of_request();
        Ok(Some(question))
    }

    fn answer(&mut self, question: Question) {
        let Action::Respond(page) = self.listener.action();
        if let Framing::Length(length) = question.framing {
            self.body = length;
        }
        self.closes = question.closes;
        let body = if question.is_head { 0..0 } else { page.body() };
        self.unsent = Some(Answer { parts: [page.head(self.closes), body], page });
    }

    fn refuse(&mut self, page: &Arc<Page>) {
        self.closes = true;
        let page = Arc::clone(page);
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

/// What a head asks, as far as an answer that is always the same depends on it.
fn question(head: &[u8], limits: &Limits) -> Result<Question, Refusal> {
    let mut scratch = Scratch::new();
    let request = Request::parse(head, limits, &mut scratch)?;
    // Who waits to be told to go on may never send its content after another answer (RFC 9110, section 10.1.1); and chunks would have
    // to be read to be skipped.
    let is_open_end = match request.framing {
        Framing::None | Framing::Length(0) => false,
        Framing::Length(_) => request.expects_continue,
        Framing::Chunked | Framing::UntilClose => true,
    };
    Ok(Question {
        is_head: request.method == Method::Head,
        is_connect: request.method == Method::Connect,
        framing: request.framing,
        closes: is_open_end || !request.keeps_alive,
    })
}
