//! Content on its way from one connection to another.

use evenkeel_tcp::{ConnectionId, Piece};

use super::outbox::{Outbox, Sent};
use super::{Memory, Net};
use crate::Work;
use crate::http::{ChunkWriter, Content, Framing, Limits, Refusal, Step};

/// Octets of data that are copied rather than shared: a reference would keep a whole packet from other use.
const SMALL: usize = 256;

/// The content of one message, as it is read and as it is written.
#[derive(Debug)]
pub(super) struct Flow {
    content: Content,
    /// Where it is written in chunks.
    chunks: Option<ChunkWriter>,
    is_done: bool,
    /// Octets of content that were read.
    octets: u64,
}

/// What became of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flowed {
    /// All of it has been read and sent.
    Whole,
    /// More is to come.
    Starved,
    /// There is no room for more.
    Blocked,
    /// There is more to do, and no work left to do it.
    Tired,
    /// The sender has closed before it was whole.
    Cut,
    /// The receiver takes no more.
    Unwanted,
    /// It is malformed.
    Refused(Refusal),
}

impl Flow {
    /// Content that is read by `from`, and written in chunks or as it is.
    pub(super) fn new(from: Framing, in_chunks: bool) -> Self {
        let content = Content::new(from);
        let is_done = content.is_ended();
        Self { content, chunks: in_chunks.then(ChunkWriter::default), is_done, octets: 0 }
    }

    /// How many octets of content were read.
    pub(super) const fn octets(&self) -> u64 {
        self.octets
    }

    /// True if all of it has been read.
    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Moves what there is, as far as there is room for it.
    pub(super) fn run<N: Net>(
        &mut self,
        net: &mut N,
        from: ConnectionId,
        (to, outbox): (ConnectionId, &mut Outbox<N::Octets>),
        is_sender_gone: bool,
        limits: &Limits,
        work: &mut Work,
    ) -> Flowed {
        loop {
            match outbox.flush(net, to) {
                Sent::All if self.is_done => return Flowed::Whole,
                Sent::All => {}
                Sent::Some => return Flowed::Blocked,
                Sent::Never => return Flowed::Unwanted,
            }
            if !work.take() {
                return Flowed::Tired;
            }
            match self.step(net, from, outbox, limits) {
                Ok(true) => {}
                Ok(false) if net.is_at_end(from) && self.content.may_end_by_close() => self.finish(outbox),
                Ok(false) if net.is_at_end(from) || is_sender_gone => return Flowed::Cut,
                Ok(false) => return Flowed::Starved,
                Err(refusal) => return Flowed::Refused(refusal),
            }
        }
    }

    /// Takes what lies in one piece; false if there is nothing.
    fn step<N: Net>(
        &mut self,
        net: &mut N,
        from: ConnectionId,
        outbox: &mut Outbox<N::Octets>,
        limits: &Limits,
    ) -> Result<bool, Refusal> {
        let Some(piece) = net.unread(from).next() else { return Ok(false) };
        let step = self.content.next(piece.octets(), limits)?;
        self.octets += step.data as u64;
        if step.data > 0 {
            self.push(&piece, step, outbox);
        }
        net.consume(from, step.framing + step.data);
        if step.is_end {
            self.finish(outbox);
        }
        Ok(true)
    }

    fn push<O: Memory>(&mut self, piece: &Piece<'_, O>, step: Step, outbox: &mut Outbox<O>) {
        let place = step.framing..step.framing + step.data;
        let mut before = Vec::new();
        if let Some(chunks) = &mut self.chunks {
            chunks.chunk(step.data, &mut before);
        }
        if step.data < SMALL {
            before.extend_from_slice(piece.octets().get(place).unwrap_or_default());
            return outbox.push(O::of(before));
        }
        if !before.is_empty() {
            outbox.push(O::of(before));
        }
        let start = piece.place().start;
        outbox.push(piece.buf().part(start + place.start..start + place.end));
    }

    fn finish<O: Memory>(&mut self, outbox: &mut Outbox<O>) {
        self.is_done = true;
        if let Some(chunks) = self.chunks.take() {
            let mut tail = Vec::new();
            chunks.end(b"", &mut tail);
            outbox.push(O::of(tail));
        }
    }
}
