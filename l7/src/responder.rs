//! Answers every request with its service's page: the smallest application there can be, over HTTP/1.1.
//!
//! Invariants:
//! - a connection that is at rest holds no octets, only its place here;
//! - what it may be given to send is bounded ([`Stack::send`] refuses), and no request is looked at before the answer to the
//!   last one was taken: a client that asks and does not read is not read from either;
//! - every wait has a deadline.

mod conversation;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_datapath::packet::SharedPacket;
use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_tcp::wheel::Wheel;
use evenkeel_tcp::{ConnectionId, Event, Stack, State, Time};

use crate::http::Refusal;
use crate::{Application, Listener, Octets, Page, Work};
use conversation::{Conversation, Next};

/// See the module.
pub struct Responder {
    /// By index of their connections.
    conversations: Vec<Option<Conversation>>,
    deadlines: Wheel,
    /// Conversations that have more to do and had no turn, each at least once.
    waiting: VecDeque<ConnectionId>,
    /// How far the search for conversations of services that are gone has come.
    ended_before: Option<usize>,
    /// Services of conversations that have ended, until somebody asks.
    ended: Vec<ServiceSlot>,
    desk: Desk,
}

/// What conversations share.
struct Desk {
    /// A head that came in pieces is put together here.
    scratch: Vec<u8>,
    /// By [`Refusal`].
    refusals: Vec<Arc<Page>>,
    timeout: Arc<Page>,
    not_allowed: Arc<Page>,
}

impl Desk {
    fn new() -> Self {
        let page = |status, text: String| Arc::new(Page::new(status, "text/plain", text.as_bytes()));
        let refusals = Refusal::ALL.iter().map(|refusal| page(refusal.status(), format!("{refusal}\n")));
        Self {
            scratch: Vec::new(),
            refusals: refusals.collect(),
            timeout: page(408, "The request did not come in time.\n".to_owned()),
            not_allowed: page(405, "There are no tunnels here.\n".to_owned()),
        }
    }

    /// The answer to what is refused.
    fn refusal(&self, refusal: Refusal) -> &Arc<Page> {
        self.refusals.get(refusal as usize).unwrap_or(&self.timeout)
    }
}

impl Responder {
    /// Goes on with a conversation as far as it can.
    fn go_on<S: SharedPacket>(
        &mut self,
        stack: &mut Stack<Octets<S>>,
        now: Time,
        id: ConnectionId,
        work: &mut Work,
    ) {
        let index = id.index();
        let Some(conversation) = named(&mut self.conversations, id) else { return };
        match conversation.go_on(&mut Ground { stack, now, id }, &mut self.desk, work) {
            Next::Wait(deadline) => self.deadlines.set(index, deadline),
            Next::Again => self.waiting.push_back(id),
            Next::End => self.end(id),
        }
    }

    /// Ends conversations of services that are gone, a unit of work for a few of them each.
    fn end_some<S: SharedPacket>(&mut self, stack: &mut Stack<Octets<S>>, work: &mut Work) {
        const A_FEW: usize = 16;
        while let Some(start) = self.ended_before.take_if(|_| work.take()) {
            let some = self.conversations.get_mut(start..).unwrap_or_default();
            let mut looked_at = 0;
            for place in some.iter_mut().take(A_FEW) {
                looked_at += 1;
                if let Some(gone) = place.take_if(|conversation| conversation.is_of_the_past()) {
                    self.deadlines.cancel(gone.id.index());
                    self.ended.push(gone.service());
                    stack.abort(gone.id);
                }
            }
            if looked_at < A_FEW {
                return;
            }
            self.ended_before = Some(start + looked_at);
        }
    }

    fn end(&mut self, id: ConnectionId) {
        self.deadlines.cancel(id.index());
        let place = self.conversations.get_mut(id.index() as usize);
        if let Some(over) = place.and_then(Option::take) {
            self.ended.push(over.service());
        }
    }
}

