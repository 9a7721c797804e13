//! Changes on the way: the lines of `--updates`, each a request of the control socket with a time.

use std::fs;
use std::path::Path;

use evenkeel_control::protocol::{Request, parse_line};
use serde_json::Value;

use crate::exit::Failure;

/// A request, and when it is made.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Update {
    /// Nanoseconds after the first packet.
    pub(crate) at_ns: u64,
    /// What is asked.
    pub(crate) request: Request,
}

/// Reads the file, or says which line is wrong and why.
pub(crate) fn load(file: &Path) -> Result<Vec<Update>, Failure> {
    let shown = file.display();
    let text =
        fs::read_to_string(file).map_err(|error| Failure::new(format!("cannot read {shown}: {error}")))?;
    parse(&text).map_err(|(line, problem)| Failure::new(format!("{shown}:{line}: {problem}")))
}

fn parse(text: &str) -> Result<Vec<Update>, (usize, String)> {
    let mut updates: Vec<Update> = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let update = update(line).map_err(|problem| (number, problem))?;
        if updates.last().is_some_and(|last| last.at_ns > update.at_ns) {
            return Err((number, "\"at\" is earlier than that of the line before".to_owned()));
        }
        updates.push(update);
    }
    Ok(updates)
}

fn update(line: &str) -> Result<Update, String> {
    let mut value: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    let at = value.as_object_mut().and_then(|fields| fields.remove("at"));
    let seconds = at.and_then(|at| at.as_f64()).filter(|seconds| (0.0..=1e9).contains(seconds));
    let seconds = seconds.ok_or("\"at\" must be there: seconds after the first packet, such as 0.25")?;
    let request = parse_line(value.to_string().as_bytes()).map_err(|refusal| refusal.to_string())?;
    if matches!(request, Request::Stop {} | Request::Reload {}) {
        return Err(format!("{:?} cannot be replayed", request.command()));
    }
    Ok(Update { at_ns: (seconds * 1e9) as u64, request })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_requests_with_a_time() {
        let text = "{\"at\":0.25,\"command\":\"status\"}\n\n{\"command\":\"drops\",\"at\":3}\n";
        let updates = parse(text).unwrap();
        assert_eq!(
            updates,
            [
                Update { at_ns: 250_000_000, request: Request::Status {} },
                Update { at_ns: 3_000_000_000, request: Request::Drops {} }
            ]
        );
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number() {
        for (text, line, problem) in [
            ("{}\n", 1, "\"at\" must be there"),
            ("{\"at\":-1,\"command\":\"status\"}", 1, "\"at\" must be there"),
            ("\n{\"at\":1,\"command\":\"stats\"}", 2, "stats"),
            ("{\"at\":1,\"command\":\"stop\"}", 1, "cannot be replayed"),
            ("{\"at\":1,\"command\":\"status\"}\n{\"at\":0,\"command\":\"status\"}", 2, "earlier"),
            ("what", 1, "no JSON"),
        ] {
            let (number, message) = parse(text).unwrap_err();
            assert_eq!(number, line, "{text}");
            assert!(message.contains(problem), "{message}");
        }
    }
}
