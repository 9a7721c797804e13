//! Conditions of routes, beside host, path and method.

use std::fmt;

use regex::Regex;

use super::Facts;
use super::path::REGEX_SIZE;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The field of this name, in any case.
    Header(String),
    /// The parameter of this name in the query, as it is encoded there.
    Query(String),
    /// The cookie of this name.
    Cookie(String),
}

/// What is asked of a value.
#[derive(Clone, Debug)]
pub enum Test {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It is this.
    Is(String),
    /// It begins with this.
    Begins(String),
    /// It fits the expression somewhere.
    Fits(Regex),
}

/// A condition: one value from the source passes the test; of several with one name, any.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Where the value comes from.
    pub source: Source,
    /// What is asked of it.
    pub test: Test,
}

impl Test {
    /// Compiles a regular expression that values have to fit somewhere.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn fits(text: &str) -> Result<Self, String> {
        let regex = regex::RegexBuilder::new(text).size_limit(REGEX_SIZE).build();
        regex.map(Self::Fits).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Header(name) => write!(f, "header {name}")?,
            Source::Query(name) => write!(f, "query {name}")?,
            Source::Cookie(name) => write!(f, "cookie {name}")?,
        }
        match &self.test {
            Test::Present => write!(f, " is there"),
            Test::Absent => write!(f, " is not there"),
            Test::Is(text) => write!(f, " is {text:?}"),
            Test::Begins(text) => write!(f, " begins with {text:?}"),
            Test::Fits(regex) => write!(f, " fits {:?}", regex.as_str()),
        }
    }
}

impl Condition {
    /// True if the request meets it.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        match &self.test {
            Test::Present => self.source.any(facts, |_| true),
            Test::Absent => !self.source.any(facts, |_| true),
            Test::Is(wanted) => self.source.any(facts, |value| value == wanted.as_bytes()),
            Test::Begins(wanted) => self.source.any(facts, |value| value.starts_with(wanted.as_bytes())),
            Test::Fits(regex) => self
                .source
                .any(facts, |value| std::str::from_utf8(value).is_ok_and(|text| regex.is_match(text))),
        }
    }
}

impl Source {
    /// What `of` makes of its first value.
    pub(crate) fn first<T>(&self, facts: &Facts<'_>, of: impl Fn(&[u8]) -> T) -> Option<T> {
        let mut found = None;
        self.any(facts, |value| {
            found = Some(of(value));
            true
        });
        found
    }

    /// True if any of its values is as `wanted`.
    fn any(&self, facts: &Facts<'_>, wanted: impl FnMut(&[u8]) -> bool) -> bool {
        match self {
            Self::Header(name) => facts.fields.values_of(name).any(wanted),
            Self::Query(name) => {
                let parameters = facts.query.into_iter().flat_map(|query| query.split('&'));
                let named = parameters.filter_map(|parameter| {
                    let (known, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                    (known == name).then_some(value.as_bytes())
                });
                named.into_iter().any(wanted)
            }
            Self::Cookie(name) => facts.fields.cookies(name).any(wanted),
        }
    }
}
