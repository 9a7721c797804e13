//! One connection's TLS.

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{ClientConfig, CommonState, HandshakeKind, ServerConfig};

/// Octets of a record's header (RFC 8446, section 5.1).
const HEADER: usize = 5;

/// Octets of a record at most: a header, 2^14 octets, and what TLS 1.2 allows encryption to add (RFC 5246, section 6.2.3).
pub const MOST_RECORD: usize = HEADER + (1 << 14) + 2048;

/// Octets of a handshake message in several records, with their headers: a chain of certificates, at most.
const MOST_UNFINISHED: usize = 96 << 10;

/// Octets of plaintext in a record.
const FRAGMENT: usize = 1 << 14;

/// More than any cipher suite adds to a record, its header included.
const OVERHEAD: usize = 64;

/// Why a session is over.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum TlsError {
    /// The other side does not speak TLS: perhaps HTTP, to the wrong port.
    #[error("what came is no TLS record")]
    NotTls,
    /// A record that no implementation sends.
    #[error("a record is longer than any may be")]
    RecordTooLong,
    /// The other side broke the protocol, was not trusted, or did not trust us.
    #[error("{0}")]
    Protocol(#[from] rustls::Error),
    /// So much was encrypted that the key may not be used any more.
    #[error("the keys are used up")]
    KeysUsedUp,
}

/// How long the record is that `octets` begin with, its header included; `None` if they are too few to tell.
///
/// # Errors
/// When it is no record, or one that is too long (RFC 8446, section 5.1).
pub fn record_length(octets: &[u8]) -> Result<Option<usize>, TlsError> {
    match octets {
        [20..=23, 3, _, high, low, ..] => {
            let length = HEADER + usize::from(u16::from_be_bytes([*high, *low]));
            if length > MOST_RECORD { Err(TlsError::RecordTooLong) } else { Ok(Some(length)) }
        }
        [] | [20..=23] | [20..=23, 3, ..] => Ok(None),
        _ => Err(TlsError::NotTls),
    }
}

/// The TLS of a connection, on either side of it.
pub struct Session {
    side: Side,
    /// The records of a handshake message that is not whole, as rustls left them; empty at any other time.
    unfinished: Vec<u8>,
    is_at_end: bool,
    failure: Option<TlsError>,
}

enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

impl Session {
    const fn new(side: Side) -> Self {
        Self { side, unfinished: Vec::new(), is_at_end: false, failure: None }
    }

    /// The side that was connected to.
    ///
    /// # Errors
    /// When the configuration is of no use.
    pub fn server(config: &Arc<ServerConfig>) -> Result<Self, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        Ok(Self::new(Side::Server(Box::new(connection))))
    }

    /// The side that connects to `name`, whose first records are put into `out`.
    ///
    /// # Errors
    /// When the configuration is of no use.
    pub fn client(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        out: &mut Vec<u8>,
    ) -> Result<Self, TlsError> {
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name)?;
        let mut session = Self::new(Side::Client(Box::new(connection)));
        session.receive(&mut [], out, |_| {})?;
        Ok(session)
    }

    /// Takes records, all of them whole ([`record_length`]): tells what they say, piece by piece, and appends to `out` what is to be sent. The
    /// octets are overwritten. After an error, what is in `out` is to be sent still: it says why.
    ///
    /// # Errors
    /// When the session is over, now or before.
    pub fn receive(
        &mut self,
        records: &mut [u8],
        out: &mut Vec<u8>,
        tell: impl FnMut(&[u8]),
    ) -> Result<(), TlsError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let Self { side, unfinished, is_at_end, .. } = self;
        let read = |records: &mut [u8]| match side {
            Side::Server(connection) => receive(connection.as_mut(), records, out, tell, is_at_end),
            Side::Client(connection) => receive(connection.as_mut(), records, out, tell, is_at_end),
        };
        let result = if unfinished.is_empty() {
            read(records).map(|done| unfinished.extend(records.get(done..).unwrap_or_default()))
        } else if unfinished.len() + records.len() > MOST_UNFINISHED {
            Err(TlsError::RecordTooLong)
        } else {
            unfinished.extend_from_slice(records);
            read(unfinished).map(|done| drop(unfinished.drain(..done)))
        };
        if unfinished.is_empty() && unfinished.capacity() > 0 {
            *unfinished = Vec::new();
        }
        result.inspect_err(|error| self.failure = Some(error.clone()))
    }

    /// Appends to `out` the records that say `plain`. The handshake is complete.
    ///
    /// # Errors
    /// When the session is over.
    pub fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        let room = plain.len() + plain.len().div_ceil(FRAGMENT) * OVERHEAD;
        let encrypt = |buffer: &mut [u8], traffic: Traffic<'_>| traffic.encrypt(plain, buffer);
        self.write(room, out, encrypt)
    }

    /// Appends to `out` the record that says that nothing more is sent (RFC 8446, section 6.1).
    ///
    /// # Errors
    /// When the session is over.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.write(OVERHEAD, out, |buffer, traffic| traffic.close(buffer))
    }

    fn write(
        &mut self,
        room: usize,
        out: &mut Vec<u8>,
        with: impl FnOnce(&mut [u8], Traffic<'_>) -> Result<usize, EncryptError>,
    ) -> Result<(), TlsError> {
        let before = out.len();
        out.resize(before + room, 0);
        let written = self.write_to(out.get_mut(before..).unwrap_or_default(), with);
        out.truncate(before + written.as_ref().copied().unwrap_or_default());
        written.map(drop)
    }

    fn write_to(
        &mut self,
        buffer: &mut [u8],
        with: impl FnOnce(&mut [u8], Traffic<'_>) -> Result<usize, EncryptError>,
    ) -> Result<usize, TlsError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        // Of a handshake message that is not whole, rustls looks at what it has left there.
        let unfinished = &mut self.unfinished;
        let written = match &mut self.side {
            Side::Server(connection) => match connection.process_tls_records(unfinished).state? {
                ConnectionState::WriteTraffic(traffic) => with(buffer, Traffic::Server(traffic)),
                _ => Ok(0),
            },
            Side::Client(connection) => match connection.process_tls_records(unfinished).state? {
                ConnectionState::WriteTraffic(traffic) => with(buffer, Traffic::Client(traffic)),
                _ => Ok(0),
            },
        };
        match written {
            Ok(written) => Ok(written),
            // The room is more than is ever needed.
            Err(EncryptError::InsufficientSize(_) | EncryptError::EncryptExhausted) => {
                Err(TlsError::KeysUsedUp)
            }
        }
    }

    /// True once plaintext can be sent.
    #[must_use]
    pub fn is_established(&self) -> bool {
        !self.state().is_handshaking()
    }

    /// True if the other side has said that it sends nothing more: what came before is all there is, and was not cut off.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// True if the handshake took up a former session, and proved nothing anew.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.state().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The protocol that was agreed on (RFC 7301).
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        self.state().alpn_protocol()
    }

    /// The certificate by which the other side has proved who it is.
    #[must_use]
    pub fn peer(&self) -> Option<&CertificateDer<'static>> {
        self.state().peer_certificates()?.first()
    }

    fn state(&self) -> &CommonState {
        match &self.side {
            Side::Server(connection) => connection,
            Side::Client(connection) => connection,
        }
    }
}

