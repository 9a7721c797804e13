//! One connection: lines in, answers out, one after the other.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::debug;

use super::Envelope;
use crate::control::Peer;
use crate::protocol::{Answer, MAX_LINE, Refusal, RefusalKind, parse_line};

/// How long a peer may say nothing, or be in the midst of a line.
const SILENCE: Duration = Duration::from_secs(600);
/// How long a peer may take to read an answer.
const WRITE: Duration = Duration::from_secs(10);
/// Octets that are read at once; a line is collected apart, up to [`MAX_LINE`].
const READ: usize = 16 << 10;
/// A line's buffer that has grown larger than this is given back.
const KEPT: usize = 64 << 10;

/// How reading a line ended.
#[derive(PartialEq, Eq, Debug)]
enum Line {
    /// There is one, or the last one without its end.
    Whole,
    /// The peer has said all.
    End,
    /// It is longer than [`MAX_LINE`].
    TooLong,
}

/// Serves a connection to its end.
pub(super) async fn run(
    stream: UnixStream,
    peer: Peer,
    requests: mpsc::Sender<Envelope>,
    closing: watch::Receiver<bool>,
) {
    if let Err(error) = talk(stream, peer, requests, closing).await {
        debug!(uid = peer.uid, %error, "control connection ended");
    }
}

async fn talk(
    mut stream: UnixStream,
    peer: Peer,
    requests: mpsc::Sender<Envelope>,
    mut closing: watch::Receiver<bool>,
) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut read = BufReader::with_capacity(READ, read);
    let mut line = Vec::new();
    loop {
        let ended = tokio::select! {
            ended = timeout(SILENCE, read_line(&mut read, &mut line)) => ended??,
            _ = closing.wait_for(|closing| *closing) => return Ok(()),
        };
        let answer = match ended {
            Line::End => return Ok(()),
            Line::TooLong => Refusal::line_too_long().into(),
            Line::Whole => answer(&line, peer, &requests).await,
        };
        timeout(WRITE, write.write_all(&encoded(&answer))).await??;
        if ended == Line::TooLong {
            return Ok(());
        }
        line.clear();
        line.shrink_to(KEPT);
    }
}

async fn answer(line: &[u8], peer: Peer, requests: &mpsc::Sender<Envelope>) -> Answer {
    let request = match parse_line(line) {
        Ok(request) => request,
        Err(refusal) => return refusal.into(),
    };
    let (answer, answered) = oneshot::channel();
    let stopping = || Refusal::new(RefusalKind::Stopping, "the balancer is stopping").into();
    match requests.send(Envelope { request, peer, answer }).await {
        Ok(()) => answered.await.unwrap_or_else(|_| stopping()),
        Err(_) => stopping(),
    }
}

/// Says why there is no connection, as far as the socket takes it at once.
pub(super) fn refuse(stream: &UnixStream, refusal: Refusal) {
    // A peer that takes no 200 octets sees the end of the connection all the same.
    let _ = stream.try_write(&encoded(&refusal.into()));
}

fn encoded(answer: &Answer) -> Vec<u8> {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Appends a line to `line`, without its end. No more than [`MAX_LINE`] octets are ever collected.
async fn read_line(read: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<Line> {
    loop {
        let available = read.fill_buf().await?;
        if available.is_empty() {
            return Ok(if line.is_empty() { Line::End } else { Line::Whole });
        }
        let end = available.iter().position(|&octet| octet == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        if line.len() + part.len() >= MAX_LINE {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        read.consume(used);
        if end.is_some() {
            return Ok(Line::Whole);
        }
    }
}
