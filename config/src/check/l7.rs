//! Checks of `[l7]` and of services in mode `l7`.

use std::collections::HashSet;

use super::refuse_duplicates;
use crate::finding::Finding;
use crate::model::{Config, Service};
use crate::nearest::nearest;
use crate::respond::Respond;
use crate::site::{Http, Site, Tells};
use crate::units;
use crate::words::{Balance, ClientProof, Mode, Protocol};

/// Connections may hold this share of the packet buffers, in quarters: the rest is for devices and what is under way.
const QUARTERS: u64 = 3;

pub(super) fn check_memory(config: &Config, findings: &mut Vec<Finding>) {
    let most = config.dpdk.pool_octets() / 4 * QUARTERS;
    let is_used = config.services.iter().any(|service| service.mode == Mode::L7);
    if let Some(memory) = config.l7.memory.filter(|memory| is_used && *memory > most) {
        let most = units::size_text(most & !((1 << 20) - 1));
        findings.push(
            Finding::error(
                "l7.memory",
                format!("connections may not hold {} of packet buffers", units::size_text(memory)),
            )
            .label(format!("expected at most \"{most}\", three quarters of what `mbufs` makes"))
            .help("more `mbufs` in `[dpdk]` make room, or a smaller value here")
            .rests_on(&["dpdk.mbufs"]),
        );
    }
}

pub(super) fn check(config: &Config, path: &str, service: &Service, findings: &mut Vec<Finding>) {
    let mode = format!("{path}.mode");
    if service.mode != Mode::L7 {
        refuse_keys_of_l7(path, &mode, service, findings);
        return;
    }
    if service.protocol != Protocol::Tcp {
        findings.push(
            Finding::error(format!("{path}.protocol"), "mode `l7` is for TCP")
                .label("expected \"tcp\"")
                .clashes_with(&mode, "the mode"),
        );
    }
    tls(path, &service.site, findings);
    if let Some(respond) = &service.respond {
        one_body(&format!("{path}.respond"), respond, findings);
        let Site { tls: _, http: _, trusted: _, proxy_protocol_from: _, tells: _, pools, routes } =
            &service.site;
        let others = [
            ("backend", service.backends.is_empty()),
            ("pool", pools.is_empty()),
            ("route", routes.is_empty()),
        ];
        for (key, _) in others.iter().filter(|(_, is_empty)| !is_empty) {
            findings.push(
                Finding::error(
                    format!("{path}.{key}[0]"),
                    format!("service `{}` answers every request by itself", service.name),
                )
                .label(format!("expected no `{key}` beside it"))
                .clashes_with(format!("{path}.respond"), "the answer")
                .help("a route answers some of the requests, with a `respond` of its own"),
            );
        }
        return;
    }
    http(path, &service.site, findings);
    pools(config, path, service, findings);
    super::routes::check(path, service, findings);
}

/// Refuses what only mode `l7` has.
fn refuse_keys_of_l7(path: &str, mode: &str, service: &Service, findings: &mut Vec<Finding>) {
    if service.respond.is_some() {
        findings.push(
            Finding::error(format!("{path}.respond"), "only a service in mode `l7` answers by itself")
                .label("expected no response here")
                .clashes_with(mode, "the mode"),
        );
    }
    let Site { tls, http, trusted, proxy_protocol_from, tells, pools, routes } = &service.site;
    let in_pool = service.backends.iter().position(|backend| backend.pool != Site::DEFAULT_POOL);
    let keys = [
        tls.is_some().then(|| "tls".to_owned()),
        (*http != Http::default()).then(|| "http".to_owned()),
        (!trusted.is_empty()).then(|| "trusted".to_owned()),
        (!proxy_protocol_from.is_empty()).then(|| "proxy_protocol_from".to_owned()),
        (*tells != Tells::default()).then(|| "tells".to_owned()),
        (!pools.is_empty()).then(|| "pool[0]".to_owned()),
        (!routes.is_empty()).then(|| "route[0]".to_owned()),
        in_pool.map(|at| format!("backend[{at}].pool")),
    ];
    for key in keys.iter().flatten() {
        findings.push(
            Finding::error(format!("{path}.{key}"), "only a service in mode `l7` looks at requests")
                .label(format!("expected nothing of the kind in mode `{}`", service.mode))
                .clashes_with(mode, "the mode"),
        );
    }
}

/// A response has `body` or `body_size`, or neither.
fn one_body(path: &str, respond: &Respond, findings: &mut Vec<Finding>) {
    if respond.body.is_some() && respond.body_size.is_some() {
        findings.push(
            Finding::error(format!("{path}.body_size"), "a response has one body")
                .label("expected either `body` or `body_size`")
                .clashes_with(format!("{path}.body"), "the other one"),
        );
    }
}

