//! What the head of a request says, as far as whoever answers it needs to know.

use std::mem::MaybeUninit;

/// Fields of a head at most.
const MOST_FIELDS: usize = 100;

/// A request, by its head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// The answer has a head alone (RFC 9110, section 9.3.2).
    pub(super) is_head: bool,
    /// What follows the head.
    pub(super) body: Body,
    /// The client wants the connection to end with the answer.
    pub(super) closes: bool,
}

/// What follows the head of a request (RFC 9112, section 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Body {
    /// So many octets.
    Length(u64),
    /// Octets whose end only who decodes them can tell, or that may never come.
    Unknown,
}

/// Why a request is refused: the status of the answer, after which the connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// It is no request, or its end is in doubt.
    Bad,
    /// Its method has no meaning here.
    Method,
    /// It did not come in time.
    Timeout,
    /// Its head is too long, or has too many fields.
    TooLarge,
    /// It is of another version than 1.
    Version,
}

impl Refusal {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Bad, Self::Method, Self::Timeout, Self::TooLarge, Self::Version];

    /// Status, and a sentence.
    pub(super) const fn status(self) -> (u16, &'static str) {
        match self {
            Self::Bad => (400, "The request is malformed, or where it ends is in doubt.\n"),
            Self::Method => (405, "The method has no meaning here.\n"),
            Self::Timeout => (408, "The request did not come in time.\n"),
            Self::TooLarge => (431, "The head of the request is too long.\n"),
            Self::Version => (505, "The request is not of HTTP/1.1 or HTTP/1.0.\n"),
        }
    }
}

impl Request {
    /// What `head` says, which ends with its empty line and has no bare CR or LF.
    pub(super) fn parse(head: &[u8]) -> Result<Self, Refusal> {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_request_with_uninit_headers(
            &mut request,
            head,
            &mut fields,
        );
        match parsed {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Refusal::Bad),
            Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
            Err(httparse::Error::Version) => return Err(Refusal::Version),
            Err(_) => return Err(Refusal::Bad),
        }
        let is_new = request.version == Some(1);
        let mut facts = Facts::default();
        for field in request.headers.iter() {
            facts.take(field.name, field.value)?;
        }
        // RFC 9112, section 3.2: one, no more and no less.
        if facts.hosts > 1 || is_new && facts.hosts == 0 {
            return Err(Refusal::Bad);
        }
        // RFC 9112, section 6.3: both at once are how requests are smuggled.
        if facts.is_encoded && (facts.length.is_some() || !is_new) {
            return Err(Refusal::Bad);
        }
        if request.method == Some("CONNECT") {
            return Err(Refusal::Method);
        }
        let body = match facts.length {
            Some(0) | None if !facts.is_encoded => Body::Length(0),
            Some(length) if !facts.expects => Body::Length(length),
            // Who expects to be told to go on may never send it after another answer (RFC 9110, section 10.1.1).
            _ => Body::Unknown,
        };
        Ok(Self { is_head: request.method == Some("HEAD"), body, closes: facts.closes || !is_new })
    }
}

/// What the fields of a head say.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    hosts: u32,
    length: Option<u64>,
    is_encoded: bool,
    expects: bool,
    closes: bool,
}

impl Facts {
    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("host") {
            self.hosts += 1;
        } else if is("content-length") {
            let length = parse_length(value).ok_or(Refusal::Bad)?;
            // RFC 9112, section 6.3: the same twice could be forgiven, and is not.
            if self.length.replace(length).is_some() {
                return Err(Refusal::Bad);
            }
        } else if is("transfer-encoding") {
            self.is_encoded = true;
        } else if is("expect") {
            self.expects = true;
        } else if is("connection") {
            self.closes |= words(value).any(|word| word.eq_ignore_ascii_case(b"close"));
        }
        Ok(())
    }
}

/// Digits and nothing else (RFC 9110, section 8.6).
fn parse_length(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// The members of a list (RFC 9110, section 5.6.1).
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, Refusal> {
        Request::parse(text.as_bytes())
    }

    #[test]
    fn what_a_head_says() {
        let plain = Request { is_head: false, body: Body::Length(0), closes: false };
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", plain),
            ("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", Request { is_head: true, ..plain }),
            ("GET / HTTP/1.0\r\n\r\n", Request { closes: true, ..plain }),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", Request { closes: true, ..plain }),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n",
                Request { body: Body::Length(17), ..plain },
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\nExpect: 100-continue\r\n\r\n",
                Request { body: Body::Unknown, ..plain },
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                Request { body: Body::Unknown, ..plain },
            ),
        ] {
            assert_eq!(parse(head), Ok(expected), "{head:?}");
        }
    }

    #[test]
    fn what_is_refused() {
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(MOST_FIELDS));
        for (head, refusal) in [
            ("\r\n", Refusal::Bad),
            ("GET /\r\n\r\n", Refusal::Bad),
            ("GET / HTTP/1.1\r\n\r\n", Refusal::Bad),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refusal::Bad),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Refusal::Bad),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Refusal::Bad),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", Refusal::Bad),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Refusal::Bad),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Refusal::Bad),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", Refusal::Bad),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", Refusal::Bad),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
                Refusal::Bad,
            ),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::Bad),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Method),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refusal::Version),
            (&many, Refusal::TooLarge),
        ] {
            assert_eq!(parse(head), Err(refusal), "{head:?}");
        }
    }
}
