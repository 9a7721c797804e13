//! A reader of TOML tables that records each error with its place and goes on.
//!
//! Serde's `Deserialize` stops at the first error, so the file is read by hand from the spanned tables of the `toml`
//! crate. Every value that is found leaves its span under its path; every value that cannot be read leaves an error,
//! its path among the unreadable ones, and a stand-in, so that the rest can be read and checked all the same.
//!
//! Invariants: nothing here panics on any table; where a path is unreadable an error was recorded.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::finding::{Finding, Unreadable, enclosing};
use crate::limits;
use crate::nearest::nearest;
use crate::patterns;
use crate::report::Problem;
use crate::units::Parsed;
use crate::words::Word;

/// What was found so far: errors, and where each value is.
#[derive(Default)]
pub(crate) struct Reader {
    /// Errors, in the order in which they were met.
    pub(crate) problems: Vec<Problem>,
    /// Path (`service[1].vip`) to octets of the file. A table's place is its header's.
    places: HashMap<String, Range<usize>>,
    /// Paths that hold a stand-in.
    pub(crate) unreadable: Vec<String>,
    /// Regular expressions so far.
    regexes: usize,
}

/// One table that is being read: each key is asked for once, and what is left in the end is unknown.
pub(crate) struct Fields<'a, 't> {
    reader: &'a mut Reader,
    /// `None` where the file has no such table: everything in it has its default.
    table: Option<&'a DeTable<'t>>,
    path: String,
    /// As messages call it: `[[service]]`; empty for the file itself.
    title: String,
    asked: Vec<&'static str>,
}

impl Reader {
    /// Reads the whole file with `read`.
    pub(crate) fn file<T>(&mut self, table: &DeTable<'_>, read: impl FnOnce(&mut Fields<'_, '_>) -> T) -> T {
        self.fields(Some(table), String::new(), String::new(), read)
    }

    fn fields<T>(
        &mut self,
        table: Option<&DeTable<'_>>,
        path: String,
        title: String,
        read: impl FnOnce(&mut Fields<'_, '_>) -> T,
    ) -> T {
        let mut fields = Fields { reader: self, table, path, title, asked: Vec::new() };
        let value = read(&mut fields);
        fields.report_unknown();
        value
    }

    /// What a check found, at its place in the file; `None` if it follows from a value that could not be read.
    pub(crate) fn locate(&self, finding: Finding, unreadable: &Unreadable) -> Option<Problem> {
        let holds = finding.holds(unreadable);
        holds.then(|| Problem {
            place: self.place(&finding.path),
            related: finding.related.and_then(|(path, label)| Some((self.place(&path)?, label))),
            severity: finding.severity,
            message: finding.message,
            label: finding.label,
            help: finding.help,
        })
    }

    /// Where a value is, or what it would be in.
    fn place(&self, path: &str) -> Option<Range<usize>> {
        std::iter::once(path).chain(enclosing(path)).find_map(|path| self.places.get(path)).cloned()
    }

    fn refuse(&mut self, path: &str, problem: Problem) {
        self.unreadable.push(path.to_owned());
        self.problems.push(problem);
    }
}

impl<'a, 't> Fields<'a, 't> {
    /// A key that must be there; its absence is an error that shows `example`.
    pub(crate) fn require(&mut self, key: &'static str, example: &str) {
        if self.table.is_some_and(|table| table.contains_key(key)) {
            return;
        }
        let path = self.path_of(key);
        let problem = Problem::error(format!("missing key `{key}`{}", self.inside()))
            .at(self.reader.places.get(&self.path).cloned())
            .label(format!("expected `{key} = {example}` in this table"));
        self.reader.refuse(&path, problem);
    }

    /// A string that `parse` understands.
    pub(crate) fn text<T>(&mut self, key: &'static str, parse: fn(&str) -> Parsed<T>) -> Option<T> {
        let value = self.take(key)?;
        let parsed = text(value.get_ref(), parse);
        self.settle(key, value.span(), parsed)
    }

    /// A regular expression. A file has [`limits::FILE_REGEXES`] at most: each costs time to compile.
    pub(crate) fn regex(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        self.reader.regexes += 1;
        let parsed = if self.reader.regexes > limits::FILE_REGEXES {
            Err(format!("a file has {} regular expressions at most", limits::FILE_REGEXES))
        } else {
            text(value.get_ref(), patterns::regex)
        };
        self.settle(key, value.span(), parsed)
    }

