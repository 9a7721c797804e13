//! Counters of a route or a backend, on one worker.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::proxy::Cause;

/// Classes of statuses: 1xx to 5xx.
pub const CLASSES: usize = 5;

/// The longest time that is told from longer ones, in microseconds: two minutes.
const LONGEST_US: u64 = 120_000_000;

/// See the module. Of a route, they count requests; of a backend, attempts.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many there were, those under way included.
    pub requests: u64,
    /// Answers, by the class of their status.
    pub classes: [u64; CLASSES],
    /// What came to nothing, by [`Cause`].
    pub causes: [u64; Cause::COUNT],
    /// What was sent once more.
    pub retries: u64,
    /// What would have been, had the budget allowed it.
    pub retries_refused: u64,
    /// Connections that have gone on with another protocol.
    pub tunnels: u64,
    /// How often a backend was left alone for a while.
    pub ejections: u64,
    /// Octets of content from clients.
    pub received: u64,
    /// Octets of content to clients.
    pub sent: u64,
    /// Microseconds from the head of a request to the end of its response, to within a hundredth; none before the first.
    pub latency: Option<Box<Histogram<u32>>>,
}

impl Tally {
    /// One to add others to, without taking memory for it.
    #[must_use]
    pub fn blank() -> Self {
        Self { latency: histogram(), ..Self::default() }
    }

    /// Makes it a blank one again.
    pub fn clear(&mut self) {
        let mut latency = self.latency.take();
        latency.iter_mut().for_each(|latency| latency.clear());
        *self = Self { latency, ..Self::default() };
    }

    pub(in crate::proxy) fn answered(&mut self, status: u16) {
        let class = usize::from(status / 100).wrapping_sub(1);
        if let Some(count) = self.classes.get_mut(class) {
            *count += 1;
        }
    }

    pub(in crate::proxy) fn failed(&mut self, cause: Cause) {
        if let Some(count) = self.causes.get_mut(cause as usize) {
            *count += 1;
        }
    }

    pub(in crate::proxy) fn took(&mut self, time: Duration) {
        if self.latency.is_none() {
            self.latency = histogram();
        }
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// How often something came to nothing for a cause.
    #[must_use]
    pub fn of(&self, cause: Cause) -> u64 {
        self.causes.get(cause as usize).copied().unwrap_or_default()
    }

    /// Adds what another worker has counted.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        let add = |to: &mut [u64], from: &[u64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        add(&mut self.classes, &other.classes);
        add(&mut self.causes, &other.causes);
        self.retries += other.retries;
        self.retries_refused += other.retries_refused;
        self.tunnels += other.tunnels;
        self.ejections += other.ejections;
        self.received += other.received;
        self.sent += other.sent;
        match (&mut self.latency, &other.latency) {
            // They all have the same bounds.
            (Some(latency), Some(other)) => latency.add(&**other).unwrap_or_default(),
            (None, Some(other)) => self.latency = Some(other.clone()),
            (_, None) => {}
        }
    }
}

fn histogram() -> Option<Box<Histogram<u32>>> {
    Histogram::new_with_bounds(1, LONGEST_US, 2).ok().map(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_of_workers_add_up() {
        let (mut all, mut one) = (Tally::default(), Tally::default());
        one.requests = 2;
        one.answered(204);
        one.answered(599);
        one.answered(99);
        one.answered(600);
        one.failed(Cause::Connect);
        one.took(Duration::from_millis(3));
        one.took(Duration::from_secs(3600));
        all.add(&one);
        all.add(&one);
        assert_eq!((all.requests, all.classes, all.of(Cause::Connect)), (4, [0, 2, 0, 0, 2], 2));
        let latency = all.latency.unwrap();
        assert_eq!(latency.len(), 4);
        assert!(
            (2_970..3_030).contains(&latency.value_at_quantile(0.25)),
            "{}",
            latency.value_at_quantile(0.25)
        );
        assert!(latency.max() >= LONGEST_US);
    }
}
