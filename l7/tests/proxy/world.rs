//! Everybody else: clients that ask, and backends that answer as they are asked to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_l7::http::{ChunkWriter, Content, Framing, HeadEnd, Limits, Method, Request, Response, Scratch};
use evenkeel_l7::proxy_protocol;
use evenkeel_tcp::{
    ConnectionId, Endpoint, Event, HeapBuf, ListenerConfig, ListenerId, Settings, Stack, Time, Tuple,
};
use rustls::ServerConfig;

use crate::front::VIP;
use crate::hosts::Application;
use crate::line::{Line, Secrecy};

/// What one client sends over its connection, piece by piece: each when the one before was answered, or at its time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visit {
    pub(crate) pieces: Vec<Vec<u8>>,
    /// It closes its side once all is sent.
    pub(crate) closes: bool,
    /// The requests are HEAD.
    pub(crate) is_head: bool,
    /// It vanishes once all is sent.
    pub(crate) vanishes: bool,
    /// Once it has asked and speaks TLS, it reads nothing any more.
    pub(crate) deaf: bool,
    /// How it speaks TLS, if it does.
    pub(crate) secrecy: Option<Secrecy>,
    /// It begins when this one is over.
    pub(crate) after: Option<usize>,
}

impl Visit {
    /// Asks for these, each when the one before was answered.
    pub(crate) fn to(targets: &[&str]) -> Self {
        let request =
            |target: &&str| format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n").into_bytes();
        Self { pieces: targets.iter().map(request).collect(), ..Self::default() }
    }

    pub(crate) fn raw(octets: impl Into<Vec<u8>>) -> Self {
        Self { pieces: vec![octets.into()], ..Self::default() }
    }
}

/// A response as a client got it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What came of a visit.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) got: Vec<Got>,
    /// Octets that made no whole response.
    pub(crate) rest: Vec<u8>,
    /// The balancer has closed, or the connection is over.
    pub(crate) has_ended: bool,
    /// Why it spoke TLS no longer.
    pub(crate) failure: Option<rustls::Error>,
    /// A former session was taken up.
    pub(crate) is_resumed: bool,
    /// The certificate that the balancer has shown.
    pub(crate) shown: Option<Vec<u8>>,
}

struct Open {
    visit: Visit,
    sent: usize,
    unsent: Vec<u8>,
    arrived: Vec<u8>,
    outcome: Outcome,
    line: Line,
    index: usize,
    /// It goes on with another protocol.
    is_raw: bool,
}

/// What a backend has of one connection.
struct Serving {
    line: Line,
    arrived: Vec<u8>,
    unsent: Vec<u8>,
    closes: bool,
    /// The number of the backend.
    number: usize,
    /// Requests that came over it.
    requests: usize,
    /// Whatever comes goes back.
    is_raw: bool,
}

/// See the module.
pub(crate) struct World {
    visits: Vec<Visit>,
    backends: Vec<SocketAddr>,
    open: BTreeMap<ConnectionId, Open>,
    serving: BTreeMap<ConnectionId, Serving>,
    listeners: BTreeMap<ListenerId, usize>,
    /// By visit.
    pub(crate) outcomes: Vec<Option<Outcome>>,
    /// Heads that backends got, with the backend.
    pub(crate) heads: Vec<(usize, String)>,
    /// Connections that backends accepted.
    pub(crate) accepted: usize,
    /// How backends speak TLS, if they do.
    tls: Option<Arc<ServerConfig>>,
    cuts: bool,
    /// Handshakes of backends that took up a former session.
    pub(crate) resumed: usize,
    /// What was told of clients before everything else.
    pub(crate) announced: Vec<proxy_protocol::Header>,
    at: BTreeMap<ConnectionId, usize>,
}

/// A body in which every octet has its own value.
pub(crate) fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

