//! `evenkeel-bench SUITE`: run it by `scripts/bench`, which builds it first.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use evenkeel_bench::{flows, l7, maglev, pages, report::Report, rig, tcp, update};

/// Benchmarks of Evenkeel.
#[derive(Parser, Debug)]
struct Arguments {
    /// What to measure.
    suite: Suite,
    /// Print one JSON object a line: suite, case, value, unit, baseline, baseline_value.
    #[arg(long)]
    json: bool,
    /// Of suites rig, flows and tcp: only this case (may be given more than once); of tcp also all that begin with it.
    #[arg(long = "case", value_name = "CASE")]
    cases: Vec<String>,
    /// Of suites rig and tcp: seconds of each program's turn.
    #[arg(long, default_value_t = 3.0)]
    slot: f64,
    /// Of suites rig and tcp: turns of each program; by default 7 and 10.
    #[arg(long)]
    rounds: Option<usize>,
    /// Of suite tcp: what happens on the links.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of suite rig: the core that every worker runs on.
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// Of suite rig: the balancer's binary; by default the one built beside this program.
    #[arg(long)]
    binary: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Suite {
    /// Maglev tables: time to build, balance, movement.
    Maglev,
    /// The shipped binary beside testpmd and l3fwd, on devices that replay captures. Needs root.
    Rig,
    /// The pure pipeline over ever more flows, beside the same on hashbrown.
    Flows,
    /// How soon a change is in force while packets are forwarded, and what it costs.
    Update,
    /// The userspace TCP beside smoltcp (echo-*, idle-bytes, short-connection, bulk-1460), and over a relay beside Linux, which
    /// needs root: grid-* (ours at both ends), grid-to-linux-* and grid-from-linux-* (ours and the kernel's, bytes checked),
    /// each -{1,20,100}ms-{100m-q100,1g-q1000,0.1%-random,0.1%-burst,1%-...,5%-...}-{goodput,10k,100k,1m};
    /// fair-ours-* and fair-linux-* (two flows share a line, both ours or one of them).
    Tcp,
    /// The parts of the proxy stage: p99 by balancing policy with one slow backend, in virtual time; what TLS costs (tls-handshake, tls-128,
    /// tls-1m, idle-tls-bytes) on a wire of memory.
    L7,
    /// What suite flows runs under callgrind.
    #[value(hide = true)]
    InsertUnderObservation,
    /// What suite tcp runs in a process of its own: the octets of an idle connection of the one that `--case` names.
    #[value(hide = true)]
    IdleUnderObservation,
    /// What suite l7 runs in a process of its own: the octets of an idle client, over TLS or, as `--case` says, not.
    #[value(hide = true)]
    IdleClientUnderObservation,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evenkeel-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    match arguments.suite {
        Suite::Maglev => maglev::run(&mut Report::new("maglev", arguments.json)),
        Suite::Flows => match pages::in_child_on_huge_pages(flows::PAGES)? {
            None => flows::run(&mut Report::new("flows", arguments.json), &arguments.cases),
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(anyhow::anyhow!("suite flows failed ({status})")),
        },
        Suite::Update => update::run(&mut Report::new("update", arguments.json)),
        Suite::Tcp => {
            let options = tcp::Options {
                cases: arguments.cases,
                slot: Duration::from_secs_f64(arguments.slot),
                rounds: arguments.rounds.unwrap_or(10).max(1),
                seed: arguments.seed,
            };
            tcp::run(&mut Report::new("tcp", arguments.json), &options)
        }
        Suite::L7 => l7::run(&mut Report::new("l7", arguments.json)),
        Suite::IdleUnderObservation => tcp::idle_under_observation(&arguments.cases),
        Suite::IdleClientUnderObservation => l7::idle_under_observation(&arguments.cases),
        Suite::InsertUnderObservation => flows::insert_under_observation(),
        Suite::Rig => {
            let binary = match arguments.binary {
                Some(binary) => binary,
                None => std::env::current_exe()?.with_file_name("evenkeel"),
            };
            let (cases, rounds, core) =
                (arguments.cases, arguments.rounds.unwrap_or(7).max(1), arguments.core);
            let options =
                rig::Options { binary, cases, slot: Duration::from_secs_f64(arguments.slot), rounds, core };
            rig::run(&mut Report::new("rig", arguments.json), &options)
        }
    }
}