    /// Refuses all of these keys that are there but one: they exclude each other.
    pub(crate) fn at_most_one(&mut self, keys: &[&'static str]) {
        let Some(table) = self.table else { return };
        let mut there = keys.iter().filter_map(|key| Some((*key, table.get(*key)?.span())));
        let Some((first, place)) = there.next() else { return };
        for (other, other_place) in there {
            let mut problem =
                Problem::error(format!("`{first}` and `{other}`{} exclude each other", self.inside()))
                    .at(Some(other_place))
                    .label("expected one of them");
            problem.related = Some((place.clone(), "the other one".to_owned()));
            self.reader.problems.push(problem);
        }
    }

    /// One of these keys must be there; that none is, is an error that shows `example`.
    pub(crate) fn require_one(&mut self, keys: &[&str], example: &str) {
        if self.table.is_some_and(|table| keys.iter().any(|key| table.contains_key(*key))) {
            return;
        }
        let problem = Problem::error(format!("missing key{}: one of `{}`", self.inside(), keys.join("`, `")))
            .at(self.reader.places.get(&self.path).cloned())
            .label(format!("expected `{example}` in this table"));
        let path = self.path.clone();
        self.reader.refuse(&path, problem);
    }

    /// An integer within `range`.
    pub(crate) fn number<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let parsed = number(value.get_ref(), range);
        self.settle(key, value.span(), parsed)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        let parsed = match value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            other => Err(format!("expected true or false, found {}", kind(other))),
        };
        self.settle(key, value.span(), parsed)
    }

    /// One word of a closed list.
    pub(crate) fn word<T: Word>(&mut self, key: &'static str) -> Option<T> {
        let value = self.take(key)?;
        let parsed = text(value.get_ref(), word);
        self.settle(key, value.span(), parsed)
    }

    /// An array of at most `most` strings; what cannot be read is a `stand_in`.
    pub(crate) fn texts<T: Clone>(
        &mut self,
        key: &'static str,
        most: usize,
        stand_in: &T,
        parse: fn(&str) -> Parsed<T>,
    ) -> Option<Vec<T>> {
        self.list(key, most, stand_in, |value| text(value, parse))
    }

    /// An array of at most `most` integers within `range`; what cannot be read is 0.
    pub(crate) fn numbers<T: TryFrom<u64> + Clone + Default>(
        &mut self,
        key: &'static str,
        most: usize,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<Vec<T>> {
        self.list(key, most, &T::default(), |value| number(value, range.clone()))
    }

    /// One string, or an array of at most `most`.
    pub(crate) fn text_or_texts(
        &mut self,
        key: &'static str,
        most: usize,
        parse: fn(&str) -> Parsed<String>,
    ) -> Option<Vec<String>> {
        match self.table?.get(key)?.get_ref() {
            DeValue::Array(_) => self.texts(key, most, &String::new(), parse),
            _ => self.text(key, parse).map(|text| vec![text]),
        }
    }

    /// The table `[header]`, if it is there.
    pub(crate) fn table_if_there<T>(
        &mut self,
        key: &'static str,
        header: &str,
        read: impl FnOnce(&mut Fields<'_, '_>) -> T,
    ) -> Option<T> {
        if self.table?.contains_key(key) {
            return Some(self.titled_table(key, header, read));
        }
        self.asked.push(key);
        None
    }

    /// The table `[key]`; where it is absent, `read` finds an empty one.
    pub(crate) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Fields<'_, '_>) -> T) -> T {
        self.titled_table(key, key, read)
    }

    fn titled_table<T>(
        &mut self,
        key: &'static str,
        header: &str,
        read: impl FnOnce(&mut Fields<'_, '_>) -> T,
    ) -> T {
        let path = self.path_of(key);
        let title = format!("[{header}]");
        let table = match self.take(key).map(|value| (value.get_ref(), value.span())) {
            None => None,
            Some((DeValue::Table(table), _)) => Some(table),
            Some((other, place)) => {
                let refusal = format!("expected one table, `{title}`, found {}", kind(other));
                self.settle::<()>(key, place, Err(refusal));
                None
            }
        };
        self.reader.fields(table, path, title, read)
    }

    /// The tables `[[key]]`, at most `most`; `header` is how the file writes it.
    pub(crate) fn tables<T>(
        &mut self,
        key: &'static str,
        header: &str,
        most: usize,
        mut read: impl FnMut(&mut Fields<'_, '_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let title = format!("[[{header}]]");
        let DeValue::Array(array) = value.get_ref() else {
            let refusal = format!("expected a list of tables, `{title}`, found {}", kind(value.get_ref()));
            self.settle::<()>(key, value.span(), Err(refusal));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, item) in array.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            self.reader.places.insert(path.clone(), item.span());
            if index == most {
                let problem = Problem::error(format!("more than {most} `{title}`"))
                    .at(Some(item.span()))
                    .label(format!("this is number {} of {}", most + 1, array.len()));
                self.reader.refuse(&path, problem);
                break;
            }
            if let DeValue::Table(table) = item.get_ref() {
                tables.push(self.reader.fields(Some(table), path, title.clone(), &mut read));
            } else {
                let problem = Problem::error(format!("`{key}`{} is not valid", self.inside()))
                    .at(Some(item.span()))
                    .label(format!("expected a table, `{title}`, found {}", kind(item.get_ref())));
                let before = self.reader.problems.len();
                tables.push(self.reader.fields(None, path.clone(), title.clone(), &mut read));
                self.reader.problems.truncate(before);
                self.reader.refuse(&path, problem);
            }
        }
        tables
    }

    fn list<T: Clone>(
        &mut self,
        key: &'static str,
        most: usize,
        stand_in: &T,
        read: impl Fn(&DeValue<'_>) -> Parsed<T>,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            let refusal = format!("expected an array, found {}", kind(value.get_ref()));
            return self.settle(key, value.span(), Err(refusal));
        };
        if array.len() > most {
            let refusal = format!("expected at most {most} entries, found {}", array.len());
            return self.settle(key, value.span(), Err(refusal));
        }
        let path = self.path_of(key);
        let mut list = Vec::with_capacity(array.len());
        for (index, item) in array.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let parsed = read(item.get_ref());
            list.push(self.settle_at(key, path, item.span(), parsed).unwrap_or_else(|| stand_in.clone()));
        }
        Some(list)
    }

    /// Says that the value of `key` depends on another one, which could not be read.
    pub(crate) fn doubt(&mut self, key: &str) {
        let path = self.path_of(key);
        self.reader.unreadable.push(path);
    }

    /// The value of `key`, whose place is noted.
    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'t>>> {
        self.asked.push(key);
        let value = self.table?.get(key)?;
        self.reader.places.insert(self.path_of(key), value.span());
        Some(value)
    }

    fn settle<T>(&mut self, key: &'static str, place: Range<usize>, parsed: Parsed<T>) -> Option<T> {
        self.settle_at(key, self.path_of(key), place, parsed)
    }

    fn settle_at<T>(&mut self, key: &str, path: String, place: Range<usize>, parsed: Parsed<T>) -> Option<T> {
        let problem = parsed.as_ref().err().map(|expected| {
            Problem::error(format!("`{key}`{} is not valid", self.inside()))
                .at(Some(place.clone()))
                .label(expected)
        });
        if let Some(problem) = problem {
            self.reader.refuse(&path, problem);
        }
        self.reader.places.insert(path, place);
        parsed.ok()
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn inside(&self) -> String {
        if self.title.is_empty() { String::new() } else { format!(" in `{}`", self.title) }
    }

    fn report_unknown(&mut self) {
        let Some(table) = self.table else { return };
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let problem = Problem::error(format!("unknown key `{}`{}", shown(name), self.inside()))
                .at(Some(key.span()));
            self.reader.problems.push(match nearest(name, self.asked.iter().copied()) {
                Some(known) => problem.label(format!("did you mean `{known}`?")),
                None => {
                    problem.label("unknown key").help(format!("the keys here are {}", self.asked.join(", ")))
                }
            });
        }
    }
}

