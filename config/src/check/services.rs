//! Checks of `[[service]]` and its backends.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::check::ports::{family, own_addresses, unresolvable};
use crate::check::reach::{Reach, Way};
use crate::check::refuse_duplicates;
use crate::finding::Finding;
use crate::model::{Backend, Config, Service};
use crate::site::{Site, SiteRoute};
use crate::words::{BackendState, Mode};

/// Slots for each backend below which Maglev's shares differ by more than a percent (Maglev, section 5.3).
const SLOTS_A_BACKEND: usize = 100;

/// What the checks of one service look things up in.
struct Context<'a> {
    config: &'a Config,
    reach: Reach,
    /// The balancer's own addresses on ports, with the length of the subnet, and the path of each.
    own: HashMap<IpAddr, (u8, String)>,
    /// What full NAT sends from, with the path of each.
    local: HashMap<IpAddr, String>,
    /// The services' VIPs, with the path of one each.
    vips: HashMap<IpAddr, String>,
}

pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    let services = || config.services.iter().enumerate();
    refuse_duplicates(
        findings,
        services().map(|(i, service)| (&service.name, format!("service[{i}].name"))),
        |name| format!("two services are called `{name}`"),
    );
    let vips = services().map(|(i, service)| ((service.vip, service.protocol), format!("service[{i}].vip")));
    refuse_duplicates(findings, vips, |(vip, protocol)| {
        format!("two services have the VIP {vip} over {protocol}")
    });

    let local = config.full_nat.local_addresses.iter().enumerate();
    let context = Context {
        config,
        reach: Reach::new(config),
        own: own_addresses(config).map(|(own, path)| (own.addr, (own.length, path))).collect(),
        local: local.map(|(i, addr)| (*addr, format!("full_nat.local_addresses[{i}]"))).collect(),
        vips: services().map(|(i, service)| (service.vip.ip(), format!("service[{i}].vip"))).collect(),
    };
    for (index, service) in services() {
        let path = format!("service[{index}]");
        context.vip(&path, service, findings);
        full_nat(config, &path, service, findings);
        maglev(&path, service, findings);
        super::l7::check(config, &path, service, findings);
        some_backend(&path, service, findings);
        let addresses = service.backends.iter().enumerate();
        refuse_duplicates(
            findings,
            addresses.map(|(i, backend)| (backend.address, format!("{path}.backend[{i}].address"))),
            |address| format!("service `{}` has the backend {address} twice", service.name),
        );
        for (index, backend) in service.backends.iter().enumerate() {
            let vip_path = format!("{path}.vip");
            let path = format!("{path}.backend[{index}].address");
            match context.misplaced(&path, &vip_path, service, backend.address) {
                Some(finding) => findings.push(finding),
                None => context.reachable(&path, &vip_path, service, backend.address, findings),
            }
        }
    }
}

impl Context<'_> {
    fn vip(&self, path: &str, service: &Service, findings: &mut Vec<Finding>) {
        let vip = service.vip.ip();
        let path = format!("{path}.vip");
        if let Some(local) = self.local.get(&vip) {
            findings.push(
                Finding::error(&path, format!("the VIP {vip} is also an address that full NAT sends from"))
                    .label("answers of backends could not be told from clients' packets")
                    .clashes_with(local, "here"),
            );
        }
        // Alone in its subnet it is there for the VIP's sake, which changes nothing: twins carry VIPs anyway.
        let alone = if vip.is_ipv4() { 32 } else { 128 };
        if let Some((length, own)) = self.own.get(&vip)
            && *length != alone
        {
            findings.push(
                Finding::error(&path, format!("the VIP {vip} is also the balancer's own address on a port"))
                    .label("what is sent to it would no longer reach the kernel")
                    .clashes_with(own, "here")
                    .help("give the VIP an address of its own; the kernel's twins carry VIPs without being told"),
            );
        }
    }

    /// A backend whose address can be no backend's of this service.
    fn misplaced(
        &self,
        path: &str,
        vip_path: &str,
        service: &Service,
        address: SocketAddr,
    ) -> Option<Finding> {
        let (vip, addr) = (service.vip.ip(), address.ip());
        if addr.is_ipv4() != vip.is_ipv4() {
            let finding = Finding::error(
                path,
                format!("an {} VIP with an {} backend", family(vip), family(addr)),
            )
            .label(format!("expected an {} address", family(vip)))
            .clashes_with(vip_path, "the VIP")
            .help("translation between the families is not supported: VIP and backends are of one family");
            return Some(finding);
        }
        if let Some(vip) = self.vips.get(&addr) {
            let finding = Finding::error(path, format!("the backend's address {addr} is a VIP"))
                .label("packets for it would come back to the balancer")
                .clashes_with(vip, "the VIP");
            return Some(finding);
        }
        let own = self.own.get(&addr).map(|(_, path)| path).or_else(|| self.local.get(&addr))?;
        let finding = Finding::error(path, format!("the backend's address {addr} is the balancer's own"))
            .label("expected the address of a server")
            .clashes_with(own, "here");
        Some(finding)
    }

    fn reachable(
        &self,
        path: &str,
        vip_path: &str,
        service: &Service,
        address: SocketAddr,
        findings: &mut Vec<Finding>,
    ) {
        let (vip, addr) = (service.vip, address.ip());
        let dsr = service.mode == Mode::DsrMac;
        let mode_path = vip_path.replace(".vip", ".mode");
        if dsr && address.port() != vip.port() {
            findings.push(
                Finding::error(path, "in `dsr-mac` mode the backend's port is the VIP's")
                    .label(format!("expected port {}: packets arrive as the client sent them", vip.port()))
                    .clashes_with(vip_path, "the VIP")
                    .rests_on(&[&mode_path]),
            );
        }
        if dsr && self.reach.on_link(addr).is_none() && !self.reach.is_neighbor(addr) {
            findings.push(
                Finding::error(
                    path,
                    format!("the backend {addr} is not on-link, which `dsr-mac` mode needs"),
                )
                .label("in no subnet of any port's `addresses`, and no `[[neighbor]]`")
                .rests_on(&[&mode_path, "port", "neighbor"]),
            );
            return;
        }
        match self.reach.way(addr) {
            Way::Neighbor => {}
            Way::Link { port, next_hop } => {
                unresolvable(self.config, &self.reach, path, next_hop, port, findings);
            }
            Way::Unknown => findings.push(
                Finding::warning(path, format!("the file has no way to the backend {addr}"))
                    .label("in no subnet, behind no `[[route]]`, and no `[[neighbor]]`")
                    .help("it is reached only if the kernel learns a route to it (by BGP, for example)")
                    .rests_on(&["port", "neighbor", "route"]),
            ),
        }
    }
}