impl World {
    pub(crate) fn new(backends: &[&str], visits: Vec<Visit>) -> Self {
        Self {
            outcomes: visits.iter().map(|_| None).collect(),
            visits,
            backends: backends.iter().map(|address| address.parse().unwrap()).collect(),
            open: BTreeMap::new(),
            serving: BTreeMap::new(),
            listeners: BTreeMap::new(),
            heads: Vec::new(),
            accepted: 0,
            tls: None,
            cuts: false,
            resumed: 0,
            announced: Vec::new(),
            at: BTreeMap::new(),
        }
    }

    /// Backends close without a word of TLS.
    pub(crate) fn cutting(self) -> Self {
        Self { cuts: true, ..self }
    }

    pub(crate) fn with_tls(self, tls: Option<Arc<ServerConfig>>) -> Self {
        Self { tls, ..self }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }

    fn client_reads(&mut self, now: Time, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        let Some(open) = self.open.get_mut(&id) else { return };
        if open.visit.deaf && open.line.is_speaking() {
            open.write(stack, id);
            if open.outcome.has_ended {
                self.finish(now, stack, id);
            }
            return;
        }
        open.outcome.has_ended |= open.line.read(stack, id, &mut open.arrived);
        open.outcome.has_ended |= stack.is_at_end(id);
        while let Some((got, length)) = (!open.is_raw)
            .then(|| response(&open.arrived, open.visit.is_head, open.outcome.has_ended))
            .flatten()
        {
            open.arrived.drain(..length);
            let is_final = got.status >= 200;
            open.is_raw = got.status == 101;
            while open.is_raw && open.sent < open.visit.pieces.len() {
                open.send_next();
            }
            open.outcome.got.push(got);
            if is_final {
                open.send_next();
            }
        }
        open.write(stack, id);
        if open.outcome.has_ended || open.is_satisfied() {
            self.finish(now, stack, id);
        }
    }

    /// Begins a visit.
    fn visit(&mut self, now: Time, stack: &mut Stack<HeapBuf>, index: usize) {
        let visit = self.visits[index].clone();
        let remote = Endpoint::from(VIP.parse::<SocketAddr>().unwrap());
        let local = Endpoint::v4([198, 51, 100, 7], 40_000 + index as u16);
        let id = stack.connect(now, Tuple { local, remote }, &Settings::default()).unwrap();
        let mut open = Open {
            line: Line::client(visit.secrecy.as_ref()),
            visit,
            sent: 0,
            unsent: Vec::new(),
            arrived: Vec::new(),
            outcome: Outcome::default(),
            index,
            is_raw: false,
        };
        open.send_next();
        self.open.insert(id, open);
    }

    fn finish(&mut self, now: Time, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        if let Some(mut open) = self.open.remove(&id) {
            open.outcome.rest = open.arrived;
            open.outcome.is_resumed = open.line.is_resumed();
            open.outcome.shown = open.line.peer();
            open.outcome.failure = open.line.failure.clone();
            self.outcomes[open.index] = Some(open.outcome);
            if stack.state(id).is_some() && open.line.failure.is_none() {
                open.line.close(stack, id);
            }
            let after = (0..self.visits.len()).filter(|next| self.visits[*next].after == Some(open.index));
            for next in after.collect::<Vec<_>>() {
                self.visit(now, stack, next);
            }
        }
        stack.release(id);
    }

