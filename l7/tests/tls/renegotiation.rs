//! A client of TLS 1.2 that wants to renegotiate (RFC 5746, section 5: nobody has to).

use std::io::{Read, Write};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use evenkeel_l7::tls::Session;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ConnectionTrafficSecrets};

use crate::authority::{Authority, Still};
use crate::{End, server_tls};

/// A record of TLS 1.2 by AES-GCM (RFC 5288, section 3).
fn record(kind: u8, plain: &[u8], sequence: u64, key: &[u8], iv: &[u8]) -> Vec<u8> {
    let length = (plain.len() as u16).to_be_bytes();
    let explicit = sequence.to_be_bytes();
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&iv[..4]);
    nonce[4..].copy_from_slice(&explicit);
    let aad = [&sequence.to_be_bytes()[..], &[kind, 3, 3], &length].concat();
    let mut sealed = plain.to_vec();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed).unwrap();
    let whole = ((explicit.len() + sealed.len()) as u16).to_be_bytes();
    [&[kind, 3, 3][..], &whole, &explicit, &sealed].concat()
}

#[test]
fn nobody_renegotiates() {
    let authority = Authority::new();
    let server = server_tls(&[&authority.issue(&["a.example"], 1, 2100)]).compile().unwrap();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites =
        vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384];
    let builder = ClientConfig::builder_with_details(Arc::new(provider), Arc::new(Still));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
    let roots = authority.trusted().store().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.enable_secret_extraction = true;
    let name = ServerName::try_from("a.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut end = End::new(Session::server(&server).unwrap(), Vec::new());
    let mut hello = Vec::new();
    let exchange = |client: &mut ClientConnection, end: &mut End| {
        let mut octets = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut octets).unwrap();
        }
        end.take(&octets).unwrap();
        let answer = std::mem::take(&mut end.out);
        client.read_tls(&mut &answer[..]).unwrap();
        client.process_new_packets().unwrap();
        octets
    };
    for round in 0..3 {
        let octets = exchange(&mut client, &mut end);
        if round == 0 {
            hello = octets;
        }
    }
    client.writer().write_all(b"question").unwrap();
    exchange(&mut client, &mut end);
    assert_eq!(end.told, b"question");
    end.send(b"answer");
    exchange(&mut client, &mut end);
    let mut heard = Vec::new();
    let _ = client.reader().read_to_end(&mut heard);
    assert_eq!(heard, b"answer");
    let secrets = client.dangerous_extract_secrets().unwrap();
    let (sequence, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
        panic!("another cipher")
    };
    // The first one is answered by a warning, no_renegotiation, and changes nothing; whoever insists is gone.
    end.take(&record(22, &hello[5..], sequence, key.as_ref(), iv.as_ref())).unwrap();
    assert_eq!(end.out.first(), Some(&21));
    end.take(&record(23, b" and more", sequence + 1, key.as_ref(), iv.as_ref())).unwrap();
    assert_eq!(end.told, b"question and more");
    let again = |at: u64| record(22, &hello[5..], sequence + 2 + at, key.as_ref(), iv.as_ref());
    assert!((0..4).any(|at| end.take(&again(at)).is_err()));
}
