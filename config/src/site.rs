//! What services in mode `l7` do with requests: pools, routes and limits, as plain values.
//!
//! Invariant: as of the model, what serde writes is the file's own shape, and what is at its default is left out.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::model::Prefix;
use crate::units;
use crate::words::{Balance, ClientProof, EncodedSlash, ProxyProtocol, Scheme, TlsVersion};

/// The keys of `[[service]]` that only mode `l7` has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Site {
    /// `[service.tls]`: TLS towards clients; absent: they speak plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// `[service.http]`: what is asked of requests.
    #[serde(skip_serializing_if = "is_default")]
    pub http: Http,
    /// Which clients are believed what they say of whom they forward for; nobody if it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<Prefix>,
    /// Who begins connections with a header of the PROXY protocol, as every client must then; nobody if it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxy_protocol_from: Vec<Prefix>,
    /// `[service.tells]`: what backends are told of clients.
    #[serde(skip_serializing_if = "is_default")]
    pub tells: Tells,
    /// `[[service.pool]]`, in the order of the file.
    #[serde(rename = "pool", skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<Pool>,
    /// `[[service.route]]`, in the order of the file.
    #[serde(rename = "route", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<SiteRoute>,
}

impl Site {
    /// The pool of backends and requests for which nothing else is said.
    pub const DEFAULT_POOL: &'static str = "default";

    /// The names of its pools: the default one, then the others.
    pub fn pool_names(&self) -> impl Iterator<Item = &str> {
        let others = self.pools.iter().map(|pool| pool.name.as_str());
        std::iter::once(Self::DEFAULT_POOL).chain(others.filter(|name| *name != Self::DEFAULT_POOL))
    }
}

/// `[service.http]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Http {
    /// Octets of a request's head.
    #[serde(serialize_with = "size")]
    pub head: u64,
    /// Octets of one of its lines.
    #[serde(serialize_with = "size")]
    pub line: u64,
    /// Fields of a head.
    pub fields: u64,
    /// How long a client may take for a head.
    #[serde(serialize_with = "duration")]
    pub head_timeout: Duration,
    /// How long a client's connection may be at rest between requests.
    #[serde(serialize_with = "duration")]
    pub idle: Duration,
    /// What backends are told that a client wants which does not say so; absent: the VIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_host: Option<String>,
    /// `.` and `..` in paths are resolved.
    pub resolve_dots: bool,
    /// What needs no percent-encoding in paths is decoded.
    pub decode: bool,
    /// Slashes in a row are one.
    pub merge_slashes: bool,
    /// What becomes of a slash that is percent-encoded.
    pub encoded_slashes: EncodedSlash,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            head: 16 << 10,
            line: 8 << 10,
            fields: 100,
            head_timeout: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            default_host: None,
            resolve_dots: true,
            decode: true,
            merge_slashes: true,
            encoded_slashes: EncodedSlash::default(),
        }
    }
}

/// `[service.tls]`: by what the balancer proves itself to clients, and what it asks of them. All files are PEM.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tls {
    /// The oldest version that is spoken.
    pub minimum: TlsVersion,
    /// Whether clients have to prove who they are.
    pub client: ClientProof,
    /// Certificates of the authorities that vouch for clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// What they have revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
    /// Certificates; the first one is for clients that name no host, or one that there is none for.
    pub certificates: Vec<CertificateFiles>,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CertificateFiles {
    /// The host's certificate, then those that lead to the authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `tls` of a pool: by what its backends prove themselves, and the balancer to them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PoolTls {
    /// Whom backends have to prove to be, and are asked for.
    pub sni: String,
    /// Certificates of the authorities that vouch for them.
    pub ca: PathBuf,
    /// What these have revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
    /// What the balancer proves itself by, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// `[service.tells]`: what backends are told of clients.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tells {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    pub x_forwarded: bool,
    /// `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// `X-Request-Id`.
    pub request_id: bool,
    /// The balancer's name in `Via`; empty: no such field.
    pub via: String,
}

impl Default for Tells {
    fn default() -> Self {
        Self { x_forwarded: true, forwarded: true, request_id: true, via: "evenkeel".to_owned() }
    }
}

