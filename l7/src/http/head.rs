//! Where a head ends, found as its octets come.

use super::{Limits, Refusal};

/// The search for the end of a head, to be asked again whenever octets were added. Every octet is looked at once, however few of them come
/// at a time, so that a slow sender costs no more than a fast one.
///
/// What it has found the end of has only lines that end in CR LF, none too long and none that begins with white space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadEnd {
    /// Octets looked at.
    seen: usize,
    /// Where the line begins that is being looked at.
    line: usize,
    /// Where the start line begins: after an empty line that is allowed to stand before it.
    start: usize,
    /// Lines seen, the start line included.
    lines: usize,
    may_begin_empty: bool,
}

impl HeadEnd {
    const fn new(lines: usize, may_begin_empty: bool) -> Self {
        Self { seen: 0, line: 0, start: 0, lines, may_begin_empty }
    }

    /// For a request, which one empty line may stand before (RFC 9112, section 2.2).
    #[must_use]
    pub const fn of_request() -> Self {
        Self::new(0, true)
    }

    /// For a response.
    #[must_use]
    pub const fn of_response() -> Self {
        Self::new(0, false)
    }

    /// For a trailer section, which has no start line and may be an empty line only.
    pub(super) const fn of_trailers() -> Self {
        Self::new(1, false)
    }

    /// Where in `octets`, which begin as they did when this was asked before, the head lies; `None` while its end has not come.
    ///
    /// # Errors
    /// As soon as the head cannot be one any more.
    pub fn find(
        &mut self,
        octets: &[u8],
        limits: &Limits,
    ) -> Result<Option<core::ops::Range<usize>>, Refusal> {
        let fresh = octets.get(self.seen..).unwrap_or_default();
        let base = self.seen;
        for feed in memchr::memchr_iter(b'\n', fresh).map(|at| base + at) {
            let line = octets.get(self.line..feed).unwrap_or_default();
            let Some((b'\r', line)) = line.split_last() else { return Err(Refusal::BareLineFeed) };
            self.check_line(line, limits)?;
            (self.line, self.seen) = (feed + 1, feed + 1);
            if feed - self.start >= limits.head {
                return Err(Refusal::HeadTooLarge);
            }
            match (line.is_empty(), self.lines) {
                (true, 0) if self.may_begin_empty => {
                    self.may_begin_empty = false;
                    self.start = self.line;
                }
                (true, 0) => return Err(Refusal::StartLine),
                (true, _) => return Ok(Some(self.start..self.line)),
                (false, _) => self.lines += 1,
            }
            if self.lines > limits.fields + 1 {
                return Err(Refusal::TooManyFields);
            }
        }
        self.seen = octets.len();
        let line = octets.get(self.line..).unwrap_or_default();
        self.check_line(line.strip_suffix(b"\r").unwrap_or(line), limits)?;
        if octets.len() - self.start >= limits.head {
            return Err(Refusal::HeadTooLarge);
        }
        Ok(None)
    }

    /// Looks at a line, or at as much of it as has come.
    fn check_line(&self, line: &[u8], limits: &Limits) -> Result<(), Refusal> {
        if line.len() > limits.line {
            return Err(if self.lines == 0 { Refusal::TargetTooLong } else { Refusal::LineTooLong });
        }
        match line.first() {
            Some(b' ' | b'\t') if self.lines == 0 => Err(Refusal::StartLine),
            Some(b' ' | b'\t') => Err(Refusal::Folding),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head: 64, line: 24, fields: 3 };

    type Found = Result<Option<core::ops::Range<usize>>, Refusal>;

    fn all_at_once(octets: &[u8]) -> Found {
        HeadEnd::of_request().find(octets, &LIMITS)
    }

    fn octet_by_octet(octets: &[u8]) -> Found {
        let mut end = HeadEnd::of_request();
        (0..=octets.len()).find_map(|length| end.find(&octets[..length], &LIMITS).transpose()).transpose()
    }

    #[test]
    fn the_end_is_the_same_however_the_octets_come() {
        let cases: [(&[u8], Found); 16] = [
            (b"", Ok(None)),
            (b"GET / HTTP/1.1\r\n\r", Ok(None)),
            (b"GET / HTTP/1.1\r\n\r\n", Ok(Some(0..18))),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\n", Ok(Some(0..24))),
            (b"\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some(2..20))),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Err(Refusal::StartLine)),
            (b"\nGET / HTTP/1.1\r\n\r\n", Err(Refusal::BareLineFeed)),
            (b"GET / HTTP/1.1\n\r\n", Err(Refusal::BareLineFeed)),
            (b"GET / HTTP/1.1\r\nA: b\n\r\n", Err(Refusal::BareLineFeed)),
            (b"GET / HTTP/1.1\r\nA: b\r\n\n", Err(Refusal::BareLineFeed)),
            (b"GET / HTTP/1.1\r\n A: b\r\n\r\n", Err(Refusal::Folding)),
            (b"GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", Err(Refusal::Folding)),
            (b" GET / HTTP/1.1\r\n\r\n", Err(Refusal::StartLine)),
            (b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaa", Err(Refusal::TargetTooLong)),
            (b"GET / HTTP/1.1\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbb", Err(Refusal::LineTooLong)),
            (b"GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n", Err(Refusal::TooManyFields)),
        ];
        for (octets, end) in cases {
            let text = octets.escape_ascii();
            assert_eq!(all_at_once(octets), end, "{text}");
            assert_eq!(octet_by_octet(octets), end, "{text}, octet by octet");
        }
    }

    #[test]
    fn a_line_has_its_limit() {
        for (line, fits) in [("GET /aaaaaaaaaa HTTP/1.1\r\n", true), ("GET /aaaaaaaaaaa HTTP/1.1\r\n", false)]
        {
            let whole = [line.as_bytes(), b"\r\n"].concat();
            let found = if fits { Ok(Some(0..whole.len())) } else { Err(Refusal::TargetTooLong) };
            assert_eq!(all_at_once(&whole), found, "{line}");
            assert_eq!(octet_by_octet(&whole), found, "{line}, octet by octet");
        }
    }

    #[test]
    fn only_a_request_may_begin_with_an_empty_line() {
        let find = |mut end: HeadEnd, octets: &[u8]| end.find(octets, &LIMITS);
        assert_eq!(find(HeadEnd::of_response(), b"\r\nHTTP/1.1 200 OK\r\n\r\n"), Err(Refusal::StartLine));
        assert_eq!(find(HeadEnd::of_trailers(), b"\r\nGET"), Ok(Some(0..2)));
        assert_eq!(find(HeadEnd::of_trailers(), b"A: b\r\n\r\nGET"), Ok(Some(0..8)));
    }

    #[test]
    fn a_head_has_its_limit() {
        let head = |length: usize| {
            [b"GET / HTTP/1.1\r\nA: b\r\nC: ".to_vec(), vec![b'd'; length], b"\r\n\r\n".to_vec()].concat()
        };
        let limits = Limits { head: 64, line: 64, fields: 3 };
        for (length, fits) in [(35, true), (36, false)] {
            let octets = head(length);
            let found = HeadEnd::of_request().find(&octets, &limits);
            assert_eq!(found, if fits { Ok(Some(0..64)) } else { Err(Refusal::HeadTooLarge) }, "{length}");
        }
        assert_eq!(
            HeadEnd::of_request().find(&head(60)[..64], &limits),
            Err(Refusal::HeadTooLarge),
            "without its end"
        );
    }
}
