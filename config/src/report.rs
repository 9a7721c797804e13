//! Errors and warnings as a person reads them: file, line, column, the line of text, and a caret under the characters.
//!
//! Invariants: any span of any text can be shown, also one that is not on character boundaries or past the end; a
//! message is at most a few lines of bounded width, whatever the file holds.

use std::fmt;
use std::ops::Range;

use serde::Serialize;
use unicode_width::UnicodeWidthChar;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but will likely not do what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// What is wrong and where, before it is set beside the text.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) place: Option<Range<usize>>,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
    pub(crate) related: Option<(Range<usize>, String)>,
}

impl Problem {
    pub(crate) fn error(message: impl Into<String>) -> Self {
        let (severity, message) = (Severity::Error, message.into());
        Self { severity, message, place: None, label: String::new(), help: None, related: None }
    }

    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    pub(crate) fn at(self, place: Option<Range<usize>>) -> Self {
        Self { place, ..self }
    }

    pub(crate) fn label(self, label: impl AsRef<str>) -> Self {
        Self { label: label.as_ref().to_owned(), ..self }
    }

    pub(crate) fn help(self, help: String) -> Self {
        Self { help: Some(help), ..self }
    }
}

/// One error or warning about a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// What was expected at the place; may be empty.
    pub label: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1; 0 where it is about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 where it is about the file as a whole.
    pub column: usize,
    /// The octets of the file that it is about.
    #[serde(skip)]
    pub span: Option<Range<usize>>,
    /// All of it as text, with the line and the caret.
    #[serde(skip)]
    pub rendered: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

/// A file's name and text, with the starts of its lines.
pub(crate) struct Source<'t> {
    file: &'t str,
    text: &'t str,
    lines: Vec<usize>,
}

/// Columns of a line that are shown; a longer one is cut around what is underlined.
const WIDTH: usize = 140;
/// Characters shown before what is underlined, in a line that is cut.
const LEAD: usize = 40;
/// Columns that a tab is shown as.
const TAB: usize = 4;

impl<'t> Source<'t> {
    pub(crate) fn new(file: &'t str, text: &'t str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, lines }
    }

    pub(crate) fn diagnostic(&self, problem: Problem) -> Diagnostic {
        let place = problem.place.map(|place| self.clamp(place));
        let (line, column) = place.as_ref().map_or((0, 0), |place| self.position(place.start));
        let mut rendered = format!("{}: {}\n", problem.severity, problem.message);
        match &place {
            Some(place) => self.excerpt(&mut rendered, place, '^', &problem.label),
            None => rendered.push_str(&format!(" --> {}\n", self.file)),
        }
        if let Some((place, label)) = &problem.related {
            rendered.push_str("note: it clashes with\n");
            self.excerpt(&mut rendered, &self.clamp(place.clone()), '-', label);
        }
        if let Some(help) = &problem.help {
            rendered.push_str(&format!("  = help: {help}\n"));
        }
        Diagnostic {
            severity: problem.severity,
            message: problem.message,
            label: problem.label,
            help: problem.help,
            file: self.file.to_owned(),
            line,
            column,
            span: place,
            rendered,
        }
    }

    /// The part of `place` that lies in the text, out to character boundaries.
    fn clamp(&self, place: Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(place.start.min(self.text.len()));
        let end = self.text.ceil_char_boundary(place.end.clamp(start, self.text.len()));
        start..end
    }

    /// Line and column in characters, from 1, of an octet on a character boundary.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count());
        (line, column + 1)
    }

    /// The first line of `place` with a line of `mark`s below it.
    fn excerpt(&self, out: &mut String, place: &Range<usize>, mark: char, label: &str) {
        let (line, column) = self.position(place.start);
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let (shown, underline) = self.line(line, place, mark);
        out.push_str(&format!("{gutter}--> {}:{line}:{column}\n", self.file));
        out.push_str(&format!("{gutter} |\n"));
        out.push_str(format!("{number} | {shown}").trim_end());
        out.push_str(&format!("\n{gutter} | {}\n", format!("{underline} {label}").trim_end()));
    }

    /// A line as a terminal shows it, and its underline.
    fn line(&self, line: usize, place: &Range<usize>, mark: char) -> (String, String) {
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let whole = self.text.get(start..end).unwrap_or_default().trim_end_matches('\r');

        // Of a long line only what can be shown is looked at: it may be megabytes, and hold a hundred errors.
        let before = whole.get(..place.start.saturating_sub(start)).unwrap_or(whole);
        let lead: usize = before.chars().rev().take(WIDTH).map(width).sum();
        let from = match before.char_indices().rev().nth(LEAD) {
            Some((from, _)) if lead + LEAD > WIDTH => from,
            _ => 0,
        };
        let (mut shown, mut underline) =
            if from > 0 { ("...".to_owned(), "   ".to_owned()) } else { Default::default() };
        let mut columns = 0;
        for (at, c) in whole.get(from..).unwrap_or_default().char_indices() {
            if columns >= WIDTH {
                shown.push_str("...");
                break;
            }
            match visible(c) {
                '\t' => shown.push_str(&" ".repeat(TAB)),
                c => shown.push(c),
            }
            let marked = place.contains(&(start + from + at));
            underline.extend(std::iter::repeat_n(if marked { mark } else { ' ' }, width(c)));
            columns += width(c);
        }
        let mut underline = underline.trim_end().to_owned();
        if !underline.ends_with(mark) {
            // Nothing of it is visible (it is empty, or where the line ends): one mark where it starts.
            let lead: usize = before.get(from..).unwrap_or_default().chars().map(width).sum();
            underline = " ".repeat(lead + if from > 0 { 3 } else { 0 });
            underline.push(mark);
        }
        (shown, underline)
    }
}

