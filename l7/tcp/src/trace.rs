//! What a connection did last, for who wants to look: a ring of steps of fixed size.

use crate::segment::{Flags, Segment};
use crate::{State, Time};

/// One segment that came or went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// When.
    pub time: Time,
    /// True if it went out.
    pub is_outgoing: bool,
    /// The state before it came, or after it went.
    pub state: State,
    /// Its control bits.
    pub flags: Flags,
    /// Its sequence number.
    pub sequence: u32,
    /// Its acknowledgement number.
    pub acknowledgement: u32,
    /// Octets of payload.
    pub length: u32,
    /// Its window as it stood in the header.
    pub window: u16,
    /// The congestion window, in octets.
    pub congestion_window: u32,
}

/// The last steps of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    steps: Vec<Step>,
    next: usize,
    length: usize,
}

impl Trace {
    pub(crate) fn new(length: u16) -> Self {
        let length = usize::from(length).max(1);
        Self { steps: Vec::with_capacity(length), next: 0, length }
    }

    pub(crate) fn add(&mut self, step: Step) {
        if self.steps.len() < self.length {
            self.steps.push(step);
        } else {
            self.steps[self.next] = step;
        }
        self.next = (self.next + 1) % self.length;
    }

    /// The steps, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Step> {
        let split = if self.steps.len() < self.length { 0 } else { self.next };
        let (newer, older) = self.steps.split_at(split);
        older.iter().chain(newer)
    }
}

impl Step {
    pub(crate) fn of(
        segment: &Segment,
        length: u32,
        is_outgoing: bool,
        time: Time,
        state: State,
        congestion_window: u32,
    ) -> Self {
        Self {
            time,
            is_outgoing,
            state,
            flags: segment.flags,
            sequence: segment.sequence.0,
            acknowledgement: segment.acknowledgement.0,
            length,
            window: segment.window,
            congestion_window,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_the_last_steps_in_order() {
        let mut trace = Trace::new(3);
        for time in 0..5 {
            trace.add(Step::of(&Segment::default(), 0, true, Time(time), State::Established, 0));
            assert!(trace.iter().map(|step| step.time.0).is_sorted());
        }
        assert_eq!(trace.iter().map(|step| step.time.0).collect::<Vec<_>>(), [2, 3, 4]);
    }
}
