//! Certificates for tests.

use std::time::Duration;

use evenkeel_l7::tls::certificate::{Certificate, certificates};
use evenkeel_l7::tls::server::Authorities;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateRevocationListDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;

/// 2027-01-01, in seconds since 1970.
pub(crate) const NOW: i64 = 1_798_761_600;

/// The time of tests.
#[derive(Debug)]
pub(crate) struct Still;

impl TimeProvider for Still {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(NOW as u64)))
    }
}

/// Somebody who vouches for others.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as files have them.
pub(crate) struct Pem {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Pem {
    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.chain.as_bytes(), self.key.as_bytes(), NOW).unwrap()
    }

    /// What others prove by, who look at no time.
    pub(crate) fn certified(&self) -> CertifiedKey {
        let earlier = 1_750_000_000;
        let certificate = Certificate::from_pem(self.chain.as_bytes(), self.key.as_bytes(), earlier);
        CertifiedKey::clone(&certificate.unwrap().key)
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Vouches for these names from 2025 to the first of January of the year `until`.
    pub(crate) fn issue(&self, names: &[&str], serial: u64, until: i32) -> Pem {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pem { chain, key: key.serialize_pem() }
    }

    /// Says that the certificate with this number is not to be trusted any more.
    pub(crate) fn revoke(&self, serial: u64) -> CertificateRevocationListDer<'static> {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2025, 2, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 2, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().into()
    }

    pub(crate) fn trusted(&self) -> Authorities {
        Authorities { roots: certificates(self.pem.as_bytes()).unwrap(), revoked: Vec::new() }
    }
}
