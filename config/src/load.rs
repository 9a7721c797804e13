//! From a file to a configuration, or to everything that is wrong with it.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use toml::de::DeTable;

use crate::finding::Unreadable;
use crate::limits;
use crate::model::Config;
use crate::read::Reader;
use crate::report::{Diagnostic, Problem, Severity, Source};

/// Errors and warnings that are shown; a file with more is some other file.
const SHOWN: usize = 100;

/// A configuration and what is doubtful about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// What the file says.
    pub config: Config,
    /// What is allowed, but likely not meant.
    pub warnings: Warnings,
}

/// Warnings about a file, in its order (of more than 100 the last counts the others); `Display` prints them all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Warnings(pub Vec<Diagnostic>);

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|warning| writeln!(f, "{warning}"))
    }
}

/// Everything that is wrong with a file, at least one error; `Display` prints it all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Errors {
    /// Errors in the order of the file, then warnings; at most 100.
    pub diagnostics: Vec<Diagnostic>,
    /// Further errors and warnings, which are not shown.
    pub omitted: usize,
    #[serde(skip)]
    file: String,
}

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.diagnostics {
            writeln!(f, "{diagnostic}")?;
        }
        let errors =
            self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        match (errors, self.omitted) {
            (1, 0) => write!(f, "{}: 1 error", self.file),
            (errors, 0) => write!(f, "{}: {errors} errors", self.file),
            (errors, omitted) => {
                write!(f, "{}: {errors} errors, and {omitted} more that are not shown", self.file)
            }
        }
    }
}

impl Config {
    /// The configuration that `text` holds; `file` is what messages call it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str, file: &str) -> Result<Parsed, Errors> {
        let source = Source::new(file, text);
        if text.len() as u64 > limits::FILE_OCTETS {
            return Err(errors(&source, file, vec![too_large()]));
        }
        let table = DeTable::parse(text).map_err(|error| {
            // What follows the first error of syntax would be guesswork.
            let problem = Problem::error("this is not TOML").at(error.span()).label(error.message());
            errors(&source, file, vec![problem])
        })?;
        let mut reader = Reader::default();
        let config = reader.file(table.get_ref(), crate::parse::config);
        let unreadable = Unreadable::new(std::mem::take(&mut reader.unreadable));
        let found = config.check().into_iter().filter_map(|finding| reader.locate(finding, &unreadable));
        let found: Vec<Problem> = found.collect();
        let mut problems = reader.problems;
        problems.extend(found);
        let is_valid = problems.iter().all(|problem| problem.severity != Severity::Error);
        let mut errors = errors(&source, file, problems);
        if !is_valid {
            return Err(errors);
        }
        if errors.omitted > 0 {
            let more = Problem::warning(format!("{} more warnings, which are not shown", errors.omitted));
            errors.diagnostics.push(source.diagnostic(more));
        }
        Ok(Parsed { config, warnings: Warnings(errors.diagnostics) })
    }

    /// The configuration in the file at `path`.
    ///
    /// # Errors
    /// All that is wrong with it, or why it cannot be read.
    pub fn load(path: &Path) -> Result<Parsed, Errors> {
        let file = path.display().to_string();
        let failed = |message: String| errors(&Source::new(&file, ""), &file, vec![Problem::error(message)]);
        let mut octets = Vec::new();
        std::fs::File::open(path)
            .and_then(|opened| opened.take(limits::FILE_OCTETS + 1).read_to_end(&mut octets))
            .map_err(|error| failed(format!("cannot read the configuration: {error}")))?;
        match String::from_utf8(octets) {
            Ok(text) => Self::parse(&text, &file),
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes());
                let start = error.utf8_error().valid_up_to();
                // What is no text is shown as this one character.
                let place = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
                let problem = Problem::error("this is not UTF-8").at(Some(place));
                Err(errors(&Source::new(&file, &text), &file, vec![problem]))
            }
        }
    }
}

fn too_large() -> Problem {
    Problem::error(format!("the file is larger than {} octets", limits::FILE_OCTETS))
}

fn errors(source: &Source<'_>, file: &str, mut problems: Vec<Problem>) -> Errors {
    problems.sort_by_key(|problem| {
        (problem.severity, problem.place.as_ref().map_or((0, 0), |place| (place.start, place.end)))
    });
    let omitted = problems.len().saturating_sub(SHOWN);
    problems.truncate(SHOWN);
    let diagnostics = problems.into_iter().map(|problem| source.diagnostic(problem)).collect();
    Errors { diagnostics, omitted, file: file.to_owned() }
}
