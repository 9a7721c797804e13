//! The programs that the balancer is measured beside: DPDK's own testpmd and l3fwd.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::frames::Pair;
use super::program::Program;

/// Which of l3fwd's lookups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// A hash table of 5-tuples, with a rule for each flow.
    ExactMatch,
    /// Longest prefix match.
    LongestPrefix,
}

/// Builds l3fwd if it is not there; its path.
///
/// # Errors
/// When the build script fails.
pub fn build_l3fwd() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rig/build-l3fwd");
    let output = Command::new(&script).stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} failed", script.display());
    let path = String::from_utf8(output.stdout)?;
    Ok(path.trim().into())
}

/// Starts l3fwd over `capture`, with rules that forward `flows`.
///
/// # Errors
/// When it does not start.
pub fn l3fwd(
    program: &Path,
    lookup: Lookup,
    folder: &Path,
    capture: &Path,
    flows: &[Pair],
    core: usize,
) -> Result<Program> {
    let (name, option) = match lookup {
        Lookup::ExactMatch => ("l3fwd-em", "-E"),
        Lookup::LongestPrefix => ("l3fwd-lpm", "-L"),
    };
    let mut v4 = String::new();
    let v6 = match lookup {
        Lookup::ExactMatch => {
            for Pair { source, destination } in flows {
                let (from, to) = (source.ip(), destination.ip());
                let _ = writeln!(v4, "R{to} {from} {} {} 0x06 0", destination.port(), source.port());
            }
            "R2001:db8::1 2001:db8::2 9 9 0x11 0\n"
        }
        Lookup::LongestPrefix => {
            v4.push_str("R192.0.2.0/24 0\nR198.18.0.0/15 0\n");
            "R2001:db8::/32 0\n"
        }
    };
    let (v4_file, v6_file) = (folder.join(format!("{name}.v4")), folder.join(format!("{name}.v6")));
    fs::write(&v4_file, v4)?;
    fs::write(&v6_file, v6)?;
    let prefix = prefix(name);
    let mut command = Command::new(program);
    eal(&mut command, &prefix, &core.to_string(), capture);
    command.args(["--", "-p", "1", "-P", "--config", &format!("(0,0,{core})"), "--parse-ptype", option]);
    command.arg("--rule_ipv4").arg(v4_file).arg("--rule_ipv6").arg(v6_file);
    Program::start(name, &mut command, &prefix, "", 1, &folder.join(format!("{name}.log")))
}

/// Starts testpmd, swapping Ethernet addresses, over `capture`.
///
/// # Errors
/// When it does not start.
pub fn testpmd(folder: &Path, capture: &Path, packets: usize, core: usize) -> Result<Program> {
    let prefix = prefix("testpmd");
    let mut command = Command::new("dpdk-testpmd");
    let main = usize::from(core == 0);
    eal(&mut command, &prefix, &format!("{main},{core}"), capture);
    command.args([
        "--main-lcore",
        &main.to_string(),
        "--",
        "--forward-mode=macswap",
        "--auto-start",
        "--no-mlockall",
    ]);
    command.args(["--nb-cores=1", &format!("--total-num-mbufs={}", packets * 2 + 16_384)]);
    let thread = format!("rte-worker-{core}");
    Program::start("testpmd-macswap", &mut command, &prefix, &thread, 1, &folder.join("testpmd.log"))
        .context("testpmd is in Debian's package dpdk-dev")
}

/// A name for EAL's files that no other run has.
#[must_use]
pub fn prefix(name: &str) -> String {
    format!("rig-{}-{name}", std::process::id())
}

fn eal(command: &mut Command, prefix: &str, cores: &str, capture: &Path) {
    let device = format!("net_pcap0,rx_pcap={},infinite_rx=1", capture.display());
    command.args(["-l", cores, "--no-pci", "--in-memory", "--file-prefix", prefix, "--vdev", &device]);
}
