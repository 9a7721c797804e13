//! Paths of routes.

use regex::Regex;

/// Regular expressions that the routes of one host may have.
pub const MOST_REGEXES: usize = 64;

/// Octets that a compiled regular expression may take.
pub(super) const REGEX_SIZE: usize = 256 << 10;

/// Which paths a route is for.
#[derive(Clone, Debug)]
pub enum Path {
    /// All.
    Any,
    /// This one.
    Exact(String),
    /// This one, and all below it: `/api` is for `/api` and `/api/a`, and not for `/apis`; a slash at its end changes nothing.
    Prefix(String),
    /// Those of matchit's syntax: `/users/{id}`, `/files/{*rest}`.
    Template(String),
    /// Those that fit the expression as a whole.
    Regex(Regex),
}

impl Path {
    /// Compiles a regular expression that whole paths have to fit.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn regex(text: &str) -> Result<Self, String> {
        let whole = format!("^(?:{text})$");
        let regex = regex::RegexBuilder::new(&whole).size_limit(REGEX_SIZE).build();
        regex.map(Self::Regex).map_err(|error| error.to_string())
    }

    /// True if it is for this path.
    pub(super) fn fits(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == path,
            Self::Prefix(prefix) => {
                let rest = path.strip_prefix(without_slash(prefix));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Template(template) => {
                let mut router = matchit::Router::new();
                router.insert(template.as_str(), ()).is_ok() && router.at(path).is_ok()
            }
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

/// A prefix as it is looked up: `/` is the empty one.
pub(super) fn without_slash(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}
