//! Certificates, keys and authorities: read from the files that the configuration names, and what TLS is spoken with.
//!
//! Invariants: files are read at start and at reload alone; what cannot be used, or should not (a weak key, a certificate that has expired or
//! that is another key's), is refused under the file's name, all of it at once; what has not changed stays the very same in memory, so that
//! sessions go on to be resumed; a service's tickets are of no use to another service.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::{self as config, ClientProof, Config, PoolTls, TlsVersion, limits};
use evenkeel_l7::proxy::UpstreamTls;
use evenkeel_l7::tls::certificate::{self, Certificate};
use evenkeel_l7::tls::client::ClientTls;
use evenkeel_l7::tls::server::{Authorities, ClientCertificates, ServerTls};
use evenkeel_l7::tls::tickets::{KEY_LENGTH, Tickets, random_key};
use evenkeel_l7::tls::{ServerConfig, system_time};

/// How long sessions may be resumed.
const TICKET_LIFETIME_SECONDS: u32 = 12 * 3600;
/// How long a key makes tickets.
pub(crate) const ROTATION: Duration = Duration::from_secs(6 * 3600);
/// Keys of tickets that are known: the newest, and those that tickets may be of that are still good.
const TICKET_KEYS: usize = 3;

/// What is wrong with a file that a configuration names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// The service.
    pub service: String,
    /// The file; another one of the service's may be at fault with it.
    pub file: PathBuf,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service {}: {}: {}", self.service, self.file.display(), self.what)
    }
}

/// What TLS is spoken with, by service and pool.
#[derive(Clone, Default)]
pub struct Secrets {
    servers: HashMap<String, Server>,
    /// By service and pool.
    upstreams: HashMap<(String, String), Upstream>,
}

/// A service's.
#[derive(Clone)]
struct Server {
    /// Of all that it is made of.
    fingerprint: u64,
    certificates: Vec<Certificate>,
    clients: ClientCertificates,
    allows_1_2: bool,
    /// The newest first.
    keys: Vec<[u8; KEY_LENGTH]>,
    config: Arc<ServerConfig>,
}

impl Server {
    /// What it is made of becomes what sessions are made with.
    fn compile(
        certificates: &[Certificate],
        clients: &ClientCertificates,
        allows_1_2: bool,
        keys: &[[u8; KEY_LENGTH]],
    ) -> Result<Arc<ServerConfig>, String> {
        let tickets = Tickets::new(keys, TICKET_LIFETIME_SECONDS).map_err(|error| error.to_string())?;
        let server = ServerTls {
            certificates: certificates.to_vec(),
            clients: clients.clone(),
            protocols: vec![b"http/1.1".to_vec()],
            allows_1_2,
            tickets: Arc::new(tickets),
            time: system_time(),
        };
        server.compile().map_err(|error| error.to_string())
    }

    /// With a newer key, or as it was if there is none to be had.
    fn rotated(&self) -> Self {
        let keys: Vec<_> =
            random_key().into_iter().chain(self.keys.iter().copied()).take(TICKET_KEYS).collect();
        match Self::compile(&self.certificates, &self.clients, self.allows_1_2, &keys) {
            Ok(config) => Self { keys, config, ..self.clone() },
            Err(_) => self.clone(),
        }
    }
}

/// A pool's.
#[derive(Clone)]
struct Upstream {
    fingerprint: u64,
    tls: Arc<UpstreamTls>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (servers, upstreams) = (self.servers.len(), self.upstreams.len());
        f.debug_struct("Secrets")
            .field("servers", &servers)
            .field("upstreams", &upstreams)
            .finish_non_exhaustive()
    }
}

/// The same files said the same.
impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        let servers = |secrets: &Self| -> HashMap<String, u64> {
            secrets.servers.iter().map(|(name, server)| (name.clone(), server.fingerprint)).collect()
        };
        let upstreams = |secrets: &Self| -> HashMap<(String, String), u64> {
            secrets.upstreams.iter().map(|(name, upstream)| (name.clone(), upstream.fingerprint)).collect()
        };
        servers(self) == servers(other) && upstreams(self) == upstreams(other)
    }
}

impl Secrets {
    /// Reads what a configuration names. `now` is in seconds since 1970; what is as it was `before` is kept.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load(config: &Config, now: i64, before: &Self) -> Result<Self, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let mut secrets = Self::default();
        for service in &config.services {
            let mut reader =
                Reader { service: &service.name, now, hasher: DefaultHasher::new(), flaws: &mut flaws };
            if let Some(tls) = &service.site.tls
                && let Some(server) = reader.server(tls, before.servers.get(&service.name))
            {
                secrets.servers.insert(service.name.clone(), server);
            }
            for pool in &service.site.pools {
                let Some(tls) = &pool.tls else { continue };
                let key = (service.name.clone(), pool.name.clone());
                reader.hasher = DefaultHasher::new();
                if let Some(upstream) = reader.upstream(tls, before.upstreams.get(&key)) {
                    secrets.upstreams.insert(key, upstream);
                }
            }
        }
        if flaws.is_empty() { Ok(secrets) } else { Err(flaws) }
    }

    /// With newer keys for tickets.
    pub(crate) fn rotated(&self) -> Self {
        let servers = self.servers.iter().map(|(name, server)| (name.clone(), server.rotated()));
        Self { servers: servers.collect(), upstreams: self.upstreams.clone() }
    }

    /// True if there are tickets whose keys grow old.
    pub(crate) fn has_tickets(&self) -> bool {
        !self.servers.is_empty()
    }

    /// What a service speaks TLS with to its clients.
    pub(crate) fn server(&self, service: &str) -> Option<&Arc<ServerConfig>> {
        self.servers.get(service).map(|server| &server.config)
    }

    /// What a service speaks TLS with to the backends of a pool.
    pub(crate) fn upstream(&self, service: &str, pool: &str) -> Option<&Arc<UpstreamTls>> {
        self.upstreams.get(&(service.to_owned(), pool.to_owned())).map(|upstream| &upstream.tls)
    }
}