fn full_nat(config: &Config, path: &str, service: &Service, findings: &mut Vec<Finding>) {
    let vip = service.vip.ip();
    let addresses = &config.full_nat.local_addresses;
    // Connections of layer 7 to backends leave from where full NAT sends.
    let sends = match service.mode {
        Mode::FullNat => true,
        Mode::L7 => !service.backends.is_empty(),
        Mode::Nat | Mode::DsrMac => false,
    };
    if sends && !addresses.iter().any(|local| local.is_ipv4() == vip.is_ipv4()) {
        let example = if vip.is_ipv4() { "10.0.1.10" } else { "fd00:1::10" };
        findings.push(
            Finding::error(
                format!("{path}.mode"),
                format!("full NAT has no {} address to send from", family(vip)),
            )
            .label(format!("service `{}` needs one", service.name))
            .help(format!("`local_addresses = [\"{example}\"]` in `[full_nat]`"))
            .rests_on(&["full_nat.local_addresses", &format!("{path}.vip")]),
        );
    }
}

fn maglev(path: &str, service: &Service, findings: &mut Vec<Finding>) {
    let (table, backends) = (service.maglev_table, service.backends.len());
    let path = format!("{path}.maglev_table");
    let many = format!("for {backends} backends");
    if !is_prime(table) {
        let next = (table..).find(|number| is_prime(*number)).unwrap_or(Service::MAGLEV_TABLE);
        findings.push(
            Finding::error(path, format!("`maglev_table` is a prime, which {table} is not"))
                .label(format!("the next prime is {next}")),
        );
    } else if (table as usize) < backends.saturating_mul(2) {
        findings.push(
            Finding::error(path, format!("a Maglev table of {table} slots is too small {many}"))
                .label("expected at least twice as many slots as backends, better a hundred times"),
        );
    } else if (table as usize) < backends.saturating_mul(SLOTS_A_BACKEND) {
        findings.push(
            Finding::warning(path, format!("a Maglev table of {table} slots is small {many}"))
                .label("shares will differ by more than a percent; better a hundred slots for each backend"),
        );
    }
}

fn is_prime(number: u32) -> bool {
    let divides = |divisor: u32| number.is_multiple_of(divisor);
    number >= 2 && !(2..).take_while(|d| d * d <= number).any(divides)
}

fn some_backend(path: &str, service: &Service, findings: &mut Vec<Finding>) {
    let picked = |backend: &&Backend| backend.weight > 0 && backend.state == BackendState::Active;
    let (path, label) = match service.mode {
        Mode::L7 if service.respond.is_some() || !is_forwarded(&service.site) => return,
        Mode::L7 => (format!("{path}.mode"), "requests are answered with 503 until it has one"),
        _ => (path.to_owned(), "its clients' packets are dropped until it has one"),
    };
    let message = match service.backends.as_slice() {
        [] => "has no backends",
        backends if !backends.iter().any(|backend| picked(&backend)) => {
            "has no active backend with a weight above 0"
        }
        _ => return,
    };
    findings.push(Finding::warning(path, format!("service `{}` {message}", service.name)).label(label));
}

/// True if some requests go to backends.
fn is_forwarded(site: &Site) -> bool {
    site.routes.is_empty() || site.routes.iter().any(SiteRoute::is_forwarded)
}