/// `[[service.pool]]`: how the backends of a pool are used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Pool {
    /// What it is called; unique in its service.
    pub name: String,
    /// How a backend is chosen.
    pub balance: Balance,
    /// What a backend is chosen by, with [`Balance::Maglev`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Connections to each backend, of all workers together, which share them evenly.
    pub connections: u32,
    /// Requests that wait for a connection to one backend, of all workers together.
    pub queue: u32,
    /// How long a request waits for one.
    #[serde(serialize_with = "duration")]
    pub queue_timeout: Duration,
    /// How long a connection to a backend may be at rest.
    #[serde(serialize_with = "duration")]
    pub idle: Duration,
    /// How long a backend that is new gets less than its share; zero: not at all.
    #[serde(serialize_with = "duration")]
    pub slow_start: Duration,
    /// Requests that wait for a connection to any backend, of all workers together.
    pub pending: u32,
    /// Connections to each backend that have become tunnels, of all workers together.
    pub tunnels: u32,
    /// Connections to backends begin with a header of the PROXY protocol, and each serves one client alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// TLS to backends; absent: they speak plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<PoolTls>,
    /// `[service.pool.retries]`: how much may be sent once more.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: Budget,
    /// `[service.pool.ejection]`: when a backend that fails is left alone for a while.
    #[serde(skip_serializing_if = "is_default")]
    pub ejection: Ejection,
}

/// `[service.pool.retries]`, for each worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Budget {
    /// Of a hundred requests, so many may be retried.
    pub percent: u32,
    /// And so many a second whatever else is asked.
    pub per_second: u32,
    /// What may be saved up.
    pub burst: u32,
    /// Retries under way at one time.
    pub at_once: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { percent: 20, per_second: 2, burst: 20, at_once: 16 }
    }
}

/// `[service.pool.ejection]`: each worker judges by what it sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Ejection {
    /// Backends that fail are left alone.
    pub enabled: bool,
    /// After so many failures one after the other.
    pub consecutive: u32,
    /// Or when so many of a hundred requests fail.
    pub percent: u32,
    /// In so long a time.
    #[serde(serialize_with = "duration")]
    pub window: Duration,
    /// In which there are so many requests at least.
    pub least: u32,
    /// For so long at least, and twice as long at most.
    #[serde(serialize_with = "duration")]
    pub quarantine: Duration,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive: 5,
            percent: 10,
            window: Duration::from_secs(30),
            least: 50,
            quarantine: Duration::from_secs(30),
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            name: Site::DEFAULT_POOL.to_owned(),
            balance: Balance::default(),
            by: None,
            connections: 100,
            queue: 100,
            queue_timeout: Duration::from_secs(1),
            idle: Duration::from_secs(60),
            slow_start: Duration::ZERO,
            pending: 1_000,
            tunnels: 1_000,
            proxy_protocol: None,
            tls: None,
            retries: Budget::default(),
            ejection: Ejection::default(),
        }
    }
}

/// What is hashed of a request: `"source"`, `"header NAME"` or `"cookie NAME"`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum By {
    /// The client's address.
    Source,
    /// The field of this name.
    Header(String),
    /// The cookie of this name.
    Cookie(String),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

impl Serialize for By {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `[[service.route]]`: which requests, and what becomes of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SiteRoute {
    /// What it is called; unique in its service.
    pub name: String,
    /// One of these hosts, as in `example.com` or `*.example.com`; any host if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// This path; any path if absent.
    #[serde(flatten)]
    pub path: Option<PathPattern>,
    /// One of these methods; any method if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// What the head's fields have to be like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Condition>,
    /// What the query's parameters have to be like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<Condition>,
    /// What the cookies have to be like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<Condition>,
    /// The pool that requests go to; the default one if nothing else becomes of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Pools that share them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub split: Vec<Share>,
    /// What keeps a client with one part of a split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<By>,
    /// What they are answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<RouteRespond>,
    /// Where clients are sent instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// What backends see other than clients asked for it.
    #[serde(skip_serializing_if = "is_default")]
    pub rewrite: Rewrite,
    /// Changes to the fields of requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<Edit>,
    /// Changes to the fields of responses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<Edit>,
    /// How long things may take.
    #[serde(flatten)]
    pub timeouts: RouteTimeouts,
    /// When a request is sent once more.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: Retries,
    /// Protocols that clients may go on with over their connection, in small letters.
    pub upgrades: Vec<String>,
}

impl SiteRoute {
    /// The protocol that clients may go on with where the file says nothing.
    pub const UPGRADE: &'static str = "websocket";

    /// True if its requests go to backends.
    #[must_use]
    pub const fn is_forwarded(&self) -> bool {
        self.respond.is_none() && self.redirect.is_none()
    }
}

/// `retries` of a route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Retries {
    /// How often a request is sent at most; 1 is never again.
    pub attempts: u8,
    /// Statuses upon which a request that is safe and has no content is sent to another backend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 3, statuses: Vec::new() }
    }
}

