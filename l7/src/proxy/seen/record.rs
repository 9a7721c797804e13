//! What the access log knows of a request.

use std::net::SocketAddr;
use std::time::Duration;

use crate::proxy::Cause;

/// The beginning of a text, in place.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    octets: [u8; N],
    length: u16,
}

impl<const N: usize> Text<N> {
    /// As much of it as there is room for.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let length = text.len().min(N);
        let mut octets = [0; N];
        octets.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        Self { octets, length: u16::try_from(length).unwrap_or(u16::MAX) }
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self { octets: [0; N], length: 0 }
    }
}

impl<const N: usize> std::fmt::Debug for Text<N> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "\"{}\"", self.octets().escape_ascii())
    }
}

/// How long things took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Times {
    /// From the head of the request to the end of its response.
    pub total: Duration,
    /// To come to a connection: waiting for one, opening it, and what came of those that failed.
    pub connect: Option<Duration>,
    /// To the head of the response.
    pub first: Option<Duration>,
}

/// See the module. Texts are cut where there is no room for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record {
    /// When it was over, in the worker's time.
    pub nanos: u64,
    /// Who asked.
    pub client: Option<SocketAddr>,
    /// The service's name.
    pub site: Text<32>,
    /// The route's name; empty if there is none.
    pub route: Text<32>,
    /// Who answered.
    pub backend: Option<SocketAddr>,
    /// The method.
    pub method: Text<16>,
    /// The host.
    pub host: Text<64>,
    /// The path as it was asked for, without its query.
    pub path: Text<192>,
    /// The identifier of the request.
    pub id: Text<64>,
    /// The status of the answer; 0 if there was none.
    pub status: u16,
    /// Octets of content from the client.
    pub received: u64,
    /// Octets of content to the client.
    pub sent: u64,
    /// How often it was sent once more.
    pub retries: u8,
    /// How long things took.
    pub times: Times,
    /// Why it came to nothing.
    pub cause: Option<Cause>,
}
