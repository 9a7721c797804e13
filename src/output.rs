//! The one way to standard output: aligned tables or JSON, and a reader that leaves early is no error.

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

use crate::exit::Failure;

/// Standard output, buffered. What is still in the buffer is lost unless [`Output::finish`] is called.
pub(crate) struct Output {
    to: BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// Takes standard output.
    pub(crate) fn stdout() -> Self {
        Self { to: BufWriter::new(io::stdout().lock()) }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(|error| failure(&error))
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes one JSON value on one line.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::new(error.to_string()))?;
        self.line(&text)
    }

    /// Writes a table, or `none` where it has no rows.
    pub(crate) fn table(&mut self, table: &Table, none: &str) -> Result<(), Failure> {
        if table.rows.is_empty() { self.line(none) } else { self.bytes(table.render().as_bytes()) }
    }

    /// Writes out what is buffered.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }

    /// Writes out what is buffered so far.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(|error| failure(&error))
    }
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::ReaderLeft,
        _ => Failure::new(format!("cannot write to standard output: {error}")),
    }
}

/// Rows of text under a header, in aligned columns; columns of numbers stand to the right.
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|&word| word.to_uppercase()).collect(), rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as the header.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.header.len());
        self.rows.push(cells);
    }

    fn render(&self) -> String {
        let columns: Vec<(usize, bool)> = (0..self.header.len())
            .map(|column| {
                let cells = || self.rows.iter().filter_map(move |row| row.get(column));
                let width = cells().chain(self.header.get(column)).map(|cell| cell.chars().count()).max();
                let is_right = cells().all(|cell| is_number(cell)) && cells().any(|cell| cell != "-");
                (width.unwrap_or(0), is_right)
            })
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let mut line = String::new();
            for (cell, (width, right)) in row.iter().zip(&columns) {
                let gap = " ".repeat(width - cell.chars().count());
                line.push_str(&if *right { gap + cell } else { cell.clone() + &gap });
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// True for a number, with or without a unit, and for the dash that stands for none; false for an address.
fn is_number(cell: &str) -> bool {
    cell == "-"
        || cell.starts_with(|c: char| c.is_ascii_digit())
            && cell.matches('.').count() < 2
            && cell.chars().all(|c| c.is_ascii_digit() || ". %dhms".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let mut table = Table::new(&["name", "packets", "share", "none"]);
        table.row(["web", "7", "-", "-"].map(str::to_owned));
        table.row(["a-longer-name", "1234567", "12.5 %", "-"].map(str::to_owned));
        assert_eq!(
            table.render(),
            "NAME           PACKETS   SHARE  NONE\n\
             web                  7       -  -\n\
             a-longer-name  1234567  12.5 %  -\n"
        );
    }

    #[test]
    fn addresses_are_not_numbers() {
        assert!(!is_number("10.0.0.1:80"));
        assert!(!is_number("10.0.0.1"));
        assert!(!is_number("fd00::1"));
        assert!(is_number("900 s"));
        assert!(is_number("-"));
    }
}
