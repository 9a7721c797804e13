//! Packets reach backends and come back: every mode, both families, TCP and UDP, small and large.

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::lab::{BACKENDS, Lab, number, succeed};

/// Mode, VIP, and what the backend should take for the client.
const SERVICES: [(&str, &str, &str); 6] = [
    ("full-nat", "192.0.2.10", "10.0.1.10"),
    ("nat", "192.0.2.20", "10.9.0.2"),
    ("dsr-mac", "192.0.2.30", "10.9.0.2"),
    ("full-nat", "[2001:db8::10]", "fd00:1::10"),
    ("nat", "[2001:db8::20]", "fd00:9::2"),
    ("dsr-mac", "[2001:db8::30]", "fd00:9::2"),
];

on_each_wire!(
    http_reaches_a_backend_in_every_mode,
    datagrams_are_answered_in_every_mode,
    connections_are_spread_evenly,
    workers_hand_over_what_the_other_owns,
    many_connections_at_once_all_succeed,
    large_transfers_arrive_whole,
    the_numbers_balance,
);

fn http_reaches_a_backend_in_every_mode(lab: &Lab) {
    for (mode, vip, seen) in SERVICES {
        let (backend, client) = lab.fetch(vip);
        assert!(BACKENDS.contains(&backend.as_str()), "{mode} at {vip}: {backend}");
        assert_eq!(client, seen, "{mode} at {vip}");
    }
}

fn datagrams_are_answered_in_every_mode(lab: &Lab) {
    for (vip, port) in [
        ("192.0.2.10", 7000),
        ("192.0.2.20", 7000),
        ("192.0.2.30", 7001),
        ("[2001:db8::10]", 7000),
        ("[2001:db8::20]", 7000),
        ("[2001:db8::30]", 7001),
    ] {
        let family = if vip.starts_with('[') { "UDP6" } else { "UDP4" };
        let answer = echo(lab, &format!("{family}:{vip}:{port}"), b"a datagram\n");
        let (backend, text) = answer.split_once('=').unwrap_or_else(|| panic!("{vip}: {answer:?}"));
        assert!(BACKENDS.contains(&backend) && text == "a datagram\n", "{vip}: {answer:?}");
    }
}

fn connections_are_spread_evenly(lab: &Lab) {
    for (_, vip, _) in SERVICES {
        let spread = lab.spread(vip, 240);
        // Three standard deviations of a fair draw are 22; a backend without its share has 0.
        assert!(spread.iter().all(|&answers| answers >= 48), "{vip}: {spread:?}");
    }
}

/// One client is one flow after the other: two workers must share it, and each direction find its owner.
fn workers_hand_over_what_the_other_owns(lab: &Lab) {
    lab.spread("192.0.2.10", 100);
    lab.spread("192.0.2.20", 100);
    lab.await_that("hand-overs arrived", || {
        let (out, into) = (lab.counter("handed_out"), lab.counter("handed_in"));
        out > 0 && out == into
    });
    assert_eq!(lab.drops("hand_over_ring_full"), 0);
    assert_eq!(lab.drops("hand_over_loop"), 0);
    let workers = lab.ask(&json!({ "command": "worker list" }));
    for worker in workers["workers"].as_array().expect("workers") {
        assert_ne!(worker["counters"]["flows_opened"], 0, "a worker without flows: {worker}");
    }
}

/// Thousands of short connections, a hundred at a time, and as many requests on connections that stay.
fn many_connections_at_once_all_succeed(lab: &Lab) {
    for (mode, vip, _) in SERVICES {
        for header in ["Connection: close", "Connection: keep-alive"] {
            let url = format!("http://{vip}/");
            let output = succeed(
                lab.at("client", "wrk").args(["-t", "1", "-c", "100", "-d", "1s", "-H", header, &url]),
            );
            assert!(!output.contains("Socket errors"), "{mode} at {vip} with {header}: {output}");
            assert!(!output.contains("Non-2xx"), "{mode} at {vip} with {header}: {output}");
        }
    }
}

fn large_transfers_arrive_whole(lab: &Lab) {
    let large = lab.folder().join("files/large");
    succeed(
        std::process::Command::new("dd")
            .args(["if=/dev/urandom", "bs=1M", "count=50", "status=none"])
            .arg(format!("of={}", large.display())),
    );
    let sent = checksum(&large);
    for (mode, vip, _) in SERVICES {
        let received = lab.folder().join("received");
        succeed(lab.curl(&["-f", &format!("http://{vip}/large"), "-o"]).arg(&received));
        assert_eq!(checksum(&received), sent, "download by {mode} from {vip}");
        std::fs::remove_file(&received).expect("remove the copy");

        succeed(lab.curl(&["-f", &format!("http://{vip}/upload/copy"), "-T"]).arg(&large));
        let copies: Vec<_> = BACKENDS
            .map(|backend| lab.folder().join(backend).join("upload/copy"))
            .into_iter()
            .filter(|copy| copy.exists())
            .collect();
        assert_eq!(copies.len(), 1, "upload by {mode} to {vip} went to {copies:?}");
        assert_eq!(checksum(&copies[0]), sent, "upload by {mode} to {vip}");
        std::fs::remove_file(&copies[0]).expect("remove the copy");
    }
}

fn the_numbers_balance(lab: &Lab) {
    for (_, vip, _) in SERVICES {
        lab.spread(vip, 50);
    }
    let status = || lab.ask(&json!({ "command": "status" }))["status"].take();
    lab.await_that("an imbalance of zero at rest", || status()["imbalance"] == 0);
    let workers = lab.ask(&json!({ "command": "worker list" }));
    for worker in workers["workers"].as_array().expect("workers") {
        assert_eq!(worker["imbalance"], 0, "{worker}");
    }
    for service in ["web", "nat", "dsr"] {
        let opened = lab
            .backends(Some(service))
            .iter()
            .map(|backend| number(&backend["counters"]["flows_opened"]))
            .sum::<u64>();
        assert_eq!(opened, 50, "flows of {service}");
        assert_eq!(lab.service_counter(service, "flows_opened"), 50, "flows of {service}");
    }
    assert!(lab.service_counter("nat", "packets_out") > 100);
    assert_eq!(lab.service_counter("dsr", "packets_out"), 0, "DSR answers pass the balancer by");
}

/// Sends one datagram from the client and returns what comes back.
fn echo(lab: &Lab, to: &str, datagram: &[u8]) -> String {
    let mut socat = lab
        .at("client", "socat")
        .args(["-t", "3", "-", to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("socat");
    socat.stdin.take().expect("its input").write_all(datagram).expect("it reads");
    let output = socat.wait_with_output().expect("socat ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn checksum(file: &std::path::Path) -> String {
    let line = succeed(std::process::Command::new("sha256sum").arg(file));
    line.split(' ').next().expect("a checksum").to_owned()
}
