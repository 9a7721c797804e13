//! Connections at layer 7, as tables.

use std::net::SocketAddr;

use evenkeel_control::protocol::{ConnectionReport, ConnectionsReport, StepReport, TcpCountersReport};

use super::list;
use crate::exit::Failure;
use crate::output::{Output, Table};

/// Connections; one with all that is known of it where it was asked for alone.
pub(super) fn write(output: &mut Output, report: &ConnectionsReport) -> Result<(), Failure> {
    match &report.steps {
        Some(steps) if !report.connections.is_empty() => {
            output.table(&self::steps(steps), "remembered from now on: ask again")?;
        }
        _ => output.table(&connections(&report.connections), "no connections")?,
    }
    if !report.late_workers.is_empty() {
        output.line(&format!("workers {} did not answer in time", list(&report.late_workers)))?;
    } else if !report.complete {
        output.line("there are more: raise --limit")?;
    }
    Ok(())
}

fn connections(connections: &[ConnectionReport]) -> Table {
    let mut table = Table::new(&[
        "worker",
        "service",
        "from",
        "to",
        "state",
        "rtt-us",
        "rto-us",
        "mss",
        "cwnd",
        "unacked",
        "retrans",
        "bytes-in",
        "bytes-acked",
    ]);
    for connection in connections {
        let end = |end: Option<SocketAddr>| end.map_or_else(|| "-".to_owned(), |end| end.to_string());
        let value = |name: &str| connection.tcp_info.value(name).to_string();
        table.row([
            connection.worker.to_string(),
            connection.service.clone().unwrap_or_else(|| "-".to_owned()),
            end(connection.client.or(connection.local)),
            end(connection.vip.or(connection.backend)),
            connection.state.clone(),
            value("tcpi_rtt"),
            value("tcpi_rto"),
            value("tcpi_snd_mss"),
            value("tcpi_snd_cwnd_bytes"),
            value("tcpi_unacked_bytes"),
            value("tcpi_total_retrans"),
            value("tcpi_bytes_received"),
            value("tcpi_bytes_acked"),
        ]);
    }
    table
}

/// Times count from the first one shown.
fn steps(steps: &[StepReport]) -> Table {
    let mut table =
        Table::new(&["us", "way", "flags", "sequence", "ack", "length", "window", "cwnd", "state"]);
    let begin = steps.first().map_or(0, |step| step.time_us);
    for step in steps {
        table.row([
            step.time_us.saturating_sub(begin).to_string(),
            if step.outgoing { "out" } else { "in" }.to_owned(),
            step.flags.clone(),
            step.sequence.to_string(),
            step.acknowledgement.to_string(),
            step.length.to_string(),
            step.window.to_string(),
            step.congestion_window.to_string(),
            step.state.clone(),
        ]);
    }
    table
}

/// What the TCP of each worker has counted; `is_all` shows what is zero, too.
pub(super) fn counters(output: &mut Output, report: &TcpCountersReport, is_all: bool) -> Result<(), Failure> {
    let workers = report.workers.iter().map(|worker| format!("worker-{worker}"));
    let header: Vec<String> = ["counter".to_owned(), "count".to_owned()]
        .into_iter()
        .chain(workers)
        .chain(["meaning".to_owned()])
        .collect();
    let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for counter in report.counters.iter().filter(|counter| is_all || counter.count > 0) {
        let numbers = [counter.count].into_iter().chain(counter.by_worker.iter().copied());
        let row = std::iter::once(counter.name.clone()).chain(numbers.map(|number| number.to_string()));
        table.row(row.chain([counter.help.clone()]).collect::<Vec<_>>());
    }
    output.table(&table, "nothing was counted")?;
    if report.late_workers.is_empty() {
        return Ok(());
    }
    output.line(&format!("workers {} did not answer in time", list(&report.late_workers)))
}
