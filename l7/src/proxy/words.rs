//! What the proxy says by itself: small, well-formed, in one line.

use crate::http::{HeadWriter, Name, has_content, reason_phrase};

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
        let text = if self.text.is_empty() { reason_phrase(self.status) } else { self.text };
        let content = has_content(self.status).then_some(("text/plain; charset=utf-8", text.len() + 1));
        let mut head = HeadWriter::own(&mut out, self.status, content);
        if self.status == 503 {
            head.field(Name::RetryAfter, "1");
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
