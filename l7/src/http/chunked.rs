//! The chunked transfer coding, read (RFC 9112, section 7.1).
//!
//! What frames a body is taken off octet by octet; its data is only counted. Memory is taken for a trailer section alone, and never more than
//! its limit.

use super::{HeadEnd, Limits, Refusal};

/// Octets of chunk extensions in one body. Nobody uses them, and they let a sender make a receiver work for nothing (RFC 9112, section 7.1.1).
const MOST_EXTENSIONS: u32 = 4 << 10;

/// Digits of a chunk's size.
const MOST_DIGITS: u8 = 16;

/// What is found at the beginning of octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// So many octets are framing, and done with.
    pub framing: usize,
    /// So many behind them are data.
    pub data: usize,
    /// True if the body ends behind these.
    pub is_end: bool,
}

/// Reads one body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chunked {
    state: State,
    /// The size that is being read, and then the octets of the chunk that have not come.
    left: u64,
    digits: u8,
    extensions: u32,
    trailers: Vec<u8>,
    trailers_end: Option<HeadEnd>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLineFeed,
    Data,
    DataCarriageReturn,
    DataLineFeed,
    Trailers,
    Done,
}

impl Chunked {
    /// The next step through a body whose next octets are `octets`. If it takes less than all of them and is not the end, there is another.
    ///
    /// # Errors
    /// When the body is malformed. Where it ends can then not be known.
    pub fn next(&mut self, octets: &[u8], limits: &Limits) -> Result<Step, Refusal> {
        let mut at = 0;
        while let Some(&octet) = octets.get(at) {
            match self.state {
                State::Data => {
                    let here = (octets.len() - at) as u64;
                    let data = self.left.min(here);
                    self.left -= data;
                    if self.left == 0 {
                        self.state = State::DataCarriageReturn;
                    }
                    // It is no more than there are octets.
                    return Ok(Step { framing: at, data: data as usize, is_end: false });
                }
                State::Trailers => {
                    let (taken, is_end) = self.take_trailers(octets.get(at..).unwrap_or_default(), limits)?;
                    return Ok(Step { framing: at + taken, data: 0, is_end });
                }
                State::Done => break,
                _ => self.take(octet)?,
            }
            at += 1;
        }
        Ok(Step { framing: at, data: 0, is_end: self.state == State::Done })
    }

