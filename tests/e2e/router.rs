//! What a router and a host owe the network besides forwarding: ICMP, TTL, path MTU, neighbours, the kernel's own traffic.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::lab::{BACKENDS, Lab, Wire, succeed};

on_each_wire!(
    vips_answer_to_ping,
    the_kernel_is_reached_through_its_twins,
    neighbours_that_forgot_the_balancer_find_it_again,
    a_backend_with_another_mac_is_followed,
    traceroute_shows_the_balancer_as_a_router,
    a_smaller_path_mtu_is_reported_to_the_right_backend,
    unreachable_ports_are_reported_to_the_client,
    what_cannot_be_forwarded_is_counted,
);

fn vips_answer_to_ping(lab: &Lab) {
    for vip in ["192.0.2.10", "192.0.2.30", "2001:db8::20", "2001:db8::30"] {
        ping(lab, "client", vip);
    }
    assert_ne!(lab.counter("echo_replies"), 0);
}

fn the_kernel_is_reached_through_its_twins(lab: &Lab) {
    for (place, address) in [
        ("client", "10.0.0.1"),
        ("client", "fd00::1"),
        ("b1", "10.0.1.1"),
        ("b2", "fd00:1::1"),
        ("b3", "10.0.1.10"),
        ("b3", "fd00:1::10"),
    ] {
        ping(lab, place, address);
    }
    // And out: the balancer's own kernel reaches hosts on both sides.
    for address in ["10.9.0.2", "fd00:9::2", "10.0.1.102", "fd00:1::103"] {
        ping(lab, "balancer", address);
    }
    let mut ssh = lab
        .at("balancer", "socat")
        .args(["TCP6-LISTEN:2222,ipv6only=0,fork,reuseaddr", "SYSTEM:echo welcome"])
        .stderr(Stdio::null())
        .spawn()
        .expect("socat");
    for address in ["10.0.0.1", "[fd00::1]"] {
        lab.await_that("a connection to the kernel's own address", || {
            let target = format!("TCP:{address}:2222,connect-timeout=2");
            let output = lab.at("client", "socat").args(["-u", &target, "-"]).output().expect("socat");
            output.stdout == b"welcome\n"
        });
    }
    ssh.kill().expect("kill");
    ssh.wait().expect("socat ends");
    assert_ne!(lab.counter("to_kernel"), 0);
    assert_ne!(lab.counter("from_kernel"), 0);
}

fn neighbours_that_forgot_the_balancer_find_it_again(lab: &Lab) {
    for place in ["router", "b1", "b2", "b3"] {
        succeed(lab.at(place, "ip").args(["neighbour", "flush", "all"]));
        succeed(lab.at(place, "ip").args(["-6", "neighbour", "flush", "all"]));
    }
    for vip in ["192.0.2.10", "192.0.2.20", "[2001:db8::10]", "[2001:db8::20]"] {
        lab.spread(vip, 20);
    }
}

/// A server is replaced by another with its address.
fn a_backend_with_another_mac_is_followed(lab: &Lab) {
    let (mac, address) = ("02:00:00:00:77:02", "10.0.1.102");
    succeed(lab.at("b2", "ip").args(["link", "set", "eth0", "address", mac]));
    // The new machine says hello, as machines do.
    succeed(lab.at("b2", "ip").args(["neighbour", "flush", "all"]));
    ping(lab, "b2", "10.0.1.1");
    lab.await_that("the new neighbour", || {
        let hops = lab.ask(&json!({ "command": "next-hop list" }));
        let hops = hops["next_hops"].as_array().expect("next hops");
        hops.iter().any(|hop| hop["address"] == address && hop["mac"] == mac)
    });
    assert!(lab.spread("192.0.2.10", 60)[1] > 0);
}

fn traceroute_shows_the_balancer_as_a_router(lab: &Lab) {
    for (vip, router) in [("192.0.2.20", "10.9.0.1"), ("2001:db8::20", "fd00:9::1")] {
        let output = succeed(
            lab.at("client", "traceroute")
                .args(["-n", "-q", "1", "-w", "2", "-m", "6", "-T", "-p", "80", vip]),
        );
        let hops: Vec<&str> =
            output.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap_or_default()).collect();
        assert_eq!(hops.len(), 3, "{output}");
        assert_eq!(hops[0], router, "{output}");
        assert_ne!(hops[1], "*", "the balancer did not answer: {output}");
        assert_eq!(hops[2], vip, "{output}");
    }
    assert_ne!(lab.counter("icmp_generated"), 0);
}

