//! `evenkeel-bench SUITE`: run it by `scripts/bench`, which builds it first.

#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, ValueEnum};
use evenkeel_bench::{maglev, report::Report};

/// Benchmarks of Evenkeel.
#[derive(Parser, Debug)]
struct Arguments {
    /// What to measure.
    suite: Suite,
    /// Print one JSON object a line: suite, case, value, unit, baseline, baseline_value.
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Suite {
    /// Maglev tables: time to build, balance, movement.
    Maglev,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.suite {
        Suite::Maglev => maglev::run(&mut Report::new("maglev", arguments.json)),
    }
}
