//! Both sides of TLS against each other: names, protocols, proofs, resumption, ends, and what is wrong.

#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "shared: another test has certificates that have expired")]
mod authority;
mod renegotiation;

use std::sync::Arc;

use authority::{Authority, NOW, Pem, Still};
use evenkeel_l7::tls::certificate::{Certificate, CertificateError};
use evenkeel_l7::tls::client::ClientTls;
use evenkeel_l7::tls::server::{ClientCertificates, ServerTls};
use evenkeel_l7::tls::tickets::{KEY_LENGTH, Tickets};
use evenkeel_l7::tls::{Session, TlsError, record_length};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

/// One side, and what it has got and not yet given.
struct End {
    session: Session,
    /// Ciphertext that has come, not yet whole records.
    arrived: Vec<u8>,
    told: Vec<u8>,
    out: Vec<u8>,
}

impl End {
    fn new(session: Session, out: Vec<u8>) -> Self {
        Self { session, arrived: Vec::new(), told: Vec::new(), out }
    }

    /// Takes octets as they come, and of them as many records as are whole.
    fn take(&mut self, octets: &[u8]) -> Result<(), TlsError> {
        self.arrived.extend_from_slice(octets);
        while let Some(length) = record_length(&self.arrived)?.filter(|length| *length <= self.arrived.len())
        {
            let mut record: Vec<u8> = self.arrived.drain(..length).collect();
            let Self { session, told, out, .. } = self;
            session.receive(&mut record, out, |plain| told.extend_from_slice(plain))?;
        }
        Ok(())
    }

    fn send(&mut self, plain: &[u8]) {
        self.session.send(plain, &mut self.out).unwrap();
    }
}

/// Two ends, and a wire that carries so many octets at a time.
struct Pair {
    client: End,
    server: End,
    piece: usize,
}

impl Pair {
    fn new(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &'static str) -> Self {
        let mut out = Vec::new();
        let client = Session::client(client, ServerName::try_from(name).unwrap(), &mut out).unwrap();
        let client = End::new(client, out);
        Self { client, server: End::new(Session::server(server).unwrap(), Vec::new()), piece: usize::MAX }
    }

    /// Carries whatever there is, both ways, until there is nothing more; of errors the first, and what it leads to.
    fn carry(&mut self) -> Result<(), TlsError> {
        let mut result = Ok(());
        loop {
            let (to_server, to_client) =
                (std::mem::take(&mut self.client.out), std::mem::take(&mut self.server.out));
            if to_server.is_empty() && to_client.is_empty() {
                return result;
            }
            let (piece, Self { client, server, .. }) = (self.piece, &mut *self);
            for (octets, end) in [(to_server, &mut *server), (to_client, &mut *client)] {
                for octets in octets.chunks(piece) {
                    if let Err(error) = end.take(octets) {
                        result = result.and(Err(error));
                        break;
                    }
                }
            }
        }
    }
}

fn tickets() -> Arc<Tickets> {
    Arc::new(Tickets::new(&[[7; KEY_LENGTH]], 3600).unwrap())
}

fn server_tls(certificates: &[&Pem]) -> ServerTls {
    ServerTls {
        certificates: certificates.iter().map(|pem| pem.certificate()).collect(),
        clients: ClientCertificates::Off,
        protocols: vec![b"http/1.1".to_vec()],
        allows_1_2: true,
        tickets: tickets(),
        time: Arc::new(Still),
    }
}

fn client_tls(authority: &Authority) -> ClientTls {
    ClientTls {
        authorities: authority.trusted(),
        certificate: None,
        protocols: vec![b"http/1.1".to_vec()],
        time: Arc::new(Still),
    }
}