    fn backend_reads(&mut self, now: Time, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        let Some(serving) = self.serving.get_mut(&id) else { return };
        let was_resumed = serving.line.is_resumed();
        let is_at_end = serving.line.read(stack, id, &mut serving.arrived);
        self.resumed += usize::from(!was_resumed && serving.line.is_resumed());
        // A handshake or an alert, to somebody who understands no TLS.
        if !serving.is_raw && matches!(serving.arrived.first(), Some(21 | 22)) {
            serving.arrived.clear();
            serving.unsent.extend(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            serving.closes = true;
        }
        if serving.requests == 0
            && let Ok(Some((header, length))) = proxy_protocol::parse(&serving.arrived)
        {
            serving.arrived.drain(..length);
            self.announced.push(header);
        }
        while let Some((head, content, length)) =
            (!serving.is_raw).then(|| request(&serving.arrived)).flatten()
        {
            serving.arrived.drain(..length);
            serving.requests += 1;
            let target = head.split(' ').nth(1).unwrap().to_owned();
            self.heads.push((self.at[&id], head));
            if !serving.answer(&target, &content) {
                let _ = now;
                stack.abort(id);
                self.serving.remove(&id);
                return;
            }
        }
        if serving.is_raw {
            serving.unsent.append(&mut serving.arrived);
            serving.closes |= is_at_end || stack.is_at_end(id);
        } else if is_at_end || stack.is_at_end(id) {
            serving.line.close(stack, id);
        }
        serving.write(stack, id);
    }
}

impl Open {
    fn send_next(&mut self) {
        if let Some(piece) = self.visit.pieces.get(self.sent) {
            self.unsent.extend(piece);
            self.sent += 1;
        }
    }

    fn write(&mut self, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        self.line.write(stack, id, &mut self.unsent);
        let is_sent = self.unsent.is_empty() && self.line.is_empty();
        if is_sent && self.sent == self.visit.pieces.len() && self.visit.closes {
            self.line.close(stack, id);
        }
    }

