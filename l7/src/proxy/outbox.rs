//! What a connection is to send and had no room for.

use std::collections::VecDeque;

use evenkeel_tcp::{ConnectionId, SendError};

use super::Net;

/// See the module. It is filled only when it is empty, so that it holds what one step of reading came to, and no more.
#[derive(Debug)]
pub(super) struct Outbox<O> {
    /// What goes next, if anything waits: mostly there is no more, and no memory is taken for it.
    first: Option<O>,
    more: VecDeque<O>,
}

/// What became of what was to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// All of it has gone.
    All,
    /// There is no room for some of it.
    Some,
    /// The connection takes no more, ever.
    Never,
}

impl<O> Default for Outbox<O> {
    fn default() -> Self {
        Self { first: None, more: VecDeque::new() }
    }
}

impl<O> Outbox<O> {
    pub(super) fn push(&mut self, octets: O) {
        match &self.first {
            None => self.first = Some(octets),
            Some(_) => self.more.push_back(octets),
        }
    }

    /// Sends as much as there is room for.
    pub(super) fn flush<N: Net<Octets = O>>(&mut self, net: &mut N, id: ConnectionId) -> Sent {
        while let Some(octets) = self.first.take() {
            match net.send(id, octets) {
                Ok(()) => self.first = self.more.pop_front(),
                Err((SendError::Full, octets)) => {
                    self.first = Some(octets);
                    return Sent::Some;
                }
                Err((SendError::Closed, _)) => {
                    self.more.clear();
                    return Sent::Never;
                }
            }
        }
        // Connections at rest hold no memory.
        if self.more.capacity() > 0 {
            self.more = VecDeque::new();
        }
        Sent::All
    }
}