    /// The octets of the trailer section, once the body has ended: its fields and their empty line.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// One octet of framing.
    fn take(&mut self, octet: u8) -> Result<(), Refusal> {
        self.state = match (self.state, octet) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digits += 1;
                if self.digits > MOST_DIGITS {
                    return Err(Refusal::ChunkSize);
                }
                self.left = self.left << 4 | u64::from(char::from(octet).to_digit(16).unwrap_or_default());
                State::Size
            }
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size | State::Extension, b'\r') if self.digits > 0 => State::SizeLineFeed,
            (State::Size, _) => return Err(Refusal::ChunkSize),
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extensions += 1;
                if self.extensions > MOST_EXTENSIONS {
                    return Err(Refusal::ChunkExtension);
                }
                State::Extension
            }
            (State::Extension, b'\n') => return Err(Refusal::BareLineFeed),
            (State::Extension, _) => return Err(Refusal::ChunkExtension),
            (State::SizeLineFeed, b'\n') => {
                self.digits = 0;
                if self.left == 0 { State::Trailers } else { State::Data }
            }
            (State::DataCarriageReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::Size,
            (State::SizeLineFeed, _) => return Err(Refusal::BareCarriageReturn),
            (State::DataCarriageReturn | State::DataLineFeed, _) => return Err(Refusal::ChunkEnd),
            (state @ (State::Data | State::Trailers | State::Done), _) => state,
        };
        Ok(())
    }

    /// Octets of the trailer section: how many of them are, and whether they end it.
    fn take_trailers(&mut self, octets: &[u8], limits: &Limits) -> Result<(usize, bool), Refusal> {
        if self.trailers.is_empty() && octets.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok((2, true));
        }
        let before = self.trailers.len();
        let room = (limits.head + 1).saturating_sub(before);
        self.trailers.extend_from_slice(octets.get(..room).unwrap_or(octets));
        let end = self.trailers_end.get_or_insert(HeadEnd::of_trailers());
        match end.find(&self.trailers, limits)? {
            None => Ok((self.trailers.len() - before, false)),
            Some(section) => {
                self.trailers.truncate(section.end);
                self.state = State::Done;
                Ok((section.end - before, true))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data of a body that comes in pieces of these lengths, in turn, and what is left of the octets behind it.
    fn read(octets: &[u8], pieces: &[usize]) -> Result<(Vec<u8>, usize, bool), Refusal> {
        let (mut chunked, mut data, mut at, mut lengths) =
            (Chunked::default(), Vec::new(), 0, pieces.iter().cycle());
        while at < octets.len() {
            let end = (at + lengths.next().unwrap()).min(octets.len());
            while at < end {
                let step = chunked.next(&octets[at..end], &Limits::default())?;
                at += step.framing;
                data.extend_from_slice(&octets[at..at + step.data]);
                at += step.data;
                if step.is_end {
                    return Ok((data, octets.len() - at, true));
                }
            }
        }
        Ok((data, 0, false))
    }

    #[test]
    fn bodies() {
        let cases: [(&[u8], &[u8], usize, bool); 8] = [
            (b"0\r\n\r\n", b"", 0, true),
            (b"5\r\nhello\r\n0\r\n\r\nGET", b"hello", 3, true),
            (b"5\r\nhello\r\n00A\r\n, my world\r\n0000\r\n\r\n", b"hello, my world", 0, true),
            (b"5;a=b;c=\"d;e\"\r\nhello\r\n0;x\r\n\r\n", b"hello", 0, true),
            (b"1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\nX", b"a", 1, true),
            (b"ffffffffffffffff\r\na", b"a", 0, false),
            (b"1\r\na\r\n0\r\nA: b\r\n", b"a", 0, false),
            (b"", b"", 0, false),
        ];
        for (octets, data, left, is_end) in cases {
            for pieces in [&[usize::MAX][..], &[1], &[2, 3]] {
                assert_eq!(
                    read(octets, pieces),
                    Ok((data.to_vec(), left, is_end)),
                    "{}",
                    octets.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn malformed_bodies() {
        let cases: [(&[u8], Refusal); 21] = [
            (b"\r\n", Refusal::ChunkSize),
            (b"g\r\n", Refusal::ChunkSize),
            (b"0x5\r\n", Refusal::ChunkSize),
            (b"-1\r\n", Refusal::ChunkSize),
            (b"+1\r\n", Refusal::ChunkSize),
            (b" 5\r\n", Refusal::ChunkSize),
            (b"5 \r\n", Refusal::ChunkSize),
            (b"5\n", Refusal::ChunkSize),
            (b";a\r\n", Refusal::ChunkSize),
            (b"10000000000000000\r\n", Refusal::ChunkSize),
            (b"5\rhello", Refusal::BareCarriageReturn),
            (b"5;a\nhello", Refusal::BareLineFeed),
            (b"5;a\0\r\n", Refusal::ChunkExtension),
            (b"5\r\nhello!\r\n", Refusal::ChunkEnd),
            (b"5\r\nhello\n", Refusal::ChunkEnd),
            (b"5\r\nhello\r\r\n", Refusal::ChunkEnd),
            (b"5\r\nhello0\r\n\r\n", Refusal::ChunkEnd),
            (b"0\r\n\n", Refusal::BareLineFeed),
            (b"0\r\nA: b\n\r\n", Refusal::BareLineFeed),
            (b"0\r\n A: b\r\n\r\n", Refusal::Folding),
            (b"0\r\nA: b\r\n c\r\n\r\n", Refusal::Folding),
        ];
        for (octets, refusal) in cases {
            for pieces in [&[usize::MAX][..], &[1]] {
                assert_eq!(read(octets, pieces), Err(refusal), "{}", octets.escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_not_data_has_its_limits() {
        let extensions = [b"1;".to_vec(), vec![b'x'; 3000], b"\r\na\r\n".to_vec()].concat();
        assert_eq!(read(&extensions.repeat(2), &[usize::MAX]), Err(Refusal::ChunkExtension));
        let trailers = [b"0\r\n".to_vec(), b"A: b\r\n".repeat(3000)].concat();
        assert_eq!(read(&trailers, &[usize::MAX]), Err(Refusal::TooManyFields));
        let endless = [b"0\r\nA: ".to_vec(), vec![b'x'; 20_000]].concat();
        assert_eq!(read(&endless, &[100]), Err(Refusal::LineTooLong));
    }

    #[test]
    fn trailers_are_kept() {
        let mut chunked = Chunked::default();
        let octets = b"0\r\nA: b\r\nHost: x\r\nETag: e\r\n\r\nGET";
        let step = chunked.next(octets, &Limits::default()).unwrap();
        assert_eq!(step, Step { framing: octets.len() - 3, data: 0, is_end: true });
        let mut told = Vec::new();
        super::super::trailers(chunked.trailers(), |field| told.push((field.text, field.value))).unwrap();
        assert_eq!(told, [("A", &b"b"[..]), ("ETag", b"e")]);
    }

    proptest! {
        #[test]
        fn data_comes_through_however_it_is_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            pieces in prop::collection::vec(1_usize..20, 1..8),
        ) {
            let mut octets = Vec::new();
            for chunk in &chunks {
                octets.extend(format!("{:x}\r\n", chunk.len()).bytes());
                octets.extend(chunk);
                octets.extend(b"\r\n");
            }
            octets.extend(b"0\r\n\r\nnext");
            prop_assert_eq!(read(&octets, &pieces), Ok((chunks.concat(), 4, true)));
        }
    }
}
