//! What the balancer reports, as tables for people.

mod connections;
mod routes;

use evenkeel_control::protocol::{
    BackendReport, Counts, DropsReport, FlowsReport, NewFlowReport, NextHopReport, PortReport, ReloadReport,
    Report, ServiceReport, StatusReport, WorkerReport,
};
use evenkeel_datapath::counters::{BackendCounter, ServiceCounter, WorkerCounter};

use crate::exit::Failure;
use crate::output::{Output, Table};

/// Writes one report; `is_all` shows also the drop reasons that did not occur.
pub(crate) fn write(
    output: &mut Output,
    generation: u64,
    report: &Report,
    is_all: bool,
) -> Result<(), Failure> {
    match report {
        Report::Status(status) => self::status(output, generation, status),
        Report::Services(services) => output.table(&self::services(services), "no services"),
        Report::Service(service) => self::service(output, service),
        Report::Backends(backends) => output.table(&self::backends(backends), "no backends"),
        Report::Flows(flows) => self::flows(output, flows),
        Report::Connections(report) => connections::write(output, report),
        Report::TcpCounters(report) => connections::counters(output, report, is_all),
        Report::Route(report) => routes::write(output, report),
        Report::Drops(drops) => self::drops(output, drops, is_all),
        Report::Workers(workers) => output.table(&self::workers(workers), "no workers"),
        Report::Ports(ports) => output.table(&self::ports(ports), "no ports"),
        Report::NextHops(hops) => output.table(&next_hops(hops), "no next hops"),
        Report::Reload(reload) => self::reload(output, generation, reload),
        Report::Version(version) => output.line(&version.version),
    }
}

fn status(output: &mut Output, generation: u64, status: &StatusReport) -> Result<(), Failure> {
    let value = |counter: WorkerCounter| status.counters.value(counter.name());
    let backends = &status.backends;
    let mut leaving = String::new();
    for (number, word) in [(backends.unresolved, "unresolved"), (backends.leaving, "leaving")] {
        if number > 0 {
            leaving.push_str(&format!(", {number} {word}"));
        }
    }
    let force = if status.in_force {
        "in force on every worker".to_owned()
    } else {
        format!("not yet in force on workers {}", list(&status.late_workers))
    };
    for (name, text) in [
        ("version", format!("{}, process {}", status.version, status.pid)),
        ("up", duration(status.uptime_ms)),
        ("generation", format!("{generation}, {force}")),
        ("workers", status.workers.to_string()),
        ("ports", status.ports.to_string()),
        ("services", status.services.to_string()),
        (
            "backends",
            format!(
                "{} active, {} draining, {} down{leaving}",
                backends.active, backends.draining, backends.down
            ),
        ),
        ("flows", format!("{} of {}", status.flows_active, status.flows_capacity)),
        (
            "packets",
            format!(
                "{} received, {} sent, {} handed over, {} to the kernel, {} from it, {} dropped",
                value(WorkerCounter::Received),
                value(WorkerCounter::Sent),
                value(WorkerCounter::HandedOut),
                value(WorkerCounter::ToKernel),
                value(WorkerCounter::FromKernel),
                status.dropped
            ),
        ),
        ("imbalance", status.imbalance.to_string()),
    ] {
        output.line(&format!("{name:<12}{text}"))?;
    }
    Ok(())
}

fn services(services: &[ServiceReport]) -> Table {
    let mut table = Table::new(&[
        "service",
        "vip",
        "protocol",
        "mode",
        "backends",
        "flows",
        "packets-in",
        "packets-out",
        "unserved",
    ]);
    for service in services {
        let count = |counter: ServiceCounter| service.counters.value(counter.name()).to_string();
        table.row([
            service.service.clone(),
            service.vip.to_string(),
            service.protocol.to_string(),
            service.mode.to_string(),
            service.backends.len().to_string(),
            count(ServiceCounter::FlowsActive),
            count(ServiceCounter::PacketsIn),
            count(ServiceCounter::PacketsOut),
            count(ServiceCounter::Unserved),
        ]);
    }
    table
}

