//! A request's head.

use super::fields::refusal;
use super::framing::declared;
use super::name::Scope;
use super::{Authority, Fields, Framing, Limits, Name, Refusal, Scratch, Target};

/// The version of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl Version {
    /// As `Via` names it.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
        }
    }
}

/// What is asked for (RFC 9110, section 9). Methods are told apart by case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Method<'b> {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token.
    Other(&'b str),
}

impl<'b> Method<'b> {
    const KNOWN: [(Method<'static>, &'static str); 9] = [
        (Method::Get, "GET"),
        (Method::Head, "HEAD"),
        (Method::Post, "POST"),
        (Method::Put, "PUT"),
        (Method::Delete, "DELETE"),
        (Method::Connect, "CONNECT"),
        (Method::Options, "OPTIONS"),
        (Method::Trace, "TRACE"),
        (Method::Patch, "PATCH"),
    ];

    fn of(text: &'b str) -> Self {
        Self::KNOWN.iter().find(|(_, known)| *known == text).map_or(Self::Other(text), |(method, _)| *method)
    }

    /// As it is written.
    #[must_use]
    pub fn text(self) -> &'b str {
        match self {
            Self::Other(text) => text,
            known => Self::KNOWN.iter().find(|(method, _)| *method == known).map_or("", |(_, text)| text),
        }
    }

    /// True if it changes nothing (RFC 9110, section 9.2.1).
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// True if doing it twice does what doing it once does (RFC 9110, section 9.2.2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }
}

/// A request, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Request<'h, 'b> {
    /// What is asked for.
    pub method: Method<'b>,
    /// Of what.
    pub target: Target<'b>,
    /// The version of the sender.
    pub version: Version,
    /// The host that is meant: the target's where it has one, else that of `Host`, which only an HTTP/1.0 request may lack
    /// (RFC 9112, sections 3.2 and 3.3).
    pub host: Option<Authority<'b>>,
    /// All fields, as they came.
    pub fields: Fields<'h, 'b>,
    /// Where the content ends.
    pub framing: Framing,
    /// True if the sender goes on using the connection (RFC 9112, section 9.3).
    pub keeps_alive: bool,
    /// True if the sender waits for 100 (Continue) before it sends the content (RFC 9110, section 10.1.1).
    pub expects_continue: bool,
    /// The protocol that the sender would go on with (RFC 9110, section 7.8).
    pub upgrade: Option<&'b [u8]>,
    /// True if the sender can read a trailer section (RFC 9110, section 10.1.4).
    pub takes_trailers: bool,
}

impl<'h, 'b> Request<'h, 'b> {
    /// Reads a whole head, whose end [`HeadEnd`](super::HeadEnd) has found.
    ///
    /// # Errors
    /// Unless it is right in every respect.
    pub fn parse(octets: &'b [u8], limits: &Limits, scratch: &'h mut Scratch<'b>) -> Result<Self, Refusal> {
        let Scratch { headers, names } = scratch;
        let room = headers.get_mut(..limits.fields).ok_or(Refusal::TooManyFields)?;
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(octets, room) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(Refusal::StartLine),
            Err(error) => return Err(refusal(error, octets, start_line)),
        }
        let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Refusal::StartLine);
        };
        let headers: &'h [httparse::Header<'b>] = parsed.headers;
        let fields = Fields::new(headers, names);
        let method = Method::of(method);
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let target = Target::parse(target, method)?;
        let host = host(&fields, version)?;
        let options = ConnectionOptions::of(&fields)?;
        Ok(Self {
            method,
            target,
            version,
            host: target.authority.or(host),
            fields,
            framing: declared(&fields, version)?.unwrap_or(Framing::None),
            keeps_alive: options.keep_alive(version),
            expects_continue: expectation(&fields, version)?,
            upgrade: if options.upgrade && version == Version::Http11 {
                fields.values(Name::Upgrade).next()
            } else {
                None
            },
            takes_trailers: options.te
                && fields.elements(Name::Te).any(|coding| coding.eq_ignore_ascii_case(b"trailers")),
        })
    }
}

/// What httparse does not tell apart in a first line that it refuses: `Ok` if the line is not what it refuses.
fn start_line(octets: &[u8]) -> Result<(), Refusal> {
    let line = octets.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let mut words = line.split(|octet| *octet == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::StartLine);
    };
    let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
    if method.is_empty() || !method.iter().all(is_token) {
        return Err(Refusal::Method);
    }
    if target.iter().any(|octet| !octet.is_ascii_graphic()) {
        return Err(Refusal::Target);
    }
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Refusal::Version),
        _ => Err(Refusal::StartLine),
    }
}

/// RFC 9112, section 3.2: exactly one, and a valid one; HTTP/1.0 may do without.
fn host<'b>(fields: &Fields<'_, 'b>, version: Version) -> Result<Option<Authority<'b>>, Refusal> {
    let mut hosts = fields.values(Name::Host);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let text = std::str::from_utf8(host).map_err(|_| Refusal::Host)?;
            Authority::parse(text).map(Some)
        }
        (None, _) if version == Version::Http10 => Ok(None),
        (None, _) => Err(Refusal::NoHost),
        (Some(_), Some(_)) => Err(Refusal::ManyHosts),
    }
}

/// RFC 9110, section 10.1.1: there is one expectation; a sender of HTTP/1.0 cannot mean it.
fn expectation(fields: &Fields<'_, '_>, version: Version) -> Result<bool, Refusal> {
    let mut any = false;
    for expectation in fields.values(Name::Expect) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expectation);
        }
        any = true;
    }
    Ok(any && version == Version::Http11)
}

/// What `Connection` says (RFC 9110, section 7.6.1).
#[derive(Clone, Copy, Default)]
pub(super) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    te: bool,
}

impl ConnectionOptions {
    /// Reads them. An option that names a field which frames or routes the message is an attempt to have it taken off.
    pub(super) fn of(fields: &Fields<'_, '_>) -> Result<Self, Refusal> {
        let mut options = Self::default();
        for option in fields.elements(Name::Connection) {
            let text = std::str::from_utf8(option).map_err(|_| Refusal::ConnectionOption)?;
            let is = |known: &str| text.eq_ignore_ascii_case(known);
            if text.bytes().any(|octet| !octet.is_ascii_graphic())
                || Name::of(text).is_some_and(|name| name.scope() == Scope::Message)
            {
                return Err(Refusal::ConnectionOption);
            }
            options.close |= is("close");
            options.keep_alive |= is("keep-alive");
            options.upgrade |= is("upgrade");
            options.te |= is("te");
        }
        Ok(options)
    }

    /// RFC 9112, section 9.3.
    pub(super) fn keep_alive(self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    pub(super) const fn upgrade(self) -> bool {
        self.upgrade
    }
}
