//! Suite `maglev`: how long a table takes to build, how even it is, and how much of it one removal moves.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use evenkeel_datapath::maglev::{Candidate, DEFAULT_SIZE, Maglev};

use crate::report::{Figure, Goal, Report};

/// The paper's large table.
const LARGE: u32 = 655_373;

/// Runs the suite.
///
/// # Errors
/// When standard output is gone.
pub fn run(report: &mut Report) -> Result<()> {
    for (case, size, most) in [("build-1000", DEFAULT_SIZE, Some(2.0)), ("build-1000-655373", LARGE, None)] {
        let candidates = backends(1_000);
        let (ours, papers) = interleaved(
            || Maglev::build(size, black_box(&candidates)).len(),
            || as_in_the_paper(size as usize, black_box(&candidates)).len(),
        );
        let figure = Figure::new(case, ours, "ms").beside("paper's pseudocode", papers);
        report.print(&match most {
            Some(most) => figure.goal(Goal::AtMost(most)),
            None => figure,
        })?;
    }
    let uneven: Vec<Candidate> =
        backends(1_000).into_iter().map(|c| Candidate { weight: 1 + u32::from(c.slot % 10), ..c }).collect();
    let even = backends(1_000);
    let (weighted, equal) = interleaved(
        || Maglev::build(DEFAULT_SIZE, black_box(&uneven)).len(),
        || Maglev::build(DEFAULT_SIZE, black_box(&even)).len(),
    );
    report.print(&Figure::new("build-1000-weights", weighted, "ms").beside("equal weights", equal))?;

    for (count, most, paper) in [(10, 0.9, 0.27), (100, 0.75, 0.58), (1_000, 0.75, 0.57)] {
        let all = backends(count);
        let whole = Maglev::build(DEFAULT_SIZE, &all);
        let shares = whole.shares();
        let largest = shares.iter().map(|share| share.1).max().unwrap_or(0);
        let smallest = shares.iter().map(|share| share.1).min().unwrap_or(0);
        report.print(
            &Figure::new(format!("spread-{count}"), f64::from(largest - smallest), "slots")
                .goal(Goal::AtMost(1.0)),
        )?;
        report.print(
            &Figure::new(format!("moved-{count}"), moved_percent(&all, &whole), "% of slots")
                .beside("paper", paper)
                .goal(Goal::AtMost(most)),
        )?;
    }
    Ok(())
}

fn backends(count: u16) -> Vec<Candidate> {
    (0..count).map(|slot| Candidate { identity: random(u64::from(slot) + 1), weight: 1, slot }).collect()
}

/// SplitMix64.
const fn random(n: u64) -> u64 {
    let x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Medians in milliseconds of two builders that run in turn.
fn interleaved(mut ours: impl FnMut() -> usize, mut theirs: impl FnMut() -> usize) -> (f64, f64) {
    let time = |build: &mut dyn FnMut() -> usize| {
        let start = Instant::now();
        black_box(build());
        start.elapsed().as_secs_f64() * 1_000.0
    };
    let (mut a, mut b): (Vec<f64>, Vec<f64>) = (0..41).map(|_| (time(&mut ours), time(&mut theirs))).unzip();
    (crate::median(&mut a), crate::median(&mut b))
}

/// Mean share of the slots that change between survivors when one backend leaves, over ten that do.
fn moved_percent(all: &[Candidate], whole: &Maglev) -> f64 {
    let slots = whole.len() as u64;
    let slot_of = |maglev: &Maglev, at: u64| {
        maglev.pick(((u128::from(at) << 64) / u128::from(slots)) as u64 + u64::from(at > 0))
    };
    let removals: Vec<u16> = all.iter().map(|c| c.slot).step_by(all.len() / 10).collect();
    let mut moved = 0;
    for &removed in &removals {
        let rest: Vec<Candidate> = all.iter().copied().filter(|c| c.slot != removed).collect();
        let without = Maglev::build(DEFAULT_SIZE, &rest);
        moved += (0..slots)
            .filter(|&at| slot_of(whole, at) != Some(removed) && slot_of(whole, at) != slot_of(&without, at))
            .count();
    }
    100.0 * moved as f64 / (removals.len() as f64 * slots as f64)
}

/// The paper's pseudocode (its figure "Maglev hashing lookup table population"), taken literally: an entry of -1 is free, and the
/// permutation's next element is computed by a division.
fn as_in_the_paper(size: usize, candidates: &[Candidate]) -> Vec<i32> {
    let permutations: Vec<(usize, usize)> = candidates
        .iter()
        .map(|c| (random(c.identity) as usize % size, random(!c.identity) as usize % (size - 1) + 1))
        .collect();
    let mut next = vec![0; candidates.len()];
    let mut entries = vec![-1; size];
    let mut filled = 0;
    loop {
        for (backend, &(offset, skip)) in permutations.iter().enumerate() {
            let mut entry = (offset + next[backend] * skip) % size;
            while entries[entry] >= 0 {
                next[backend] += 1;
                entry = (offset + next[backend] * skip) % size;
            }
            entries[entry] = backend as i32;
            next[backend] += 1;
            filled += 1;
            if filled == size {
                return entries;
            }
        }
    }
}
