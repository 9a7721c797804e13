//! What the application asks of a stack (RFC 9293, section 3.9.1).

use super::Stack;
use crate::connection::{Bits, Connection};
use crate::event::{Event, kind};
use crate::{
    Buf, ConnectionId, Ending, Endpoint, Info, ListenError, ListenerConfig, ListenerId, NoConnection, Pieces,
    Range, SendError, State, Tuple,
};

impl<B: Buf> Stack<B> {
    /// Answers SYNs to `at`, whose address may be [`Addr::UNSPECIFIED`](crate::Addr::UNSPECIFIED) for any (RFC 9293, section 3.10.1).
    ///
    /// # Errors
    /// When there is a listener for it, or too many.
    pub fn listen(&mut self, at: Endpoint, config: &ListenerConfig) -> Result<ListenerId, ListenError> {
        let profile = self.shared.profiles.number(&config.settings).ok_or(ListenError::TooMany)?;
        let id = self.shared.listeners.add(at, config, profile)?;
        self.shared.profiles.hold(profile);
        Ok(id)
    }

    /// Answers no further SYNs. Connections that were not accepted are reset; those that were go on.
    pub fn unlisten(&mut self, id: ListenerId) {
        let Some(listener) = self.shared.listeners.remove(id) else { return };
        self.shared.profiles.let_go(listener.profile);
        for waiting in listener.accepted {
            self.abort(waiting);
        }
    }

    /// The connection that has waited longest to be accepted. [`Event::Acceptable`] is told again only after this said `None`.
    pub fn accept(&mut self, id: ListenerId) -> Option<ConnectionId> {
        let listener = self.shared.listeners.at_mut(id.0)?;
        while let Some(waiting) = listener.accepted.pop_front() {
            // It may have been reset in the meantime.
            if let Some(connection) = self.connections.named_mut(waiting) {
                connection.bits.set(Bits::ACCEPTED);
                self.settle(waiting.index);
                return Some(waiting);
            }
        }
        listener.is_told = false;
        None
    }

