//! Certificates and keys from PEM, and what is wrong with them.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Bits that an RSA key has at least.
const LEAST_RSA_BITS: usize = 2048;

/// What is wrong with a certificate or its key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    /// The text has no certificate in it, or none that can be read.
    #[error("there is no certificate in it that can be read")]
    NoCertificate,
    /// The text has no private key in it, or none that can be used.
    #[error("there is no private key in it that can be used")]
    NoKey,
    /// The text has no revocation list in it, or none that can be read.
    #[error("there is no revocation list in it that can be read")]
    NoRevocationList,
    /// The key is another certificate's.
    #[error("the private key is not the certificate's")]
    OtherKey,
    /// Too easy to break.
    #[error("the key is too weak: {0}")]
    WeakKey(String),
    /// Too easy to forge.
    #[error("the certificate is signed by {0}, which can be forged")]
    WeakSignature(String),
    /// It has ended.
    #[error("the certificate has expired ({0})")]
    Expired(String),
    /// It has not begun.
    #[error("the certificate is not valid yet (from {0})")]
    NotYetValid(String),
    /// A client could not tell whom it talks to.
    #[error("the certificate names no host")]
    NoNames,
}

/// A chain of certificates, its key, and whom it is for.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// What rustls proves by.
    pub key: Arc<CertifiedKey>,
    /// The names of hosts in it, in small letters; the first label may be an asterisk.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
}

impl Certificate {
    /// Reads a chain, the host's own certificate first, and its key, both in PEM. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be used, or should not.
    pub fn from_pem(chain: &[u8], key: &[u8], now: i64) -> Result<Self, CertificateError> {
        let chain = certificates(chain)?;
        let end = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (names, expires) = inspect(end, now)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        let key = any_supported_type(&key).map_err(|_| CertificateError::NoKey)?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| CertificateError::OtherKey)?;
        Ok(Self { key: Arc::new(certified), names, expires })
    }
}

/// The certificates of a PEM text.
///
/// # Errors
/// When there is none, or one that cannot be read.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or(CertificateError::NoCertificate)
}

/// The revocation lists of a PEM text.
///
/// # Errors
/// When there is none, or one that cannot be read.
pub fn revocation_lists(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, CertificateError> {
    let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or(CertificateError::NoRevocationList)
}

/// The names in a certificate, and when it ends, if it can be relied on now.
fn inspect(der: &CertificateDer<'_>, now: i64) -> Result<(Vec<String>, i64), CertificateError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::NoCertificate)?;
    let validity = certificate.validity();
    if validity.not_after.timestamp() < now {
        return Err(CertificateError::Expired(validity.not_after.to_string()));
    }
    if validity.not_before.timestamp() > now {
        return Err(CertificateError::NotYetValid(validity.not_before.to_string()));
    }
    check_strength(&certificate)?;
    let names = names(&certificate);
    if names.is_empty() {
        Err(CertificateError::NoNames)
    } else {
        Ok((names, validity.not_after.timestamp()))
    }
}

fn check_strength(certificate: &X509Certificate<'_>) -> Result<(), CertificateError> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < LEAST_RSA_BITS => {
            return Err(CertificateError::WeakKey(format!("RSA with {} bits", key.key_size())));
        }
        Ok(PublicKey::EC(point)) if point.key_size() < 256 => {
            return Err(CertificateError::WeakKey(format!("an elliptic curve of {} bits", point.key_size())));
        }
        Ok(PublicKey::DSA(_)) => return Err(CertificateError::WeakKey("DSA".to_owned())),
        _ => {}
    }
    // RFC 3279, section 2.2: MD2, MD5 and SHA-1 with RSA, SHA-1 with DSA and with ECDSA.
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    let forgeable = [
        ("1.2.840.113549.1.1.2", "MD2"),
        ("1.2.840.113549.1.1.4", "MD5"),
        ("1.2.840.113549.1.1.5", "SHA-1"),
        ("1.2.840.10040.4.3", "SHA-1"),
        ("1.2.840.10045.4.1", "SHA-1"),
    ];
    match forgeable.iter().find(|(id, _)| *id == algorithm) {
        Some((_, name)) => Err(CertificateError::WeakSignature((*name).to_owned())),
        None => Ok(()),
    }
}

/// RFC 6125, section 6.4.4: the names that are alternatives; the common name is none of them any more.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}