#[test]
fn what_is_said_arrives_however_records_are_cut() {
    let authority = Authority::new();
    let server = server_tls(&[&authority.issue(&["a.example"], 1, 2100)]).compile().unwrap();
    let client = client_tls(&authority).compile().unwrap();
    for piece in [usize::MAX, 1, 7, 1448] {
        let mut pair = Pair::new(&client, &server, "a.example");
        pair.piece = piece;
        pair.carry().unwrap();
        assert!(pair.client.session.is_established() && pair.server.session.is_established());
        assert_eq!(pair.server.session.protocol(), Some(&b"http/1.1"[..]));
        // More than fits into one record.
        let answer: Vec<u8> = (0..40_000_u32).map(|number| number as u8).collect();
        pair.client.send(b"question");
        pair.server.send(&answer);
        pair.carry().unwrap();
        assert_eq!(pair.server.told, b"question");
        assert!(pair.client.told == answer, "{piece}");
        assert!(!pair.client.session.is_at_end());
        pair.server.session.close(&mut pair.server.out).unwrap();
        pair.carry().unwrap();
        assert!(pair.client.session.is_at_end() && !pair.server.session.is_at_end());
    }
}

#[test]
fn certificates_are_found_by_name() {
    let authority = Authority::new();
    let first = authority.issue(&["default.example"], 1, 2100);
    let exact = authority.issue(&["a.example", "b.example"], 2, 2100);
    let wildcard = authority.issue(&["*.w.example"], 3, 2100);
    let server = server_tls(&[&first, &wildcard, &exact]).compile().unwrap();
    let client = client_tls(&authority).compile().unwrap();
    for (name, pem) in [
        ("a.example", &exact),
        ("b.example", &exact),
        ("c.w.example", &wildcard),
        ("default.example", &first),
    ] {
        let mut pair = Pair::new(&client, &server, name);
        pair.carry().unwrap();
        let proof = pair.client.session.peer().unwrap().clone();
        assert_eq!(Some(&proof), pem.certificate().key.cert.first(), "{name}");
    }
    // The default one is no proof for another name, and an asterisk stands for one label.
    for name in ["other.org", "x.y.w.example"] {
        let refused = Pair::new(&client, &server, name).carry().unwrap_err();
        assert!(
            matches!(refused, TlsError::Protocol(rustls::Error::InvalidCertificate(_))),
            "{name}: {refused}"
        );
    }
}

#[test]
fn sessions_are_resumed_as_long_as_the_keys_are_known() {
    let authority = Authority::new();
    let pem = authority.issue(&["a.example"], 1, 2100);
    let client = client_tls(&authority).compile().unwrap();
    let meet = |server: &Arc<ServerConfig>| {
        let mut pair = Pair::new(&client, server, "a.example");
        pair.carry().unwrap();
        assert_eq!(pair.client.session.is_resumed(), pair.server.session.is_resumed());
        pair.server.session.is_resumed()
    };
    let server = server_tls(&[&pem]).compile().unwrap();
    assert!(!meet(&server));
    assert!(meet(&server));
    // Another worker, or the same after a reload: what counts is the keys.
    assert!(meet(&server_tls(&[&pem]).compile().unwrap()));
    let rotated = Arc::new(Tickets::new(&[[8; KEY_LENGTH], [7; KEY_LENGTH]], 3600).unwrap());
    assert!(meet(&ServerTls { tickets: rotated, ..server_tls(&[&pem]) }.compile().unwrap()));
    let forgotten = Arc::new(Tickets::new(&[[9; KEY_LENGTH]], 3600).unwrap());
    assert!(!meet(&ServerTls { tickets: forgotten, ..server_tls(&[&pem]) }.compile().unwrap()));
}