/// The conversation over this connection, if there is one still.
fn named(conversations: &mut [Option<Conversation>], id: ConnectionId) -> Option<&mut Conversation> {
    let conversation = conversations.get_mut(id.index() as usize)?.as_mut();
    conversation.filter(|conversation| conversation.id == id)
}

impl<S: SharedPacket> Application<Octets<S>> for Responder {
    fn new(connections: u32, now: Time) -> Self {
        Self {
            conversations: Vec::new(),
            deadlines: Wheel::new(connections, now),
            waiting: VecDeque::new(),
            ended_before: None,
            ended: Vec::new(),
            desk: Desk::new(),
        }
    }

    fn accept(&mut self, stack: &mut Stack<Octets<S>>, now: Time, id: ConnectionId, listener: &Rc<Listener>) {
        let index = id.index() as usize;
        if self.conversations.len() <= index {
            self.conversations.resize_with(index + 1, || None);
        }
        let (conversation, deadline) = Conversation::new(id, Rc::clone(listener), now);
        if let Some(place) = self.conversations.get_mut(index) {
            *place = Some(conversation);
        }
        self.deadlines.set(id.index(), deadline);
        if stack.readable(id) > 0 || stack.is_at_end(id) {
            self.waiting.push_back(id);
        }
    }

    fn event(&mut self, stack: &mut Stack<Octets<S>>, now: Time, event: Event, work: &mut Work) {
        match event {
            Event::Readable(id) | Event::Writable(id) => self.go_on(stack, now, id, work),
            Event::Closed(id, _) => {
                stack.release(id);
                if named(&mut self.conversations, id).is_some() {
                    self.end(id);
                }
            }
            Event::Acceptable(_) | Event::Connected(_) | Event::Urgent(_) | Event::Struggling(_) => {}
        }
    }

    fn ended(&mut self) -> Option<ServiceSlot> {
        self.ended.pop()
    }

    fn places(&self) -> u32 {
        u32::try_from(self.conversations.len()).unwrap_or(u32::MAX)
    }

    fn at(&self, place: u32) -> Option<ConnectionId> {
        Some(self.conversations.get(place as usize)?.as_ref()?.id)
    }

    fn services_changed(&mut self) {
        self.ended_before = Some(0);
    }

    fn advance(&mut self, stack: &mut Stack<Octets<S>>, now: Time, work: &mut Work) {
        self.end_some(stack, work);
        while let Some(index) = self.deadlines.expire(now, &mut work.0) {
            let place = self.conversations.get_mut(index as usize).and_then(Option::as_mut);
            let Some(conversation) = place else { continue };
            let id = conversation.id;
            match conversation.expire(&mut Ground { stack, now, id }, &self.desk) {
                Next::Wait(deadline) => self.deadlines.set(index, deadline),
                Next::Again => self.waiting.push_back(id),
                Next::End => self.end(id),
            }
        }
        for _ in 0..self.waiting.len() {
            if work.0 == 0 {
                break;
            }
            if let Some(id) = self.waiting.pop_front() {
                self.go_on(stack, now, id, work);
            }
        }
    }

    fn deadline(&self) -> Option<Time> {
        if self.waiting.is_empty() && self.ended_before.is_none() {
            self.deadlines.next_deadline()
        } else {
            Some(Time(0))
        }
    }
}

/// Where a conversation takes place.
struct Ground<'a, S: SharedPacket> {
    stack: &'a mut Stack<Octets<S>>,
    now: Time,
    id: ConnectionId,
}

impl<S: SharedPacket> Ground<'_, S> {
    fn readable(&self) -> usize {
        self.stack.readable(self.id)
    }

    fn is_at_end(&self) -> bool {
        self.stack.is_at_end(self.id)
    }

    /// True if nothing follows what is here.
    fn is_other_side_closed(&self) -> bool {
        let state = self.stack.state(self.id);
        matches!(state, Some(State::CloseWait | State::Closing | State::LastAck | State::Closed) | None)
    }

    fn consume(&mut self, octets: usize) {
        self.stack.consume(self.id, octets);
    }
}