/// Where plaintext is encrypted, on either side.
enum Traffic<'c> {
    Server(WriteTraffic<'c, ServerConnectionData>),
    Client(WriteTraffic<'c, ClientConnectionData>),
}

impl Traffic<'_> {
    fn encrypt(self, plain: &[u8], out: &mut [u8]) -> Result<usize, EncryptError> {
        match self {
            Self::Server(mut traffic) => traffic.encrypt(plain, out),
            Self::Client(mut traffic) => traffic.encrypt(plain, out),
        }
    }

    fn close(self, out: &mut [u8]) -> Result<usize, EncryptError> {
        match self {
            Self::Server(mut traffic) => traffic.queue_close_notify(out),
            Self::Client(mut traffic) => traffic.queue_close_notify(out),
        }
    }
}

/// What both sides have in common, and rustls has no name for.
trait Records {
    type Data;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn state(&self) -> &CommonState;
}

impl Records for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

impl Records for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

/// Gives records to rustls; returns how many octets it is done with. The others it wants to see again, as it left them, together with those
/// that come next.
fn receive<C: Records>(
    connection: &mut C,
    records: &mut [u8],
    out: &mut Vec<u8>,
    mut tell: impl FnMut(&[u8]),
    is_at_end: &mut bool,
) -> Result<usize, TlsError> {
    let mut done = 0;
    loop {
        let UnbufferedStatus { mut discard, state } =
            connection.process(records.get_mut(done..).unwrap_or_default());
        let is_idle = match state {
            Err(error) => {
                tell_why(connection, out);
                return Err(error.into());
            }
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    tell(record.payload);
                }
                false
            }
            Ok(ConnectionState::EncodeTlsData(data)) => {
                encode(data, out);
                false
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                transmit.done();
                false
            }
            Ok(ConnectionState::PeerClosed) => {
                *is_at_end = true;
                false
            }
            // Waiting for the other side, or for something to send; early data is never offered.
            Ok(_) => true,
        };
        done += discard;
        if is_idle {
            return Ok(done);
        }
    }
}

/// Encodes the alert that an error has led to. Nothing is read any more.
fn tell_why<C: Records>(connection: &mut C, out: &mut Vec<u8>) {
    while connection.state().wants_write() {
        let Ok(ConnectionState::EncodeTlsData(data)) = connection.process(&mut []).state else { return };
        encode(data, out);
    }
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, out: &mut Vec<u8>) {
    let before = out.len();
    let mut room = 4 << 10;
    loop {
        out.resize(before + room, 0);
        match data.encode(out.get_mut(before..).unwrap_or_default()) {
            Ok(written) => return out.truncate(before + written),
            Err(rustls::unbuffered::EncodeError::InsufficientSize(needed)) => room = needed.required_size,
            Err(rustls::unbuffered::EncodeError::AlreadyEncoded) => return out.truncate(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_lengths() {
        assert_eq!(record_length(&[22, 3, 1, 0x40, 0]), Ok(Some(5 + 0x4000)));
        assert_eq!(record_length(&[23, 3, 3, 0x48, 0, 9]), Ok(Some(MOST_RECORD)));
        assert_eq!(record_length(&[23, 3, 3, 0x48, 1]), Err(TlsError::RecordTooLong));
        for few in [&[][..], &[22], &[22, 3], &[22, 3, 1, 0]] {
            assert_eq!(record_length(few), Ok(None));
        }
        for other in
            [&b"GET / HTTP/1.1\r\n"[..], b"\x80\x2e\x01\x03", &[24, 3, 3, 0, 1], &[22, 2, 0, 0, 1], &[0]]
        {
            assert_eq!(record_length(other), Err(TlsError::NotTls), "{other:?}");
        }
    }
}
