//! Checks of `[[port]]`, `[[route]]` and `[[neighbor]]`.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::check::reach::Reach;
use crate::check::refuse_duplicates;
use crate::finding::{Finding, enclosing};
use crate::limits;
use crate::model::{Config, Port, Prefix};
use crate::nearest::nearest;

pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    if config.ports.is_empty() {
        findings.push(
            Finding::error("port", "there is no port")
                .help("add a `[[port]]` with a `name` and a `device`, such as \"0000:03:00.0\""),
        );
    }
    duplicates(config, findings);
    for (index, port) in config.ports.iter().enumerate() {
        devices(config, index, port, findings);
        let has_ipv6 = port.addresses.iter().any(|own| own.addr.is_ipv6());
        if has_ipv6 && port.mtu < limits::MTU_IPV6 {
            let least = limits::MTU_IPV6;
            findings.push(
                Finding::error(
                    format!("port[{index}].mtu"),
                    format!("IPv6 needs an MTU of at least {least}"),
                )
                .label("too small for this port's IPv6 addresses")
                .rests_on(&[&format!("port[{index}].addresses")]),
            );
        }
    }
    let reach = Reach::new(config);
    routes(config, &reach, findings);
    neighbors(config, findings);
}

/// The addresses that the balancer itself has, with their subnets, and where the file says so.
pub(super) fn own_addresses(config: &Config) -> impl Iterator<Item = (Prefix, String)> {
    config.ports.iter().enumerate().flat_map(|(port, Port { addresses, .. })| {
        let addresses = addresses.iter().enumerate();
        addresses.map(move |(index, own)| (*own, format!("port[{port}].addresses[{index}]")))
    })
}

fn duplicates(config: &Config, findings: &mut Vec<Finding>) {
    let ports = || config.ports.iter().enumerate();
    refuse_duplicates(
        findings,
        ports().map(|(index, port)| (&port.name, format!("port[{index}].name"))),
        |name| format!("two ports are called `{name}`"),
    );
    let kernel =
        ports().filter_map(|(index, port)| Some((port.kernel.as_ref()?, format!("port[{index}].kernel"))));
    refuse_duplicates(findings, kernel, |name| format!("two ports have the kernel interface `{name}`"));
    let devices = ports().flat_map(|(index, port)| {
        let devices = port.devices.iter().enumerate();
        devices.map(move |(at, device)| (device, device_path(port, index, at)))
    });
    refuse_duplicates(findings, devices, |device| format!("the device `{device}` is used twice"));
    let addresses = own_addresses(config).map(|(own, path)| (own.addr, path));
    refuse_duplicates(findings, addresses, |addr| format!("the address {addr} is put on ports twice"));
    subnets(config, findings);
}

/// Refuses two ports in one subnet. (Subnets inside others are told apart by their length.)
fn subnets(config: &Config, findings: &mut Vec<Finding>) {
    let mut subnets = HashMap::new();
    for (own, path) in own_addresses(config) {
        let (first, first_path) =
            subnets.entry((own.network(), own.length)).or_insert_with(|| (own, path.clone()));
        let same_port = enclosing(&path).nth(1) == enclosing(first_path).nth(1);
        if !same_port && own.addr != first.addr {
            findings.push(
                Finding::error(path, format!("two ports are in the subnet of {own}"))
                    .label("the way to an address in it is not clear")
                    .clashes_with(first_path.clone(), "first"),
            );
        }
    }
}

fn device_path(port: &Port, index: usize, at: usize) -> String {
    // The file may have one string in the place of a list of one.
    if port.devices.len() == 1 {
        format!("port[{index}].device")
    } else {
        format!("port[{index}].device[{at}]")
    }
}

fn devices(config: &Config, index: usize, port: &Port, findings: &mut Vec<Finding>) {
    let path = format!("port[{index}].device");
    let (count, workers) = (port.devices.len(), config.balancer.workers.len());
    if count == 0 {
        findings.push(Finding::error(&path, "a port needs a device").label("expected at least one"));
    } else if count > 1 && count != workers {
        findings.push(
            Finding::error(&path, "a group of devices has one for each worker")
                .label(format!(
                    "{count} devices for {workers} {}",
                    if workers == 1 { "worker" } else { "workers" }
                ))
                .rests_on(&["balancer.workers"]),
        );
    }
    for (at, device) in port.devices.iter().enumerate() {
        if !config.dpdk.pci && is_pci_address(device) {
            findings.push(
                Finding::error(device_path(port, index, at), "a PCI device is not found with `pci = false`")
                    .label("not looked for")
                    .clashes_with("dpdk.pci", "here"),
            );
        }
        let interface = device.split(',').find_map(|argument| argument.strip_prefix("iface="));
        if port.kernel.is_some() && port.kernel.as_deref() == interface {
            findings.push(
                Finding::error(format!("port[{index}].kernel"), "the kernel's twin needs a name of its own")
                    .label("the device has this interface")
                    .clashes_with(device_path(port, index, at), "here"),
            );
        }
    }
}

