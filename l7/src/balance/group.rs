//! A service's backends, and the pick among them.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_datapath::hash::Random;
use evenkeel_datapath::maglev::Maglev;
use evenkeel_tcp::Time;

use super::{Load, Loads, Policy, Turns};

/// Draws before every candidate is looked at.
const DRAWS: u32 = 4;

/// One backend of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its slot.
    pub slot: u16,
    /// Its share, relative to the others. Zero takes none.
    pub weight: u16,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Group {
    policy: Policy,
    candidates: Vec<Candidate>,
    /// The weights of each candidate and all before it.
    cumulative: Vec<u32>,
    maglev: Arc<Maglev>,
    slow_start: Duration,
}

/// What a pick depends on beside the group and its loads.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The time.
    pub now: Time,
    /// Random bits, for this pick alone.
    pub random: u64,
    /// The hash of what the route balances by; only [`Policy::Maglev`] asks for it.
    pub hash: u64,
}

impl Group {
    /// A group of the candidates that have a weight. The table serves [`Policy::Maglev`] alone, and names slots of these candidates.
    #[must_use]
    pub fn new(policy: Policy, candidates: &[Candidate], maglev: Arc<Maglev>, slow_start: Duration) -> Self {
        let candidates: Vec<Candidate> =
            candidates.iter().copied().filter(|candidate| candidate.weight > 0).collect();
        let add = |sum: &mut u32, candidate: &Candidate| {
            *sum += u32::from(candidate.weight);
            Some(*sum)
        };
        let cumulative = candidates.iter().scan(0, add).collect();
        Self { policy, candidates, cumulative, maglev, slow_start }
    }

    /// The slot of the backend that gets the request, among those that may be used.
    pub fn pick(
        &self,
        question: Question,
        loads: &Loads,
        turns: &mut Turns,
        usable: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let mut picker =
            Picker { group: self, loads, now: question.now, random: Random::new(question.random), usable };
        match self.policy {
            Policy::PowerOfTwo => picker.better_of_two(|load, capacity| load.under_way as f32 / capacity),
            Policy::PeakEwma => picker.better_of_two(|load, _| expected(&load, question.now)),
            Policy::Random => picker.better_of_two(|_, _| 0.0),
            Policy::LeastRequests => picker.best_of_all(),
            Policy::RoundRobin => {
                let first = picker.random.next();
                let Picker { usable, .. } = picker;
                let may_be_used =
                    |index: usize| self.candidates.get(index).is_some_and(|candidate| usable(candidate.slot));
                turns.next(&self.candidates, first, may_be_used).and_then(|index| self.slot(index))
            }
            Policy::Maglev => picker.by_hash(question.hash),
        }
    }

    fn slot(&self, index: usize) -> Option<u16> {
        self.candidates.get(index).map(|candidate| candidate.slot)
    }
}

/// What one more request can expect, in seconds. A backend of which nothing is known gets one request to learn from, and no second before it
/// was answered, if another can be had.
fn expected(load: &Load, now: Time) -> f32 {
    match load.latency.expected(now) {
        Some(latency) => latency * (load.under_way + 1) as f32,
        None if load.under_way == 0 => 0.0,
        None => f32::MAX,
    }
}

/// One pick.
struct Picker<'g, F> {
    group: &'g Group,
    loads: &'g Loads,
    now: Time,
    random: Random,
    usable: F,
}

impl<F: Fn(u16) -> bool> Picker<'_, F> {
    /// The better of two that are drawn by weight; `cost` is given what is known of one, and what it is able to do. A tie is the first one's, and
    /// so by weight.
    fn better_of_two(&mut self, cost: impl Fn(Load, f32) -> f32) -> Option<u16> {
        let first = self.draw(None);
        let second = self.draw(first);
        let at = |index: usize| self.group.candidates.get(index);
        let cost_of = |candidate: &Candidate| cost(self.loads.of(candidate.slot), self.capacity(candidate));
        let picked = match (first.and_then(at), second.and_then(at)) {
            (Some(first), Some(second)) if cost_of(second) < cost_of(first) => Some(second),
            (first, second) => first.or(second),
        };
        picked.map(|candidate| candidate.slot).or_else(|| self.best_of_all())
    }

    /// The index of one that may be used, by weight, and while it is new by less; `None` if none was found in a few draws.
    fn draw(&mut self, other_than: Option<usize>) -> Option<usize> {
        let Group { candidates, cumulative, .. } = self.group;
        let end_of = |index: usize| cumulative.get(index).copied().unwrap_or_default();
        let left_out = other_than.map(|index| {
            let start = index.checked_sub(1).map_or(0, end_of);
            (start, end_of(index) - start)
        });
        let total = *cumulative.last()? - left_out.map_or(0, |(_, weight)| weight);
        for _ in 0..DRAWS {
            let random = self.random.next();
            let point = (((random >> 32) * u64::from(total)) >> 32) as u32;
            let point = match left_out {
                Some((start, weight)) if point >= start => point + weight,
                _ => point,
            };
            let index = cumulative.partition_point(|sum| *sum <= point);
            let slot = candidates.get(index)?.slot;
            let share = self.loads.of(slot).share(self.now, self.group.slow_start);
            let is_admitted = share >= 1.0 || (random as u32) as f32 <= share * u32::MAX as f32;
            if is_admitted && (self.usable)(slot) {
                return Some(index);
            }
        }
        None
    }

    /// Its weight, or a part of it while it is new.
    fn capacity(&self, candidate: &Candidate) -> f32 {
        f32::from(candidate.weight) * self.loads.of(candidate.slot).share(self.now, self.group.slow_start)
    }

    /// Of all that may be used, the one with the fewest requests under way for what it is able to do; between equals any, by weight.
    fn best_of_all(&mut self) -> Option<u16> {
        let (mut best, mut least, mut equals) = (None, f32::INFINITY, 0.0);
        for candidate in &self.group.candidates {
            if !(self.usable)(candidate.slot) {
                continue;
            }
            let capacity = self.capacity(candidate);
            let cost = self.loads.of(candidate.slot).under_way as f32 / capacity;
            if cost > least {
                continue;
            }
            equals = if cost < least { capacity } else { equals + capacity };
            least = cost;
            // Of those seen so far that cost the same, each is picked with its share of their capacity.
            if self.random.next() as u32 as f32 * equals < capacity * u32::MAX as f32 || best.is_none() {
                best = Some(candidate.slot);
            }
        }
        best
    }

    /// The table's answer; where that may not be used, the table's answer to another hash of the same, so that what belonged to one backend is
    /// spread over all others.
    fn by_hash(&mut self, hash: u64) -> Option<u16> {
        self.random = Random::new(hash);
        let mut next = hash;
        for _ in 0..DRAWS {
            let slot = self.group.maglev.pick(next)?;
            if (self.usable)(slot) {
                return Some(slot);
            }
            next = self.random.next();
        }
        self.best_of_all()
    }
}

#[cfg(test)]
mod tests;
