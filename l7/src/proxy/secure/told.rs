//! What the proxy is to be told of a connection.

use evenkeel_tcp::{ConnectionId, Ending, Event};

/// Events of one connection, each at most once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Told {
    pub(super) is_connected: bool,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
    pub(super) closed: Option<Ending>,
}

impl Told {
    /// The first of them, which is taken off.
    pub(super) fn next(&mut self, id: ConnectionId) -> Option<Event> {
        if std::mem::take(&mut self.is_connected) {
            return Some(Event::Connected(id));
        }
        if std::mem::take(&mut self.is_readable) {
            return Some(Event::Readable(id));
        }
        if std::mem::take(&mut self.is_writable) {
            return Some(Event::Writable(id));
        }
        self.closed.take().map(|ending| Event::Closed(id, ending))
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}