/// True for `0000:03:00.0` and `03:00.0`, with or without device arguments after a comma.
fn is_pci_address(device: &str) -> bool {
    let address = device.split(',').next().unwrap_or_default();
    let Some((slot, function)) = address.rsplit_once('.') else { return false };
    let hex = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
    let lengths: Vec<usize> = slot.split(':').map(str::len).collect();
    matches!(lengths.as_slice(), [4, 2, 2] | [2, 2])
        && slot.split(':').all(hex)
        && function.len() == 1
        && hex(function)
}

fn routes(config: &Config, reach: &Reach, findings: &mut Vec<Finding>) {
    let own: HashMap<IpAddr, String> = own_addresses(config).map(|(own, path)| (own.addr, path)).collect();
    for (index, route) in config.routes.iter().enumerate() {
        let path = format!("route[{index}].via");
        if route.to.addr.is_ipv4() != route.via.is_ipv4() {
            findings.push(
                Finding::error(path, "a gateway of another family")
                    .label(format!("expected an {} address", family(route.to.addr)))
                    .clashes_with(format!("route[{index}].to"), "the route's family"),
            );
        } else if let Some(port) = own.get(&route.via) {
            findings.push(
                Finding::error(path, "the gateway is an address of the balancer itself")
                    .label("expected another router's address")
                    .clashes_with(port, "here"),
            );
        } else {
            match reach.on_link(route.via) {
                Some(port) => unresolvable(config, reach, &path, route.via, port, findings),
                None if reach.is_neighbor(route.via) => {}
                None => findings.push(
                    Finding::error(path, format!("the gateway {} is not on-link", route.via))
                        .label("in no subnet of any port's `addresses`, and no `[[neighbor]]`")
                        .rests_on(&["port", "neighbor"]),
                ),
            }
        }
    }
    refuse_duplicates(
        findings,
        config.routes.iter().enumerate().map(|(index, route)| (route.to, format!("route[{index}].to"))),
        |to| format!("two routes lead to {to}"),
    );
}

/// Warns of a next hop whose Ethernet address nobody asks for.
pub(super) fn unresolvable(
    config: &Config,
    reach: &Reach,
    path: &str,
    next_hop: IpAddr,
    port: usize,
    findings: &mut Vec<Finding>,
) {
    let Some(on) = config.ports.get(port).filter(|on| on.kernel.is_none() && !reach.is_neighbor(next_hop))
    else {
        return;
    };
    findings.push(
        Finding::warning(path, format!("nothing finds the Ethernet address of {next_hop}"))
            .label(format!("port `{}` has no kernel interface to ask by", on.name))
            .help(format!(
                "add a `[[neighbor]]` for {next_hop}, or `kernel = \"ek-{}\"` to the port",
                on.name
            ))
            .rests_on(&["port", "neighbor", "route"]),
    );
}

fn neighbors(config: &Config, findings: &mut Vec<Finding>) {
    let own: HashMap<IpAddr, String> = own_addresses(config).map(|(own, path)| (own.addr, path)).collect();
    let names = || config.ports.iter().map(|port| port.name.as_str());
    for (index, neighbor) in config.neighbors.iter().enumerate() {
        if !names().any(|name| name == neighbor.port) {
            let label = match nearest(&neighbor.port, names()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("the ports are {}", names().collect::<Vec<_>>().join(", ")),
            };
            findings.push(
                Finding::error(
                    format!("neighbor[{index}].port"),
                    format!("there is no port `{}`", neighbor.port),
                )
                .label(label)
                .rests_on(&["port"]),
            );
        }
        if let Some(port) = own.get(&neighbor.address) {
            let message = format!("{} is an address of the balancer itself", neighbor.address);
            findings.push(
                Finding::error(format!("neighbor[{index}].address"), message)
                    .label("not a neighbour")
                    .clashes_with(port, "here"),
            );
        }
    }
    refuse_duplicates(
        findings,
        config
            .neighbors
            .iter()
            .enumerate()
            .map(|(i, known)| (known.address, format!("neighbor[{i}].address"))),
        |address| format!("two neighbours have the address {address}"),
    );
}

/// `IPv4` or `IPv6`.
pub(super) fn family(addr: IpAddr) -> &'static str {
    if addr.is_ipv4() { "IPv4" } else { "IPv6" }
}