#[test]
fn clients_prove_who_they_are() {
    let (ours, others) = (Authority::new(), Authority::new());
    let pem = ours.issue(&["a.example"], 1, 2100);
    let [known, revoked] = [2, 3].map(|serial| ours.issue(&["client.example"], serial, 2100));
    let stranger = others.issue(&["client.example"], 4, 2100);
    let mut trusted = ours.trusted();
    trusted.revoked.push(ours.revoke(3));
    let meet = |clients: ClientCertificates, by: Option<&Pem>| {
        let server = ServerTls { clients, ..server_tls(&[&pem]) }.compile().unwrap();
        let client =
            ClientTls { certificate: by.map(Pem::certificate), ..client_tls(&ours) }.compile().unwrap();
        let mut pair = Pair::new(&client, &server, "a.example");
        pair.carry().map(|()| pair.server.session.peer().cloned())
    };
    let required = || ClientCertificates::Required(trusted.clone());
    let optional = || ClientCertificates::Optional(trusted.clone());
    let proof = known.certificate().key.cert.first().cloned();
    assert_eq!(meet(ClientCertificates::Off, Some(&known)), Ok(None));
    assert_eq!(meet(required(), Some(&known)), Ok(proof.clone()));
    assert_eq!(meet(optional(), Some(&known)), Ok(proof));
    assert_eq!(meet(optional(), None), Ok(None));
    for (clients, by) in [
        (required(), None),
        (required(), Some(&stranger)),
        (optional(), Some(&stranger)),
        (required(), Some(&revoked)),
    ] {
        assert!(matches!(meet(clients, by), Err(TlsError::Protocol(_))));
    }
}

#[test]
fn the_version_is_what_both_speak() {
    let authority = Authority::new();
    let pem = authority.issue(&["a.example"], 1, 2100);
    let client = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let roots = authority.trusted().store().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    };
    let old = client(&[&rustls::version::TLS12]);
    let both = server_tls(&[&pem]).compile().unwrap();
    let mut pair = Pair::new(&old, &both, "a.example");
    pair.carry().unwrap();
    pair.client.send(b"question");
    pair.carry().unwrap();
    assert_eq!(pair.server.told, b"question");
    let new_only = ServerTls { allows_1_2: false, ..server_tls(&[&pem]) }.compile().unwrap();
    assert!(Pair::new(&old, &new_only, "a.example").carry().is_err());
}

#[test]
fn what_is_wrong_ends_a_session_and_is_told_to_the_other_side() {
    let authority = Authority::new();
    let server = server_tls(&[&authority.issue(&["a.example"], 1, 2100)]).compile().unwrap();
    let client = client_tls(&authority).compile().unwrap();
    let mut pair = Pair::new(&client, &server, "a.example");
    pair.carry().unwrap();
    pair.client.send(b"question");
    let last = pair.client.out.len() - 1;
    pair.client.out[last] ^= 1;
    let forged = std::mem::take(&mut pair.client.out);
    assert!(matches!(pair.server.take(&forged), Err(TlsError::Protocol(rustls::Error::DecryptError))));
    assert_eq!(pair.server.told, b"");
    // The alert, and the client's end by it.
    assert!(matches!(pair.carry(), Err(TlsError::Protocol(rustls::Error::AlertReceived(_)))));
    let mut end = End::new(Session::server(&server).unwrap(), Vec::new());
    assert_eq!(end.take(b"GET / HTTP/1.1\r\n"), Err(TlsError::NotTls));
    let mut end = End::new(Session::server(&server).unwrap(), Vec::new());
    assert!(end.take(&[22, 3, 1, 0, 4, 1, 0, 0, 0]).is_err());
}

