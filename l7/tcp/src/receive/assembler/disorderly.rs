//! Everything but the next octets within the window: segments before, behind and over gaps, with a FIN, or over the budget.

use super::{Arrival, Assembler, FINISHED, FURTHEST, Inserted, Limits};
use crate::chunk::{Chunk, Queue, Spares};
use crate::{Buf, Range, SequenceNumber};

impl<B: Buf> Assembler<B> {
    #[inline(never)]
    pub(super) fn insert_any(
        &mut self,
        arrival: Arrival<B>,
        limits: &Limits,
        spares: &mut Spares<B>,
    ) -> Inserted {
        if arrival.is_last && arrival.place.is_empty() && self.ends_next(arrival.sequence, limits) {
            self.next += 1;
            self.unread |= FINISHED;
            return Inserted::InOrder { octets: 1, filled_gap: false };
        }
        let start = u32::try_from(arrival.place.start).unwrap_or(u32::MAX);
        let octets = u32::try_from(arrival.place.len()).unwrap_or(u32::MAX);
        let chunk = Chunk::new(arrival.buf, arrival.sequence, start, octets);
        let mut range = Range::new(chunk.sequence, chunk.len());
        let fin = arrival.is_last.then_some(range.end).filter(|fin| self.can_end_at(*fin));
        range.end += u32::from(fin.is_some());
        if range.length() == 0 {
            return Inserted::Nothing;
        }
        // Where before and after are no longer clear. No window is so large, no duplicate so old.
        if (range.start + FURTHEST) - self.next > 2 * FURTHEST || range.length() > FURTHEST {
            return Inserted::Refused;
        }
        let mut queue = self.queue.take().unwrap_or_else(|| spares.take());
        let inserted = self.insert_range(chunk, range, fin, limits, &mut queue);
        self.queue = Some(queue);
        self.tidy(spares);
        inserted
    }

    /// True for a FIN alone that comes next, with nothing behind it.
    fn ends_next(&self, fin: SequenceNumber, limits: &Limits) -> bool {
        fin == self.next
            && !self.is_finished()
            && !self.is_disorderly()
            && limits.window_end.follows(fin)
            && self.unread < FURTHEST
    }

    /// A FIN ends the stream where it stands, unless there is a FIN elsewhere or there are octets behind it: the first wins.
    fn can_end_at(&self, fin: SequenceNumber) -> bool {
        let Some(disorder) = self.disorder() else { return true };
        match (disorder.fin, disorder.last()) {
            (Some(known), _) => known == fin,
            (None, Some(last)) => fin.reaches(last.end),
            (None, None) => true,
        }
    }

    fn insert_range(
        &mut self,
        chunk: Chunk<B>,
        whole: Range,
        fin: Option<SequenceNumber>,
        limits: &Limits,
        queue: &mut Queue<B>,
    ) -> Inserted {
        let known_fin = queue.disorder.as_ref().and_then(|disorder| disorder.fin);
        let mut range = whole;
        // RFC 9293, section 3.10.7.4: "trimming off any portions that lie outside the window", the FIN included.
        if range.end.follows(limits.window_end) {
            range.end = limits.window_end;
        }
        // Octets behind a FIN do not exist. The FIN itself is in its island already.
        if let Some(known) = known_fin.filter(|known| fin.is_none() && range.end.follows(*known)) {
            range.end = known;
        }
        if self.is_finished() || self.unread() >= FURTHEST {
            range.end = range.end.earliest(self.next);
        }
        let before = Range { start: whole.start, end: whole.end.earliest(self.next) };
        range.start = range.start.latest(self.next);
        let mut duplicate = before.end.follows(before.start).then_some(before);
        let is_all_old = duplicate.is_some() && self.next.reaches(whole.end);
        if let Some(disorder) = &mut queue.disorder {
            duplicate = duplicate.or_else(|| disorder.first_present(range));
            disorder.touch(range.start);
        }
        let outcome = if range.end.follows(range.start) {
            let end_of_stream = known_fin.or(fin.filter(|fin| fin.precedes(range.end)));
            self.fill(chunk, range, end_of_stream, limits, queue)
        } else if is_all_old {
            Inserted::Duplicate
        } else {
            Inserted::Refused
        };
        if let Some(block) = duplicate.filter(|_| limits.sack) {
            queue.disorder.get_or_insert_default().duplicate = Some(block);
        }
        outcome
    }

