//! What runs on a stack.

use std::rc::Rc;

use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_tcp::{Buf, ConnectionId, Event, Stack, Time};

use crate::Listener;

/// How much may still be done in this turn. A unit is one request, event or timer: a few hundred nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Work(pub u32);

impl Work {
    /// Takes a unit; false if there is none left.
    pub const fn take(&mut self) -> bool {
        let is_left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        is_left
    }

    /// Takes so many units, as far as they are left, for something that is begun if any is.
    pub const fn spend(&mut self, units: u32) {
        self.0 = self.0.saturating_sub(units);
    }
}

/// An application of a [`Stack`]: told what happens there, it answers by calls to the stack. Sans-IO as the stack is.
pub trait Application<B: Buf> {
    /// One that runs on a stack of so many connections, from now on.
    fn new(connections: u32, now: Time) -> Self;

    /// A client has connected to a service.
    fn accept(&mut self, stack: &mut Stack<B>, now: Time, id: ConnectionId, listener: &Rc<Listener>);

    /// Some services are not what they were, or are gone: connections of these are to end.
    fn services_changed(&mut self);

    /// Something has happened to a connection. Work that does not fit is left for [`Application::advance`].
    fn event(&mut self, stack: &mut Stack<B>, now: Time, event: Event, work: &mut Work);

    /// The service of a connection that it had and has no more; each is told once.
    fn ended(&mut self) -> Option<ServiceSlot>;

    /// Connections that it has lie below this place.
    fn places(&self) -> u32;

    /// The connection in a place, if there is one.
    fn at(&self, place: u32) -> Option<ConnectionId>;

    /// Does what is due, and what was left.
    fn advance(&mut self, stack: &mut Stack<B>, now: Time, work: &mut Work);

    /// When it wants [`Application::advance`] to be called: the past if something was left.
    fn deadline(&self) -> Option<Time>;
}
