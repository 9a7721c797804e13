//! From the text of a file to a [`Config`]: which keys there are, their bounds and their defaults.

mod site;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits;
use crate::model::{
    Backend, Balancer, Config, Dpdk, FullNat, L7, Limits, MacAddress, Neighbor, Port, Prefix, Route, Service,
    Timeouts,
};
use crate::read::Fields;
use crate::respond::{self, Respond};
use crate::site::Site;
use crate::units::{self, Parsed};

/// What stands in for an address that cannot be read.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

pub(crate) fn config(file: &mut Fields<'_, '_>) -> Config {
    Config {
        balancer: file.table("balancer", balancer),
        dpdk: file.table("dpdk", dpdk),
        timeouts: file.table("timeouts", timeouts),
        limits: file.table("limits", rate_limits),
        full_nat: file.table("full_nat", full_nat),
        l7: file.table("l7", l7),
        ports: file.tables("port", "port", limits::PORTS, port),
        routes: file.tables("route", "route", limits::ROUTES, route),
        neighbors: file.tables("neighbor", "neighbor", limits::NEIGHBORS, neighbor),
        services: file.tables("service", "service", *limits::SERVICES.end() as usize, service),
    }
}

fn balancer(fields: &mut Fields<'_, '_>) -> Balancer {
    let default = Balancer::default();
    fields.require("workers", "[0, 1]");
    Balancer {
        workers: fields.numbers("workers", limits::WORKERS, 0..=limits::CORE).unwrap_or_default(),
        idle: fields.word("idle").unwrap_or(default.idle),
        flows: fields.number("flows", limits::FLOWS).unwrap_or(default.flows),
        max_services: fields.number("max_services", limits::SERVICES).unwrap_or(default.max_services),
        max_backends: fields.number("max_backends", limits::BACKENDS).unwrap_or(default.max_backends),
        control_socket: fields.text("control_socket", units::socket_path).unwrap_or(default.control_socket),
        drain_timeout: fields.text("drain_timeout", drain_timeout).unwrap_or(default.drain_timeout),
        // TOML's integers end at 2^63 - 1.
        seed: fields.number("seed", 0..=i64::MAX.unsigned_abs()),
    }
}

fn dpdk(fields: &mut Fields<'_, '_>) -> Dpdk {
    let default = Dpdk::default();
    Dpdk {
        huge_pages: fields.boolean("huge_pages").unwrap_or(default.huge_pages),
        memory: fields.text("memory", memory).unwrap_or(default.memory),
        mbufs: fields.number("mbufs", limits::MBUFS).unwrap_or(default.mbufs),
        file_prefix: fields.text("file_prefix", units::file_prefix).unwrap_or(default.file_prefix),
        pci: fields.boolean("pci").unwrap_or(default.pci),
        args: fields
            .texts("args", limits::ARGUMENTS, &String::new(), units::argument)
            .unwrap_or(default.args),
    }
}

fn timeouts(fields: &mut Fields<'_, '_>) -> Timeouts {
    let default = Timeouts::default();
    let mut timeout = |key, default| fields.text(key, idle_timeout).unwrap_or(default);
    Timeouts {
        tcp_handshake: timeout("tcp_handshake", default.tcp_handshake),
        tcp_established: timeout("tcp_established", default.tcp_established),
        tcp_half_closed: timeout("tcp_half_closed", default.tcp_half_closed),
        tcp_closed: timeout("tcp_closed", default.tcp_closed),
        udp_one_way: timeout("udp_one_way", default.udp_one_way),
        udp_two_way: timeout("udp_two_way", default.udp_two_way),
    }
}

fn rate_limits(fields: &mut Fields<'_, '_>) -> Limits {
    let default = Limits::default();
    let mut rate = |key, default| fields.number(key, limits::RATE).unwrap_or(default);
    Limits {
        to_kernel: rate("to_kernel", default.to_kernel),
        resets: rate("resets", default.resets),
        icmp: rate("icmp", default.icmp),
    }
}

fn full_nat(fields: &mut Fields<'_, '_>) -> FullNat {
    FullNat {
        local_addresses: fields
            .texts("local_addresses", limits::LOCAL_ADDRESSES, &NOWHERE, units::host)
            .unwrap_or_default(),
        ports: fields.text("ports", local_ports).unwrap_or_default(),
    }
}

fn l7(fields: &mut Fields<'_, '_>) -> L7 {
    let default = L7::default();
    L7 {
        connections: fields.number("connections", limits::CONNECTIONS).unwrap_or(default.connections),
        memory: fields.text("memory", l7_memory),
    }
}