fn http(path: &str, site: &Site, findings: &mut Vec<Finding>) {
    let Http { head, line, .. } = site.http;
    if line > head {
        let [head, line] = [head, line].map(units::size_text);
        findings.push(
            Finding::error(format!("{path}.http.line"), format!("a line of {line} in a head of {head}"))
                .label("expected at most as much as `head`")
                .rests_on(&[&format!("{path}.http.head")]),
        );
    }
}

fn pools(config: &Config, path: &str, service: &Service, findings: &mut Vec<Finding>) {
    let pools = || service.site.pools.iter().enumerate();
    refuse_duplicates(
        findings,
        pools().map(|(i, pool)| (&pool.name, format!("{path}.pool[{i}].name"))),
        |name| format!("service `{}` has two pools called `{name}`", service.name),
    );
    let workers = config.balancer.workers.len();
    for (index, pool) in pools() {
        let path = format!("{path}.pool[{index}]");
        if (pool.connections as usize) < workers {
            findings.push(
                Finding::error(
                    format!("{path}.connections"),
                    format!("{workers} workers cannot share {} connections", pool.connections),
                )
                .label(format!("expected at least {workers}, one for each worker"))
                .rests_on(&["balancer.workers"]),
            );
        }
        match (pool.balance, &pool.by) {
            (Balance::Maglev, None) => findings.push(
                Finding::error(format!("{path}.balance"), "Maglev has nothing to go by")
                    .label("expected `by` beside it")
                    .help("`by = \"source\"`, `by = \"header NAME\"` or `by = \"cookie NAME\"`")
                    .rests_on(&[&format!("{path}.by")]),
            ),
            (Balance::Maglev, Some(_)) | (_, None) => {}
            (other, Some(_)) => findings.push(
                Finding::error(format!("{path}.by"), format!("`{other}` does not go by anything"))
                    .label("expected only with `balance = \"maglev\"`")
                    .rests_on(&[&format!("{path}.balance")]),
            ),
        }
    }
    let known: HashSet<&str> = service.site.pool_names().collect();
    for (index, backend) in service.backends.iter().enumerate() {
        known_pool(format!("{path}.backend[{index}].pool"), path, &known, &backend.pool, findings);
    }
    let used: HashSet<&str> = service.backends.iter().map(|backend| backend.pool.as_str()).collect();
    for (index, pool) in pools().filter(|(_, pool)| !used.contains(pool.name.as_str())) {
        findings.push(
            Finding::warning(
                format!("{path}.pool[{index}]"),
                format!("no backend is in the pool `{}`", pool.name),
            )
            .label("requests that go to it are answered with 503")
            .rests_on(&[&format!("{path}.backend")]),
        );
    }
}

/// What a file of one key is of no use without another one's.
fn tls(path: &str, site: &Site, findings: &mut Vec<Finding>) {
    let needs = |findings: &mut Vec<Finding>, table: &str, key: &str, needed: &str, message: &str| {
        findings.push(
            Finding::error(format!("{table}.{key}"), message)
                .label(format!("expected `{needed}` beside it"))
                .rests_on(&[&format!("{table}.{needed}")]),
        );
    };
    if let Some(tls) = &site.tls {
        let table = format!("{path}.tls");
        if tls.certificates.is_empty() {
            findings.push(
                Finding::error(format!("{table}.certificates"), "TLS needs a certificate")
                    .label("expected `{ chain = \"FILE\", key = \"FILE\" }` in it"),
            );
        }
        match (tls.client, &tls.ca) {
            (ClientProof::Off, Some(_)) => findings.push(
                Finding::error(format!("{table}.ca"), "clients are not asked who they are")
                    .label("expected only with `client = \"optional\"` or `\"required\"`")
                    .rests_on(&[&format!("{table}.client")]),
            ),
            (ClientProof::Optional | ClientProof::Required, None) => {
                needs(findings, &table, "client", "ca", "there is nobody to vouch for clients");
            }
            _ => {}
        }
        if tls.crl.is_some() && tls.ca.is_none() {
            needs(findings, &table, "crl", "ca", "there is nobody to vouch for clients");
        }
    }
    for (index, pool) in site.pools.iter().enumerate() {
        let table = format!("{path}.pool[{index}].tls");
        match pool.tls.as_ref().map(|tls| (&tls.certificate, &tls.key)) {
            Some((Some(_), None)) => {
                needs(findings, &table, "certificate", "key", "a certificate needs its key");
            }
            Some((None, Some(_))) => {
                needs(findings, &table, "key", "certificate", "a key needs its certificate");
            }
            _ => {}
        }
    }
}

/// Refuses a pool that is not there.
pub(super) fn known_pool(
    at: String,
    service: &str,
    known: &HashSet<&str>,
    name: &str,
    findings: &mut Vec<Finding>,
) {
    if known.contains(name) {
        return;
    }
    let label = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "expected the name of one of the service's pools".to_owned(),
    };
    findings.push(
        Finding::error(at, format!("there is no pool `{name}`"))
            .label(label)
            .help(format!("`[[service.pool]]` with `name = \"{name}\"` makes it"))
            .rests_on(&[&format!("{service}.pool")]),
    );
}