fn service(output: &mut Output, service: &ServiceReport) -> Result<(), Failure> {
    output.table(&services(std::slice::from_ref(service)), "")?;
    output.line("")?;
    output.table(&backends(&service.backends), "no backends")
}

fn backends(backends: &[BackendReport]) -> Table {
    let mut table = Table::new(&[
        "service",
        "backend",
        "state",
        "weight",
        "slots",
        "next-hop",
        "flows",
        "packets-in",
        "packets-out",
        "unanswered",
        "resets",
    ]);
    for backend in backends {
        let count = |counter: BackendCounter| backend.counters.value(counter.name()).to_string();
        let deadline = backend.deadline_ms.map_or_else(String::new, |ms| format!(" ({} left)", duration(ms)));
        let hop = match &backend.next_hop {
            Some(hop) => format!("{} {}", hop.port, hop.mac),
            None => "unresolved".to_owned(),
        };
        table.row([
            backend.service.clone(),
            backend.backend.to_string(),
            format!("{}{deadline}", backend.state),
            backend.weight.to_string(),
            backend.maglev_slots.to_string(),
            hop,
            count(BackendCounter::FlowsActive),
            count(BackendCounter::PacketsIn),
            count(BackendCounter::PacketsOut),
            count(BackendCounter::SynsUnanswered),
            count(BackendCounter::Resets),
        ]);
    }
    table
}

fn new_flow(new: &NewFlowReport) -> String {
    let NewFlowReport { worker, service, protocol, client, vip, .. } = new;
    let flow = format!("no flow of {protocol} from {client} to {vip} ({service})");
    match (&new.backend, &new.drop) {
        (Some(backend), _) => format!("{flow}; a new one would go to {backend}, by worker {worker}"),
        (None, None) => format!("{flow}; a new connection would end at layer 7 of worker {worker}"),
        (None, Some(reason)) => {
            format!("{flow}; the first packet of a new one would be dropped by worker {worker}: {reason}")
        }
    }
}

