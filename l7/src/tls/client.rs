//! TLS towards backends.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};

use super::SetupError;
use super::certificate::Certificate;
use super::server::Authorities;

/// What the TLS to a service's backends is made of.
#[derive(Debug)]
pub struct ClientTls {
    /// Who vouches for backends. There is no default: backends are the operator's own.
    pub authorities: Authorities,
    /// What the balancer proves itself by, if backends ask for it.
    pub certificate: Option<Certificate>,
    /// Protocols, the preferred one first.
    pub protocols: Vec<Vec<u8>>,
    /// What the time is, for whoever asks whether a certificate has expired.
    pub time: Arc<dyn TimeProvider>,
}

impl ClientTls {
    /// Compiles it into what sessions are made with. Sessions are resumed where backends offer it.
    ///
    /// # Errors
    /// When something is missing.
    pub fn compile(self) -> Result<Arc<ClientConfig>, SetupError> {
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_details(Arc::clone(&provider), self.time);
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12])?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(self.authorities.store()?), provider)
                .with_crls(self.authorities.revoked)
                .allow_unknown_revocation_status()
                .build()
                .map_err(|error| SetupError::Authorities(error.to_string()))?;
        let builder = builder.with_webpki_verifier(verifier);
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => builder
                .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certificate.key))),
        };
        config.alpn_protocols = self.protocols;
        Ok(Arc::new(config))
    }
}
