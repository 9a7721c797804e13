//! A response's head.

use super::fields::refusal;
use super::framing::declared;
use super::request::ConnectionOptions;
use super::{Fields, Framing, Limits, Method, Name, Refusal, Scratch, Version};

/// A response, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Response<'h, 'b> {
    /// The version of the sender.
    pub version: Version,
    /// From 100 to 599.
    pub status: u16,
    /// All fields, as they came.
    pub fields: Fields<'h, 'b>,
    /// Where the content ends.
    pub framing: Framing,
    /// Octets that the content would have, of a response that has none itself: to HEAD, or 304 (RFC 9110, section 8.6).
    pub would_have: Option<u64>,
    /// True if the sender goes on using the connection (RFC 9112, section 9.3).
    pub keeps_alive: bool,
    /// The protocol that the sender goes on with, behind a 101 (RFC 9110, section 15.2.2).
    pub upgrade: Option<&'b [u8]>,
}

impl<'h, 'b> Response<'h, 'b> {
    /// Reads a whole head, whose end [`HeadEnd`](super::HeadEnd) has found, of a response to `method`.
    ///
    /// # Errors
    /// Unless it is right in every respect.
    pub fn parse(
        octets: &'b [u8],
        method: Method<'_>,
        limits: &Limits,
        scratch: &'h mut Scratch<'b>,
    ) -> Result<Self, Refusal> {
        let Scratch { headers, names } = scratch;
        let room = headers.get_mut(..limits.fields).ok_or(Refusal::TooManyFields)?;
        let mut parsed = httparse::Response::new(&mut []);
        match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, octets, room)
        {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(Refusal::StartLine),
            Err(error) => return Err(refusal(error, octets, start_line)),
        }
        let (Some(status), Some(version)) = (parsed.code, parsed.version) else {
            return Err(Refusal::StartLine);
        };
        if !(100..=599).contains(&status) {
            return Err(Refusal::StatusCode);
        }
        let headers: &'h [httparse::Header<'b>] = parsed.headers;
        let fields = Fields::new(headers, names);
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let options = ConnectionOptions::of(&fields)?;
        let (framing, would_have) = framing(&fields, version, status, method)?;
        Ok(Self {
            version,
            status,
            fields,
            framing,
            would_have,
            keeps_alive: framing != Framing::UntilClose && options.keep_alive(version),
            upgrade: if status == 101 && options.upgrade() {
                fields.values(Name::Upgrade).next()
            } else {
                None
            },
        })
    }

    /// True if another response to the same request follows (RFC 9110, section 15.2).
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// RFC 9112, section 6.3, in its order.
fn framing(
    fields: &Fields<'_, '_>,
    version: Version,
    status: u16,
    method: Method<'_>,
) -> Result<(Framing, Option<u64>), Refusal> {
    let has_none = matches!(status, 100..=199 | 204);
    if has_none && fields.values(Name::TransferEncoding).next().is_some() {
        return Err(Refusal::FramingNotAllowed);
    }
    let declared = declared(fields, version)?;
    let would_have = match declared {
        Some(Framing::Length(length)) => Some(length),
        _ => None,
    };
    Ok(match declared {
        _ if has_none => (Framing::None, None),
        _ if status == 304 || method == Method::Head => (Framing::None, would_have),
        Some(framing) => (framing, None),
        None => (Framing::UntilClose, None),
    })
}

/// What httparse does not tell apart in a first line that it refuses: `Ok` if the line is not what it refuses.
fn start_line(octets: &[u8]) -> Result<(), Refusal> {
    match octets {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', ..] => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b' ', ..] => Err(Refusal::Version),
        _ => Err(Refusal::StartLine),
    }
}