fn a_smaller_path_mtu_is_reported_to_the_right_backend(lab: &Lab) {
    succeed(Command::new("truncate").args(["-s", "2M"]).arg(lab.folder().join("files/large")));
    succeed(lab.at("router", "ip").args([
        "route",
        "add",
        "10.9.0.2/32",
        "dev",
        "client",
        "mtu",
        "lock",
        "1400",
    ]));
    succeed(lab.at("router", "ip").args([
        "-6",
        "route",
        "add",
        "fd00:9::2/128",
        "dev",
        "client",
        "mtu",
        "lock",
        "1400",
    ]));
    // VIP, and the connection's addresses as the backend sees them: from, to.
    for (vip, from, to) in [
        ("192.0.2.10", "", "10.0.1.10"),
        ("192.0.2.20", "", "10.9.0.2"),
        ("192.0.2.30", "192.0.2.30", "10.9.0.2"),
        ("[2001:db8::10]", "", "fd00:1::10"),
        ("[2001:db8::20]", "", "fd00:9::2"),
        ("[2001:db8::30]", "2001:db8::30", "fd00:9::2"),
    ] {
        let url = format!("http://{vip}/large");
        let backend = succeed(&mut lab.curl(&[
            "-f",
            "--max-time",
            "20",
            "-o",
            "/dev/null",
            "-w",
            "%header{x-backend}",
            &url,
        ]));
        for place in BACKENDS {
            let mut command = lab.at(place, "ip");
            command.args(["route", "get", to]);
            if !from.is_empty() {
                command.args(["from", from]);
            }
            let knows = succeed(&mut command).contains("mtu 1400");
            assert_eq!(
                knows,
                place == backend,
                "{vip}: {backend} answered; {place} knows of the smaller MTU: {knows}"
            );
        }
    }
    assert_ne!(lab.counter("icmp_translated"), 0);
}

/// A backend's kernel says that nobody listens: the client learns of it, as from the VIP.
fn unreachable_ports_are_reported_to_the_client(lab: &Lab) {
    lab.ask(&json!({
        "command": "service add", "service": "nobody", "vip": "192.0.2.50:9", "protocol": "udp", "mode": "nat",
        "backends": [{ "address": "10.0.1.101:9" }],
    }));
    lab.await_resolved();
    let before = lab.counter("icmp_translated");
    lab.await_that("connection refused", || {
        let output = lab
            .at("client", "bash")
            .args(["-c", "exec 3<>/dev/udp/192.0.2.50/9; echo >&3; read -t 1 -u 3"])
            .output();
        String::from_utf8_lossy(&output.expect("bash").stderr).contains("Connection refused")
    });
    assert!(lab.counter("icmp_translated") > before);
}

fn what_cannot_be_forwarded_is_counted(lab: &Lab) {
    // A port that is no service's.
    let refused = lab.curl(&["--max-time", "1", "http://192.0.2.10:81/"]).output().expect("curl");
    assert!(!refused.status.success());
    assert_ne!(lab.drops("no_service"), 0);
    // A datagram in fragments; the driver of af_packet has them put together before it looks.
    if lab.wire == Wire::AfXdp {
        let mut fragments = lab.at("client", "bash");
        succeed(
            fragments.args(["-c", "head -c 4000 /dev/zero | socat -b 4000 -t 0.1 - UDP4:192.0.2.10:7000"]),
        );
        lab.await_that("fragments are counted", || lab.drops("fragment") > 0);
    }
    // A service without a backend that may be picked.
    for n in 1..=3 {
        lab.change("down", "nat", &format!("10.0.1.10{n}:8080"));
    }
    let refused = lab.curl(&["--max-time", "1", "http://192.0.2.20/"]).output().expect("curl");
    assert!(!refused.status.success());
    assert_ne!(lab.drops("no_backend"), 0);
    assert_ne!(lab.service_counter("nat", "unserved"), 0);
    lab.await_that("an imbalance of zero at rest", || {
        lab.ask(&json!({ "command": "status" }))["status"]["imbalance"] == 0
    });
}

/// Pings until there is an answer.
fn ping(lab: &Lab, from: &str, to: &str) {
    lab.await_that(&format!("an answer of {to} to a ping from {from}"), || {
        lab.at(from, "ping")
            .args(["-q", "-c", "1", "-W", "1", to])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
}
