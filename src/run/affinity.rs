//! Where threads may run: each worker on its own core, everything else on the cores that are left.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Keeps the calling thread, and the threads that it will start, off the cores of `workers`; does nothing where no
/// other core is left to it. DPDK looks at this when it starts, to place its own threads.
pub(crate) fn leave_to_workers(workers: &[usize]) {
    let this = Pid::from_raw(0);
    let outcome = sched_getaffinity(this).and_then(|allowed| match without(&allowed, workers) {
        Some(left) => sched_setaffinity(this, &left),
        None => Ok(()),
    });
    if let Err(error) = outcome {
        tracing::warn!(%error, "cannot keep helper threads off the workers' cores");
    }
}

/// The cores of `allowed` that are not among `workers`; `None` where there are none.
fn without(allowed: &CpuSet, workers: &[usize]) -> Option<CpuSet> {
    let mut left = *allowed;
    for &core in workers {
        // A core beyond what a set can hold is not in it.
        let _ = left.unset(core);
    }
    let is_any = (0..CpuSet::count()).any(|core| left.is_set(core) == Ok(true));
    is_any.then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_cores_are_left_out_and_only_allowed_ones_remain() {
        let mut allowed = CpuSet::new();
        for core in [0, 1, 3] {
            allowed.set(core).unwrap();
        }
        let left = without(&allowed, &[1, 2, 1 << 20]).unwrap();
        let cores = (0..CpuSet::count()).filter(|core| left.is_set(*core).unwrap()).collect::<Vec<_>>();
        assert_eq!(cores, [0, 3]);
        assert_eq!(without(&allowed, &[0, 1, 3]), None);
    }
}
