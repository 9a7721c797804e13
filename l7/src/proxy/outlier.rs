//! Backends that fail and are left alone for a while.

use std::time::Duration;

use evenkeel_tcp::Time;

use super::site::{Cluster, Ejection};

/// What a worker has seen of one backend.
#[derive(Clone, Debug, Default)]
struct Seen {
    in_a_row: u32,
    /// When the window began that requests are counted in.
    since: Time,
    asked: u32,
    failed: u32,
    /// It is left alone until then.
    out_until: Time,
}

/// By the slot of the backend.
#[derive(Debug)]
pub(super) struct Outliers(Vec<Seen>);

impl Outliers {
    pub(super) fn new(slots: usize) -> Self {
        Self(vec![Seen::default(); slots])
    }

    /// There are so many slots from now on, and not fewer.
    pub(super) fn grow(&mut self, slots: usize) {
        if self.0.len() < slots {
            self.0.resize(slots, Seen::default());
        }
    }

    /// Another backend has the slot, or the same one comes back.
    pub(super) fn forget(&mut self, slot: u16) {
        if let Some(seen) = self.0.get_mut(usize::from(slot)) {
            *seen = Seen::default();
        }
    }

    /// True if a backend is left alone.
    pub(super) fn is_out(&self, slot: u16, now: Time) -> bool {
        self.0.get(usize::from(slot)).is_some_and(|seen| now < seen.out_until)
    }

    /// A backend of a cluster has failed a request, or has not. `random` draws how long it is left alone; true if it is from now on.
    pub(super) fn saw(
        &mut self,
        slot: u16,
        has_failed: bool,
        cluster: &Cluster,
        now: Time,
        random: u64,
    ) -> bool {
        let Some(rule) = &cluster.ejection else { return false };
        let Some(seen) = self.0.get_mut(usize::from(slot)) else { return false };
        seen.count(has_failed, rule, now);
        if now < seen.out_until || !seen.is_outlier(rule) {
            return false;
        }
        let out = cluster.backends.iter().filter(|backend| self.is_out(backend.slot, now)).count();
        if (out + 1) * 2 > cluster.backends.len() {
            return false;
        }
        let share = f64::from(random as u32) / f64::from(u32::MAX);
        let quarantine: Duration = rule.quarantine.mul_f64(1.0 + share);
        if let Some(seen) = self.0.get_mut(usize::from(slot)) {
            *seen = Seen { out_until: now + quarantine, since: now, ..Seen::default() };
        }
        true
    }
}

impl Seen {
    fn count(&mut self, has_failed: bool, rule: &Ejection, now: Time) {
        if now.nanos_since(self.since) > rule.window.as_nanos() as u64 {
            (self.since, self.asked, self.failed) = (now, 0, 0);
        }
        self.asked += 1;
        self.failed += u32::from(has_failed);
        self.in_a_row = if has_failed { self.in_a_row + 1 } else { 0 };
    }

    fn is_outlier(&self, rule: &Ejection) -> bool {
        let many = self.asked >= rule.least
            && u64::from(self.failed) * 100 >= u64::from(self.asked) * u64::from(rule.percent)
            && self.failed > 0;
        many || self.in_a_row >= rule.consecutive.max(1)
    }
}
