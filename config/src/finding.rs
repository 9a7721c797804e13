//! What a check finds, by the path of the value that it is about.

use std::collections::HashSet;

use crate::report::Severity;

/// Something that a check of a whole configuration found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The value that it is about: `service[1].backend[0].address`.
    pub path: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What to see at the value; short.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The value that it clashes with, and what to see there.
    pub related: Option<(String, String)>,
    /// Further values that it follows from: where one could not be read, it does not follow.
    rests_on: Vec<String>,
}

impl Finding {
    pub(crate) fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: path.into(),
            message: message.into(),
            label: String::new(),
            help: None,
            related: None,
            rests_on: Vec::new(),
        }
    }

    pub(crate) fn warning(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message) }
    }

    pub(crate) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(crate) fn clashes_with(self, path: impl Into<String>, label: impl Into<String>) -> Self {
        Self { related: Some((path.into(), label.into())), ..self }
    }

    pub(crate) fn rests_on(mut self, paths: &[&str]) -> Self {
        self.rests_on.extend(paths.iter().map(|path| (*path).to_owned()));
        self
    }

    /// True unless it follows from a value that could not be read.
    pub(crate) fn holds(&self, unreadable: &Unreadable) -> bool {
        let related = self.related.iter().map(|(path, _)| path);
        let mut paths = self.rests_on.iter().chain([&self.path]).chain(related);
        !paths.any(|path| unreadable.touches(path))
    }
}

/// The values that could not be read and have a stand-in.
pub(crate) struct Unreadable {
    paths: HashSet<String>,
    /// Everything that one of them is inside of.
    around: HashSet<String>,
}

impl Unreadable {
    pub(crate) fn new(paths: Vec<String>) -> Self {
        let around = paths.iter().flat_map(|path| enclosing(path)).map(str::to_owned).collect();
        Self { paths: paths.into_iter().collect(), around }
    }

    fn touches(&self, path: &str) -> bool {
        self.around.contains(path)
            || self.paths.contains(path)
            || enclosing(path).any(|outer| self.paths.contains(outer))
    }
}

/// The paths that a path lies in, innermost first: `a[1].b` gives `a[1]` and `a`.
pub(crate) fn enclosing(path: &str) -> impl Iterator<Item = &str> {
    let outer = |path: &str| path.rfind(['.', '[']);
    std::iter::successors(outer(path).and_then(|end| path.get(..end)), move |path| {
        outer(path).and_then(|end| path.get(..end))
    })
}

#[cfg(test)]
mod tests {
    use super::{Finding, Unreadable, enclosing};

    #[test]
    fn paths_enclose() {
        let outer: Vec<&str> = enclosing("service[1].backend[0].address").collect();
        assert_eq!(outer, ["service[1].backend[0]", "service[1].backend", "service[1]", "service"]);
        assert_eq!(enclosing("service").count(), 0);
    }

    #[test]
    fn a_finding_holds_unless_it_rests_on_what_could_not_be_read() {
        let unreadable = Unreadable::new(vec!["port[0].addresses[1]".to_owned(), "dpdk".to_owned()]);
        // (path, holds)
        let cases = [
            ("port[0].addresses[1]", false),
            ("port[0].addresses[0]", true),
            ("port", false),
            ("port[1]", true),
            ("dpdk.memory", false),
            ("service[0].vip", true),
        ];
        for (path, holds) in cases {
            assert_eq!(Finding::error(path, "").holds(&unreadable), holds, "{path}");
            assert_eq!(Finding::error("route[0]", "").rests_on(&[path]).holds(&unreadable), holds, "{path}");
            assert_eq!(
                Finding::error("route[0]", "").clashes_with(path, "").holds(&unreadable),
                holds,
                "{path}"
            );
        }
    }
}
