//! Selective acknowledgements (RFC 2018), duplicates reported by them (RFC 2883), and blocks that make no sense.

use super::flight::Flight;
use super::{Delivery, Outcome, Range, Recovery};
use crate::SequenceNumber;

/// A segment's options have room for no more (RFC 2018, section 3).
const MOST: usize = 4;

impl Recovery {
    /// Notes `blocks`, after everything before `una` was acknowledged.
    pub(super) fn take_sack(
        &mut self,
        blocks: &[Range],
        una: SequenceNumber,
        delivery: &mut Delivery,
        outcome: &mut Outcome,
    ) {
        let Some(flight) = &mut self.flight else { return };
        let mut blocks = &blocks[..blocks.len().min(MOST)];
        if let Some((first, rest)) = blocks.split_first()
            && is_duplicate(*first, rest, una)
        {
            outcome.duplicate_sack = true;
            note_duplicate(flight, *first);
            let Flight { rack, scoreboard, .. } = &mut **flight;
            rack.duplicate(scoreboard.una, scoreboard.next, &mut self.reordering);
            blocks = rest;
        }
        let scoreboard = &mut flight.scoreboard;
        let (una, outstanding) = (scoreboard.una, scoreboard.outstanding());
        for block in blocks {
            let (start, end) = (block.start - una, block.end - una);
            // A block that was overtaken by the acknowledgement itself says nothing.
            if una.reaches(block.end) && block.end.follows(block.start) {
                continue;
            }
            // One at SND.UNA contradicts the acknowledgement, and nothing beyond SND.NXT can have arrived.
            if start == 0 || start >= end || end > outstanding {
                outcome.sack_refused += 1;
                continue;
            }
            if !scoreboard.sack(*block, |piece| delivery.sacked(piece)) {
                outcome.sack_refused += 1;
            }
        }
    }
}

/// True if the first block reports what arrived twice: it lies before the acknowledgement, or within the second (RFC 2883, section 4).
fn is_duplicate(first: Range, rest: &[Range], una: SequenceNumber) -> bool {
    if !first.end.follows(first.start) {
        return false;
    }
    let within = |second: &Range| first.start.reaches(second.start) && second.end.reaches(first.end);
    una.reaches(first.end) || una.follows(first.start) || rest.first().is_some_and(within)
}

fn note_duplicate(flight: &mut Flight, range: Range) {
    if let Some(armed) = &mut flight.undo {
        armed.duplicate(range);
    }
    // RFC 8985, section 7.4.2: the probe arrived, and so had what it repeated.
    if flight.probe.is_some_and(|probe| probe.retransmission && range.end == probe.end) {
        flight.probe = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, end: u32) -> Range {
        Range { start: SequenceNumber(start), end: SequenceNumber(end) }
    }

    #[test]
    fn rfc_2883_section_4_examples() {
        // Acknowledgement, blocks, whether the first is a DSACK.
        let table: [(u32, &[Range], bool); 6] = [
            (4000, &[range(3000, 3500)], true), // 4.1: full duplicate below the acknowledgement
            (4000, &[range(3500, 4000), range(4500, 5000)], true), // 4.1, example 2
            (3000, &[range(4000, 4500), range(3500, 5000)], true), // 4.1, example 3: within the second block
            (3000, &[range(4500, 5000)], false), // an ordinary block
            (3000, &[range(4500, 5000), range(3500, 4000)], false), // two of them
            (1500, &[range(1000, 1500), range(2000, 2500)], true), // 4.2: partial duplicate
        ];
        for (una, blocks, duplicate) in table {
            assert_eq!(
                is_duplicate(blocks[0], &blocks[1..], SequenceNumber(una)),
                duplicate,
                "{una} {blocks:?}"
            );
        }
    }
}