fn port(fields: &mut Fields<'_, '_>) -> Port {
    fields.require("name", "\"wan\"");
    fields.require("device", "\"0000:03:00.0\"");
    Port {
        name: fields.text("name", units::port_name).unwrap_or_default(),
        devices: fields.text_or_texts("device", limits::DEVICES, units::device).unwrap_or_default(),
        mtu: fields.number("mtu", limits::MTU).unwrap_or(Port::MTU),
        kernel: fields.text("kernel", units::interface_name),
        addresses: fields
            .texts("addresses", limits::ADDRESSES, &Prefix { addr: NOWHERE, length: 32 }, units::port_address)
            .unwrap_or_default(),
        mac: fields.text("mac", units::mac),
        recompute_checksums: fields.boolean("recompute_checksums").unwrap_or_default(),
    }
}

fn route(fields: &mut Fields<'_, '_>) -> Route {
    fields.require("to", "\"default\"");
    fields.require("via", "\"10.0.0.254\"");
    let to = fields.text("to", units::destination).flatten();
    let via = fields.text("via", units::host).unwrap_or_else(|| {
        // "default" is of the gateway's family.
        fields.doubt("to");
        NOWHERE
    });
    let everywhere = Prefix { addr: units::unspecified(via), length: 0 };
    Route { to: to.unwrap_or(everywhere), via }
}

fn neighbor(fields: &mut Fields<'_, '_>) -> Neighbor {
    fields.require("address", "\"10.0.0.3\"");
    fields.require("mac", "\"02:00:00:00:00:03\"");
    fields.require("port", "\"wan\"");
    Neighbor {
        address: fields.text("address", units::host).unwrap_or(NOWHERE),
        mac: fields.text("mac", units::mac).unwrap_or(MacAddress([0; 6])),
        port: fields.text("port", units::port_name).unwrap_or_default(),
    }
}

fn service(fields: &mut Fields<'_, '_>) -> Service {
    fields.require("name", "\"web\"");
    fields.require("vip", "\"192.0.2.10:80\"");
    fields.require("protocol", "\"tcp\"");
    fields.require("mode", "\"full-nat\"");
    Service {
        name: fields.text("name", units::service_name).unwrap_or_default(),
        vip: fields.text("vip", units::endpoint).unwrap_or(SocketAddr::new(NOWHERE, 0)),
        protocol: fields.word("protocol").unwrap_or_default(),
        mode: fields.word("mode").unwrap_or_default(),
        maglev_table: fields.number("maglev_table", limits::MAGLEV_TABLE).unwrap_or(Service::MAGLEV_TABLE),
        respond: fields.table_if_there("respond", "service.respond", respond),
        site: site::site(fields),
        backends: fields.tables("backend", "service.backend", *limits::BACKENDS.end() as usize, backend),
    }
}

fn respond(fields: &mut Fields<'_, '_>) -> Respond {
    let default = Respond::default();
    Respond {
        status: fields.number("status", limits::STATUS).unwrap_or(default.status),
        content_type: fields.text("content_type", respond::content_type).unwrap_or(default.content_type),
        body: fields.text("body", respond::body),
        body_size: fields.text("body_size", respond::body_size),
    }
}

fn backend(fields: &mut Fields<'_, '_>) -> Backend {
    fields.require("address", "\"10.0.0.3:8080\"");
    Backend {
        address: fields.text("address", units::endpoint).unwrap_or(SocketAddr::new(NOWHERE, 0)),
        weight: fields.number("weight", limits::WEIGHT).unwrap_or(Backend::WEIGHT),
        state: fields.word("state").unwrap_or_default(),
        pool: fields.text("pool", units::pool_name).unwrap_or_else(|| Site::DEFAULT_POOL.to_owned()),
    }
}

fn idle_timeout(text: &str) -> Parsed<Duration> {
    within(units::duration(text)?, &limits::IDLE_TIMEOUT)
}

fn drain_timeout(text: &str) -> Parsed<Duration> {
    within(units::duration(text)?, &limits::DRAIN)
}

fn within(duration: Duration, range: &RangeInclusive<Duration>) -> Parsed<Duration> {
    if range.contains(&duration) {
        return Ok(duration);
    }
    let [least, most] = [range.start(), range.end()].map(|end| units::duration_text(*end));
    Err(format!(r#"expected a duration from "{least}" to "{most}""#))
}

fn l7_memory(text: &str) -> Parsed<u64> {
    units::size_within(text, &limits::L7_MEMORY)
}

fn memory(text: &str) -> Parsed<u64> {
    let octets = units::size(text)?;
    if limits::MEMORY.contains(&octets) && octets.is_multiple_of(1 << 20) {
        return Ok(octets);
    }
    let [least, most] = [limits::MEMORY.start(), limits::MEMORY.end()].map(|end| units::size_text(*end));
    Err(format!(r#"expected a whole number of megabytes from "{least}" to "{most}""#))
}

fn local_ports(text: &str) -> Parsed<crate::model::PortRange> {
    let range = units::port_range(text)?;
    match u32::from(range.last - range.first) + 1 {
        count if count < limits::LOCAL_PORTS => Err(format!(
            "this range has {count} {}; expected at least {}, which the workers share",
            if count == 1 { "port" } else { "ports" },
            limits::LOCAL_PORTS
        )),
        _ => Ok(range),
    }
}