    /// Takes from `range`, which lies in the window, what is missing.
    fn fill(
        &mut self,
        chunk: Chunk<B>,
        range: Range,
        fin: Option<SequenceNumber>,
        limits: &Limits,
        queue: &mut Queue<B>,
    ) -> Inserted {
        let first = self.next;
        let had_gaps = queue.disorder.as_ref().is_some_and(|disorder| disorder.gaps() > 0);
        let (mut has_kept, mut has_refused) = (false, false);
        let mut chunk = Some(chunk);
        let mut rest = range;
        while let Some(missing) = first_missing(queue, rest) {
            if !self.admit(missing, chunk.as_ref(), limits, queue) {
                has_refused = true;
                break;
            }
            rest.start = missing.end;
            let is_last_part = first_missing(queue, rest).is_none();
            let octets =
                Range { start: missing.start, end: fin.map_or(missing.end, |fin| fin.earliest(missing.end)) };
            if octets.end.follows(octets.start) {
                let part = if is_last_part {
                    chunk.take().map(|chunk| chunk.narrowed(octets))
                } else {
                    chunk.as_ref().map(|chunk| chunk.part(octets))
                };
                part.into_iter().for_each(|part| queue.insert(part));
            }
            self.add(missing, fin, queue);
            // Filling a gap may have moved RCV.NXT past islands behind it.
            rest.start = rest.start.latest(self.next);
            has_kept = true;
        }
        let octets = self.next - first;
        match (octets, has_kept, has_refused) {
            (1.., ..) => Inserted::InOrder { octets, filled_gap: had_gaps },
            (0, true, _) => Inserted::OutOfOrder,
            (0, false, true) => Inserted::Refused,
            (0, false, false) => Inserted::Duplicate,
        }
    }

    /// Makes room for `missing` by dropping what reaches further; says whether there is room.
    fn admit(&self, missing: Range, chunk: Option<&Chunk<B>>, limits: &Limits, queue: &mut Queue<B>) -> bool {
        let is_next = missing.start == self.next;
        if let Some(disorder) = &mut queue.disorder
            && !is_next
            && disorder.gaps() >= usize::from(limits.gaps)
            && disorder.stands_alone(missing)
        {
            match disorder.last() {
                Some(last) if last.start.follows(missing.start) => drop_from(last.start, queue),
                _ => return false,
            }
        }
        if !is_next && limits.gaps == 0 {
            return false;
        }
        let size = chunk.map_or(0, |chunk| u64::from(chunk.true_size()));
        while queue.true_size() + size > limits.true_size {
            match queue.back() {
                Some(last) if last.sequence.follows(missing.start) => drop_from(last.sequence, queue),
                _ => return false,
            }
        }
        true
    }

    /// Counts `added` among what is there.
    fn add(&mut self, added: Range, fin: Option<SequenceNumber>, queue: &mut Queue<B>) {
        if added.start != self.next {
            let disorder = queue.disorder.get_or_insert_default();
            disorder.add(added);
            if disorder.fin.is_none() {
                disorder.fin = fin.filter(|fin| disorder.has(*fin));
            }
            return;
        }
        let mut end = added.end;
        if let Some(disorder) = &mut queue.disorder
            && let Some(further) = disorder.take_from(end)
        {
            end = further;
        }
        let octets = end - self.next;
        self.unread += octets;
        self.next = end;
        if fin.is_some_and(|fin| end.follows(fin)) {
            self.unread = (self.unread - 1) | FINISHED;
            if let Some(disorder) = &mut queue.disorder {
                disorder.fin = None;
            }
        }
    }
}

fn first_missing<B>(queue: &Queue<B>, range: Range) -> Option<Range> {
    match &queue.disorder {
        Some(disorder) => disorder.first_missing(range),
        None => range.end.follows(range.start).then_some(range),
    }
}

/// Drops everything from `from` on, which lies behind a gap.
fn drop_from<B: Buf>(from: SequenceNumber, queue: &mut Queue<B>) {
    if let Some(disorder) = &mut queue.disorder {
        disorder.truncate(from);
    }
    while queue.back().is_some_and(|last| last.sequence.reaches(from)) {
        queue.pop_back();
    }
}
