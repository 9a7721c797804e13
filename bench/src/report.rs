//! What a suite prints: one figure a line, as a table or as JSON.

use std::io::{self, Write};

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured.
    pub case: String,
    /// The result.
    pub value: f64,
    /// Of `value` and `baseline_value`, or `ratio` when `value` is one of the baseline.
    pub unit: &'static str,
    /// What it was measured beside, and what that came to.
    pub baseline: Option<(&'static str, f64)>,
    /// What was set out for.
    pub goal: Option<Goal>,
    /// More for a person: not in JSON.
    pub note: String,
}

/// The bound that a figure should keep.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl Figure {
    /// A figure that stands alone.
    #[must_use]
    pub fn new(case: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { case: case.into(), value, unit, baseline: None, goal: None, note: String::new() }
    }

    /// The same figure, beside another program's or algorithm's.
    #[must_use]
    pub fn beside(mut self, baseline: &'static str, value: f64) -> Self {
        self.baseline = Some((baseline, value));
        self
    }

    /// The same figure, with more for a person to read.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The same figure, with its goal.
    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }
}

/// Where figures go, as soon as each is known.
#[derive(Debug)]
pub struct Report {
    suite: &'static str,
    json: bool,
    heading: bool,
}

impl Report {
    /// A report of `suite`, as one JSON object a line or as a table.
    #[must_use]
    pub const fn new(suite: &'static str, json: bool) -> Self {
        Self { suite, json, heading: false }
    }

    /// Prints a figure.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn print(&mut self, figure: &Figure) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let line = serde_json::json!({
                "suite": self.suite,
                "case": figure.case,
                "value": figure.value,
                "unit": figure.unit,
                "baseline": figure.baseline.map(|baseline| baseline.0),
                "baseline_value": figure.baseline.map(|baseline| baseline.1),
            });
            return writeln!(out, "{line}");
        }
        if !self.heading {
            self.heading = true;
            writeln!(
                out,
                "{:<24} {:>10} {:<20} {:<30} {:<20} note",
                self.suite, "value", "unit", "baseline", "goal"
            )?;
        }
        let baseline =
            figure.baseline.map_or_else(String::new, |(name, value)| format!("{name} {}", short(value)));
        let goal = figure.goal.map_or_else(String::new, |goal| {
            let (sign, bound) = match goal {
                Goal::AtMost(bound) => ("<=", short(bound)),
                Goal::AtLeast(bound) => (">=", short(bound)),
            };
            format!("{sign} {bound}{}", if goal.is_met(figure.value) { "" } else { "  MISSED" })
        });
        let line = format!(
            "{:<24} {:>10} {:<20} {baseline:<30} {goal:<20} {}",
            figure.case,
            short(figure.value),
            figure.unit,
            figure.note
        );
        writeln!(out, "{}", line.trim_end())
    }
}

/// Four significant digits or so.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 1_000.0 || v == v.trunc() => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        v if v >= 0.1 => 3,
        _ => 5,
    };
    format!("{value:.digits$}")
}
