//! What is true or not of a connection, a bit each.

/// A set of bits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bits(u32);

impl Bits {
    /// An acknowledgement has to go at once.
    pub(crate) const ACK_NOW: Self = Self(1);
    /// The SYN, or the answer to one, has to go.
    pub(crate) const SYN_DUE: Self = Self(1 << 1);
    /// The application has closed: a FIN follows what is in the send buffer.
    pub(crate) const FIN_WANTED: Self = Self(1 << 2);
    /// The FIN was sent, and is counted in SND.NXT.
    pub(crate) const FIN_SENT: Self = Self(1 << 3);
    /// Timestamps are in use.
    pub(crate) const TIMESTAMPS: Self = Self(1 << 4);
    /// SACK is in use.
    pub(crate) const SACK: Self = Self(1 << 5);
    /// Window scaling is in use.
    pub(crate) const SCALING: Self = Self(1 << 6);
    /// Nagle's algorithm is off.
    pub(crate) const NO_DELAY: Self = Self(1 << 7);
    /// The application has let go.
    pub(crate) const RELEASED: Self = Self(1 << 8);
    /// It came from a listener.
    pub(crate) const PASSIVE: Self = Self(1 << 9);
    /// It is on the list of those that have something to send.
    pub(crate) const IN_OUTPUT: Self = Self(1 << 10);
    /// It is on the list of those that have something to say.
    pub(crate) const IN_EVENTS: Self = Self(1 << 11);
    /// The application was refused and waits for room.
    pub(crate) const WANTS_ROOM: Self = Self(1 << 12);
    /// The control timer is that of zero-window probes.
    pub(crate) const PERSISTS: Self = Self(1 << 13);
    /// A probe has to go: a segment before RCV.NXT of the other side, that it has to answer.
    pub(crate) const PROBE_DUE: Self = Self(1 << 14);
    /// What is due goes however small it is: the override of silly-window avoidance and of Nagle.
    pub(crate) const FORCED: Self = Self(1 << 15);
    /// A tail loss probe has to go, with new data if there is any.
    pub(crate) const TAIL_PROBE: Self = Self(1 << 16);
    /// Steps are traced.
    pub(crate) const TRACED: Self = Self(1 << 17);
    /// The listener has handed it out, or it was opened from here.
    pub(crate) const ACCEPTED: Self = Self(1 << 18);
    /// Urgent data was given to send, and its end not acknowledged.
    pub(crate) const URGENT_SENT: Self = Self(1 << 19);
    /// Urgent data was announced, and its end not read.
    pub(crate) const URGENT_RECEIVED: Self = Self(1 << 20);
    /// A window of zero was advertised last.
    pub(crate) const WINDOW_SHUT: Self = Self(1 << 21);
    /// The SYN went out more than once.
    pub(crate) const SYN_RETRANSMITTED: Self = Self(1 << 22);
    /// It is on the list of those whose timer the wheel has to be told of.
    pub(crate) const UNARMED: Self = Self(1 << 23);
    /// It enters TIME-WAIT when the stack looks at it next.
    pub(crate) const DEPARTS: Self = Self(1 << 25);
    /// Its end is known to the table: no segment finds it any more.
    pub(crate) const UNLISTED: Self = Self(1 << 26);
    /// There may be something to send.
    pub(crate) const OUTPUT: Self = Self(1 << 27);
    /// It was established at some time.
    pub(crate) const ESTABLISHED: Self = Self(1 << 28);
    /// Congestion marks are in use (RFC 3168).
    pub(crate) const ECN: Self = Self(1 << 31);
    /// A segment came with a congestion mark, and none yet that says that its sender knows.
    pub(crate) const MARKED: Self = Self(1 << 29);
    /// The congestion window was reduced: the next new data says so.
    pub(crate) const REDUCED: Self = Self(1 << 30);
    /// The path was found to carry less than it did at first.
    pub(crate) const NARROWED: Self = Self(1 << 24);

    /// These and those.
    #[inline]
    pub(crate) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// True if any of `bits` is set.
    #[inline]
    pub(crate) const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }

    #[inline]
    pub(crate) const fn set(&mut self, bits: Self) {
        self.0 |= bits.0;
    }

    #[inline]
    pub(crate) const fn clear(&mut self, bits: Self) {
        self.0 &= !bits.0;
    }

    #[inline]
    pub(crate) const fn put(&mut self, bits: Self, is_set: bool) {
        if is_set { self.set(bits) } else { self.clear(bits) }
    }

    /// True if any of `bits` was set; they are no more.
    #[inline]
    pub(crate) const fn take(&mut self, bits: Self) -> bool {
        let was_set = self.has(bits);
        self.clear(bits);
        was_set
    }
}

impl core::ops::BitOr for Bits {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}
