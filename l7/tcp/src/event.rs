//! What a stack tells the application, once for each change.

use crate::error::Ending;

/// A connection, from when it is accepted or opened until it is released. Never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnectionId {
    pub(crate) index: u32,
    pub(crate) epoch: u32,
}

impl ConnectionId {
    /// Its place among the connections of the stack: below `max_connections`, and its alone until it is released.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }
}

/// A listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId(pub(crate) u32);

/// Something that the application may want to act on. Said once; a state that lasts is not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// `Stack::accept` has a connection for this listener.
    Acceptable(ListenerId),
    /// An active open succeeded.
    Connected(ConnectionId),
    /// There are octets to read, or the end of them.
    Readable(ConnectionId),
    /// There is room to send again, after `Stack::send` was refused.
    Writable(ConnectionId),
    /// Urgent data was announced (RFC 9293, section 3.8.5): `Stack::urgent` says where it ends.
    Urgent(ConnectionId),
    /// Timeouts (RFC 9293, section 3.8.3, R1) or ICMP errors (section 3.9.2.2) suggest that the other end is out of reach; still trying.
    Struggling(ConnectionId),
    /// The connection is over. What was received in order can still be read; then it wants to be
    /// released.
    Closed(ConnectionId, Ending),
}

/// Events of a connection as bits, in the order in which they are told.
pub(crate) mod kind {
    pub(crate) const ACCEPTABLE: u8 = 1;
    pub(crate) const CONNECTED: u8 = 1 << 1;
    pub(crate) const URGENT: u8 = 1 << 2;
    pub(crate) const READABLE: u8 = 1 << 3;
    pub(crate) const WRITABLE: u8 = 1 << 4;
    pub(crate) const STRUGGLING: u8 = 1 << 5;
    pub(crate) const CLOSED: u8 = 1 << 6;
}
