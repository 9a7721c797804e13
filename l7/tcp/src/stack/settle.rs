//! What every connection needs after something was done to it.

use super::Stack;
use super::table::Reference;
use super::time_wait::Departed;
use crate::connection::{Alarm, Bits, Connection, State};
use crate::counters::Counter;
use crate::event::kind;
use crate::{Buf, ListenerId, Time};

/// A connection with one of these is asked for its next segment.
const MAY_HAVE_OUTPUT: Bits = Bits::OUTPUT.and(Bits::ACK_NOW).and(Bits::SYN_DUE).and(Bits::PROBE_DUE);

impl<B: Buf> Stack<B> {
    /// Puts the connection where it belongs: on the lists of those with output, with events and with a timer to set, out of the table.
    #[inline(always)]
    pub(super) fn settle(&mut self, index: u32) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        if connection.state == State::Closed {
            self.bury(index);
            return;
        }
        if connection.bits.has(MAY_HAVE_OUTPUT) {
            if !connection.bits.has(Bits::IN_OUTPUT) {
                connection.bits.set(Bits::IN_OUTPUT);
                self.output.push_back(index);
            }
        } else if !connection.bits.has(Bits::UNARMED) {
            // Whoever has output gets there when it has gone.
            connection.bits.set(Bits::UNARMED);
            self.unarmed.push(index);
        }
        if connection.events != 0 && !connection.bits.has(Bits::IN_EVENTS) {
            self.announce(index);
        }
    }

    /// Makes sure that the wheel wakes everybody in time. It may wake somebody too early: putting off a timer costs nothing that way.
    pub(super) fn arm(&mut self) {
        for index in self.unarmed.drain(..) {
            let Some(connection) = self.connections.at_mut(index) else { continue };
            connection.bits.clear(Bits::UNARMED);
            if connection.bits.has(Bits::IN_OUTPUT) {
                continue;
            }
            let Some(deadline) = connection.deadline(self.now) else { continue };
            let alarm = Alarm::bounded(deadline, self.now);
            if alarm.is_before(connection.armed) {
                connection.armed = alarm;
                self.wheel.set(index, deadline);
            }
        }
    }

    /// When a connection is to be woken of which the wheel may not know.
    pub(super) fn unarmed_deadline(&self, index: u32) -> Option<Time> {
        let connection = self.connections.at(index)?;
        if connection.bits.has(Bits::IN_OUTPUT) { None } else { connection.deadline(self.now) }
    }

    /// Puts the connection on the list of those with events.
    fn announce(&mut self, index: u32) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        if connection.events & kind::ACCEPTABLE != 0 {
            connection.events &= !kind::ACCEPTABLE;
            let listener = self.shared.accepting;
            self.queue_for_accept(index, listener);
            return;
        }
        // Before it is accepted nobody knows its id; the events stay until then.
        if connection.bits.has(Bits::ACCEPTED) && !connection.bits.has(Bits::IN_EVENTS) {
            connection.bits.set(Bits::IN_EVENTS);
            self.events.push_back(index);
        }
    }

    fn queue_for_accept(&mut self, index: u32, number: u32) {
        let Some(id) = self.connections.id(index) else { return };
        let Some(listener) = self.shared.listeners.at_mut(number) else { return };
        listener.shaking = listener.shaking.saturating_sub(1);
        listener.accepted.push_back(id);
        if !listener.is_told {
            listener.is_told = true;
            self.acceptable.push_back(ListenerId(number));
        }
    }

    /// The connection is over: it leaves the table, and its place if the application does not need it.
    fn bury(&mut self, index: u32) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        if !connection.bits.has(Bits::UNLISTED) {
            connection.bits.set(Bits::UNLISTED);
            let tuple = connection.tuple;
            let departs = connection.bits.take(Bits::DEPARTS);
            let was_shaking = connection.bits.has(Bits::PASSIVE) && !connection.bits.has(Bits::ESTABLISHED);
            let listener = connection.listener_or_urgent;
            let departed = departs.then(|| connection.departed());
            connection.armed = Alarm::OFF;
            self.wheel.cancel(index);
            let hash = self.hasher.hash(&tuple);
            match departed {
                Some(departed) => self.depart(hash, index, &departed),
                None => self.table.remove(hash, Reference::Connection(index)),
            }
            if was_shaking {
                self.shared.counters.count(Counter::AttemptFails);
                if let Some(listener) = self.shared.listeners.at_mut(listener) {
                    listener.shaking = listener.shaking.saturating_sub(1);
                }
            }
        }
        let Some(connection) = self.connections.at_mut(index) else { return };
        // Released, or never known to anybody.
        if connection.bits.has(Bits::RELEASED) || !connection.bits.has(Bits::ACCEPTED) {
            self.free(index);
        } else if connection.events != 0 {
            self.announce(index);
        }
    }

    /// Puts a record into the place of a connection in the table.
    fn depart(&mut self, hash: u32, index: u32, departed: &Departed) {
        self.shared.counters.count(Counter::TimeWait);
        if self.time_wait.is_full() {
            self.shared.counters.count(Counter::TimeWaitOverflow);
            if let Some((place, oldest)) = self.time_wait.drop_oldest(self.now, true) {
                self.table.remove(self.hasher.hash(&oldest.tuple), Reference::TimeWait(place));
            }
        }
        match self.time_wait.remember(departed, self.now) {
            Some(place) => {
                self.table.replace(hash, Reference::Connection(index), Reference::TimeWait(place));
            }
            None => self.table.remove(hash, Reference::Connection(index)),
        }
        self.answer_departed(departed);
    }

    /// Gives the place of a connection back.
    fn free(&mut self, index: u32) {
        let Some(mut connection) = self.connections.remove(index) else { return };
        let held = connection.assembler.true_size();
        self.shared.memory.changed(held, 0);
        connection.assembler.clear(&mut self.shared.spares);
        self.shared.profiles.let_go(connection.profile);
        if connection.bits.has(Bits::TRACED) {
            self.traces.remove(&index);
        }
    }
}

impl<B: Buf> Connection<B> {
    /// What is remembered of it in TIME-WAIT.
    fn departed(&mut self) -> Departed {
        let window = self.window.advertise(self.assembler.next(), self.assembler.unread(), self.mss);
        Departed {
            tuple: self.tuple,
            window,
            send_next: self.send_next,
            receive_next: self.assembler.next(),
            timestamp: self.bits.has(Bits::TIMESTAMPS).then_some(self.timestamp_recent),
        }
    }
}
