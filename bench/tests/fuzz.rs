//! The fuzz targets on stable Rust: over their corpora, and over random and mutated octets.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use evenkeel_bench::fuzz::TARGETS;
use proptest::prelude::*;
use proptest::sample::Index;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_corpus_passes() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(files.len() >= 10, "the corpus of {name} has {} files", files.len());
        for (path, data) in files {
            assert!(catch_unwind(|| target(&data)).is_ok(), "{name} fails on {}", path.display());
        }
    }
}

#[test]
fn every_target_is_built_by_the_fuzz_crate() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_octets_pass(data in prop::collection::vec(any::<u8>(), 0..400)) {
        for (_, target) in TARGETS {
            target(&data);
        }
    }

    #[test]
    fn mutated_corpora_pass(file in any::<Index>(), changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6)) {
        for (name, target) in TARGETS {
            let files = corpus(name);
            let mut data = file.get(&files).1.clone();
            for (at, octet) in &changes {
                if !data.is_empty() {
                    let at = at.index(data.len());
                    data[at] = *octet;
                }
            }
            target(&data);
        }
    }
}
