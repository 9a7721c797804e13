//! Who a client is by its certificate, as backends are told.

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use crate::http::{Field, HeadWriter, Name};

/// Octets of a text at most. What is longer is not told, since half a name may be another's.
const MOST: usize = 2 << 10;

/// Characters that have a meaning in a distinguished name (RFC 4514, section 2.4).
const SPECIAL: &str = ",+\"\\<>;=#";

/// A client's certificate that was verified, in words that fit into fields.
///
/// Fields of these names that a client sends are never passed on ([`Identity::is_claimed_by`]), so that those that a backend gets are ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The distinguished name, as RFC 4514 writes it.
    pub subject: String,
    /// Its other names, each with its kind: `DNS:a.example,URI:spiffe://b/c`.
    pub names: String,
    /// SHA-256 of all of it, in hexadecimal.
    pub fingerprint: String,
}

impl Identity {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let fingerprint = digest(&SHA256, certificate);
        let told = |text: String| if text.len() <= MOST { text } else { String::new() };
        Some(Self {
            subject: told(distinguished(parsed.subject())),
            names: told(alternatives(&parsed)),
            fingerprint: fingerprint.as_ref().iter().map(|octet| format!("{octet:02x}")).collect(),
        })
    }

    /// True for a field by which a client could claim to be somebody. A server may take an underscore for a hyphen (RFC 3875, section 4.1.18).
    #[must_use]
    pub fn is_claimed_by(field: Field<'_>) -> bool {
        const PREFIX: &str = "x-client-cert-";
        let same =
            |(given, known): (u8, u8)| given.to_ascii_lowercase() == known || given == b'_' && known == b'-';
        field.text.len() > PREFIX.len() && field.text.bytes().zip(PREFIX.bytes()).all(same)
    }

    /// Adds the fields that say it.
    pub fn write(&self, head: &mut HeadWriter<'_>) {
        let all = [
            (Name::XClientCertSubject, &self.subject),
            (Name::XClientCertNames, &self.names),
            (Name::XClientCertSha256, &self.fingerprint),
        ];
        for (name, text) in all.into_iter().filter(|(_, text)| !text.is_empty()) {
            head.field(name, text);
        }
    }
}

fn distinguished(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let all: Vec<_> = name.iter().collect();
    // The most specific first.
    for relative in all.into_iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        for (number, attribute) in relative.iter().enumerate() {
            if number > 0 {
                text.push('+');
            }
            let kind = attribute.attr_type();
            match oid2abbrev(kind, oid_registry()) {
                Ok(word) => text.push_str(word),
                Err(_) => text.push_str(&kind.to_id_string()),
            }
            text.push('=');
            escape(attribute.as_str().unwrap_or("?"), SPECIAL, &mut text);
        }
    }
    text
}

fn alternatives(certificate: &X509Certificate<'_>) -> String {
    let mut text = String::new();
    let extension = certificate.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        let (kind, value) = match name {
            GeneralName::DNSName(name) => ("DNS:", *name),
            GeneralName::URI(name) => ("URI:", *name),
            GeneralName::RFC822Name(name) => ("EMAIL:", *name),
            _ => continue,
        };
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(kind);
        escape(value, ",\\", &mut text);
    }
    text
}

/// Whatever is in `value` stays one value of visible ASCII.
fn escape(value: &str, special: &str, out: &mut String) {
    for octet in value.bytes() {
        match octet {
            b' '..=b'~' if special.contains(char::from(octet)) => out.extend(['\\', char::from(octet)]),
            b' '..=b'~' => out.push(char::from(octet)),
            _ => out.push_str(&format!("\\{octet:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_cannot_be_made_to_look_like_others() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://b/c,DNS:d.example".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Good, Inc.");
        params.distinguished_name.push(DnType::CommonName, "x,O=Other\r\nX-Admin: é");
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let identity = Identity::of(der.der()).unwrap();
        assert_eq!(identity.subject, r"CN=x\,O\=Other\0D\0AX-Admin: \C3\A9,O=Good\, Inc.");
        assert_eq!(identity.names, r"DNS:a.example,URI:spiffe://b/c\,DNS:d.example");
        assert_eq!(identity.fingerprint.len(), 64);
        let mut out = Vec::new();
        identity.write(&mut HeadWriter::own(&mut out, 200, None));
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 4);
        assert_eq!(Identity::of(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
