//! The shape of the house, held: which crate may see which, and where `unsafe` may stand.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Who may see whom. Dependencies point down only; `bench` stands beside the house and sees all of it.
const ALLOWED: &[(&str, &[&str])] = &[
    ("evenkeel", &["evenkeel-config", "evenkeel-control", "evenkeel-datapath", "evenkeel-l7"]),
    ("evenkeel-control", &["evenkeel-config", "evenkeel-datapath", "evenkeel-l7"]),
    ("evenkeel-l7", &["evenkeel-datapath", "evenkeel-tcp"]),
    ("evenkeel-datapath", &["dpdk-sys"]),
    ("evenkeel-config", &[]),
    ("evenkeel-tcp", &[]),
    ("dpdk-sys", &[]),
];

/// What the pure crates must not bring in: a clock, a thread, a file or a device has no place there.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("evenkeel-tcp", &["tokio", "mio", "libc", "rustix", "crossbeam"]),
    ("evenkeel-config", &["tokio", "mio", "libc", "rustix", "crossbeam"]),
    ("evenkeel-datapath", &["tokio", "serde", "serde_json", "toml", "tracing"]),
];

/// Where `unsafe` may stand: the raw bindings, the skin over DPDK, and memory.
const UNSAFE: &[&str] = &["dpdk-sys/", "datapath/src/dpdk/", "datapath/src/machine.rs"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Of each package of the workspace: its folder, and what it depends on, in whatever way.
fn packages() -> BTreeMap<String, (PathBuf, BTreeSet<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned();
            let dependencies = package["dependencies"].as_array().unwrap();
            let names = dependencies.iter().map(|dependency| text(&dependency["name"])).collect();
            (text(&package["name"]), (folder, names))
        })
        .collect()
}

#[test]
fn dependencies_point_down_only() {
    let packages = packages();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let known: BTreeSet<&str> = allowed.keys().copied().chain(["evenkeel-bench"]).collect();
    assert_eq!(packages.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
    for (name, (_, dependencies)) in packages.iter().filter(|(name, _)| *name != "evenkeel-bench") {
        let house = dependencies.iter().filter(|dependency| packages.contains_key(*dependency));
        for dependency in house {
            assert!(
                allowed[name.as_str()].contains(&dependency.as_str()),
                "{name} must not see {dependency}"
            );
        }
    }
}

#[test]
fn pure_crates_bring_in_nothing_that_is_not() {
    let packages = packages();
    for (name, forbidden) in FORBIDDEN {
        let (_, dependencies) = &packages[*name];
        for dependency in *forbidden {
            assert!(!dependencies.contains(*dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn unsafe_stands_only_where_the_design_has_it() {
    for (path, source) in sources() {
        let is_allowed = UNSAFE.iter().any(|place| path.starts_with(place));
        let line = code_lines(&source)
            .position(|line| has_word(&line, "unsafe") || line.contains("allow(unsafe_code)"));
        if let Some(line) = line.filter(|_| !is_allowed) {
            panic!("{path}:{}: `unsafe` outside {UNSAFE:?}", line + 1);
        }
    }
}

#[test]
fn every_crate_forbids_unsafe_code_that_does_not_need_it() {
    for (name, (folder, _)) in packages() {
        let lint = match name.as_str() {
            "dpdk-sys" => continue,
            "evenkeel-datapath" => "#![deny(unsafe_code)]",
            _ => "#![forbid(unsafe_code)]",
        };
        let crates = ["src/lib.rs", "src/main.rs"].map(|file| folder.join(file));
        for file in crates.iter().filter(|file| file.exists()) {
            let source = fs::read_to_string(file).unwrap();
            assert!(source.lines().any(|line| line == lint), "{} lacks {lint}", file.display());
        }
    }
}

/// pkg-config says which libraries there are: a name written down here would be wrong with the next release.
/// Drivers whose own functions are called are the exception, and they stand in one place.
#[test]
fn no_dpdk_library_is_named_outside_the_bindings() {
    for (path, source) in sources() {
        if path == "tests/architecture.rs" || path == "dpdk-sys/build.rs" {
            continue;
        }
        for (number, line) in source.lines().enumerate() {
            let is_named =
                line.contains("librte_") || line.contains("-lrte_") || line.contains("link-lib=rte_");
            assert!(!is_named, "{path}:{}: a DPDK library by name", number + 1);
        }
    }
}

/// Every Rust file of the project, by its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                sources.push((relative, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(sources.len() > 20, "only {} Rust files were found", sources.len());
    sources
}

/// The lines without comments and without what stands between quotes.
fn code_lines(source: &str) -> impl Iterator<Item = String> {
    source.lines().map(|line| {
        let code = line.split("//").next().unwrap_or_default();
        code.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
    })
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[test]
fn the_word_is_found_in_code_only() {
    let source = "// unsafe\nlet a = \"unsafe\"; unsafe_code\nunsafe { f() }\n#[unsafe(no_mangle)]";
    let found: Vec<bool> = code_lines(source).map(|line| has_word(&line, "unsafe")).collect();
    assert_eq!(found, [false, false, true, true]);
}
