//! What the proxy says by itself: small, well-formed, in one line.

use crate::http::{Framing, HeadWriter, Name, Version, reason_phrase};

/// An answer of the proxy's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Words<'w> {
    pub(super) status: u16,
    pub(super) text: &'w str,
    /// The connection is closed behind it.
    pub(super) closes: bool,
    /// It answers HEAD: its text is not sent.
    pub(super) is_head: bool,
}

impl Words<'_> {
    /// The octets of the answer.
    pub(super) fn octets(self) -> Vec<u8> {
        let mut out = Vec::new();
        let has_content = !matches!(self.status, 204 | 304);
        let text = if self.text.is_empty() { reason_phrase(self.status) } else { self.text };
        let mut head = HeadWriter::response(&mut out, Version::Http11, self.status);
        if has_content {
            head.field(Name::ContentType, "text/plain; charset=utf-8");
            head.framing(Framing::Length(text.len() as u64 + 1));
        }
        if self.status == 503 {
            head.field(Name::RetryAfter, "1");
        }
        if self.closes {
            head.field(Name::Connection, "close");
        }
        head.end();
        if has_content && !self.is_head {
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
        }
        out
    }
}
