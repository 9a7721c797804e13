//! Round robin with weights.

use super::Candidate;

/// Where a worker is in its turns through a group.
///
/// Every candidate earns its weight at each pick, and the richest is picked and pays what all earned: over as many picks as the weights add up
/// to, each is picked as often as it weighs, and the heavy ones are spread evenly between the light ones (as NGINX does it).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Turns {
    credits: Vec<i64>,
}

impl Turns {
    /// The index of the next that may be used. `first` says who begins when the turns begin, so that workers do not begin with the same.
    pub(super) fn next(
        &mut self,
        candidates: &[Candidate],
        first: u64,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if self.credits.len() != candidates.len() {
            self.begin(candidates, first);
        }
        let (mut richest, mut earned) = (None, 0);
        for (index, (credit, candidate)) in self.credits.iter_mut().zip(candidates).enumerate() {
            if candidate.weight == 0 || !usable(index) {
                continue;
            }
            *credit += i64::from(candidate.weight);
            earned += i64::from(candidate.weight);
            if richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((index, *credit));
            }
        }
        let (index, _) = richest?;
        if let Some(credit) = self.credits.get_mut(index) {
            *credit -= earned;
        }
        Some(index)
    }

    fn begin(&mut self, candidates: &[Candidate], first: u64) {
        self.credits.clear();
        self.credits.resize(candidates.len(), 0);
        // A credit of less than any weight decides between equals only.
        let count = candidates.len().max(1) as u64;
        if let Some(credit) = self.credits.get_mut((first % count) as usize) {
            *credit = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(weights: &[u16]) -> Vec<Candidate> {
        weights.iter().zip(0..).map(|(weight, slot)| Candidate { slot, weight: *weight }).collect()
    }

    fn picks(weights: &[u16], count: usize, usable: impl Fn(usize) -> bool) -> Vec<usize> {
        let (mut turns, group) = (Turns::default(), group(weights));
        (0..count).map_while(|_| turns.next(&group, 0, &usable)).collect()
    }

    #[test]
    fn turns_are_even() {
        assert_eq!(picks(&[1, 1, 1], 6, |_| true), [0, 1, 2, 0, 1, 2]);
        assert_eq!(picks(&[5, 1, 1], 7, |_| true), [0, 0, 1, 0, 0, 2, 0]);
        assert_eq!(picks(&[0, 2, 1], 3, |_| true), [1, 2, 1]);
    }

    #[test]
    fn who_cannot_be_used_is_passed_over() {
        assert_eq!(picks(&[1, 1, 1], 4, |index| index != 1), [0, 2, 0, 2]);
        assert_eq!(picks(&[1, 1], 4, |_| false), [0; 0]);
        assert_eq!(picks(&[], 4, |_| true), [0; 0]);
        assert_eq!(picks(&[0], 4, |_| true), [0; 0]);
    }

    #[test]
    fn workers_begin_with_different_ones() {
        let group = group(&[3; 10]);
        let first = |seed| Turns::default().next(&group, seed, |_| true);
        assert_eq!((first(4), first(17)), (Some(4), Some(7)));
    }
}
