//! Which octets lie behind a gap, and what is to be said about them (RFC 2018 and 2883).
//!
//! Invariants: islands are sorted, not empty, and neither overlap nor touch each other or RCV.NXT; each of the remembered numbers lies in
//! one. The FIN counts as an octet of the island that it ends.

use std::collections::VecDeque;

use crate::segment::SackBlocks;
use crate::{Range, SequenceNumber};

/// What an assembler knows about octets behind a gap.
#[derive(Debug, Default)]
pub(crate) struct Disorder {
    /// Those in front go first when gaps are filled in order, however many there are.
    islands: VecDeque<Range>,
    /// A number in each of the islands that changed last, the latest first.
    recent: [SequenceNumber; SackBlocks::MAX],
    recents: usize,
    /// The number of a FIN that lies behind a gap.
    pub(crate) fin: Option<SequenceNumber>,
    /// What arrived although it was there, and has not been reported yet.
    pub(crate) duplicate: Option<Range>,
}

impl Disorder {
    /// How many islands there are: as many as gaps.
    #[inline]
    pub(crate) fn gaps(&self) -> usize {
        self.islands.len()
    }

    /// True if there is nothing to know or to report.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.islands.is_empty() && self.duplicate.is_none()
    }

    /// The island that reaches furthest.
    pub(crate) fn last(&self) -> Option<Range> {
        self.islands.back().copied()
    }

    /// The first run of numbers in `range` that no island has.
    pub(crate) fn first_missing(&self, range: Range) -> Option<Range> {
        let mut start = range.start;
        let mut next = self.first_ending_after(start);
        if let Some(island) = self.islands.get(next).filter(|island| start.reaches(island.start)) {
            start = island.end;
            next += 1;
        }
        let end = self.islands.get(next).map_or(range.end, |island| island.start.earliest(range.end));
        end.follows(start).then_some(Range { start, end })
    }

    /// The first run of numbers in `range` that an island has.
    pub(crate) fn first_present(&self, range: Range) -> Option<Range> {
        let island = self.islands.get(self.first_ending_after(range.start))?;
        let (start, end) = (island.start.latest(range.start), island.end.earliest(range.end));
        end.follows(start).then_some(Range { start, end })
    }

    /// True if adding `range`, which no island has, would make a new island.
    pub(crate) fn stands_alone(&self, range: Range) -> bool {
        let next = self.first_ending_after(range.start);
        let touches_next = self.islands.get(next).is_some_and(|island| island.start == range.end);
        let touches_previous = next
            .checked_sub(1)
            .and_then(|at| self.islands.get(at))
            .is_some_and(|island| island.end == range.start);
        !touches_next && !touches_previous
    }

    /// Adds `range`, which no island has, and joins it with those that it touches.
    pub(crate) fn add(&mut self, range: Range) {
        let mut next = self.first_ending_after(range.start);
        let mut start = range.start;
        if let Some(previous) = next.checked_sub(1).and_then(|at| self.islands.get(at))
            && previous.end == range.start
        {
            start = previous.start;
            next -= 1;
            self.islands.remove(next);
        }
        match self.islands.get_mut(next) {
            Some(island) if island.start == range.end => island.start = start,
            _ => self.islands.insert(next, Range { start, end: range.end }),
        }
        self.touch(range.start);
    }

    /// Notes that a segment with octets from `at` on, which lie in an island, has arrived just now.
    pub(crate) fn touch(&mut self, at: SequenceNumber) {
        let Some(island) = self.island_at(at) else { return };
        let mut fresh = [at; SackBlocks::MAX];
        let mut count = 1;
        for &other in self.recent.iter().take(self.recents) {
            if count < fresh.len() && !other.lies_in(island.start, island.length()) {
                fresh[count] = other;
                count += 1;
            }
        }
        (self.recent, self.recents) = (fresh, count);
    }

    /// Takes away the island that starts at `next`, which is no longer behind a gap; returns its end.
    pub(crate) fn take_from(&mut self, next: SequenceNumber) -> Option<SequenceNumber> {
        let island = self.islands.front().copied().filter(|island| island.start == next)?;
        self.islands.pop_front();
        self.forget(island);
        Some(island.end)
    }

    /// Forgets everything from `from` on.
    pub(crate) fn truncate(&mut self, from: SequenceNumber) {
        while let Some(last) = self.islands.back_mut()
            && last.end.follows(from)
        {
            let lost = Range { start: last.start.latest(from), end: last.end };
            last.end = lost.start;
            if last.end == last.start {
                self.islands.pop_back();
            }
            self.forget(lost);
        }
        self.fin = self.fin.filter(|fin| fin.precedes(from));
    }

    /// True if an island has `at`.
    pub(crate) fn has(&self, at: SequenceNumber) -> bool {
        self.island_at(at).is_some()
    }

    /// The blocks to report, at most `most`: what came twice, once (RFC 2883, section 4), then the islands that changed last, the
    /// latest first (RFC 2018, section 4).
    pub(crate) fn report(&self, most: usize) -> SackBlocks {
        let mut blocks = SackBlocks::NONE;
        if let Some(duplicate) = self.duplicate {
            blocks.push(duplicate);
        }
        let recent = self.recent.iter().take(self.recents);
        recent.filter_map(|at| self.island_at(*at)).for_each(|island| blocks.push(island));
        blocks.truncate(most);
        blocks
    }

    fn first_ending_after(&self, at: SequenceNumber) -> usize {
        // What arrives mostly belongs behind everything else.
        match self.islands.back() {
            Some(last) if last.end.follows(at) => {
                self.islands.partition_point(|island| !island.end.follows(at))
            }
            _ => self.islands.len(),
        }
    }

    fn island_at(&self, at: SequenceNumber) -> Option<Range> {
        let island = self.islands.get(self.first_ending_after(at)).copied()?;
        at.reaches(island.start).then_some(island)
    }

    fn forget(&mut self, lost: Range) {
        let mut count = 0;
        for at in 0..self.recents {
            let number = self.recent[at];
            // The rest of a shortened island stays in its place.
            if !number.lies_in(lost.start, lost.length()) {
                self.recent[count] = number;
                count += 1;
            }
        }
        self.recents = count;
    }
}
