//! What the application asks of a connection (RFC 9293, section 3.9.1).

use super::{Bits, Connection, State};
use crate::counters::Counter;
use crate::stack::Shared;
use crate::{Buf, Ending, SendError, Time};

impl<B: Buf> Connection<B> {
    /// True if octets can be given to send, else why not.
    #[inline]
    pub(crate) fn may_push(&mut self, buf: &B, shared: &Shared<B>) -> Result<(), SendError> {
        if !self.state.sends() || self.bits.has(Bits::FIN_WANTED) {
            return Err(SendError::Closed);
        }
        let size = u64::from(buf.true_size());
        let held = self.send.true_size();
        // An empty buffer takes anything, or octets in a large buffer could never be sent at all.
        let is_full = held > 0
            && !(self.affords(held + size, self.waiting(), shared) && shared.memory.has_room_for(size));
        if is_full || !self.send.takes(buf.octets().len()) {
            self.bits.set(Bits::WANTS_ROOM);
            return Err(SendError::Full);
        }
        Ok(())
    }

    /// True if the budget allows for buffers of `size` octets in all, where `octets` wait before the last of them.
    #[inline]
    pub(super) fn affords(&self, size: u64, octets: u32, shared: &Shared<B>) -> bool {
        let settings = shared.settings(self.profile);
        if size > u64::from(settings.send_buffer) {
            return false;
        }
        size <= u64::from(settings.initial_send_buffer)
            || octets < self.sends_ahead() && !shared.memory.is_scarce()
    }

    /// Octets that wait to be acknowledged, without those that the other side holds behind a hole or that are lost: they take nothing of what
    /// the path carries, and may be more than that while a hole is being repaired.
    pub(super) fn waiting(&self) -> u32 {
        let aside = self.recovery.outstanding().saturating_sub(self.recovery.in_flight());
        self.send.len().saturating_sub(aside)
    }

    /// Octets that may wait to be acknowledged: enough to keep the path full while the application gives more.
    fn sends_ahead(&self) -> u32 {
        let (window, threshold) = (self.recovery.window(), self.recovery.threshold());
        // After a timeout the window is on its way back to the threshold.
        let carried = if threshold == u32::MAX { window } else { window.max(threshold) };
        carried.min(self.largest_window).saturating_mul(2)
    }

    /// Appends octets to what is sent: [`Connection::may_push`] was asked.
    #[inline]
    pub(crate) fn push(&mut self, buf: B, shared: &mut Shared<B>) {
        let length = buf.octets().len() as u32;
        if length > 0 {
            shared.memory.changed(0, buf.true_size().into());
            self.send.append(buf, 0, length, &mut shared.spares);
        }
        self.bits.set(Bits::OUTPUT);
    }

    /// RFC 9293, section 3.10.4: a FIN follows what was given to send.
    pub(crate) fn close(&mut self, shared: &mut Shared<B>) {
        match self.state {
            State::Closed => {}
            State::SynSent => self.end(Ending::Aborted, shared),
            _ => self.bits.set(Bits::FIN_WANTED | Bits::OUTPUT),
        }
    }

    /// The application lets go. RFC 9293, section 3.6.1, SHLD-3, and RFC 2525, section 2.17: what it has not read is lost, and a reset says so.
    pub(crate) fn release(&mut self, now: Time, shared: &mut Shared<B>) {
        self.events = 0;
        self.bits.set(Bits::RELEASED);
        if self.assembler.unread() > 0 && self.state != State::Closed {
            shared.counters.count(Counter::AbortOnClose);
            self.abort(Ending::Aborted, now, shared);
            return;
        }
        self.close(shared);
        if self.state == State::FinWait2 {
            self.rest(now, shared);
        }
    }

    /// The last octet given to send is urgent (RFC 9293, section 3.9.1.3).
    pub(crate) fn mark_end_urgent(&mut self, shared: &mut Shared<B>) {
        if self.send.is_empty() || !self.state.sends() {
            return;
        }
        self.send.mark_urgent(&mut shared.spares);
        self.bits.set(Bits::URGENT_SENT | Bits::ACK_NOW | Bits::OUTPUT);
    }
}