/// Reads the files of one service.
struct Reader<'r> {
    service: &'r str,
    now: i64,
    /// Of what was read.
    hasher: DefaultHasher,
    flaws: &'r mut Vec<Flaw>,
}

impl Reader<'_> {
    fn server(&mut self, tls: &config::Tls, before: Option<&Server>) -> Option<Server> {
        let flaws = self.flaws.len();
        let config::Tls { minimum, client, ca, crl, certificates } = tls;
        (minimum.to_string(), client.to_string()).hash(&mut self.hasher);
        let files: Vec<&config::CertificateFiles> = certificates.iter().collect();
        let certificates: Vec<Certificate> =
            files.iter().filter_map(|files| self.certificate(&files.chain, &files.key)).collect();
        let authorities = ca.as_ref().map(|ca| self.authorities(ca, crl.as_deref()));
        if self.flaws.len() > flaws {
            return None;
        }
        let fingerprint = self.hasher.finish();
        if let Some(before) = before.filter(|before| before.fingerprint == fingerprint) {
            return Some(before.clone());
        }
        let clients = match (client, authorities.flatten()) {
            (ClientProof::Optional, Some(authorities)) => ClientCertificates::Optional(authorities),
            (ClientProof::Required, Some(authorities)) => ClientCertificates::Required(authorities),
            _ => ClientCertificates::Off,
        };
        // Who must prove who they are now, or in another way, do not resume what was begun before.
        let mut keys: Vec<_> = random_key().into_iter().collect();
        let before = before.filter(|_| *client == ClientProof::Off);
        keys.extend(before.into_iter().flat_map(|before| &before.keys).take(TICKET_KEYS - 1));
        let allows_1_2 = *minimum == TlsVersion::V12;
        let compiled = Server::compile(&certificates, &clients, allows_1_2, &keys);
        let config = self.settle(&files.first()?.chain, compiled)?;
        Some(Server { fingerprint, certificates, clients, allows_1_2, keys, config })
    }

    fn upstream(&mut self, tls: &PoolTls, before: Option<&Upstream>) -> Option<Upstream> {
        let flaws = self.flaws.len();
        tls.sni.hash(&mut self.hasher);
        let authorities = self.authorities(&tls.ca, tls.crl.as_deref());
        let certificate = match (&tls.certificate, &tls.key) {
            (Some(chain), Some(key)) => self.certificate(chain, key),
            _ => None,
        };
        if self.flaws.len() > flaws {
            return None;
        }
        let fingerprint = self.hasher.finish();
        if let Some(before) = before.filter(|before| before.fingerprint == fingerprint) {
            return Some(before.clone());
        }
        let client = ClientTls {
            authorities: authorities?,
            certificate,
            protocols: vec![b"http/1.1".to_vec()],
            time: system_time(),
        };
        let compiled = client.compile().map_err(|error| error.to_string()).and_then(|client| {
            UpstreamTls::new(client, &tls.sni)
                .ok_or_else(|| format!("{:?} is no name that can be proved", tls.sni))
        });
        let tls = Arc::new(self.settle(&tls.ca, compiled)?);
        Some(Upstream { fingerprint, tls })
    }

    fn certificate(&mut self, chain: &Path, key: &Path) -> Option<Certificate> {
        let (chain_pem, key_pem) = (self.read(chain), self.read(key));
        let (chain_pem, key_pem) = (chain_pem?, key_pem?);
        let read = Certificate::from_pem(&chain_pem, &key_pem, self.now);
        let file = match &read {
            Err(certificate::CertificateError::NoKey | certificate::CertificateError::OtherKey) => key,
            _ => chain,
        };
        self.settle(file, read.map_err(|error| error.to_string()))
    }

    fn authorities(&mut self, ca: &Path, crl: Option<&Path>) -> Option<Authorities> {
        let roots =
            self.read(ca).map(|pem| certificate::certificates(&pem).map_err(|error| error.to_string()));
        let roots = roots.and_then(|roots| self.settle(ca, roots));
        let revoked = match crl {
            None => Some(Vec::new()),
            Some(crl) => self
                .read(crl)
                .map(|pem| certificate::revocation_lists(&pem).map_err(|error| error.to_string()))
                .and_then(|revoked| self.settle(crl, revoked)),
        };
        Some(Authorities { roots: roots?, revoked: revoked? })
    }

    fn read(&mut self, file: &Path) -> Option<Vec<u8>> {
        let mut octets = Vec::new();
        let read = File::open(file)
            .and_then(|opened| opened.take(limits::PEM_OCTETS + 1).read_to_end(&mut octets))
            .map_err(|error| error.to_string());
        let read = match read {
            Ok(_) if octets.len() as u64 > limits::PEM_OCTETS => {
                Err(format!("it is larger than {} octets", limits::PEM_OCTETS))
            }
            other => other,
        };
        self.settle(file, read)?;
        octets.hash(&mut self.hasher);
        Some(octets)
    }

    fn settle<T>(&mut self, file: &Path, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| {
            self.flaws.push(Flaw { service: self.service.to_owned(), file: file.to_owned(), what });
        })
        .ok()
    }
}

#[cfg(test)]
mod tests;