/// Columns that a character takes.
fn width(c: char) -> usize {
    match visible(c) {
        '\t' => TAB,
        c => c.width().unwrap_or(1),
    }
}

/// What is shown for a character: those that would move the cursor or turn the text around are replaced.
fn visible(c: char) -> char {
    match c {
        '\t' => c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
            '\u{fffd}'
        }
        _ if c.is_control() => '\u{fffd}',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthChar;

    use super::{Problem, Source};

    /// The line of text and the line with carets, without what stands before `| `.
    fn shown(text: &str, place: std::ops::Range<usize>) -> (String, String) {
        let rendered = Source::new("f", text).diagnostic(Problem::error("").at(Some(place))).rendered;
        let mut lines = rendered
            .lines()
            .skip(3)
            .map(|line| line.split_once("| ").map_or("", |(_, rest)| rest).to_owned());
        (lines.next().unwrap_or_default(), lines.next().unwrap_or_default())
    }

    #[test]
    fn carets() {
        // (text, span, line, carets)
        let cases = [
            ("ab = 1", 0..2, "ab = 1", "^^"),
            ("ab = 1", 6..6, "ab = 1", "      ^"),
            ("ab = 1", 90..95, "ab = 1", "      ^"),
            ("a\nbc\n", 2..4, "bc", "^^"),
            ("a\nbc\nd", 2..6, "bc", "^^"),
            ("a\nbc\n", 5..5, "", "^"),
            ("a\r\n", 1..2, "a", " ^"),
            ("\ta", 1..2, "    a", "    ^"),
            ("日本 = 1", 0..6, "日本 = 1", "^^^^"),
            ("日本 = 1", 1..2, "日本 = 1", "^^"),
            ("e\u{301}x", 3..4, "e\u{301}x", " ^"),
            ("\u{1b}[31m", 1..2, "\u{fffd}[31m", " ^"),
            ("", 0..0, "", "^"),
        ];
        for (text, place, line, carets) in cases {
            assert_eq!(
                shown(text, place.clone()),
                (line.to_owned(), carets.to_owned()),
                "{text:?} {place:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_span_of_any_text(text in any::<String>(), start in 0usize..300, length in 0usize..300) {
            let diagnostic = Source::new("f", &text).diagnostic(Problem::error("").at(Some(start..start + length)));
            prop_assert!(diagnostic.span.is_some_and(|span| text.get(span).is_some()));
            prop_assert!(diagnostic.rendered.contains('^'));
        }

        #[test]
        fn the_caret_is_under_the_character(before in "[^\n]{0,300}", after in "[^\n]{0,300}") {
            let text = format!("{before}@{after}");
            let (line, carets) = shown(&text, before.len()..before.len() + 1);
            let mut column = carets.len() - 1;
            prop_assert_eq!(carets, format!("{}^", " ".repeat(column)));
            for c in line.chars() {
                match c.width().unwrap_or(0) {
                    0 => {}
                    _ if column == 0 => {
                        prop_assert_eq!(c, '@', "{}", line);
                        break;
                    }
                    width => column -= width,
                }
            }
        }
    }
}
