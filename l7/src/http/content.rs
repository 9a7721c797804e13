//! A message's content, read by its framing and written by another one.

use super::chunked::{Chunked, Step};
use super::{Framing, Limits, Refusal};

/// What is left of a message's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Nothing: the next octet belongs to the next message.
    Ended,
    /// So many octets.
    Length(u64),
    /// Chunks.
    Chunked(Box<Chunked>),
    /// Whatever comes until the connection is closed.
    UntilClose,
}

impl Content {
    /// That of a message with this framing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Ended,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// True if there is none left.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// The next step through content whose next octets are `octets`. If it takes less than all of them and is not the end, there is another.
    ///
    /// # Errors
    /// When the content is malformed. Where it ends can then not be known.
    pub fn next(&mut self, octets: &[u8], limits: &Limits) -> Result<Step, Refusal> {
        let step = match self {
            Self::Ended => Step { framing: 0, data: 0, is_end: true },
            Self::UntilClose => Step { framing: 0, data: octets.len(), is_end: false },
            Self::Length(left) => {
                let data = usize::try_from(*left).unwrap_or(usize::MAX).min(octets.len());
                *left -= data as u64;
                Step { framing: 0, data, is_end: *left == 0 }
            }
            Self::Chunked(chunked) => chunked.next(octets, limits)?,
        };
        // Trailers are kept for whoever forwards them.
        if step.is_end && !matches!(self, Self::Chunked(_)) {
            *self = Self::Ended;
        }
        Ok(step)
    }

    /// True if the content is whole now that the sender has closed its side.
    #[must_use]
    pub const fn may_end_by_close(&self) -> bool {
        matches!(self, Self::Ended | Self::UntilClose)
    }
}

/// Frames data as chunks: an end of line belongs to each chunk, and is written together with what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChunkWriter {
    is_in_chunk: bool,
}

impl ChunkWriter {
    /// Appends what stands before `length` octets of data, which are not none.
    pub fn chunk(&mut self, length: usize, out: &mut Vec<u8>) {
        debug_assert!(length > 0, "an empty chunk would be the last");
        self.end_of_chunk(out);
        let digits = (usize::BITS - length.leading_zeros()).div_ceil(4);
        out.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[length >> (4 * digit) & 15]));
        out.extend_from_slice(b"\r\n");
        self.is_in_chunk = true;
    }

    /// Appends what stands behind the last chunk: the empty one, and a trailer section, of whole lines.
    pub fn end(mut self, trailers: &[u8], out: &mut Vec<u8>) {
        self.end_of_chunk(out);
        out.extend_from_slice(b"0\r\n");
        out.extend_from_slice(trailers);
        out.extend_from_slice(b"\r\n");
    }

    fn end_of_chunk(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_in_chunk) {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { head: 1024, line: 512, fields: 10 };

    fn step(content: &mut Content, octets: &[u8]) -> (usize, bool) {
        let step = content.next(octets, &LIMITS).unwrap();
        assert_eq!(step.framing, 0);
        (step.data, step.is_end)
    }

    #[test]
    fn content_of_a_length() {
        let mut content = Content::new(Framing::Length(5));
        assert_eq!(step(&mut content, b"abc"), (3, false));
        assert!(!content.may_end_by_close());
        assert_eq!(step(&mut content, b"defgh"), (2, true));
        assert!(content.is_ended());
        assert_eq!(step(&mut content, b"GET"), (0, true));
        assert!(Content::new(Framing::Length(0)).is_ended() && Content::new(Framing::None).is_ended());
    }

    #[test]
    fn content_until_the_end() {
        let mut content = Content::new(Framing::UntilClose);
        assert_eq!(step(&mut content, b"abc"), (3, false));
        assert!(content.may_end_by_close() && !content.is_ended());
    }

    #[test]
    fn chunks_are_written() {
        let (mut out, mut writer) = (Vec::new(), ChunkWriter::default());
        for data in [&b"hello"[..], &[b'x'; 26]] {
            writer.chunk(data.len(), &mut out);
            out.extend(data);
        }
        writer.end(b"A: b\r\n", &mut out);
        assert_eq!(out, b"5\r\nhello\r\n1a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n0\r\nA: b\r\n\r\n");
        let mut empty = Vec::new();
        ChunkWriter::default().end(b"", &mut empty);
        assert_eq!(empty, b"0\r\n\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6)) {
            let (mut out, mut writer) = (Vec::new(), ChunkWriter::default());
            for chunk in &chunks {
                writer.chunk(chunk.len(), &mut out);
                out.extend(chunk);
            }
            writer.end(b"", &mut out);
            let (mut content, mut read, mut rest) = (Content::new(Framing::Chunked), Vec::new(), &out[..]);
            loop {
                let step = content.next(rest, &LIMITS).unwrap();
                read.extend_from_slice(&rest[step.framing..step.framing + step.data]);
                rest = &rest[step.framing + step.data..];
                if step.is_end {
                    break;
                }
            }
            prop_assert_eq!((read, rest), (chunks.concat(), &b""[..]));
        }
    }
}
