//! A response that is always the same, written once: heads with and without an announced end, and the body.

use std::ops::Range;

use crate::http::{HeadWriter, Name, has_content};

/// See the module. It is shared between workers and connections, and whoever made it frees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    octets: Box<[u8]>,
    /// The ends of the head that keeps the connection, of the one that closes it, and of the body.
    ends: [u32; 3],
    status: u16,
}

impl Page {
    /// Octets of a body at most.
    pub const MOST: usize = 64 << 20;

    /// The response with this status, 200 to 599, and the first [`Page::MOST`] octets of `body`, which is of `content_type`.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: &[u8]) -> Self {
        let has_body = has_content(status);
        let body = if has_body { &body[..body.len().min(Self::MOST)] } else { &[] };
        let mut octets = Vec::new();
        let mut ends = [0; 3];
        for (end, closes) in ends.iter_mut().zip([false, true]) {
            let mut head =
                HeadWriter::own(&mut octets, status, has_body.then_some((content_type, body.len())));
            if closes {
                head.field(Name::Connection, "close");
            }
            head.end();
            *end = octets.len() as u32;
        }
        octets.extend_from_slice(body);
        ends[2] = octets.len() as u32;
        Self { octets: octets.into_boxed_slice(), ends, status }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// All octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Where the head lies: one that says that the connection is closed after it, or one that does not.
    #[must_use]
    pub const fn head(&self, closes: bool) -> Range<u32> {
        if closes { self.ends[0]..self.ends[1] } else { 0..self.ends[0] }
    }

    /// Where the body lies.
    #[must_use]
    pub const fn body(&self) -> Range<u32> {
        self.ends[1]..self.ends[2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &Page, place: Range<u32>) -> &str {
        std::str::from_utf8(&page.octets()[place.start as usize..place.end as usize]).expect("text")
    }

    #[test]
    fn heads_and_body_lie_side_by_side() {
        let page = Page::new(404, "text/plain", b"nothing here\n");
        assert_eq!(
            text(&page, page.head(false)),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n"
        );
        assert_eq!(
            text(&page, page.head(true)),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(text(&page, page.body()), "nothing here\n");
    }

    #[test]
    fn some_statuses_have_no_body() {
        let page = Page::new(204, "text/plain", b"text");
        assert_eq!(text(&page, page.head(false)), "HTTP/1.1 204 No Content\r\n\r\n");
        assert!(page.body().is_empty());
    }
}
