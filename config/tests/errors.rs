//! The specification of messages: `tests/cases/*.txt` hold a name, a file, and exactly what is printed about it.
//!
//! What a case leaves out is supplied after its text, so that its lines keep their numbers: `[balancer]`, `[[port]]`
//! and `[full_nat]`, valid ones. `EVENKEEL_BLESS=1` writes what is printed now into the files, for review as a change.

use std::fs;
use std::path::Path;

use evenkeel_config::Config;

const SUPPLIED: [(&str, &str); 3] = [
    ("[balancer]", "workers = [0, 1]"),
    (
        "[[port]]",
        "name = \"wan\"\ndevice = \"0000:03:00.0\"\nkernel = \"ek-wan\"\naddresses = [\"10.0.0.1/24\", \"fd00::1/64\"]",
    ),
    ("[full_nat]", "local_addresses = [\"10.0.1.10\", \"fd00:1::10\"]"),
];

/// All that is printed about a file: errors, or warnings, or that it is good.
fn printed(case: &str) -> String {
    let mut file = case.to_owned();
    for (header, rest) in SUPPLIED {
        if !case.contains(header) {
            file.push_str(&format!("\n{header}\n{rest}\n"));
        }
    }
    let printed = match Config::parse(&file, "evenkeel.toml") {
        Ok(parsed) if parsed.warnings.0.is_empty() => "(good)".to_owned(),
        Ok(parsed) => parsed.warnings.to_string(),
        Err(errors) => errors.to_string(),
    };
    printed.trim_end().to_owned()
}

#[test]
fn messages() {
    let bless = std::env::var_os("EVENKEEL_BLESS").is_some();
    let mut different = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")).unwrap() {
        let path = entry.unwrap().path();
        let cases = fs::read_to_string(&path).unwrap();
        let mut blessed = String::new();
        for case in cases.split("=== ").skip(1) {
            let (name, rest) = case.split_once('\n').unwrap();
            let (file, expected) = rest.split_once("---\n").unwrap();
            let printed = printed(file);
            blessed.push_str(&format!("=== {name}\n{file}---\n{printed}\n\n"));
            if printed != expected.trim_end() {
                different.push(format!("{name}, expected:\n{expected}\nprinted:\n{printed}\n"));
            }
            count += 1;
        }
        if bless {
            fs::write(&path, blessed.trim_end().to_owned() + "\n").unwrap();
        }
    }
    assert!(count > 0, "no cases found");
    assert!(bless || different.is_empty(), "{}", different.join("\n"));
}
