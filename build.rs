//! Stamps the version (git revision) into the binary; generates nothing.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=.git/HEAD");
    let revision = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned());
    println!("cargo::rustc-env=EVENKEEL_REVISION={revision}");
}
