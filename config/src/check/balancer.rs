//! Checks of `[balancer]`, `[dpdk]`, `[limits]` and `[full_nat]`.

use crate::check::refuse_duplicates;
use crate::finding::Finding;
use crate::model::Config;
use crate::units;

/// Octets that EAL takes for itself.
const EAL_OCTETS: u64 = 12 << 20;

/// Arguments to EAL that a key of the file stands for.
const OWN_ARGUMENTS: [(&str, &str); 5] = [
    ("--no-huge", "huge_pages = false"),
    ("--no-pci", "pci = false"),
    ("--file-prefix", "file_prefix"),
    ("--socket-mem", "memory"),
    ("-m", "memory"),
];

pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    workers(config, findings);
    bounds(config, findings);
    dpdk(config, findings);
    if config.limits.to_kernel == 0 && config.ports.iter().any(|port| port.kernel.is_some()) {
        findings.push(
            Finding::warning("limits.to_kernel", "nothing is passed to the kernel")
                .label("ARP, neighbour discovery and routing daemons on the kernel's twins hear no answer"),
        );
    }
    let addresses = config.full_nat.local_addresses.iter().enumerate();
    refuse_duplicates(
        findings,
        addresses.map(|(index, address)| (address, format!("full_nat.local_addresses[{index}]"))),
        |address| format!("{address} is listed twice in `[full_nat]`"),
    );
}

fn workers(config: &Config, findings: &mut Vec<Finding>) {
    if config.balancer.workers.is_empty() {
        findings.push(
            Finding::error("balancer.workers", "there are no workers").label("expected at least one core"),
        );
    }
    let cores = config.balancer.workers.iter().enumerate();
    refuse_duplicates(
        findings,
        cores.map(|(index, core)| (core, format!("balancer.workers[{index}]"))),
        |core| format!("core {core} is given to two workers"),
    );
}

/// What the file itself holds against the bounds that it sets.
fn bounds(config: &Config, findings: &mut Vec<Finding>) {
    let most = config.balancer.max_services as usize;
    if config.services.len() > most {
        findings.push(
            Finding::error(
                format!("service[{most}]"),
                format!("more services than `max_services`, which is {most}"),
            )
            .label(format!("the first of {} too many", config.services.len() - most))
            .help(format!("`max_services = {}` in `[balancer]` holds them", config.services.len()))
            .rests_on(&["balancer.max_services"]),
        );
    }
    let most = config.balancer.max_backends as usize;
    let total: usize = config.services.iter().map(|service| service.backends.len()).sum();
    let mut before = 0;
    for (index, service) in config.services.iter().enumerate() {
        if before + service.backends.len() > most {
            let path = format!("service[{index}].backend[{}]", most - before);
            findings.push(
                Finding::error(path, format!("more backends than `max_backends`, which is {most}"))
                    .label(format!("the first of {} too many", total - most))
                    .help(format!("`max_backends = {total}` in `[balancer]` holds them"))
                    .rests_on(&["balancer.max_backends"]),
            );
            break;
        }
        before += service.backends.len();
    }
}

fn dpdk(config: &Config, findings: &mut Vec<Finding>) {
    let dpdk = &config.dpdk;
    let needed = dpdk.pool_octets() + EAL_OCTETS;
    if needed > dpdk.memory {
        let needed = units::size_text(needed.next_multiple_of(1 << 20));
        findings.push(
            Finding::warning("dpdk.mbufs", format!("{} packet buffers do not fit into `memory`", dpdk.mbufs))
                .label(format!(
                    "they take about {needed} of the {} in `memory`",
                    units::size_text(dpdk.memory)
                ))
                .rests_on(&["dpdk.memory"]),
        );
    }
    for (index, argument) in dpdk.args.iter().enumerate() {
        let name = argument.split('=').next().unwrap_or_default();
        if let Some((_, key)) = OWN_ARGUMENTS.iter().find(|(own, _)| *own == name) {
            findings.push(
                Finding::error(
                    format!("dpdk.args[{index}]"),
                    format!("`{name}` is not given to EAL by hand"),
                )
                .label(format!("use `{key}` in `[dpdk]`")),
            );
        }
    }
}