fn text<T>(value: &DeValue<'_>, parse: impl Fn(&str) -> Parsed<T>) -> Parsed<T> {
    match value {
        DeValue::String(text) => parse(text),
        // The parser's refusal of the empty string is what it expects, in its own words.
        other => Err(match parse("") {
            Err(expected) => format!("{expected}, found {}", kind(other)),
            Ok(_) => format!("expected a string, found {}", kind(other)),
        }),
    }
}

fn word<T: Word>(text: &str) -> Parsed<T> {
    T::from_word(text).ok_or_else(|| {
        let words: Vec<String> = T::ALL.iter().map(|word| format!("\"{}\"", word.as_str())).collect();
        let expected = match words.split_last() {
            Some((last, [])) => format!("expected {last}"),
            Some((last, others)) => format!("expected {} or {last}", others.join(", ")),
            None => "expected nothing".to_owned(),
        };
        match nearest(text, T::ALL.iter().map(|word| word.as_str())) {
            Some(near) => format!("{expected}; did you mean \"{near}\"?"),
            None => expected,
        }
    })
}

fn number<T: TryFrom<u64>>(value: &DeValue<'_>, range: std::ops::RangeInclusive<u64>) -> Parsed<T> {
    let expected = || format!("expected an integer from {} to {}", range.start(), range.end());
    let DeValue::Integer(integer) = value else {
        return Err(format!("{}, found {}", expected(), kind(value)));
    };
    u64::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|number| range.contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(expected)
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A name from the file, cut to what a message can bear.
fn shown(name: &str) -> String {
    const MOST: usize = 40;
    let mut shown: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}
