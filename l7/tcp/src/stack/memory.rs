//! The governor: how much memory buffers of all connections take, and who is refused when it runs out.
//!
//! Invariant: what is taken is given back, to the octet. Data in order may use all of it; the application's sends leave a sixteenth
//! and data out of order an eighth, so that connections can always finish what they have begun.

/// Octets of buffers held, counted by true size, and their limit.
pub(crate) struct Memory {
    held: u64,
    limit: u64,
}

impl Memory {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { held: 0, limit }
    }

    pub(crate) const fn held(&self) -> u64 {
        self.held
    }

    /// True if the application may give so much more to send.
    #[inline]
    pub(crate) const fn has_room_for(&self, octets: u64) -> bool {
        self.held + octets <= self.limit - self.limit / 16
    }

    /// True if a segment of this size may be kept.
    #[inline]
    pub(crate) const fn admits(&self, octets: u64, is_in_order: bool) -> bool {
        let limit = if is_in_order { self.limit } else { self.limit - self.limit / 8 };
        self.held + octets <= limit
    }

    /// True if windows should not grow any more.
    #[inline]
    pub(crate) const fn is_scarce(&self) -> bool {
        self.held > self.limit / 4 * 3
    }

    /// A connection holds `after` octets now, where it held `before`.
    #[inline]
    pub(crate) const fn changed(&mut self, before: u64, after: u64) {
        debug_assert!(before <= self.held);
        self.held = self.held - before + after;
    }
}
