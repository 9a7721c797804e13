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
        now < self.due(slot)
    }

    /// When a backend is no longer left alone.
    fn due(&self, slot: u16) -> Time {
        self.0.get(usize::from(slot)).map_or(Time(0), |seen| seen.out_until)
    }

    /// A backend of a cluster has failed a request, or has not. `random` draws how long it is left alone; true if it is from now on.
    /// Half of a cluster is left alone at most: one that fails now takes the place of the one that is due first.
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
        // What it was asked before it was left alone says nothing of what it is like behind that.
        if now < seen.out_until {
            return false;
        }
        seen.count(has_failed, rule, now);
        if !seen.is_outlier(rule) {
            return false;
        }
        let slots = cluster.backends.iter().map(|backend| backend.slot);
        let out = || slots.clone().filter(|slot| self.is_out(*slot, now));
        if (out().count() + 1) * 2 > cluster.backends.len() {
            let Some(first) = out().min_by_key(|slot| self.due(*slot)) else { return false };
            self.forget(first);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evenkeel_datapath::maglev::Maglev;

    use super::*;
    use crate::balance::{Group, Policy};
    use crate::proxy::site::Backend;

    const SECOND: u64 = 1_000_000_000;

    fn cluster(backends: u16, rule: Ejection) -> Cluster {
        let backend =
            |slot| Backend { slot, epoch: 0, address: ([10, 0, 0, 1], 80).into(), identity: u64::from(slot) };
        let group = Group::new(Policy::Random, &[], Arc::new(Maglev::default()), Duration::ZERO);
        let mut cluster = Cluster::new("all", group, (0..backends).map(backend).collect());
        cluster.ejection = Some(rule);
        cluster
    }

    #[test]
    fn failures_in_a_row_count_and_a_success_between_them_forgives() {
        let (cluster, mut outliers) = (cluster(2, Ejection::default()), Outliers::new(2));
        let mut saw = |failed| outliers.saw(0, failed, &cluster, Time(SECOND), 0);
        assert!((0..4).all(|_| !saw(true)) && !saw(false) && (0..4).all(|_| !saw(true)) && saw(true));
        assert!(outliers.is_out(0, Time(30 * SECOND)) && !outliers.is_out(0, Time(31 * SECOND)));
    }

    #[test]
    fn a_quarantine_is_drawn_between_once_and_twice_its_length() {
        for (random, seconds) in [(0, 30), (u64::MAX, 60)] {
            let (cluster, mut outliers) = (cluster(2, Ejection::default()), Outliers::new(2));
            assert_eq!((0..5).filter(|_| outliers.saw(0, true, &cluster, Time(0), random)).count(), 1);
            assert!(
                outliers.is_out(0, Time(seconds * SECOND - 1)) && !outliers.is_out(0, Time(seconds * SECOND))
            );
        }
    }

    #[test]
    fn a_part_of_many_counts_within_its_window() {
        let rule = Ejection { consecutive: 1000, ..Ejection::default() };
        let seen = |step: u64, count: u64| {
            let (cluster, mut outliers) = (cluster(2, rule), Outliers::new(2));
            (0..count).position(|n| outliers.saw(0, n % 10 == 9, &cluster, Time(n * step), 0))
        };
        assert_eq!(seen(SECOND / 10, 100), Some(49), "one of ten, once there were fifty");
        assert_eq!(seen(SECOND, 1000), None, "fewer than fifty come in half a minute");
    }

    #[test]
    fn half_of_a_cluster_stays() {
        for (backends, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (7, 3)] {
            let (cluster, mut outliers) = (cluster(backends, Ejection::default()), Outliers::new(8));
            for slot in (0..backends).cycle().take(100) {
                outliers.saw(slot, true, &cluster, Time(SECOND), 0);
            }
            let out = (0..backends).filter(|slot| outliers.is_out(*slot, Time(SECOND))).count();
            assert_eq!(out, most, "{backends}");
        }
    }

    #[test]
    fn who_fails_now_is_left_alone_rather_than_who_failed_before() {
        let (cluster, mut outliers) = (cluster(2, Ejection::default()), Outliers::new(2));
        let fail = |outliers: &mut Outliers, slot, seconds| {
            (0..5).filter(|_| outliers.saw(slot, true, &cluster, Time(seconds * SECOND), 0)).count()
        };
        assert_eq!(fail(&mut outliers, 0, 1), 1);
        assert_eq!(fail(&mut outliers, 1, 2), 1);
        assert!(!outliers.is_out(0, Time(2 * SECOND)) && outliers.is_out(1, Time(2 * SECOND)));
    }
}
