//! An ideal receiver: SACK of the last changed block first (RFC 2018, section 4), DSACK (RFC 2883), an acknowledgement for
//! every other segment (RFC 5681, section 4.2) and at once for all that is out of order, the timestamp by RFC 7323, section 4.3.

use super::Reply;
use crate::SequenceNumber;
use crate::recovery::Range;

pub(super) struct Receiver {
    next: SequenceNumber,
    /// Out of order, the last changed first.
    blocks: Vec<Range>,
    sack: bool,
    recent: u32,
    unacknowledged: u32,
    generation: u64,
    pub(super) delivered: u64,
}

impl Receiver {
    pub(super) fn new(start: SequenceNumber, sack: bool) -> Self {
        Self {
            next: start,
            blocks: Vec::new(),
            sack,
            recent: 0,
            unacknowledged: 0,
            generation: 0,
            delivered: 0,
        }
    }

    /// Takes a segment; gives the acknowledgement, or the number of the delayed one.
    pub(super) fn take(&mut self, range: Range, timestamp: u32) -> (Option<Reply>, Option<u64>) {
        if self.next.reaches(range.start) {
            self.recent = timestamp;
        }
        let known = self.next.reaches(range.end)
            || self
                .blocks
                .iter()
                .any(|block| range.start.reaches(block.start) && block.end.reaches(range.end));
        if known {
            return (Some(self.reply(Some(range), true)), None);
        }
        if range.start.follows(self.next) {
            self.insert(range);
            return (Some(self.reply(None, true)), None);
        }
        let before = self.next;
        self.next = range.end;
        let filled = !self.blocks.is_empty();
        while let Some(index) = self.blocks.iter().position(|block| self.next.reaches(block.start)) {
            self.next = self.next.latest(self.blocks.swap_remove(index).end);
        }
        self.delivered += u64::from(self.next - before);
        self.unacknowledged += 1;
        if filled || self.unacknowledged >= 2 {
            return (Some(self.reply(None, false)), None);
        }
        self.generation += 1;
        (None, Some(self.generation))
    }

    /// The delayed acknowledgement, if it is still due.
    pub(super) fn late(&mut self, generation: u64) -> Option<Reply> {
        (self.unacknowledged > 0 && generation == self.generation).then(|| self.reply(None, false))
    }

    fn insert(&mut self, range: Range) {
        let mut joined = range;
        self.blocks.retain(|block| {
            let touches = joined.end.reaches(block.start) && block.end.reaches(joined.start);
            if touches {
                joined.start = joined.start.earliest(block.start);
                joined.end = joined.end.latest(block.end);
            }
            !touches
        });
        self.blocks.insert(0, joined);
    }

    fn reply(&mut self, duplicate: Option<Range>, is_duplicate: bool) -> Reply {
        self.unacknowledged = 0;
        let mut blocks: Vec<Range> = Vec::new();
        if self.sack {
            blocks.extend(duplicate);
            blocks.extend(self.blocks.iter().take(3 - blocks.len()));
        }
        Reply { number: self.next, blocks, echo: self.recent, duplicate: is_duplicate }
    }
}
