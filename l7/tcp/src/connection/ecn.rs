//! Explicit congestion notification (RFC 3168, section 6.1): marks that come are echoed, echoes that come lower the window.
//!
//! Invariant: nothing but new data says that it may be marked. Who would mark a retransmission or a bare acknowledgement could not tell
//! whether it is heard, and a probe of a window is for who may be an attacker (sections 6.1.4 to 6.1.6).

use super::{Bits, Connection};
use crate::Buf;
use crate::counters::Counter;
use crate::recovery::{Outcome, Stage};
use crate::segment::{Flags, Segment};
use crate::stack::Shared;

/// ECT(0): the sender understands marks (RFC 3168, section 5).
const CAPABLE: u8 = 2;
/// CE: congestion experienced.
pub(crate) const EXPERIENCED: u8 = 3;

impl<B: Buf> Connection<B> {
    /// A segment with data, or a FIN, came with this field in its IP header (section 6.1.3): from a mark on all acknowledgements echo it,
    /// until the sender says that it has reduced its window.
    pub(super) fn hear_mark(&mut self, segment: &Segment, ecn: u8, shared: &mut Shared<B>) {
        if segment.flags.contains(Flags::CWR) {
            self.bits.clear(Bits::MARKED);
        }
        if ecn & 3 == EXPERIENCED && segment.payload_length > 0 {
            shared.counters.count(Counter::InMarked);
            self.bits.set(Bits::MARKED);
            // The sooner it is told, the less is marked.
            self.delayed_ack.require();
        }
    }

    /// The field of the IP header of new data, and what its flags say besides.
    pub(super) fn marks_of_data(&mut self, flags: Flags) -> (u8, Flags) {
        if !self.bits.has(Bits::ECN) {
            return (0, flags);
        }
        let flags = if self.bits.take(Bits::REDUCED) { flags | Flags::CWR } else { flags };
        // Who has sent a SYN without the offer sends nothing that may be marked (section 6.1.1); marks that come are echoed all the same.
        let has_withdrawn = self.bits.has(Bits::SYN_RETRANSMITTED) && !self.bits.has(Bits::PASSIVE);
        (if has_withdrawn { 0 } else { CAPABLE }, flags)
    }

    /// Whatever lowered the window, the other side is told of it (section 6.1.2).
    #[inline]
    pub(super) fn note_reduction(&mut self, outcome: &Outcome) {
        let is_reduced =
            outcome.congestion_experienced || outcome.entered_recovery || outcome.probe_recovered;
        if is_reduced && self.bits.has(Bits::ECN) {
            self.bits.set(Bits::REDUCED);
        }
    }

    /// The same, when a timer did it: recovery is no longer where it was.
    pub(super) fn note_reduction_since(&mut self, before: Stage) {
        let stage = self.recovery.stage();
        if stage != before && matches!(stage, Stage::Recovery | Stage::Loss) && self.bits.has(Bits::ECN) {
            self.bits.set(Bits::REDUCED);
        }
    }
}
