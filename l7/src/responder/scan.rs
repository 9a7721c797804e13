//! Where a head ends: looked for octet by octet as they come, each once.
//!
//! A line ends in CRLF and nothing else: a CR or LF alone is refused (RFC 9112, section 2.2), since others might see a line there.

/// How far a head has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Scan {
    /// Octets looked at.
    length: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// At the beginning of a line.
    #[default]
    Start,
    /// In a line.
    Line,
    /// After the CR that ends a line.
    Cr,
    /// After the CR of an empty line.
    LastCr,
}

/// What was found in the octets of a head so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// More is to come.
    Nothing,
    /// The head has so many octets, its empty line included.
    End(u32),
    /// A CR or LF that ends no line.
    BareLineEnd,
}

impl Scan {
    /// Octets looked at.
    pub(super) const fn length(self) -> u32 {
        self.length
    }

    /// Looks at what follows.
    pub(super) fn scan(&mut self, octets: &[u8]) -> Found {
        for &octet in octets {
            self.length += 1;
            self.state = match (self.state, octet) {
                (State::Start, b'\r') => State::LastCr,
                (State::Line, b'\r') => State::Cr,
                (State::Cr, b'\n') => State::Start,
                (State::LastCr, b'\n') => return Found::End(self.length),
                (State::Cr | State::LastCr, _) | (_, b'\n') => return Found::BareLineEnd,
                (State::Start | State::Line, _) => State::Line,
            };
        }
        Found::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_is_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for cut in 0..head.len() {
            let mut scan = Scan::default();
            assert_eq!(scan.scan(&head[..cut]), Found::Nothing);
            let rest = [&head[cut..], b"body"].concat();
            assert_eq!(scan.scan(&rest), Found::End(head.len() as u32), "{cut}");
        }
        // An empty line before the request line is a head without anything.
        assert_eq!(Scan::default().scan(b"\r\nGET"), Found::End(2));
    }

    #[test]
    fn bare_line_ends_are_found() {
        for head in
            ["GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\rHost: a\r\n\r\n", "\n", "\r\r\n", "A\r\n\rB"]
        {
            assert_eq!(Scan::default().scan(head.as_bytes()), Found::BareLineEnd, "{head:?}");
        }
    }
}
