//! Linux at an end of the link: a server and a client of plain sockets.
//!
//! The client sends a [`Request`] of 16 octets and gets that many bytes; then the server closes. A request for no end of
//! bytes is ended by the client's reset.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, SockRef, Socket, Type};

use super::place::{Family, Place};
use crate::hosts::{Bytes, Fetched, Request};

/// A server that hears nothing for so long, which is longer than any client waits, gives up: the client may have gone, and its
/// reset lost.
const PATIENCE: Duration = Duration::from_secs(120);

/// Servers that listen, until they are dropped; connections that they have accepted come to their own end.
#[derive(Debug)]
pub struct Servers(Vec<Socket>);

impl Servers {
    /// Serves on these ports of a place.
    ///
    /// # Errors
    /// When a port is taken, or the congestion control is not there.
    pub fn listen(
        place: &Place,
        family: Family,
        ports: Range<u16>,
        congestion: &'static str,
    ) -> Result<Self> {
        place.run(move || {
            ports.map(|port| listen(family, port, congestion)).collect::<Result<_>>().map(Self)
        })?
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for socket in &self.0 {
            // Wakes the thread that accepts; there is nothing else to be done if it does not.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn listen(family: Family, port: u16, congestion: &str) -> Result<Socket> {
    let any: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    let address = SocketAddr::from((any, port));
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket
        .set_tcp_congestion(congestion.as_bytes())
        .with_context(|| format!("no congestion control {congestion}"))?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    let listener = TcpListener::from(socket.try_clone()?);
    thread::Builder::new().name("listener".into()).spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(move || answer(stream));
        }
    })?;
    Ok(socket)
}

/// Answers one request; that its client goes away is nothing to tell anybody.
fn answer(mut stream: TcpStream) -> Result<()> {
    SockRef::from(&stream).set_tcp_user_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = [0; Request::LEN];
    stream.read_exact(&mut request)?;
    let request = Request::parse(request);
    let (bytes, mut sent) = (Bytes::new(request.seed), 0);
    while sent < request.octets {
        let count = (request.octets - sent).min(65_000) as usize;
        sent += stream.write(bytes.slice(sent, count))? as u64;
    }
    Ok(())
}

/// Asks for what `request` says, and takes it for as long as `limit`, which counts from the first SYN.
///
/// # Errors
/// When a byte is wrong, and when the connection breaks.
pub fn fetch(server: SocketAddr, request: Request, limit: Duration) -> Result<Fetched> {
    let start = Instant::now();
    let bytes = Bytes::new(request.seed);
    let mut fetched = Fetched::default();
    let mut stream = match TcpStream::connect_timeout(&server, limit) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(fetched),
        Err(error) => return Err(error).context("cannot connect"),
    };
    // Whatever happens, the other end is told.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.write_all(&request.octets())?;
    let mut buffer = vec![0; 1 << 18];
    while let Some(left) = limit.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed after {} octets", fetched.octets),
            Ok(count) => {
                ensure!(
                    bytes.matches(fetched.octets, &buffer[..count]),
                    "wrong bytes after {}",
                    fetched.octets
                );
                fetched.octets += count as u64;
                if fetched.octets >= request.octets {
                    fetched.completion = Some(start.elapsed());
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot read"),
        }
    }
    Ok(fetched)
}
