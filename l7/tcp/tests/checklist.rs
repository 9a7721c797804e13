//! The checklist `RFC9293.md` is whole, and says nothing of files and tests that do not exist.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The identifiers of RFC 9293, appendix B: the kind, and the highest number; no number is left out.
const IDENTIFIERS: [(&str, u32); 4] = [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)];
const STATES: [&str; 4] = ["done", "differs", "caller", "not done"];

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn checklist() -> String {
    fs::read_to_string(home().join("RFC9293.md")).expect("the checklist stands beside the crate")
}

/// Rows of the tables of appendix B, by their identifier: state and last column.
fn rows(text: &str) -> BTreeMap<&str, Vec<[&str; 2]>> {
    let mut rows = BTreeMap::<_, Vec<_>>::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", id, _section, state, _what, _place, shown, ""] = cells[..]
            && IDENTIFIERS
                .iter()
                .any(|(kind, _)| id.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-')))
        {
            rows.entry(id).or_default().push([state, shown]);
        }
    }
    rows
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// True for what can only be a test's name: those of this house are sentences.
fn is_test(name: &str) -> bool {
    name.matches('_').count() >= 2
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all tests of the crate: functions behind an attribute `test`.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    ["src", "tests"].iter().for_each(|folder| sources(&home().join(folder), &mut files));
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source can be read");
        for (_, behind) in
            text.match_indices("#[test]").map(|(at, attribute)| text.split_at(at + attribute.len()))
        {
            let name = behind.split_once("fn ").and_then(|(_, behind)| behind.split_once('('));
            names.extend(name.map(|(name, _)| name.to_owned()));
        }
    }
    names
}

#[test]
fn every_identifier_of_appendix_b_has_one_row() {
    let text = checklist();
    let rows = rows(&text);
    let wanted: BTreeSet<String> = IDENTIFIERS
        .iter()
        .flat_map(|(kind, most)| (1..=*most).map(move |number| format!("{kind}-{number}")))
        .collect();
    let there: BTreeSet<String> = rows.keys().map(|id| (*id).to_owned()).collect();
    assert_eq!(wanted.difference(&there).collect::<Vec<_>>(), [] as [&String; 0], "missing");
    assert_eq!(there.difference(&wanted).collect::<Vec<_>>(), [] as [&String; 0], "unknown");
    assert!(rows.values().all(|rows| rows.len() == 1), "twice: {rows:?}");
}

#[test]
fn what_is_done_is_shown_by_a_test_and_what_is_not_has_a_reason() {
    let text = checklist();
    for (id, rows) in rows(&text) {
        for [state, shown] in rows {
            assert!(STATES.contains(&state), "{id}: {state}");
            let has_test = quoted(shown).any(is_test);
            let has_reason = shown.len() > 10;
            assert!(if state == "done" { has_test } else { has_reason }, "{id}");
        }
    }
}

#[test]
fn every_test_and_every_file_that_is_named_exists() {
    let (text, tests) = (checklist(), tests());
    assert!(tests.len() > 200, "{} tests were found", tests.len());
    let unknown: BTreeSet<&str> =
        quoted(&text).filter(|name| is_test(name)).filter(|name| !tests.contains(*name)).collect();
    assert_eq!(unknown, BTreeSet::new());
    for name in quoted(&text).filter(|name| name.ends_with(".rs")) {
        let is_there = home().join("src").join(name).exists() || home().join(name).exists();
        assert!(is_there, "{name}");
    }
}
