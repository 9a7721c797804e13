//! TLS towards clients.

use std::sync::Arc;

use hashbrown::HashMap;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::SetupError;
use super::certificate::Certificate;
use super::tickets::Tickets;

/// Whether clients have to prove who they are.
#[derive(Clone, Debug, Default)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked, and may say nothing; what they say is checked.
    Optional(Authorities),
    /// They are asked, and have to.
    Required(Authorities),
}

/// Who may vouch for the other side, and what was revoked.
#[derive(Clone, Debug, Default)]
pub struct Authorities {
    /// Certificates of authorities.
    pub roots: Vec<CertificateDer<'static>>,
    /// Revocation lists. Where there are any, a certificate that none of them is about is trusted.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// What a listener's TLS is made of.
#[derive(Debug)]
pub struct ServerTls {
    /// Certificates; the first one is for clients that name no host, or one that there is no certificate for.
    pub certificates: Vec<Certificate>,
    /// Whether clients have to prove who they are.
    pub clients: ClientCertificates,
    /// Protocols, the preferred one first.
    pub protocols: Vec<Vec<u8>>,
    /// Whether TLS 1.2 is spoken beside 1.3.
    pub allows_1_2: bool,
    /// What sessions are resumed by.
    pub tickets: Arc<Tickets>,
    /// What the time is, for whoever asks whether a certificate has expired.
    pub time: Arc<dyn TimeProvider>,
}

impl ServerTls {
    /// Compiles it into what sessions are made with.
    ///
    /// # Errors
    /// When something is missing.
    pub fn compile(self) -> Result<Arc<ServerConfig>, SetupError> {
        let provider = Arc::new(default_provider());
        let versions: &[_] = if self.allows_1_2 { &[&TLS13, &TLS12] } else { &[&TLS13] };
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), self.time);
        let builder = builder.with_protocol_versions(versions)?;
        let (authorities, is_required) = match self.clients {
            ClientCertificates::Off => (None, false),
            ClientCertificates::Optional(authorities) => (Some(authorities), false),
            ClientCertificates::Required(authorities) => (Some(authorities), true),
        };
        let builder = match authorities {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.store()?), provider)
                        .with_crls(authorities.revoked)
                        .allow_unknown_revocation_status();
                if !is_required {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier =
                    verifier.build().map_err(|error| SetupError::Authorities(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(&self.certificates)?));
        config.alpn_protocols = self.protocols;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = self.tickets;
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}

impl Authorities {
    /// The authorities as rustls takes them.
    ///
    /// # Errors
    /// When one of them is no certificate.
    pub fn store(&self) -> Result<RootCertStore, rustls::Error> {
        let mut store = RootCertStore::empty();
        for root in &self.roots {
            store.add(root.clone())?;
        }
        Ok(store)
    }
}

/// Certificates by the name that a client asks for (RFC 6066, section 3).
#[derive(Debug)]
struct ByName {
    exact: HashMap<String, Arc<CertifiedKey>, foldhash::fast::FixedState>,
    /// By what follows the first label (RFC 6125, section 6.4.3).
    wildcard: HashMap<String, Arc<CertifiedKey>, foldhash::fast::FixedState>,
    default: Arc<CertifiedKey>,
}

impl ByName {
    fn new(certificates: &[Certificate]) -> Result<Self, SetupError> {
        let default = Arc::clone(&certificates.first().ok_or(SetupError::NoCertificate)?.key);
        let mut by_name = Self { exact: HashMap::default(), wildcard: HashMap::default(), default };
        for certificate in certificates {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(domain) => (&mut by_name.wildcard, domain),
                    None => (&mut by_name.exact, name.as_str()),
                };
                // The one that stands first in the configuration.
                names.entry(name.to_owned()).or_insert_with(|| Arc::clone(&certificate.key));
            }
        }
        Ok(by_name)
    }

    fn find(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let found = name.and_then(|name| {
            let wildcard = || self.wildcard.get(name.split_once('.')?.1);
            self.exact.get(name).or_else(wildcard)
        });
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives names in small letters.
        Some(Arc::clone(self.find(client.server_name())))
    }
}
