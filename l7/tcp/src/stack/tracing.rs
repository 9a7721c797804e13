//! Traces of single connections, for who asked for them.

use super::Stack;
use crate::connection::{Bits, Planned};
use crate::segment::Segment;
use crate::trace::{Step, Trace};
use crate::{Buf, ConnectionId};

impl<B: Buf> Stack<B> {
    /// Remembers the last segments of a connection from now on, or no longer.
    pub fn trace(&mut self, id: ConnectionId, is_on: bool) {
        let Some(connection) = self.connections.named_mut(id) else { return };
        connection.bits.put(Bits::TRACED, is_on);
        if is_on {
            self.traces.entry(id.index).or_insert_with(|| Trace::new(self.trace_length));
        } else {
            self.traces.remove(&id.index);
        }
    }

    /// The last segments of a connection that is traced, the oldest first.
    pub fn steps(&self, id: ConnectionId) -> impl Iterator<Item = &Step> {
        let is_there = self.connections.named(id).is_some();
        self.traces.get(&id.index).filter(|_| is_there).into_iter().flat_map(Trace::iter)
    }

    #[cold]
    pub(super) fn trace_sent(&mut self, index: u32, planned: &Planned) {
        if let Ok(segment) = Segment::read(&self.header[..planned.header]) {
            self.trace_segment(index, &segment, planned.payload.length(), true);
        }
    }

    #[cold]
    pub(super) fn trace_segment(&mut self, index: u32, segment: &Segment, length: u32, is_outgoing: bool) {
        if let (Some(trace), Some(connection)) = (self.traces.get_mut(&index), self.connections.at(index)) {
            let window = connection.recovery.window();
            trace.add(Step::of(segment, length, is_outgoing, self.now, connection.state, window));
        }
    }
}
