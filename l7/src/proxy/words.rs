//! What the proxy says by itself: small, well-formed, in one line.

use super::site::Edits;
use crate::http::{HeadWriter, Name, has_content, reason_phrase};

/// An answer of the proxy's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'w> {
    pub(super) status: u16,
    pub(super) text: &'w str,
    /// The connection is closed behind it.
    pub(super) closes: bool,
    /// It answers HEAD: its text is not sent.
    pub(super) is_head: bool,
    /// Where the client is sent.
    pub(super) location: Option<&'w str>,
    /// Fields of the configuration's.
    pub(super) fields: Option<&'w Edits>,
}

impl<'w> Words<'w> {
    /// Words to a request that was not HEAD, behind which the connection goes on.
    pub(super) const fn new(status: u16, text: &'w str) -> Self {
        Self { status, text, closes: false, is_head: false, location: None, fields: None }
    }

    /// The octets of the answer.
    pub(super) fn octets(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let text = if self.text.is_empty() { reason_phrase(self.status) } else { self.text };
        let content = has_content(self.status).then_some(("text/plain; charset=utf-8", text.len() + 1));
        let mut head = HeadWriter::own(&mut out, self.status, content);
        if self.status == 503 {
            head.field(Name::RetryAfter, "1");
        }
        if let Some(location) = self.location {
            head.field(Name::Location, location);
        }
        if let Some(fields) = self.fields {
            fields.write(&mut head);
        }
        if self.closes {
            head.field(Name::Connection, "close");
        }
        head.end();
        if content.is_some() && !self.is_head {
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
        }
        out
    }
}
