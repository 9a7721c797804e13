//! Network namespaces for tests: one for each test, gone with its process.

use std::io::Write;
use std::process::Command;

/// True inside a network namespace made for the test `name`; outside, runs the test there and is false.
///
/// Needs root, and says loudly where it has to skip the test for want of it.
pub(crate) fn inside_namespace(name: &str) -> bool {
    inside(name, &[])
}

/// As [`inside_namespace`], but the test runs below `wrapper`, a command that executes its arguments.
#[allow(dead_code, reason = "not every crate that includes this file has such a test")]
pub(crate) fn inside(name: &str, wrapper: &[&str]) -> bool {
    const INSIDE: &str = "EVENKEEL_TEST_INSIDE_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !nix::unistd::geteuid().is_root() {
        // Past the test harness, which keeps what passing tests print to itself.
        let notice = format!("SKIPPED, NOT TESTED: {name} needs root to make a network namespace\n");
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
        return false;
    }
    let status = Command::new("unshare")
        .arg("--net")
        .args(wrapper)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare is part of util-linux");
    assert!(status.success(), "{name} failed in its namespace");
    false
}

/// Runs `ip` with these arguments, which must succeed; returns what it prints.
pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
