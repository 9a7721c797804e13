//! Heads, written from what was read.

use std::io::Write;

use super::name::write_canonical;
use super::{Field, Framing, Name, Version, reason_phrase};

/// Writes one head to the end of a buffer, which its owner uses again and again.
#[derive(Debug)]
pub struct HeadWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> HeadWriter<'o> {
    /// Begins a request; its path may come in parts.
    pub fn request(out: &'o mut Vec<u8>, method: &str, path: &[&str], query: Option<&str>) -> Self {
        let mut writer = Self { out };
        writer.put(method).put(" ");
        for part in path {
            writer.put(part);
        }
        if let Some(query) = query {
            writer.put("?").put(query);
        }
        writer.put(" HTTP/1.1\r\n");
        writer
    }

    /// Begins a response.
    pub fn response(out: &'o mut Vec<u8>, version: Version, status: u16) -> Self {
        let mut writer = Self { out };
        writer.put(match version {
            Version::Http10 => "HTTP/1.0 ",
            Version::Http11 => "HTTP/1.1 ",
        });
        writer.number(u64::from(status)).put(" ").put(reason_phrase(status)).put("\r\n");
        writer
    }

    /// Begins an answer of the balancer's own, with content of this type and length if it has any.
    pub fn own(out: &'o mut Vec<u8>, status: u16, content: Option<(&str, usize)>) -> Self {
        let mut writer = Self::response(out, Version::Http11, status);
        if let Some((kind, length)) = content {
            writer.field(Name::ContentType, kind).framing(Framing::Length(length as u64));
        }
        writer
    }

    /// Writes a field, whose value has no control characters.
    pub fn field(&mut self, name: Name, value: impl AsRef<[u8]>) -> &mut Self {
        self.put(name.text()).value(value.as_ref())
    }

    /// Writes a field whose value is put together here, without control characters.
    pub fn formatted(&mut self, name: Name, value: std::fmt::Arguments<'_>) -> &mut Self {
        self.list(name, std::iter::empty(), value)
    }

    /// Writes a list: the elements of `before` and a last one.
    pub fn list<'v>(
        &mut self,
        name: Name,
        before: impl Iterator<Item = &'v [u8]>,
        last: std::fmt::Arguments<'_>,
    ) -> &mut Self {
        self.put(name.text()).put(": ");
        for value in before {
            self.out.extend_from_slice(value);
            self.put(", ");
        }
        // Nothing that is written to memory fails.
        let _ = self.out.write_fmt(last);
        self.put("\r\n")
    }

    /// Writes a field of a name that the proxy may not know.
    pub fn line(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.put(name).value(value)
    }

    /// Writes a field as it was read, its name in its usual case.
    pub fn forward(&mut self, field: Field<'_>) -> &mut Self {
        match field.name {
            Some(name) => self.out.extend_from_slice(name.text().as_bytes()),
            None => write_canonical(field.text, self.out),
        }
        self.value(field.value)
    }

    /// Writes fields as they were read, one after the other.
    pub fn forward_all<'b>(&mut self, fields: impl Iterator<Item = Field<'b>>) -> &mut Self {
        for field in fields {
            self.forward(field);
        }
        self
    }

    /// Writes how long the content is.
    pub fn framing(&mut self, framing: Framing) -> &mut Self {
        match framing {
            Framing::None | Framing::UntilClose => self,
            Framing::Length(length) => {
                self.put(Name::ContentLength.text()).put(": ").number(length).put("\r\n")
            }
            Framing::Chunked => self.field(Name::TransferEncoding, "chunked"),
        }
    }

    /// Ends the head.
    pub fn end(&mut self) {
        self.put("\r\n");
    }

    fn value(&mut self, value: &[u8]) -> &mut Self {
        debug_assert!(!value.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "a value of one line");
        self.put(": ");
        self.out.extend_from_slice(value);
        self.put("\r\n")
    }

    fn put(&mut self, text: &str) -> &mut Self {
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        let (mut digits, mut at, mut rest) = ([0; 20], 20, number);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, Method, Request, Scratch};
    use super::*;

    #[test]
    fn a_request_is_written_from_what_was_read() {
        let head = b"GET /a?b HTTP/1.1\r\nhost: example.com\r\nX-API-KEY: 1\r\nconnection: close, x-hop\r\nX-Hop: 2\r\n\
            TE: trailers\r\nkeep-alive: 3\r\nContent-Length: 007\r\netag:\tx \r\n\r\n";
        let mut scratch = Scratch::new();
        let request = Request::parse(head, &Limits::default(), &mut scratch).unwrap();
        let mut out = Vec::new();
        let mut writer = HeadWriter::request(
            &mut out,
            request.method.text(),
            &[request.target.path],
            request.target.query,
        );
        writer.field(Name::Host, "example.com");
        for field in request.fields.end_to_end() {
            writer.forward(field);
        }
        writer.framing(request.framing).end();
        let wanted =
            "GET /a?b HTTP/1.1\r\nHost: example.com\r\nX-Api-Key: 1\r\nETag: x\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
        assert_eq!(request.method, Method::Get);
        assert!(!request.keeps_alive);
    }

    #[test]
    fn a_response_is_written() {
        let mut out = Vec::new();
        HeadWriter::response(&mut out, Version::Http11, 404).framing(Framing::Length(0)).end();
        assert_eq!(out, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        out.clear();
        HeadWriter::response(&mut out, Version::Http10, 599).framing(Framing::Chunked).end();
        assert_eq!(out, b"HTTP/1.0 599 \r\nTransfer-Encoding: chunked\r\n\r\n");
    }
}
