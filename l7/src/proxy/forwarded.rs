//! The head that a backend gets: what the client said, as far as it is for the backend, and what the proxy says of the client.
//!
//! Invariant: what an untrusted client says of where it comes from reaches no backend, and what any client says of whom it has proved to be.

use evenkeel_datapath::hash::Random;

use super::origin::Origin;
use super::seen::Text;
use super::site::Forward;
use super::{Identity, Site};
use crate::http::{Field, HeadWriter, Name, Request};

/// Octets of an identifier of a request that is kept, at most.
const LONGEST_ID: usize = 128;

/// An identifier of a request: the client's, or made here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RequestId<'r> {
    Kept(&'r [u8]),
    Made(u128),
}

impl<'r> RequestId<'r> {
    /// That of a client that is believed, if it is well-formed, or else a new one.
    pub(super) fn of(request: &Request<'_, 'r>, is_trusted: bool, random: &mut Random) -> Self {
        let is_good =
            |id: &&[u8]| (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        match request.fields.values(Name::XRequestId).next().filter(is_good) {
            Some(id) if is_trusted => Self::Kept(id),
            _ => Self::Made(u128::from(random.next()) << 64 | u128::from(random.next())),
        }
    }
}

impl RequestId<'_> {
    /// For the access log.
    pub(super) fn text(self) -> Text<64> {
        match self {
            Self::Kept(id) => Text::of(id),
            Self::Made(id) => {
                let mut digits = [0; 32];
                for (at, digit) in digits.iter_mut().enumerate() {
                    *digit = b"0123456789abcdef"[(id >> (124 - 4 * at)) as usize & 15];
                }
                Text::of(&digits)
            }
        }
    }
}

/// What the head depends on beside the request.
pub(super) struct Told<'c> {
    pub(super) site: &'c Site,
    pub(super) forward: &'c Forward,
    pub(super) path: &'c str,
    pub(super) origin: Origin<'c>,
    pub(super) is_trusted: bool,
    pub(super) id: RequestId<'c>,
    /// The protocol that the client may go on with.
    pub(super) upgrade: Option<&'c str>,
}

impl Told<'_> {
    /// The head of the request as its backend gets it.
    pub(super) fn head(&self, request: &Request<'_, '_>) -> Vec<u8> {
        let Self { site, forward, .. } = self;
        let mut out = Vec::with_capacity(1024);
        let path = forward.rewrite.path(self.path);
        let mut head = HeadWriter::request(&mut out, request.method.text(), &path, request.target.query);
        match (&forward.rewrite.host, request.host) {
            (Some(host), _) => head.field(Name::Host, host),
            (None, Some(asked)) => head.formatted(Name::Host, format_args!("{asked}")),
            (None, None) => head.field(Name::Host, &site.default_host),
        };
        for field in request.fields.end_to_end() {
            // Nobody else says whom a client has proved to be, believed or not.
            if Identity::is_claimed_by(field) {
                continue;
            }
            if !is_about_origin(field) || self.is_trusted && !self.is_written(field.name) {
                forward.request.forward(&mut head, field);
            }
        }
        self.tell(&mut head, request);
        if let Some(identity) = self.origin.identity {
            identity.write(&mut head);
        }
        forward.request.write(&mut head);
        if request.expects_continue {
            head.field(Name::Expect, "100-continue");
        }
        if let Some(protocol) = self.upgrade {
            head.field(Name::Connection, "Upgrade").field(Name::Upgrade, protocol);
        }
        head.framing(request.framing).end();
        out
    }

    /// True if the proxy writes the field anew, with what a client that is believed says.
    fn is_written(&self, name: Option<Name>) -> bool {
        let tells = &self.site.tells;
        match name {
            Some(Name::XForwardedFor) => tells.x_forwarded && self.origin.client.is_some(),
            Some(Name::Forwarded) => tells.forwarded && self.origin.client.is_some(),
            Some(Name::XRequestId) => tells.request_id,
            Some(Name::Via) => !tells.via.is_empty(),
            _ => false,
        }
    }

    /// What the proxy says of the client.
    fn tell(&self, head: &mut HeadWriter<'_>, request: &Request<'_, '_>) {
        let Self { site, forward, origin, is_trusted, .. } = self;
        let said = |name| request.fields.values(name).filter(|_| *is_trusted);
        let may_tell = |name: Name| !forward.request.take_off(name.text());
        // What a client that is believed has said of this stays.
        let is_new = |name| may_tell(name) && said(name).next().is_none();
        let client = origin.client.map(|client| client.ip().to_canonical());
        let scheme = origin.scheme.text();
        if site.tells.x_forwarded {
            if let Some(client) = client.filter(|_| may_tell(Name::XForwardedFor)) {
                head.list(Name::XForwardedFor, said(Name::XForwardedFor), format_args!("{client}"));
            }
            if is_new(Name::XForwardedProto) {
                head.field(Name::XForwardedProto, scheme);
            }
            if let Some(asked) = request.host.filter(|_| is_new(Name::XForwardedHost)) {
                head.formatted(Name::XForwardedHost, format_args!("{asked}"));
            }
            if let Some(local) = origin.local.filter(|_| is_new(Name::XForwardedPort)) {
                head.formatted(Name::XForwardedPort, format_args!("{}", local.port()));
            }
        }
        if let Some(client) = client.filter(|_| site.tells.forwarded && may_tell(Name::Forwarded)) {
            let before = said(Name::Forwarded);
            let (open, close) = if client.is_ipv6() { ("\"[", "]\"") } else { ("", "") };
            match request.host {
                Some(host) => head.list(
                    Name::Forwarded,
                    before,
                    format_args!("for={open}{client}{close};host=\"{host}\";proto={scheme}"),
                ),
                None => head.list(
                    Name::Forwarded,
                    before,
                    format_args!("for={open}{client}{close};proto={scheme}"),
                ),
            };
        }
        if site.tells.request_id && may_tell(Name::XRequestId) {
            match self.id {
                RequestId::Kept(id) => head.field(Name::XRequestId, id),
                RequestId::Made(id) => head.formatted(Name::XRequestId, format_args!("{id:032x}")),
            };
        }
        if !site.tells.via.is_empty() && may_tell(Name::Via) {
            let version = request.version.number();
            head.list(Name::Via, said(Name::Via), format_args!("{version} {}", site.tells.via));
        }
    }
}

/// True if a field tells of where a request comes from. A server may take an underscore for a hyphen (RFC 3875, section 4.1.18).
fn is_about_origin(field: Field<'_>) -> bool {
    const PREFIX: &str = "x-forwarded-";
    const OTHERS: [&str; 4] = ["forwarded", "via", "x-real-ip", "x-request-id"];
    let same =
        |(given, known): (u8, u8)| given.to_ascii_lowercase() == known || given == b'_' && known == b'-';
    let begins =
        |known: &str| field.text.len() >= known.len() && field.text.bytes().zip(known.bytes()).all(same);
    match field.text.as_bytes().first() {
        Some(b'x' | b'X' | b'f' | b'F' | b'v' | b'V') => {
            begins(PREFIX) || OTHERS.iter().any(|known| field.text.len() == known.len() && begins(known))
        }
        _ => false,
    }
}