/// `respond` of a route: a short answer in plain text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RouteRespond {
    /// The status, 200 to 599.
    pub status: u16,
    /// The text; the status's own phrase if it is empty.
    pub text: String,
}

/// `redirect` of a route. What it does not say stays as the client asked for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Another scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Another host, and a port if it is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Another path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What stands in the place of the route's `path_prefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

impl Redirect {
    /// The status of a redirect that the file does not give one: for good, with method and content as they were.
    pub const STATUS: u16 = 308;
}

/// `rewrite` of a route.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Rewrite {
    /// Another host, and a port if it is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What stands in the place of the route's `path_prefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// A change to the fields of a head: `{ set = "X-Env", value = "beta" }` or `{ remove = "Server" }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Edit {
    /// What is done.
    #[serde(flatten)]
    pub change: Change,
    /// The field's value, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// What is done to the field of a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum Change {
    /// There is this field, and no other of the name.
    #[serde(rename = "set")]
    Set(String),
    /// There is this field beside those that there are.
    #[serde(rename = "add")]
    Add(String),
    /// There is no field of the name.
    #[serde(rename = "remove")]
    Remove(String),
}

impl Change {
    /// The keys of the file.
    pub const KEYS: [&'static str; 3] = ["set", "add", "remove"];

    /// The name of the field.
    #[must_use]
    pub fn name(&self) -> &str {
        let (Self::Set(name) | Self::Add(name) | Self::Remove(name)) = self;
        name
    }
}

/// The path of a route; the file has a key for each kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum PathPattern {
    /// This one.
    #[serde(rename = "path")]
    Exact(String),
    /// This one, and all below it.
    #[serde(rename = "path_prefix")]
    Prefix(String),
    /// Those that have the form of `/users/{id}` or `/files/{*rest}`.
    #[serde(rename = "path_template")]
    Template(String),
    /// Those that fit this regular expression as a whole.
    #[serde(rename = "path_regex")]
    Regex(String),
}

impl PathPattern {
    /// The keys of the file.
    pub const KEYS: [&'static str; 4] = ["path", "path_prefix", "path_template", "path_regex"];

    /// The key that it stands under, and its text.
    #[must_use]
    pub fn key_and_text(&self) -> (&'static str, &str) {
        match self {
            Self::Exact(text) => (Self::KEYS[0], text),
            Self::Prefix(text) => (Self::KEYS[1], text),
            Self::Template(text) => (Self::KEYS[2], text),
            Self::Regex(text) => (Self::KEYS[3], text),
        }
    }
}

/// A condition of a route: `{ name = "X-Env", is = "beta" }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Condition {
    /// Of the field, the parameter or the cookie.
    pub name: String,
    /// What is asked of its value.
    #[serde(flatten)]
    pub test: Test,
}

/// What is asked of a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum Test {
    /// It is there, or is not.
    #[serde(rename = "present")]
    Present(bool),
    /// It is this.
    #[serde(rename = "is")]
    Is(String),
    /// It begins with this.
    #[serde(rename = "begins")]
    Begins(String),
    /// It fits this regular expression somewhere.
    #[serde(rename = "fits")]
    Fits(String),
}

impl Test {
    /// The keys of the file.
    pub const KEYS: [&'static str; 4] = ["is", "begins", "fits", "present"];
}

/// A part of a split.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Share {
    /// The pool that it goes to.
    pub pool: String,
    /// How large it is against the others.
    pub weight: u32,
}

/// How long the requests of a route may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct RouteTimeouts {
    /// To connect to a backend.
    #[serde(rename = "connect_timeout", serialize_with = "duration")]
    pub connect: Duration,
    /// From when a backend has the request to when the head of its response has come.
    #[serde(rename = "response_timeout", serialize_with = "duration")]
    pub response: Duration,
    /// Without that anything of a request or its response moves.
    #[serde(rename = "idle_timeout", serialize_with = "duration")]
    pub idle: Duration,
    /// From the head of the request to the end of the response, retries included; absent: without end.
    #[serde(
        rename = "request_timeout",
        serialize_with = "some_duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub whole: Option<Duration>,
}

impl Default for RouteTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(500),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            whole: None,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&units::duration_text(*duration))
}

fn some_duration<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration(&value.unwrap_or_default(), serializer)
}

fn size<S: Serializer>(octets: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&units::size_text(*octets))
}
