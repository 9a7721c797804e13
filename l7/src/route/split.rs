//! Shares of a route's requests: canaries.

/// Parts of a route's requests that go different ways, by weight.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Split {
    /// The weights of each part and all before it.
    cumulative: Vec<u32>,
}

impl Split {
    /// Parts of these weights; `None` if they are all zero, or more than can be told apart.
    #[must_use]
    pub fn new(weights: &[u32]) -> Option<Self> {
        let mut sum = 0_u32;
        let mut cumulative = Vec::with_capacity(weights.len());
        for weight in weights {
            sum = sum.checked_add(*weight)?;
            cumulative.push(sum);
        }
        (sum > 0).then_some(Self { cumulative })
    }

    /// The part that a number falls to: one that is drawn for each request, or the hash of what a client keeps, which then always goes the same
    /// way, and as weights change moves only to parts that grew.
    #[must_use]
    pub fn part(&self, number: u64) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(1);
        let point = (((number >> 32) * u64::from(total)) >> 32) as u32;
        self.cumulative.partition_point(|sum| *sum <= point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers spread evenly over all.
    fn numbers() -> impl Iterator<Item = u64> {
        (0..10_000_u64).map(|number| number * (u64::MAX / 10_000) + u64::MAX / 20_000)
    }

    #[test]
    fn parts_get_their_shares() {
        let split = Split::new(&[95, 0, 5]).unwrap();
        let mut counts = [0; 3];
        numbers().for_each(|number| counts[split.part(number)] += 1);
        assert_eq!(counts, [9500, 0, 500]);
        assert_eq!((Split::new(&[]), Split::new(&[0, 0]), Split::new(&[u32::MAX, 1])), (None, None, None));
    }

    #[test]
    fn who_is_in_a_canary_stays_in_it_as_it_grows() {
        let (small, large) = (Split::new(&[99, 1]).unwrap(), Split::new(&[90, 10]).unwrap());
        assert!(numbers().filter(|number| small.part(*number) == 1).all(|number| large.part(number) == 1));
    }
}
