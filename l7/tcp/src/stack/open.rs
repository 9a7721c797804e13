//! How connections come about: by a SYN, by a cookie that comes back, or from this side.

use super::Stack;
use super::table::Reference;
use crate::connection::{Alarm, Bits, Connection, State, announced_mss};
use crate::counters::Counter;
use crate::receive::{Assembler, DelayedAck, ReceiveWindow};
use crate::segment::Segment;
use crate::send_buffer::SendBuffer;
use crate::{Buf, ConnectError, ConnectionId, SequenceNumber, Settings, Time, Tuple};

impl<B: Buf> Stack<B> {
    /// Opens a connection (RFC 9293, section 3.10.1). [`Event::Connected`](crate::Event::Connected) says when it is open; octets
    /// may be given to it before that.
    ///
    /// # Errors
    /// When the tuple is in use or cannot be that of a connection, or the stack is full.
    pub fn connect(
        &mut self,
        now: Time,
        tuple: Tuple,
        settings: &Settings,
    ) -> Result<ConnectionId, ConnectError> {
        self.see(now);
        let ends = [tuple.local, tuple.remote];
        if ends.iter().any(|end| !end.addr.is_unicast() || end.port == 0) || tuple.local == tuple.remote {
            return Err(ConnectError::Unusable);
        }
        let hash = self.hasher.hash(&tuple);
        match self.find(&tuple, hash) {
            Some(Reference::Connection(_)) => return Err(ConnectError::InUse),
            // Nothing is known of how far the other side's clock has come, so only its timestamps could protect it.
            Some(Reference::TimeWait(_)) => return Err(ConnectError::InUse),
            None => {}
        }
        let profile = self.shared.profile(settings).ok_or(ConnectError::TooMany)?;
        let initial = self.initial.isn(&tuple, self.now);
        let mut connection = self.connection(tuple, profile, initial, State::SynSent);
        connection.bits.set(Bits::ACCEPTED);
        connection.start_handshake(self.now);
        let id = self.connections.insert(connection).ok_or(ConnectError::TooMany)?;
        self.table.insert(hash, Reference::Connection(id.index));
        self.shared.counters.count(Counter::ActiveOpens);
        self.settle(id.index);
        Ok(id)
    }

    /// What is known of `tuple`.
    pub(super) fn find(&self, tuple: &Tuple, hash: u32) -> Option<Reference> {
        self.table.find(hash, |reference| match reference {
            Reference::Connection(index) => {
                self.connections.at(index).is_some_and(|connection| connection.tuple == *tuple)
            }
            Reference::TimeWait(place) => {
                self.time_wait.at(place).is_some_and(|record| record.tuple == *tuple)
            }
        })
    }

    /// A connection that has not yet sent anything.
    pub(super) fn connection(
        &self,
        tuple: Tuple,
        profile: u8,
        initial: SequenceNumber,
        state: State,
    ) -> Connection<B> {
        let settings = self.shared.settings(profile);
        let mss = announced_mss(&tuple, settings.mtu);
        let mut bits = Bits::default();
        bits.put(Bits::SACK, settings.sack);
        bits.put(Bits::TIMESTAMPS, settings.timestamps);
        bits.put(Bits::SCALING, settings.window_scaling);
        bits.put(Bits::NO_DELAY, settings.no_delay);
        Connection {
            tuple,
            bits,
            unacknowledged: initial,
            send_next: initial,
            send_window: 0,
            largest_window: 0,
            window_sequence: SequenceNumber(0),
            timestamp_recent: 0,
            acknowledged_last: SequenceNumber(0),
            timestamp_offset: self.timestamp_offset(&tuple),
            heard_ms: self.now.wrapping_millis(),
            progress: 0,
            control: Alarm::OFF,
            armed: Alarm::OFF,
            assembler: Assembler::new(SequenceNumber(0)),
            window: ReceiveWindow::new(SequenceNumber(0), settings.initial_window, self.now),
            delayed_ack: DelayedAck::new(),
            send: SendBuffer::new(initial + 1),
            recovery: self.shared.recovery_for(profile, mss, settings.sack, self.now),
            listener_or_urgent: u32::MAX,
            epoch: 0,
            mss,
            state,
            events: 0,
            profile,
            attempts: 0,
            timeouts: 0,
            answered: 0,
            send_shift: 0,
            ending: None,
            counts: Default::default(),
        }
    }

    /// A SYN for a listener (RFC 9293, section 3.10.7.2, third).
    pub(super) fn open_by_syn(&mut self, number: u32, tuple: &Tuple, hash: u32, syn: &Segment) {
        let Some(listener) = self.shared.listeners.at(number) else { return };
        if !listener.has_room() {
            // The other side tries again; by then some may have been accepted.
            self.shared.counters.count(Counter::ListenOverflows);
            self.shared.counters.count(Counter::ListenDrops);
            return;
        }
        if !listener.may_remember() || self.connections.is_full() {
            self.shared.counters.count(Counter::ReqQFullDoCookies);
            self.answer_with_cookie(number, tuple, syn);
            return;
        }
        let profile = listener.profile;
        let initial = self.initial.isn(tuple, self.now);
        let mut connection = self.connection(*tuple, profile, initial, State::SynReceived);
        connection.receive_syn(syn, number, self.now, &self.shared);
        connection.start_handshake(self.now);
        let Some(id) = self.connections.insert(connection) else { return };
        self.table.insert(hash, Reference::Connection(id.index));
        if let Some(listener) = self.shared.listeners.at_mut(number) {
            listener.shaking += 1;
        }
        self.settle(id.index);
    }
}

impl<B: Buf> Connection<B> {
    /// A SYN was received by a listener.
    pub(super) fn receive_syn(&mut self, syn: &Segment, listener: u32, now: Time, shared: &super::Shared<B>) {
        self.bits.set(Bits::PASSIVE);
        self.listener_or_urgent = listener;
        self.agree(syn, now, shared);
    }
}
