//! Stamps the version into the binary: git revision, DPDK version, features. Generates nothing.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut parts = Vec::new();
    parts.extend(revision());
    if env::var_os("CARGO_FEATURE_DPDK").is_some() {
        for variable in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR"] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
        let pkg_config = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
        let version = answer(Command::new(pkg_config).args(["--modversion", "libdpdk"]));
        parts.push(format!("DPDK {}", version.as_deref().unwrap_or("of unknown version")));
    } else {
        parts.push("without DPDK".to_owned());
    }
    println!("cargo::rustc-env=EVENKEEL_VERSION={} ({})", env!("CARGO_PKG_VERSION"), parts.join(", "));
}

/// The revision that is built, and the build again when it changes; `None` where the source is no git checkout.
fn revision() -> Option<String> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    if !root.join(".git").exists() {
        return None; // a source archive: a repository further up is another's
    }
    let git = |arguments: &[&str]| answer(Command::new("git").arg("-C").arg(&root).args(arguments));
    // What does not exist must not be named to cargo: it would build anew every time.
    let watch = |path: &Path| {
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    };
    let own = root.join(git(&["rev-parse", "--git-dir"])?);
    let common = root.join(git(&["rev-parse", "--git-common-dir"])?);
    watch(&own.join("HEAD"));
    watch(&common.join("packed-refs"));
    if let Some(branch) = git(&["symbolic-ref", "-q", "HEAD"]) {
        let file = common.join(branch);
        // A packed branch gets a file of its own with its next commit.
        watch(if file.exists() { &file } else { file.parent()? });
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
