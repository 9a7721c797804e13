//! The routes of one host pattern, by their paths.

use regex::Regex;

use super::path::without_slash;
use super::{MOST_REGEXES, Map, Path};

/// Indices of routes, in the order in which they are tried.
type List = Vec<usize>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    exact: Map<List>,
    /// Of each, its place among the lists.
    templates: matchit::Router<usize>,
    template_lists: Vec<List>,
    /// The places of templates by what they look like without the names of their parameters.
    template_places: Map<usize>,
    regexes: Vec<(Regex, usize)>,
    prefixes: Map<List>,
    /// Octets of the longest prefix.
    longest_prefix: usize,
    any: List,
}

impl Bucket {
    /// Adds a route, behind those that are there.
    pub(super) fn insert(&mut self, index: usize, path: &Path) -> Result<(), String> {
        match path {
            Path::Any => self.any.push(index),
            Path::Exact(exact) => self.exact.entry(exact.clone()).or_default().push(index),
            Path::Prefix(prefix) => {
                let prefix = without_slash(prefix);
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefixes.entry(prefix.to_owned()).or_default().push(index);
            }
            Path::Template(template) => self.insert_template(template, index)?,
            Path::Regex(_) if self.regexes.len() == MOST_REGEXES => {
                return Err(format!("a host has {MOST_REGEXES} regular expressions at most"));
            }
            Path::Regex(regex) => self.regexes.push((regex.clone(), index)),
        }
        Ok(())
    }

    fn insert_template(&mut self, template: &str, index: usize) -> Result<(), String> {
        let next = self.template_lists.len();
        let place = *self.template_places.entry(shape(template)).or_insert(next);
        if place == next {
            self.templates.insert(template, place).map_err(|error| error.to_string())?;
            self.template_lists.push(List::new());
        }
        self.template_lists[place].push(index);
        Ok(())
    }

    /// The first route that fits `path`, and the rest of the request by what `fits` says of it.
    pub(super) fn find(&self, path: &str, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let first = |list: &List| list.iter().copied().find(|index| fits(*index));
        let exact = || self.exact.get(path).and_then(first);
        let template =
            || self.templates.at(path).ok().and_then(|found| first(&self.template_lists[*found.value]));
        let by_regex =
            |(regex, index): &(Regex, usize)| (fits(*index) && regex.is_match(path)).then_some(*index);
        let regex = || self.regexes.iter().find_map(by_regex);
        let prefix = || self.prefixes_of(path).find_map(|prefix| self.prefixes.get(prefix).and_then(first));
        exact().or_else(template).or_else(regex).or_else(prefix).or_else(|| first(&self.any))
    }

    /// What `path` begins with up to a slash or its end, the longest first, and none that is longer than any prefix.
    fn prefixes_of<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        let longest = self.longest_prefix;
        let ends = (0..=path.len().min(longest)).rev();
        let is_end = move |end: &usize| path.as_bytes().get(*end).is_none_or(|octet| *octet == b'/');
        ends.filter(is_end).filter_map(|end| path.get(..end))
    }
}

/// A template without the names of its parameters: two of one shape are for the same paths.
fn shape(template: &str) -> String {
    let mut shape = String::new();
    let mut is_name = false;
    for character in template.chars() {
        is_name &= character != '}';
        if !is_name || character == '*' {
            shape.push(character);
        }
        is_name |= character == '{';
    }
    shape
}
