//! `evenkeel replay`: a capture through the same datapath, by the capture's own time.
//!
//! Invariants: nothing depends on the machine or on its clock. Times never go back: a packet that is older than the one
//! before it is taken to be as old.

mod balancer;
mod updates;

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use evenkeel_config::{Config, Parsed};
use evenkeel_control::protocol::{Answer, DropsReport, Report, Request, ServiceReport, StatusReport};
use evenkeel_datapath::counters::WorkerCounter;
use evenkeel_datapath::pcap;
use evenkeel_datapath::time::Time;
use serde_json::{Value, json};

use crate::cli::Replay;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Output, Table};
use crate::tables;
use balancer::Balancer;
use updates::Update;

/// What is said at the end.
struct Summary {
    packets: u64,
    cut_short: u64,
    nanos: u64,
    seed: u64,
    /// When, what was asked, and the answer.
    updates: Vec<(Update, Answer)>,
    status: StatusReport,
    drops: DropsReport,
    services: Vec<ServiceReport>,
}

/// Replays a capture and reports.
pub(crate) fn replay(output: &mut Output, arguments: &Replay, is_json: bool) -> Outcome {
    let Parsed { config, warnings } = Config::load(&arguments.config).map_err(Failure::Invalid)?;
    eprint!("{warnings}");
    let updates = arguments.updates.as_deref().map_or(Ok(Vec::new()), updates::load)?;
    let seed = arguments.seed.or(config.balancer.seed).unwrap_or(0);
    let summary = run(arguments, config, seed, updates)?;
    if is_json {
        output.json(&summary.json())?;
    } else {
        summary.write(output)?;
    }
    match summary.status.imbalance {
        0 => Ok(Exit::Done),
        imbalance => Err(Failure::new(format!(
            "{imbalance} packets came in and neither went out nor were dropped, which is a fault of this program"
        ))),
    }
}

fn run(arguments: &Replay, config: Config, seed: u64, updates: Vec<Update>) -> Result<Summary, Failure> {
    let (input, to) = (&arguments.input, &arguments.output);
    let broken = |error: pcap::Error| failed("read", input, &error);
    let unwritten = |error: std::io::Error| failed("write", to, &error);
    let file = File::open(input).map_err(|error| broken(error.into()))?;
    let mut reader = pcap::Reader::new(BufReader::new(file)).map_err(broken)?;
    let mut next = reader.next().map_err(broken)?;
    // Before the output is made, since it may be the input's own path: a file is never emptied for a mistake.
    if same_file(input, to) {
        return Err(Failure::new(format!("{} is the capture itself: name another output", to.display())));
    }

    let start = next.as_ref().map_or(0, |record| record.nanos);
    let mut balancer = Balancer::new(config, &arguments.config, seed, Time(start))?;
    let file = File::create(to).map_err(unwritten)?;
    let mut writer = pcap::Writer::new(BufWriter::new(file), reader.resolution()).map_err(unwritten)?;
    let (mut packets, mut cut_short, mut now) = (0, 0, start);
    let mut updates = updates.into_iter().peekable();
    let mut answers = Vec::new();
    while let Some(record) = next {
        now = now.max(record.nanos);
        while let Some(update) = updates.next_if(|update| start + update.at_ns <= now) {
            answers.push(apply(&mut balancer, start, update)?);
        }
        balancer.advance(Time(now));
        // Beside what answers the packet, this may be what housekeeping sent.
        balancer.receive(&record.frame);
        balancer.sent(|frame| writer.write(now, frame)).map_err(unwritten)?;
        packets += 1;
        cut_short += u64::from((record.frame.len() as u64) < u64::from(record.wire_len));
        next = reader.next().map_err(broken)?;
    }
    for update in updates {
        answers.push(apply(&mut balancer, start, update)?);
    }
    writer.finish().map_err(unwritten)?;

    let (Report::Status(status), Report::Drops(drops), Report::Services(services)) = (
        balancer.report(Request::Status {})?,
        balancer.report(Request::Drops {})?,
        balancer.report(Request::ServiceList {})?,
    ) else {
        return Err(Failure::new(
            "a query was answered by another's report, which is a fault of this program",
        ));
    };
    let nanos = now - start;
    Ok(Summary { packets, cut_short, nanos, seed, updates: answers, status: *status, drops, services })
}

/// Makes a change at its time.
fn apply(balancer: &mut Balancer, start: u64, update: Update) -> Result<(Update, Answer), Failure> {
    balancer.advance(Time(start + update.at_ns));
    let answer = balancer.ask(update.request.clone())?;
    Ok((update, answer))
}

fn failed(doing: &str, file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("cannot {doing} {}: {error}", file.display()))
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

impl Summary {
    fn json(&self) -> Value {
        let updates = self.updates.iter().map(|(update, answer)| {
            json!({ "at": update.at_ns as f64 / 1e9, "request": update.request, "answer": answer })
        });
        let drops = self.drops.reasons.iter().filter(|drop| drop.count > 0);
        json!({
            "packets": self.packets,
            "cut_short": self.cut_short,
            "nanoseconds": self.nanos,
            "seed": self.seed,
            "imbalance": self.status.imbalance,
            "counters": self.status.counters,
            "drops": drops.map(|drop| (drop.reason.clone(), json!(drop.count))).collect::<serde_json::Map<_, _>>(),
            "services": self.services,
            "updates": updates.collect::<Vec<_>>(),
        })
    }

    fn write(&self, output: &mut Output) -> Result<(), Failure> {
        let value = |counter: WorkerCounter| self.status.counters.value(counter.name());
        output.line(&format!(
            "{} packets over {}.{:06} s, seed {}: {} sent, {} to the kernel, {} dropped, imbalance {}",
            self.packets,
            self.nanos / 1_000_000_000,
            self.nanos % 1_000_000_000 / 1_000,
            self.seed,
            value(WorkerCounter::Sent),
            value(WorkerCounter::ToKernel),
            self.status.dropped,
            self.status.imbalance
        ))?;
        if self.cut_short > 0 {
            output.line(&format!(
                "{} packets were captured only in part (capture with -s 0)",
                self.cut_short
            ))?;
        }
        for (update, answer) in &self.updates {
            let outcome = match answer {
                Answer::Done { generation, .. } => format!("generation {generation}"),
                Answer::Pending { .. } => "pending".to_owned(),
                Answer::Refused(refusal) => format!("refused: {refusal}"),
            };
            let request = serde_json::to_string(&update.request).unwrap_or_default();
            output.line(&format!("at {} s: {request}: {outcome}", update.at_ns as f64 / 1e9))?;
        }
        let mut counters = Table::new(&["counter", "value", "meaning"]);
        for counter in WorkerCounter::ALL.iter().filter(|&&counter| value(counter) > 0) {
            counters.row([counter.name().to_owned(), value(*counter).to_string(), counter.help().to_owned()]);
        }
        output.line("")?;
        output.table(&counters, "nothing was counted")?;
        output.line("")?;
        tables::write(output, 0, &Report::Drops(self.drops.clone()), false)?;
        output.line("")?;
        tables::write(output, 0, &Report::Services(self.services.clone()), false)?;
        let backends = self.services.iter().flat_map(|service| service.backends.clone()).collect();
        output.line("")?;
        tables::write(output, 0, &Report::Backends(backends), false)
    }
}
