//! Fixed responses of layer 7 services: what they hold and how their values are read.

use std::fmt::Write;

use serde::{Serialize, Serializer};

use crate::limits;
use crate::units::{self, Parsed};

/// `[service.respond]`: every request to the service is answered with this.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Respond {
    /// The status, 200 to 599.
    pub status: u16,
    /// What `Content-Type` says of the body.
    pub content_type: String,
    /// The body; absent: none, or a pattern of [`Respond::body_size`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Octets of a body that is a pattern: numbered lines of 64 octets, so that whoever receives it can check each.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "size")]
    pub body_size: Option<u64>,
}

impl Default for Respond {
    fn default() -> Self {
        Self { status: 200, content_type: "text/plain".to_owned(), body: None, body_size: None }
    }
}

impl Respond {
    /// The octets of the body.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        match (&self.body, self.body_size) {
            (Some(body), _) => body.clone().into_bytes(),
            (None, Some(size)) => pattern(usize::try_from(size).unwrap_or(usize::MAX)),
            (None, None) => Vec::new(),
        }
    }
}

/// Lines of 64 octets that count from zero, cut to `size` octets.
fn pattern(size: usize) -> Vec<u8> {
    let size = size.min(*limits::BODY_SIZE.end() as usize);
    let mut text = String::with_capacity(size.next_multiple_of(64));
    for line in 0..size.div_ceil(64) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line:063}");
    }
    text.truncate(size);
    text.into_bytes()
}

fn size<S: Serializer>(octets: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&units::size_text(octets.unwrap_or(0)))
}

/// The value of a header field, without spaces around it (RFC 9110, section 5.5).
///
/// # Errors
/// What was expected.
pub fn content_type(text: &str) -> Parsed<String> {
    let is_short = (1..=limits::CONTENT_TYPE_OCTETS).contains(&text.len());
    let is_plain = text.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    if is_short && is_plain && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(format!(
        r#"expected a media type such as "text/html", of 1 to {} printable characters"#,
        limits::CONTENT_TYPE_OCTETS
    ))
}

/// A body as it stands in the file.
///
/// # Errors
/// What was expected.
pub fn body(text: &str) -> Parsed<String> {
    if text.len() <= limits::BODY_OCTETS {
        return Ok(text.to_owned());
    }
    Err(format!("expected a string of at most {} octets", limits::BODY_OCTETS))
}

/// The size of a body that is a pattern.
///
/// # Errors
/// What was expected.
pub fn body_size(text: &str) -> Parsed<u64> {
    units::size_within(text, &limits::BODY_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_numbers_its_lines() {
        let respond = Respond { body_size: Some(150), ..Respond::default() };
        let text = String::from_utf8(respond.octets()).unwrap();
        assert_eq!(text.len(), 150);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0].len(), lines[1].parse()), (63, Ok(1)));
        assert_eq!(lines[2], "0".repeat(22));
    }
}