    /// True if every piece was answered once.
    fn is_satisfied(&self) -> bool {
        let answers = self.outcome.got.iter().filter(|got| got.status >= 200).count();
        answers >= self.visit.pieces.len() && !self.visit.closes
    }
}

impl Serving {
    /// Answers as the target says; false if the connection is to be reset.
    fn answer(&mut self, target: &str, content: &[u8]) -> bool {
        let mut words = target.trim_start_matches('/').split('/');
        let kind = words.next().unwrap_or_default();
        let length = words.next().and_then(|word| word.parse().ok()).unwrap_or(0_usize);
        let out = &mut self.unsent;
        match kind {
            "length" => {
                out.extend(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Kind: length\r\n\r\n").bytes());
                out.extend(body(length));
            }
            "chunked" => {
                out.extend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                let mut chunks = ChunkWriter::default();
                for chunk in body(length).chunks(3000) {
                    chunks.chunk(chunk.len(), out);
                    out.extend(chunk);
                }
                chunks.end(b"", out);
            }
            "close" => {
                out.extend(b"HTTP/1.1 200 OK\r\n\r\n");
                out.extend(body(length));
                self.closes = true;
            }
            "echo" => {
                out.extend(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()).bytes());
                out.extend(content);
            }
            "status" => out.extend(format!("HTTP/1.1 {length} Sure\r\nContent-Length: 0\r\n\r\n").bytes()),
            // One of the backends is ill.
            "ill" if self.number == length => out.extend(b"HTTP/1.1 503 Ill\r\nContent-Length: 0\r\n\r\n"),
            "ill" => out.extend(format!("HTTP/1.1 200 Well\r\nContent-Length: {}\r\n\r\n{}", 1, self.number).bytes()),
            // One of the backends is being stopped.
            "mute" if self.number == length => return false,
            "mute" => out.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            "once" if self.requests > 1 => return false,
            "once" => out.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            "upgrade" => {
                out.extend(b"HTTP/1.1 101 Fine\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nX-Tunnel: 1\r\n\r\n");
                self.is_raw = true;
            }
            "head" => out.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"),
            "hints" => {
                out.extend(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            "short" => {
                out.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                self.closes = true;
            }
            "more" => out.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX-Smuggled: 1\r\nContent-Length: 0\r\n\r\n"),
            "garbage" => out.extend(b"what?\r\n\r\n"),
            "reset" => return false,
            _ => {}
        }
        true
    }

    fn write(&mut self, stack: &mut Stack<HeapBuf>, id: ConnectionId) {
        self.line.write(stack, id, &mut self.unsent);
        if self.unsent.is_empty() && self.line.is_empty() && self.closes {
            self.line.close(stack, id);
        }
    }
}

/// The first response of `octets`, if it is whole, and its length.
fn response(octets: &[u8], is_head: bool, has_ended: bool) -> Option<(Got, usize)> {
    let limits = Limits::default();
    // An alert, for somebody who understands no TLS.
    if octets.first() == Some(&21) {
        return None;
    }
    let head = HeadEnd::of_response().find(octets, &limits).expect("a head")?;
    let mut scratch = Scratch::new();
    let method = if is_head { Method::Head } else { Method::Get };
    let parsed = Response::parse(&octets[head.clone()], method, &limits, &mut scratch).expect("a response");
    let status = parsed.status;
    let (body, length) = content(parsed.framing, &octets[head.end..], has_ended)?;
    let text = String::from_utf8(octets[head.clone()].to_vec()).unwrap();
    Some((Got { status, head: text, body }, head.end + length))
}

/// The first request of `octets`, if it is whole: its head, its content, and its length.
fn request(octets: &[u8]) -> Option<(String, Vec<u8>, usize)> {
    let limits = Limits::default();
    let head = HeadEnd::of_request().find(octets, &limits).expect("a head")?;
    let mut scratch = Scratch::new();
    let parsed = Request::parse(&octets[head.clone()], &limits, &mut scratch).expect("a request");
    let (body, length) = content(parsed.framing, &octets[head.end..], false)?;
    Some((String::from_utf8(octets[head.clone()].to_vec()).unwrap(), body, head.end + length))
}

fn content(framing: Framing, octets: &[u8], has_ended: bool) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut body, mut at) = (Content::new(framing), Vec::new(), 0);
    loop {
        let step = content.next(&octets[at..], &Limits::default()).expect("well-formed content");
        at += step.framing;
        body.extend_from_slice(&octets[at..at + step.data]);
        at += step.data;
        if step.is_end || has_ended && at == octets.len() && framing == Framing::UntilClose {
            return Some((body, at));
        }
        if at == octets.len() {
            return None;
        }
    }
}

impl Application for World {
    fn start(&mut self, now: Time, stack: &mut Stack<HeapBuf>) {
        for (number, backend) in self.backends.iter().enumerate() {
            let listener = stack.listen((*backend).into(), &ListenerConfig::default()).unwrap();
            self.listeners.insert(listener, number);
        }
        for index in 0..self.visits.len() {
            if self.visits[index].after.is_none() {
                self.visit(now, stack, index);
            }
        }
    }

    fn event(&mut self, now: Time, stack: &mut Stack<HeapBuf>, event: Event) {
        match event {
            Event::Acceptable(listener) => {
                while let Some(id) = stack.accept(listener) {
                    self.accepted += 1;
                    self.at.insert(id, self.listeners[&listener]);
                    let line = Line::server(self.tls.as_ref(), self.cuts);
                    let serving = Serving {
                        line,
                        arrived: Vec::new(),
                        unsent: Vec::new(),
                        closes: false,
                        number: self.listeners[&listener],
                        requests: 0,
                        is_raw: false,
                    };
                    self.serving.insert(id, serving);
                    self.backend_reads(now, stack, id);
                }
            }
            Event::Connected(id) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.write(stack, id);
                    if open.visit.vanishes {
                        stack.abort(id);
                        self.finish(now, stack, id);
                    }
                }
            }
            Event::Readable(id) | Event::Writable(id) => {
                self.client_reads(now, stack, id);
                self.backend_reads(now, stack, id);
            }
            Event::Closed(id, _) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.outcome.has_ended = true;
                }
                self.client_reads(now, stack, id);
                if self.serving.remove(&id).is_some() {
                    stack.release(id);
                }
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn timer(&mut self, _: Time, _: &mut Stack<HeapBuf>) {}
}
