//! `evenkeel check`: is the configuration valid, and is this machine ready for it?
//!
//! Nothing is changed and nothing is opened: the answer comes from the file, /proc and /sys.

mod machine;

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::SystemTime;

use evenkeel_config::{Config, Idle, Parsed, Port};
use evenkeel_control::Secrets;
use serde_json::json;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use machine::{Finding, Level, Machine};

const NET_ADMIN: u32 = 12;
const IPC_LOCK: u32 = 14;

/// Octets of pool memory for each packet buffer of the usual size, and what EAL takes besides.
const MBUF_OCTETS: u64 = 2_360;
const EAL_OCTETS: u64 = 12 << 20;
/// Octets of a flow table for each flow, its share of the index included.
const FLOW_OCTETS: u64 = 64;
const HUGE_PAGE: u64 = 2 << 20;

/// Drivers that leave a device to DPDK, or share it.
const DPDK_DRIVERS: [&str; 5] = ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core", "mlx4_core"];

/// Checks the file and the machine, and prints what there is to say.
pub(crate) fn check(output: &mut Output, file: &Path, is_json: bool) -> Outcome {
    let Parsed { config, warnings } = match Config::load(file) {
        Ok(parsed) => parsed,
        Err(errors) if is_json => {
            output.json(&json!({ "ok": false, "errors": errors }))?;
            return Ok(Exit::Invalid);
        }
        Err(errors) => return Err(Failure::Invalid(errors)),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if let Err(flaws) = Secrets::load(&config, now, &Secrets::default()) {
        let flaws: Vec<String> = flaws.iter().map(ToString::to_string).collect();
        if is_json {
            output.json(&json!({ "ok": false, "files": flaws }))?;
        } else {
            for flaw in &flaws {
                eprintln!("error: {flaw}");
            }
        }
        return Ok(Exit::Invalid);
    }
    let findings = findings(&config, &Machine::at("/"));
    if is_json {
        output.json(&json!({ "ok": true, "warnings": warnings, "machine": findings, "config": config }))?;
        return Ok(Exit::Done);
    }
    output.bytes(warnings.to_string().as_bytes())?;
    for Finding { level, what, mend } in &findings {
        let word = match level {
            Level::Warning => "warning",
            Level::Note => "note",
        };
        output.line(&format!("{word}: {what}\n  mend: {mend}"))?;
    }
    let warnings =
        warnings.0.len() + findings.iter().filter(|finding| finding.level == Level::Warning).count();
    output.line(&format!(
        "{}: valid: {}, {}, {}; {}",
        file.display(),
        count(config.balancer.workers.len(), "worker"),
        count(config.ports.len(), "port"),
        count(config.services.len(), "service"),
        if warnings == 0 { "and this machine is ready".to_owned() } else { count(warnings, "warning") }
    ))?;
    Ok(Exit::Done)
}

fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// What the machine lacks for `config`.
fn findings(config: &Config, machine: &Machine) -> Vec<Finding> {
    let socket = &config.balancer.control_socket;
    let is_running = UnixStream::connect(socket).is_ok();
    let mut findings = Vec::new();
    if is_running {
        let what = format!("a balancer already runs, at {}", socket.display());
        findings.push(Finding::note(what, format!("evenkeel --socket {} reload", socket.display())));
    } else {
        findings.extend(huge_pages(config, machine));
        findings.extend(config.ports.iter().filter_map(|port| twin(port, machine)));
    }
    findings.extend(cores(config, machine));
    findings.extend(config.ports.iter().flat_map(|port| devices(config, port, machine)));
    findings.extend(local_ports(config, machine));
    findings.extend(rights(config, machine));
    findings.dedup(); // the devices of a group may lack the same interface
    findings
}

fn huge_pages(config: &Config, machine: &Machine) -> Option<Finding> {
    let buffers = u64::from(config.dpdk.mbufs) * MBUF_OCTETS + EAL_OCTETS;
    let workers = u64::try_from(config.balancer.workers.len()).unwrap_or(u64::MAX);
    let table = (u64::from(config.balancer.flows) * FLOW_OCTETS).next_multiple_of(HUGE_PAGE);
    let wanted = buffers + workers * table;
    let pages = machine.huge_pages();
    if !config.dpdk.huge_pages || pages.free >= wanted {
        return None;
    }
    let in_use = pages.small.saturating_sub(pages.free_small);
    let mend = format!("scripts/hugepages {}", wanted.div_ceil(HUGE_PAGE) + in_use);
    let free = format!("{} MiB of huge pages are free", pages.free >> 20);
    Some(if pages.free < buffers {
        let needed = buffers.div_ceil(1 << 20);
        let what = format!("{} packet buffers need {needed} MiB of huge pages; {free}", config.dpdk.mbufs);
        Finding::warning(what, mend)
    } else {
        let what = format!(
            "flow tables are faster on huge pages, {} MiB with the packet buffers; {free}",
            wanted >> 20
        );
        Finding::note(what, mend)
    })
}

fn twin(port: &Port, machine: &Machine) -> Option<Finding> {
    let name = port.kernel.as_deref().filter(|name| machine.has_interface(name))?;
    let what =
        format!("port {}: there is an interface `{name}` already, so its twin cannot be made", port.name);
    Some(Finding::warning(what, format!("ip link delete {name}")))
}

fn cores(config: &Config, machine: &Machine) -> Vec<Finding> {
    let workers = || config.balancer.workers.iter().copied().enumerate();
    let online = machine.online_cores().unwrap_or_else(|| workers().map(|(_, core)| core).collect());
    let allowed = machine.allowed_cores().unwrap_or_else(|| online.clone());
    let mut findings = Vec::new();
    for (worker, core) in workers() {
        let what = format!("worker {worker}: core {core} is not online");
        if !online.contains(&core) && machine.is_core_present(core) {
            findings
                .push(Finding::warning(what, format!("echo 1 > /sys/devices/system/cpu/cpu{core}/online")));
        } else if !online.contains(&core) {
            findings.push(Finding::warning(what, format!("name others in `workers`: {online:?} are online")));
        } else if !allowed.contains(&core) {
            let what = format!("worker {worker}: this process may not run on core {core}");
            findings.push(Finding::warning(what, format!("taskset -c 0-{core} evenkeel run --config FILE")));
        }
    }
    let shared: BTreeSet<usize> = machine.isolated_cores().map_or_else(BTreeSet::new, |isolated| {
        workers()
            .map(|(_, core)| core)
            .filter(|core| online.contains(core) && !isolated.contains(core))
            .collect()
    });
    let has_device = config.ports.iter().flat_map(|port| &port.devices).any(|device| is_pci(device));
    if config.balancer.idle == Idle::Poll && has_device && !shared.is_empty() {
        let list = shared.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let what = format!("the scheduler may put other work on the workers' cores ({list})");
        findings.push(Finding::note(
            what,
            format!("boot with isolcpus={list} nohz_full={list} rcu_nocbs={list}"),
        ));
    }
    findings
}

fn devices(config: &Config, port: &Port, machine: &Machine) -> Vec<Finding> {
    port.devices.iter().filter_map(|device| self::device(config, port, device, machine)).collect()
}

fn device(config: &Config, port: &Port, device: &str, machine: &Machine) -> Option<Finding> {
    let name = &port.name;
    let address = device.split(',').next().unwrap_or(device);
    if is_pci(device) {
        let address = if address.len() == SHORT_PCI { format!("0000:{address}") } else { address.to_owned() };
        return if !machine.has_pci_device(&address) {
            let what = format!("port {name}: this machine has no PCI device {address}");
            Some(Finding::warning(what, "lspci -D | grep -i ethernet"))
        } else if !config.dpdk.pci {
            let what =
                format!("port {name}: {address} is a PCI device, but `pci = false` keeps DPDK from them");
            Some(Finding::warning(what, "set `pci = true` in [dpdk]"))
        } else {
            let driver = machine.pci_driver(&address);
            let is_ready = driver.as_deref().is_some_and(|driver| DPDK_DRIVERS.contains(&driver));
            let driver = driver.unwrap_or_else(|| "no driver".to_owned());
            let what =
                format!("port {name}: {address} is bound to {driver}, which does not leave it to DPDK");
            (!is_ready).then(|| Finding::warning(what, format!("scripts/bind {address}")))
        };
    }
    let uses_kernel = device.starts_with("net_af_") || device.starts_with("eth_af_");
    let interface = device.split(',').find_map(|part| part.strip_prefix("iface=")).filter(|_| uses_kernel)?;
    if !machine.has_interface(interface) {
        let what = format!("port {name}: there is no interface `{interface}`");
        Some(Finding::warning(what, format!("ip link add {interface} type veth peer name {name}-peer")))
    } else if !machine.is_up(interface) {
        let what = format!("port {name}: interface `{interface}` is down");
        Some(Finding::warning(what, format!("ip link set {interface} up")))
    } else {
        None
    }
}

const SHORT_PCI: usize = "03:00.0".len();

/// True for `0000:03:00.0` and `03:00.0`, with or without arguments behind a comma.
fn is_pci(device: &str) -> bool {
    let address = device.split(',').next().unwrap_or(device);
    address.len() >= SHORT_PCI && address.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'))
}

/// An address that full NAT and the kernel both send from must not have ports that both use.
fn local_ports(config: &Config, machine: &Machine) -> Option<Finding> {
    let ports = config.full_nat.ports;
    let (first, last) = machine.local_port_range()?;
    let shared = config.full_nat.local_addresses.iter().find(|address| {
        config
            .ports
            .iter()
            .any(|port| port.kernel.is_some() && port.addresses.iter().any(|prefix| prefix.addr == **address))
    })?;
    if first > ports.last || last < ports.first {
        return None;
    }
    let what = format!(
        "full NAT sends from ports {ports} of {shared}, and so does the kernel from {first}-{last}: answers would mix"
    );
    let mend = if ports.last < 60_000 {
        format!("sysctl -w net.ipv4.ip_local_port_range=\"{} 65535\"", u32::from(ports.last) + 1)
    } else {
        "give [full_nat] `ports` a lower range, or local addresses of its own".to_owned()
    };
    Some(Finding::warning(what, mend))
}

fn rights(config: &Config, machine: &Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !machine.is_capable(NET_ADMIN) {
        findings.push(Finding::warning(
            "this is not root: ports and twins need CAP_NET_ADMIN and more",
            "sudo evenkeel run --config FILE",
        ));
    }
    let uses_af_xdp =
        config.ports.iter().flat_map(|port| &port.devices).any(|device| device.contains("_af_xdp"));
    let needed = u64::from(config.dpdk.mbufs) * MBUF_OCTETS;
    let limit = machine.locked_memory_limit().filter(|&limit| limit < needed);
    if let Some(limit) = limit.filter(|_| uses_af_xdp && !machine.is_capable(IPC_LOCK)) {
        let what =
            format!("af_xdp locks {} KiB of memory, and {} KiB are allowed", needed >> 10, limit >> 10);
        findings.push(Finding::warning(what, format!("ulimit -l {}", needed >> 10)));
    }
    findings
}

#[cfg(test)]
mod tests;
