//! The program's life: ready when it says so, alone, and gone without a trace.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use crate::lab::{Lab, PATIENCE, Wire, program, succeed};

on_each_wire!(
    a_second_instance_is_refused,
    sigterm_leaves_nothing_behind,
    a_killed_balancer_can_be_started_again,
    a_port_that_does_not_exist_is_named,
);

fn a_second_instance_is_refused(lab: &Lab) {
    let second = lab
        .at("balancer", program())
        .args(["run", "--config"])
        .arg(lab.config())
        .output()
        .expect("the program runs");
    assert_eq!(second.status.code(), Some(1), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(!second.stderr.is_empty(), "it must say why");
    lab.spread("192.0.2.10", 30);
}

fn sigterm_leaves_nothing_behind(lab: &Lab) {
    lab.spread("192.0.2.10", 30);
    lab.stop();
    assert!(!lab.folder().join("control.sock").exists());
    let links = succeed(lab.at("balancer", "ip").args(["-brief", "link"]));
    let names: Vec<&str> = links.lines().filter_map(|line| line.split(['@', ' ']).next()).collect();
    assert_eq!(names, ["lo", "wan", "lan"], "{links}");
    assert_eq!(lab.evenkeel(&["status"]).status.code(), Some(3));
    // And it comes up again in the same place.
    lab.start();
    lab.spread("192.0.2.10", 30);
    let log = std::fs::read_to_string(lab.folder().join("balancer.log")).expect("its log");
    assert!(!log.contains("panicked"), "{log}");
}

/// No one has taken down what the killed one had: its socket, its program on the wires.
fn a_killed_balancer_can_be_started_again(lab: &Lab) {
    let pid = std::fs::read_to_string(lab.folder().join("balancer.pid")).expect("its number");
    succeed(Command::new("kill").args(["-KILL", pid.trim()]));
    lab.stop();
    assert!(lab.folder().join("control.sock").exists());
    assert_eq!(lab.evenkeel(&["status"]).status.code(), Some(3));
    lab.start();
    for vip in ["192.0.2.10", "192.0.2.30", "[2001:db8::20]"] {
        lab.spread(vip, 30);
    }
}

fn a_port_that_does_not_exist_is_named(lab: &Lab) {
    lab.stop();
    let text = std::fs::read_to_string(lab.config()).expect("the configuration");
    std::fs::write(lab.config(), text.replace("iface=lan", "iface=absent")).expect("write it");
    let run =
        lab.at("balancer", program()).args(["run", "--config"]).arg(lab.config()).output().expect("it runs");
    assert_eq!(run.status.code(), Some(1));
    let message = String::from_utf8_lossy(&run.stderr);
    assert!(message.lines().last().is_some_and(|line| line.contains("lan")), "{message}");
    assert!(!lab.folder().join("control.sock").exists());
}

#[test]
fn systemd_is_told_when_all_workers_are_ready() {
    let lab = Lab::up(Wire::AfPacket, &[]);
    let path = lab.folder().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    succeed(lab.script("start").arg(program()).env("NOTIFY_SOCKET", &path));
    let mut message = [0; 512];
    loop {
        let length = socket.recv(&mut message).expect("a notification in time");
        if message[..length].split(|&octet| octet == b'\n').any(|line| line == b"READY=1") {
            break;
        }
    }
}

#[test]
fn one_worker_needs_no_other() {
    let lab = Lab::up(Wire::AfPacket, &["--workers", "1"]);
    lab.start();
    for vip in ["192.0.2.10", "192.0.2.20", "192.0.2.30", "[2001:db8::10]"] {
        lab.spread(vip, 30);
    }
    assert_eq!(lab.counter("handed_out"), 0);
}

#[test]
fn huge_pages_are_not_needed() {
    for wire in [Wire::AfXdp, Wire::AfPacket] {
        let lab = Lab::up(wire, &["--no-huge-pages"]);
        lab.start();
        for vip in ["192.0.2.10", "192.0.2.20", "192.0.2.30", "[2001:db8::10]"] {
            lab.spread(vip, 30);
        }
    }
}

#[test]
fn an_invalid_configuration_is_explained_and_does_not_start() {
    let lab = Lab::up(Wire::AfPacket, &[]);
    let text = std::fs::read_to_string(lab.config()).expect("the configuration");
    std::fs::write(lab.config(), text.replacen("mode = \"dsr-mac\"", "mode = \"dsr\"", 1)).expect("write it");
    for command in [&["check"][..], &["run", "--config"]] {
        let output = Command::new(program())
            .args(command)
            .arg(lab.config())
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(5));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("dsr-mac") && message.contains('^'), "{message}");
    }
}
