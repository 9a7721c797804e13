//! What a connection is to send and had no room for.

use std::collections::VecDeque;

use evenkeel_tcp::{ConnectionId, SendError};

use super::Net;

/// See the module. It is filled only when it is empty, so that it holds what one step of reading came to, and no more.
#[derive(Debug)]
pub(super) struct Outbox<O> {
    waiting: VecDeque<O>,
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
        Self { waiting: VecDeque::new() }
    }
}

impl<O> Outbox<O> {
    pub(super) fn push(&mut self, octets: O) {
        self.waiting.push_back(octets);
    }

    /// Sends as much as there is room for.
    pub(super) fn flush<N: Net<Octets = O>>(&mut self, net: &mut N, id: ConnectionId) -> Sent {
        while let Some(octets) = self.waiting.pop_front() {
            match net.send(id, octets) {
                Ok(()) => {}
                Err((SendError::Full, octets)) => {
                    self.waiting.push_front(octets);
                    return Sent::Some;
                }
                Err((SendError::Closed, _)) => {
                    self.waiting.clear();
                    return Sent::Never;
                }
            }
        }
        // Connections at rest hold no memory.
        if self.waiting.capacity() > 0 {
            self.waiting = VecDeque::new();
        }
        Sent::All
    }
}
