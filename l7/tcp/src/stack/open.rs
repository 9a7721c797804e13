//! How connections come about: by a SYN, by a cookie that comes back, or from this side.

use super::Stack;
use super::table::Reference;
use crate::connection::{Alarm, Bits, Connection, State, announced_mss};
use crate::counters::Counter;
use crate::receive::{Assembler, DelayedAck, ReceiveWindow};
use crate::segment::Segment;
use crate::send_buffer::SendBuffer;
use crate::{Buf, ConnectError, ConnectionId, SequenceNumber, Settings, Time, Tuple};

/// How long a connection has to have been in TIME-WAIT until this side may open another one in its place.
const LEAST_AGE_MS: u32 = 1_000;
/// How far behind the last number of an earlier connection a new one begins: further than a window without a scale.
const INITIAL_DISTANCE: u32 = (1 << 16) + 1;

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
        let found = self.find(&tuple, hash);
        if matches!(found, Some(Reference::Connection(_))) {
            return Err(ConnectError::InUse);
        }
        let profile = self.shared.profiles.number(settings).ok_or(ConnectError::TooMany)?;
        if self.connections.is_full() {
            return Err(ConnectError::TooMany);
        }
        let last = match found {
            Some(Reference::TimeWait(place)) => {
                let last = self.may_follow(place, settings).ok_or(ConnectError::InUse)?;
                self.recycle(place, hash);
                Some(last)
            }
            _ => None,
        };
        let initial = self.initial_after(last, &tuple);
        let mut connection = self.connection(tuple, profile, initial, State::SynSent);
        connection.bits.set(Bits::ACCEPTED);
        connection.start_handshake(self.now);
        let id = self.enter(connection, hash).ok_or(ConnectError::TooMany)?;
        self.shared.counters.count(Counter::ActiveOpens);
        self.settle(id.index);
        Ok(id)
    }

    /// Whether a connection may be opened where one is remembered in TIME-WAIT, and after which number it has to begin.
    ///
    /// RFC 6191 has it for SYNs that come; for one that goes it is safe on the same grounds: timestamps of both sides go on from one
    /// connection to the next, so that either takes nothing of the old one for the new one's. No clock is so coarse that it would not have
    /// moved on in a second (RFC 7323, section 5.4). If the other side still waits for the last acknowledgement, its answer is one that
    /// this side resets.
    fn may_follow(&self, place: u32, settings: &Settings) -> Option<SequenceNumber> {
        let departed = self.time_wait.at(place)?;
        let is_safe = departed.timestamp.is_some()
            && settings.timestamps
            && self.time_wait.age_ms(place, self.now) >= LEAST_AGE_MS;
        is_safe.then_some(departed.send_next)
    }

    /// An initial sequence number that comes after all that an earlier connection of these endpoints has used, if that is known (RFC 9293,
    /// section 3.6.1, MAY-2: the clock alone does not see to that, if that one sent faster than it ticks).
    /// With it comes what is added to the clock of the connection's timestamps.
    fn initial_after(&self, last: Option<SequenceNumber>, tuple: &Tuple) -> (SequenceNumber, u32) {
        let (initial, offset) = self.initial.both(tuple, self.now);
        match last {
            Some(last) if !initial.follows(last) => (last + INITIAL_DISTANCE, offset),
            _ => (initial, offset),
        }
    }

    /// What is known of `tuple`.
    #[inline]
    pub(super) fn find(&self, tuple: &Tuple, hash: u32) -> Option<Reference> {
        self.find_by(hash, |other| other == tuple)
    }

    /// What is known under this hash of a tuple that `is_it`.
    #[inline]
    pub(super) fn find_by(&self, hash: u32, is_it: impl Fn(&Tuple) -> bool) -> Option<Reference> {
        self.table.find(hash, |reference| match reference {
            Reference::Connection(index) => {
                self.connections.at(index).is_some_and(|connection| is_it(&connection.tuple))
            }
            Reference::TimeWait(place) => self.time_wait.at(place).is_some_and(|record| is_it(&record.tuple)),
        })
    }

    /// Gives a connection its place, if there is one, and its entry in the table.
    pub(super) fn enter(&mut self, connection: Connection<B>, hash: u32) -> Option<ConnectionId> {
        let profile = connection.profile;
        let id = self.connections.insert(connection)?;
        self.shared.profiles.hold(profile);
        self.table.insert(hash, Reference::Connection(id.index));
        Some(id)
    }

    /// A connection that has not yet sent anything.
    pub(super) fn connection(
        &self,
        tuple: Tuple,
        profile: u8,
        (initial, timestamp_offset): (SequenceNumber, u32),
        state: State,
    ) -> Connection<B> {
        let settings = self.shared.settings(profile);
        let mss = announced_mss(&tuple, settings.mtu);
        let mut bits = Bits::default();
        bits.put(Bits::SACK, settings.sack);
        bits.put(Bits::TIMESTAMPS, settings.timestamps);
        bits.put(Bits::SCALING, settings.window_scaling);
        bits.put(Bits::NO_DELAY, settings.no_delay);
        bits.put(Bits::ECN, settings.ecn);
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
            timestamp_offset,
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
            retransmissions: 0,
            counts: Default::default(),
        }
    }

    /// A SYN for a listener (RFC 9293, section 3.10.7.2, third). `last`: where an earlier connection of these endpoints came to its end.
    pub(super) fn open_by_syn(
        &mut self,
        number: u32,
        tuple: &Tuple,
        hash: u32,
        syn: &Segment,
        last: Option<SequenceNumber>,
    ) {
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
        let initial = self.initial_after(last, tuple);
        let mut connection = self.connection(*tuple, profile, initial, State::SynReceived);
        connection.receive_syn(syn, number, self.now, &self.shared);
        connection.start_handshake(self.now);
        let Some(id) = self.enter(connection, hash) else { return };
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
