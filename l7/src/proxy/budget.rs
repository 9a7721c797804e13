//! How much of what failed is sent once more.

use evenkeel_tcp::Time;

use super::site::Budget;
use super::ticket::{Ticket, Tickets};

/// A retry costs so much; a request earns the budget's `percent`.
const PRICE: u64 = 100;

/// What one worker has spent of a cluster's budget: a bucket that is full at first.
#[derive(Debug, Default)]
pub(super) struct Spent {
    spent: u64,
    /// When time was last made good.
    since: Option<Time>,
    pub(super) under_way: Tickets,
}

impl Spent {
    /// A request is sent for the first time.
    pub(super) fn asked(&mut self, budget: &Budget) {
        self.spent = self.spent.saturating_sub(u64::from(budget.percent));
    }

    /// A retry, if there may be one.
    pub(super) fn retry(&mut self, budget: &Budget, now: Time) -> Option<Ticket> {
        let rate = u64::from(budget.per_second) * PRICE;
        let elapsed = now.nanos_since(*self.since.get_or_insert(now));
        let earned = u128::from(elapsed) * u128::from(rate) / 1_000_000_000;
        if earned > 0 {
            self.spent = self.spent.saturating_sub(u64::try_from(earned).unwrap_or(u64::MAX));
            self.since = Some(now);
        }
        if self.spent + PRICE > u64::from(budget.burst) * PRICE {
            return None;
        }
        let ticket = self.under_way.take(budget.at_once)?;
        self.spent += PRICE;
        Some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { percent: 20, per_second: 2, burst: 3, at_once: 2 };
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn requests_and_time_earn_retries() {
        let mut spent = Spent::default();
        let now = Time(SECOND);
        let retries =
            |spent: &mut Spent, now| (0..10).filter(|_| spent.retry(&BUDGET, now).is_some()).count();
        assert_eq!(retries(&mut spent, now), 3, "what was saved up");
        (0..9).for_each(|_| spent.asked(&BUDGET));
        assert_eq!(retries(&mut spent, now), 1, "a fifth of nine");
        spent.asked(&BUDGET);
        assert_eq!(retries(&mut spent, now), 1, "and of the tenth");
        assert_eq!(retries(&mut spent, Time(now.0 + SECOND)), 2);
        assert_eq!(retries(&mut spent, Time(now.0 + 100 * SECOND)), 3, "no more than can be saved");
    }

    #[test]
    fn some_are_under_way_at_once() {
        let mut spent = Spent::default();
        let mut tickets: Vec<_> = (0..3).map(|_| spent.retry(&BUDGET, Time(SECOND))).collect();
        assert!(tickets[1].is_some() && tickets[2].is_none());
        tickets.clear();
        assert!(spent.retry(&BUDGET, Time(SECOND)).is_some());
    }
}