    /// All connections that the application has and has not released.
    pub fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        let known = |bits: Bits| bits.has(Bits::ACCEPTED) && !bits.has(Bits::RELEASED);
        self.connections.iter().filter_map(move |(id, connection)| known(connection.bits).then_some(id))
    }

    /// Both ends of a connection.
    #[must_use]
    pub fn tuple(&self, id: ConnectionId) -> Option<Tuple> {
        self.connections.named(id).map(|connection| connection.tuple)
    }

    /// Where a connection stands.
    #[must_use]
    pub fn state(&self, id: ConnectionId) -> Option<State> {
        self.connections.named(id).map(|connection| connection.state)
    }

    /// What is known about a connection, in the terms of Linux's TCP_INFO.
    #[must_use]
    pub fn info(&self, id: ConnectionId) -> Option<Info> {
        self.connections.named(id).map(|connection| connection.info(self.now))
    }

    /// The octets that were received in order and not consumed, piece by piece as they came.
    #[inline]
    pub fn read(&self, id: ConnectionId) -> impl Iterator<Item = &[u8]> {
        self.unread(id).map(|piece| piece.octets())
    }

    /// The same with their buffers, for who passes these on instead of copying.
    #[inline]
    pub fn unread(&self, id: ConnectionId) -> Pieces<'_, B> {
        let none = || Pieces::new(None, Range::default());
        self.connections.named(id).map_or_else(none, |connection| connection.assembler.pieces())
    }

    /// How many octets there are to read.
    #[must_use]
    #[inline]
    pub fn readable(&self, id: ConnectionId) -> usize {
        self.connections.named(id).map_or(0, |connection| connection.assembler.unread() as usize)
    }

    /// True if the other side has closed and everything that it sent was consumed.
    #[must_use]
    #[inline]
    pub fn is_at_end(&self, id: ConnectionId) -> bool {
        self.connections.named(id).is_some_and(|connection| {
            connection.assembler.is_finished() && connection.assembler.unread() == 0
        })
    }

    /// True if the other side has closed: nothing follows what is unread.
    #[must_use]
    #[inline]
    pub fn is_ending(&self, id: ConnectionId) -> bool {
        self.connections.named(id).is_some_and(|connection| connection.assembler.is_finished())
    }

    /// Lets go of the first `octets` octets that were read.
    #[inline]
    pub fn consume(&mut self, id: ConnectionId, octets: usize) {
        let now = self.now;
        let Some(connection) = self.connections.named_mut(id) else { return };
        if connection.consume(octets, now, &mut self.shared) {
            self.settle(id.index);
        }
    }

    /// Copies as many octets as there are and there is room for, and consumes them.
    pub fn read_into(&mut self, id: ConnectionId, into: &mut [u8]) -> usize {
        let Some(connection) = self.connections.named_mut(id) else { return 0 };
        let (octets, has_news) = connection.read_into(into, self.now, &mut self.shared);
        if has_news {
            self.settle(id.index);
        }
        octets
    }

    /// Appends octets to what is sent. The buffer is kept until all of it is acknowledged.
    ///
    /// # Errors
    /// Gives the buffer back if there is no room ([`Event::Writable`] says when there is), or the connection takes no more.
    #[inline]
    pub fn send(&mut self, id: ConnectionId, buf: B) -> Result<(), (SendError, B)> {
        let Some(connection) = self.connections.named_mut(id) else { return Err((SendError::Closed, buf)) };
        if let Err(error) = connection.may_push(&buf, &self.shared) {
            return Err((error, buf));
        }
        connection.push(buf, &mut self.shared);
        self.settle(id.index);
        Ok(())
    }

    /// Octets given to send and not yet acknowledged.
    #[must_use]
    pub fn unacknowledged(&self, id: ConnectionId) -> usize {
        self.connections.named(id).map_or(0, |connection| connection.send.len() as usize)
    }

    /// The last octet given to send is the last of urgent data (RFC 9293, section 3.8.5). New protocols do not use this (RFC 6093).
    ///
    /// # Errors
    /// If there is no such connection.
    pub fn mark_urgent(&mut self, id: ConnectionId) -> Result<(), NoConnection> {
        self.connections.named_mut(id).ok_or(NoConnection)?.mark_end_urgent(&mut self.shared);
        self.settle(id.index);
        Ok(())
    }

    /// How many octets there are, the unread ones first, up to the end of the urgent data that was announced; it may not have arrived yet.
    #[must_use]
    pub fn urgent(&self, id: ConnectionId) -> Option<u32> {
        let connection = self.connections.named(id)?;
        let first = connection.receive_next() - connection.assembler.unread();
        let ahead = connection.urgent_received().octets_after(first);
        (connection.bits.has(Bits::URGENT_RECEIVED) && ahead > 0).then_some(ahead)
    }

    /// Nagle's algorithm off or on (RFC 9293, MUST-17).
    pub fn set_no_delay(&mut self, id: ConnectionId, no_delay: bool) {
        if let Some(connection) = self.connections.named_mut(id) {
            connection.bits.put(Bits::NO_DELAY, no_delay);
            connection.bits.set(Bits::OUTPUT);
            self.settle(id.index);
        }
    }

    /// RFC 9293, section 3.10.4: no more is sent after what was given already. Reading goes on.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.named_mut(id) {
            connection.close(&mut self.shared);
            self.settle(id.index);
        }
    }

    /// The application lets go: the connection is closed if it was not, what may still arrive is refused, and the id is of no use any more.
    pub fn release(&mut self, id: ConnectionId) {
        let now = self.now;
        if let Some(connection) = self.connections.named_mut(id)
            && !connection.bits.has(Bits::RELEASED)
        {
            connection.release(now, &mut self.shared);
            self.settle(id.index);
        }
    }

    /// RFC 9293, section 3.10.5: the connection ends here and now, with a reset. The id is of no use any more.
    pub fn abort(&mut self, id: ConnectionId) {
        let now = self.now;
        if let Some(connection) = self.connections.named_mut(id) {
            connection.events = 0;
            connection.bits.set(Bits::RELEASED);
            connection.abort(Ending::Aborted, now, &mut self.shared);
            self.settle(id.index);
        }
    }

    /// What has happened since the last question, one by one.
    pub fn next_event(&mut self) -> Option<Event> {
        if let Some(listener) = self.acceptable.pop_front() {
            return Some(Event::Acceptable(listener));
        }
        while let Some(&index) = self.events.front() {
            let mut event = None;
            if let Some(connection) = self.connections.at_mut(index) {
                event = next_of(connection, index);
                if event.is_some() && connection.events != 0 {
                    return event;
                }
                connection.bits.clear(Bits::IN_EVENTS);
            }
            self.events.pop_front();
            if event.is_some() {
                return event;
            }
        }
        None
    }
}

/// The first of a connection's events, which is taken off.
#[inline]
fn next_of<B: Buf>(connection: &mut Connection<B>, index: u32) -> Option<Event> {
    let id = ConnectionId { index, epoch: connection.epoch };
    if !connection.bits.has(Bits::IN_EVENTS) || connection.bits.has(Bits::RELEASED) {
        return None;
    }
    let first = connection.events & connection.events.wrapping_neg();
    connection.events &= !first;
    match first {
        kind::CONNECTED => Some(Event::Connected(id)),
        kind::URGENT => Some(Event::Urgent(id)),
        kind::READABLE => Some(Event::Readable(id)),
        kind::WRITABLE => Some(Event::Writable(id)),
        kind::STRUGGLING => Some(Event::Struggling(id)),
        kind::CLOSED => Some(Event::Closed(id, connection.ending.unwrap_or(Ending::Closed))),
        _ => None,
    }
}