#[test]
fn a_handshake_message_may_come_in_several_records() {
    let authority = Authority::new();
    let server = server_tls(&[&authority.issue(&["a.example"], 1, 2100)]).compile().unwrap();
    let client = client_tls(&authority).compile().unwrap();
    for piece in [1, 50, 200] {
        let mut pair = Pair::new(&client, &server, "a.example");
        let hello = std::mem::take(&mut pair.client.out);
        for fragment in hello[5..].chunks(piece) {
            let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
            pair.server.take(&[&[22, 3, 1, length[0], length[1]], fragment].concat()).unwrap();
        }
        pair.carry().unwrap();
        assert!(pair.client.session.is_established(), "{piece}");
        // What was begun and then broken off by another is no harm.
        let mut end = End::new(Session::server(&server).unwrap(), Vec::new());
        end.take(&[&[22, 3, 1, 0, 9], &hello[5..14]].concat()).unwrap();
        assert!(end.take(&[20, 3, 3, 0, 1, 1]).is_err());
        assert!(end.take(&[22, 3, 3, 0, 1, 1]).is_err());
    }
    // One that never ends.
    let mut end = End::new(Session::server(&server).unwrap(), Vec::new());
    end.take(&[22, 3, 1, 0, 4, 1, 0, 0xff, 0xff]).unwrap();
    let more = [&[22, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    assert!((0..8).any(|_| end.take(&more).is_err()));
}

/// Anything at all, before, in and after a handshake.
#[test]
fn nothing_makes_a_session_panic() {
    let authority = Authority::new();
    let server = server_tls(&[&authority.issue(&["a.example"], 1, 2100)]).compile().unwrap();
    let client = client_tls(&authority).compile().unwrap();
    let mut random = 1_u64;
    let mut number = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    for _ in 0..2000 {
        let mut pair = Pair::new(&client, &server, "a.example");
        let steps = number() % 6;
        for _ in 0..steps {
            let mut octets = std::mem::take(&mut pair.client.out);
            if !octets.is_empty() && number() % 2 == 0 {
                let at = number() % octets.len();
                octets[at] ^= 1 << (number() % 8);
            }
            let _ = pair.server.take(&octets);
            let mut octets = std::mem::take(&mut pair.server.out);
            if number() % 4 == 0 {
                octets.truncate(number() % (octets.len() + 1));
            }
            let _ = pair.client.take(&octets);
            if pair.client.session.is_established() {
                let _ = pair.client.session.send(b"question", &mut pair.client.out);
            }
        }
        let length = number() % 40;
        let junk: Vec<u8> = (0..length).map(|_| number() as u8).collect();
        let _ = pair.server.take(&[&[20 + (number() % 4) as u8, 3, 3, 0, length as u8], &junk[..]].concat());
        let before = pair.server.out.len();
        let sent = pair.server.session.send(b"answer", &mut pair.server.out);
        assert!(sent.is_ok() || pair.server.out.len() == before);
    }
}

#[test]
fn certificates_that_should_not_be_used_are_refused() {
    let authority = Authority::new();
    let read = |pem: &Pem, now: i64| Certificate::from_pem(pem.chain.as_bytes(), pem.key.as_bytes(), now);
    let good = authority.issue(&["A.example", "*.b.example"], 1, 2100);
    assert_eq!(read(&good, NOW).unwrap().names, ["a.example", "*.b.example"]);
    assert!(matches!(
        read(&authority.issue(&["a"], 2, 2027), NOW + 1).unwrap_err(),
        CertificateError::Expired(_)
    ));
    assert!(matches!(read(&good, 0).unwrap_err(), CertificateError::NotYetValid(_)));
    assert_eq!(read(&authority.issue(&[], 3, 2100), NOW).unwrap_err(), CertificateError::NoNames);
    let other = authority.issue(&["a"], 4, 2100);
    let mixed = Pem { chain: good.chain.clone(), key: other.key };
    assert_eq!(read(&mixed, NOW).unwrap_err(), CertificateError::OtherKey);
    let swapped = Pem { chain: good.key.clone(), key: good.chain.clone() };
    assert_eq!(read(&swapped, NOW).unwrap_err(), CertificateError::NoCertificate);
    let keyless = Pem { chain: good.chain.clone(), key: good.chain };
    assert_eq!(read(&keyless, NOW).unwrap_err(), CertificateError::NoKey);
    let weak = Pem { chain: include_str!("weak.pem").to_owned(), key: include_str!("weak.pem").to_owned() };
    assert!(matches!(read(&weak, NOW).unwrap_err(), CertificateError::WeakKey(_)));
    let forgeable =
        Pem { chain: include_str!("sha1.pem").to_owned(), key: include_str!("sha1.pem").to_owned() };
    assert!(matches!(read(&forgeable, NOW).unwrap_err(), CertificateError::WeakSignature(_)));
}
