//! Where a message ends: the one place that decides it (RFC 9112, section 6).

use super::{Fields, Name, Refusal, Version};

/// How the end of a message's content is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is none.
    None,
    /// It has so many octets.
    Length(u64),
    /// It comes in chunks, the last of which is empty.
    Chunked,
    /// It ends with the connection: a response of a server that says nothing better.
    UntilClose,
}

/// What the fields say, if anything (RFC 9112, section 6.3). A message that says it twice is refused, whether or not it says the same.
pub(super) fn declared(fields: &Fields<'_, '_>, version: Version) -> Result<Option<Framing>, Refusal> {
    let mut lengths = fields.values(Name::ContentLength);
    let length = lengths.next();
    if fields.values(Name::TransferEncoding).next().is_some() {
        return match (length, version) {
            (Some(_), _) => Err(Refusal::LengthAndCoding),
            (None, Version::Http10) => Err(Refusal::CodingInOldVersion),
            (None, Version::Http11) => coding(fields).map(Some),
        };
    }
    match (length, lengths.next()) {
        (None, _) => Ok(None),
        (Some(length), None) => Ok(Some(Framing::Length(octets(length)?))),
        (Some(_), Some(_)) => Err(Refusal::ManyLengths),
    }
}

/// Chunked once is what can be read here (RFC 9112, section 6.1).
fn coding(fields: &Fields<'_, '_>) -> Result<Framing, Refusal> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let mut codings = fields.elements(Name::TransferEncoding);
    match (codings.next(), codings.next()) {
        (Some(only), None) if is_chunked(only) => Ok(Framing::Chunked),
        (None, _) => Err(Refusal::CodingOrder),
        (Some(first), Some(_)) if is_chunked(first) => Err(Refusal::CodingOrder),
        _ => Err(Refusal::Coding),
    }
}

/// RFC 9110, section 8.6: digits, and nothing else; no list, though it says the same number twice.
fn octets(text: &[u8]) -> Result<u64, Refusal> {
    if text.is_empty() || text.len() > 19 {
        return Err(Refusal::Length);
    }
    text.iter().try_fold(0, |number: u64, digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + u64::from(digit - b'0')),
        _ => Err(Refusal::Length),
    })
}
