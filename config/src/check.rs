//! Checks across a whole configuration: what no value shows alone.
//!
//! Invariants: a check asks nothing of the machine and costs less than quadratic time, whatever the file holds; it looks
//! at a `Config` only, so the same checks serve a file and a change over the control socket.

mod balancer;
mod l7;
mod ports;
mod reach;
mod routes;
mod services;

use std::collections::HashMap;
use std::hash::Hash;

use crate::finding::Finding;
use crate::model::Config;
use crate::report::Severity;

impl Config {
    /// What is wrong with the configuration (errors) or doubtful (warnings), each with the path of the value. Bounds of
    /// single values ([`crate::limits`]) are the reader's to keep and not looked at again.
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        balancer::check(self, &mut findings);
        l7::check_memory(self, &mut findings);
        ports::check(self, &mut findings);
        services::check(self, &mut findings);
        findings
    }

    /// True if [`Config::check`] finds no error.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.check().iter().all(|finding| finding.severity != Severity::Error)
    }
}

/// Refuses each value after the first that is equal to an earlier one.
fn refuse_duplicates<K: Hash + Eq>(
    findings: &mut Vec<Finding>,
    values: impl IntoIterator<Item = (K, String)>,
    message: impl Fn(&K) -> String,
) {
    let mut seen: HashMap<K, String> = HashMap::new();
    for (value, path) in values {
        if let Some(first) = seen.get(&value) {
            let message = message(&value);
            findings.push(Finding::error(path, message).label("again").clashes_with(first, "first"));
        } else {
            seen.insert(value, path);
        }
    }
}