fn flows(output: &mut Output, report: &FlowsReport) -> Result<(), Failure> {
    let mut table =
        Table::new(&["worker", "service", "protocol", "client", "vip", "local", "backend", "state", "idle"]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for flow in &report.flows {
        table.row([
            flow.worker.to_string(),
            or_dash(flow.service.clone()),
            flow.protocol.to_string(),
            flow.client.to_string(),
            or_dash(flow.vip.map(|vip| vip.to_string())),
            or_dash(flow.local.map(|local| local.to_string())),
            or_dash(flow.backend.map(|backend| backend.to_string())),
            flow.state.clone(),
            duration(flow.idle_ms.into()),
        ]);
    }
    match &report.new_flow {
        Some(new) => output.line(&new_flow(new))?,
        None => output.table(&table, "no flows")?,
    }
    if !report.late_workers.is_empty() {
        output.line(&format!("workers {} did not answer in time", list(&report.late_workers)))?;
    } else if !report.complete {
        output.line("there are more: raise --limit")?;
    }
    Ok(())
}

fn drops(output: &mut Output, report: &DropsReport, is_all: bool) -> Result<(), Failure> {
    let mut header = vec!["reason".to_owned(), "packets".to_owned()];
    let is_split = report.workers.len() > 1;
    if is_split {
        header.extend(report.workers.iter().map(|worker| format!("worker-{worker}")));
    }
    header.push("meaning".to_owned());
    let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for drop in report.reasons.iter().filter(|drop| is_all || drop.count > 0) {
        let mut row = vec![drop.reason.clone(), drop.count.to_string()];
        if is_split {
            row.extend(drop.by_worker.iter().map(u64::to_string));
        }
        row.push(drop.help.clone());
        table.row(row);
    }
    output.table(&table, "nothing was dropped")
}

fn workers(workers: &[WorkerReport]) -> Table {
    let mut table = Table::new(&[
        "worker",
        "core",
        "generation",
        "received",
        "sent",
        "handed-in",
        "handed-out",
        "dropped",
        "flows",
        "useful",
    ]);
    for worker in workers {
        let count = |counter: WorkerCounter| worker.counters.value(counter.name()).to_string();
        table.row([
            worker.worker.to_string(),
            worker.core.map_or_else(|| "-".to_owned(), |core| core.to_string()),
            format!("{}{}", worker.generation, if worker.late { " (late)" } else { "" }),
            count(WorkerCounter::Received),
            count(WorkerCounter::Sent),
            count(WorkerCounter::HandedIn),
            count(WorkerCounter::HandedOut),
            worker.dropped.to_string(),
            count(WorkerCounter::FlowsActive),
            useful(&worker.counters),
        ]);
    }
    table
}

/// The share of a worker's cycles that moved packets.
fn useful(counters: &Counts) -> String {
    let useful = counters.value(WorkerCounter::UsefulCycles.name());
    let all = useful.saturating_add(counters.value(WorkerCounter::EmptyCycles.name()));
    if all == 0 {
        return "-".to_owned();
    }
    let tenths = u128::from(useful) * 1000 / u128::from(all);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

fn ports(ports: &[PortReport]) -> Table {
    let mut table =
        Table::new(&["port", "mac", "mtu", "queues", "rss", "checksums", "kernel", "addresses", "devices"]);
    for port in ports {
        let or_dash = |list: &[String]| if list.is_empty() { "-".to_owned() } else { list.join(" ") };
        table.row([
            port.port.clone(),
            port.mac.clone(),
            port.mtu.to_string(),
            port.queues.to_string(),
            if port.rss { "yes" } else { "no" }.to_owned(),
            or_dash(&port.transmit_checksums),
            port.kernel.clone().unwrap_or_else(|| "-".to_owned()),
            or_dash(&port.addresses),
            or_dash(&port.devices),
        ]);
    }
    table
}

fn next_hops(hops: &[NextHopReport]) -> Table {
    let mut table = Table::new(&["address", "port", "mac", "state", "backends"]);
    for hop in hops {
        table.row([
            hop.address.to_string(),
            hop.port.clone(),
            hop.mac.clone().unwrap_or_else(|| "-".to_owned()),
            hop.state.clone(),
            hop.backends.to_string(),
        ]);
    }
    table
}

fn reload(output: &mut Output, generation: u64, reload: &ReloadReport) -> Result<(), Failure> {
    let parts = [
        ("services added", &reload.services_added),
        ("services removed", &reload.services_removed),
        ("services changed", &reload.services_changed),
        ("backends added", &reload.backends_added),
        ("backends removed", &reload.backends_removed),
        ("backends changed", &reload.backends_changed),
        ("settings changed", &reload.settings_changed),
    ];
    if parts.iter().all(|(_, names)| names.is_empty()) {
        return output.line("nothing has changed");
    }
    for (what, names) in parts.iter().filter(|(_, names)| !names.is_empty()) {
        output.line(&format!("{what}: {}", names.join(", ")))?;
    }
    output.line(&format!("in force on every worker, generation {generation}"))
}

/// Numbers of workers, with commas between.
pub(crate) fn list(workers: &[u8]) -> String {
    workers.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}

/// A duration as people read it: the two largest units.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        for (ms, text) in [
            (7, "7ms"),
            (59_999, "59s"),
            (61_000, "1m 1s"),
            (3_600_000 * 25 + 60_000, "1d 1h"),
            (7_260_000, "2h 1m"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn the_share_of_useful_cycles_is_of_all_cycles() {
        let counts = |useful, empty| {
            Counts(vec![("useful_cycles".to_owned(), useful), ("empty_cycles".to_owned(), empty)])
        };
        assert_eq!(useful(&counts(0, 0)), "-");
        assert_eq!(useful(&counts(1, 7)), "12.5 %");
        assert_eq!(useful(&counts(u64::MAX, 0)), "100.0 %");
    }
}
