//! The worst insertion: the bound that the table states, and the most that callgrind's cache simulation ever saw.
//!
//! The simulated cache is emptied before each insertion, so its misses are the lines touched: of the table, and a few of
//! the stack and of constants.

use std::fs;
use std::hint::black_box;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use evenkeel_datapath::flow::FlowState;
use evenkeel_datapath::flow_table::{Entry, FlowId, FlowTable, Full, INSERT_LINES};
use evenkeel_datapath::key::Addr;

use crate::report::{Figure, Goal, Report};
use crate::rig::frames::Random;

/// Insertions observed.
const OBSERVED: usize = 200;
const CAPACITY: u32 = 20_000;

pub(super) fn run(report: &mut Report) -> Result<()> {
    let stated = INSERT_LINES as f64;
    let figure = Figure::new("worst-insert-lines", worst()? as f64, "cache lines missed");
    report.print(
        &figure
            .beside("stated bound, table only", stated)
            .goal(Goal::AtMost(stated + STACK))
            .note(format!("worst of {OBSERVED} at 90 % load in callgrind; {STACK} lines are stack, arguments and the head of the table")),
    )?;
    Ok(())
}

/// Lines that an insertion touches beside the table: its arguments, the stack, the head of the table.
const STACK: f64 = 6.0;

/// The most data misses of one insertion, as callgrind counts them.
fn worst() -> Result<u64> {
    let folder = std::env::temp_dir().join(format!("evenkeel-insert-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--cache-sim=yes", "--D1=32768,8,64", "--LL=65536,16,64"])
        .args(["--dump-after=*empty_cache*", "--dump-after=*observed_insertion*"])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(std::env::current_exe()?)
        .arg("insert-under-observation")
        .stderr(Stdio::null())
        .status()
        .context("cannot run valgrind, from the package of that name")?;
    ensure!(status.success(), "valgrind failed");
    let mut worst = 0;
    let mut observed = 0;
    for file in fs::read_dir(&folder)? {
        let text = fs::read_to_string(file?.path())?;
        // The other dumps are the time between.
        if !text.lines().any(|line| line.contains("Trigger") && line.contains("observed_insertion")) {
            continue;
        }
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let (Some(events), Some(totals)) = (line("events: "), line("totals: ").or_else(|| line("summary: ")))
        else {
            continue;
        };
        let counts = events.split_whitespace().zip(totals.split_whitespace());
        let misses: u64 = counts
            .filter(|(event, _)| matches!(*event, "D1mr" | "D1mw"))
            .filter_map(|(_, count)| count.parse::<u64>().ok())
            .sum();
        observed += u64::from(misses > 0);
        worst = worst.max(misses);
    }
    fs::remove_dir_all(&folder)?;
    ensure!(observed >= OBSERVED as u64, "callgrind saw {observed} of {OBSERVED} insertions");
    Ok(worst)
}

/// What callgrind watches: a table at 90 % load takes some more flows, each with a cold cache.
///
/// # Errors
/// When there is no memory or no room.
pub fn insert_under_observation() -> Result<()> {
    let mut table = FlowTable::new(CAPACITY)?;
    let mut random = Random(7);
    let mut next = || (entry(random.number()), random.number(), random.number());
    for _ in 0..CAPACITY * 9 / 10 {
        let (entry, forward, reverse) = next();
        table.insert(entry, forward, Some(reverse)).ok().context("no room below 90 %")?;
    }
    let mut litter = vec![0_u8; 1 << 18];
    for _ in 0..OBSERVED {
        let (entry, forward, reverse) = next();
        empty_cache(&mut litter);
        observed_insertion(&mut table, entry, forward, reverse).ok().context("no room at 90 %")?;
    }
    Ok(())
}

#[inline(never)]
fn empty_cache(litter: &mut [u8]) {
    litter.iter_mut().step_by(64).for_each(|octet| *octet = octet.wrapping_add(1));
    black_box(litter);
}

#[inline(never)]
fn observed_insertion(
    table: &mut FlowTable,
    entry: Entry,
    forward: u64,
    reverse: u64,
) -> Result<FlowId, Full> {
    black_box(table.insert(entry, forward, Some(reverse)))
}

fn entry(number: u64) -> Entry {
    let [a, b, c, d, port @ .., _, _] = number.to_be_bytes();
    Entry {
        client_addr: Addr::from_v4([a, b, c, d]),
        client_port: port,
        state: FlowState::Established,
        ..Entry::default()
    }
}
