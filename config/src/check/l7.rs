//! Checks of `[l7]` and of services in mode `l7`.

use crate::finding::Finding;
use crate::model::{Config, Service};
use crate::units;
use crate::words::{Mode, Protocol};

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

pub(super) fn check(path: &str, service: &Service, findings: &mut Vec<Finding>) {
    let mode = format!("{path}.mode");
    if service.mode != Mode::L7 {
        if service.respond.is_some() {
            findings.push(
                Finding::error(format!("{path}.respond"), "only a service in mode `l7` answers by itself")
                    .label("expected no response here")
                    .clashes_with(&mode, "the mode"),
            );
        }
        return;
    }
    if service.protocol != Protocol::Tcp {
        findings.push(
            Finding::error(format!("{path}.protocol"), "mode `l7` is for TCP")
                .label("expected \"tcp\"")
                .clashes_with(&mode, "the mode"),
        );
    }
    if !service.backends.is_empty() && service.respond.is_some() {
        findings.push(
            Finding::error(format!("{path}.backend[0]"), "a service that answers by itself has no backends")
                .label("the first of them")
                .clashes_with(format!("{path}.respond"), "what it answers with"),
        );
    }
    match &service.respond {
        None if !service.backends.is_empty() => {}
        None => findings.push(
            Finding::error(mode, format!("service `{}` has nothing to answer with", service.name))
                .label("mode `l7` needs backends, or a response")
                .help("`respond = { status = 200, body = \"hello\\n\" }` in this table, or `[[service.backend]]` below it")
                .rests_on(&[&format!("{path}.respond")]),
        ),
        Some(respond) if respond.body.is_some() && respond.body_size.is_some() => findings.push(
            Finding::error(format!("{path}.respond.body_size"), "a response has one body")
                .label("expected either `body` or `body_size`")
                .clashes_with(format!("{path}.respond.body"), "the other one"),
        ),
        Some(_) => {}
    }
}
