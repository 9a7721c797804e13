//! TLS towards clients and backends: what it must carry, whom it must not trust, and what it must survive.

use std::sync::Arc;

use evenkeel_l7::proxy::Site;
use evenkeel_l7::tls::server::ClientCertificates;
use rustls::{AlertDescription, ClientConfig, Error, ServerConfig};

use crate::authority::{Authority, Pem};
use crate::cast::{Cast, forgets, upload};
use crate::front::{Balancer, site};
use crate::network::Model;
use crate::world::{Visit, World, body};
use crate::{BACKENDS, Everything, body_of, lossy, quick, run, statuses};

fn simply(site: Site, visits: Vec<Visit>) -> Everything {
    run(quick(), 1, Balancer::new(site), World::new(&BACKENDS, visits))
}

/// The same with backends that speak TLS.
fn with_backends(
    model: Model,
    seed: u64,
    site: Site,
    tls: Arc<ServerConfig>,
    visits: Vec<Visit>,
) -> Everything {
    let world = World::new(&BACKENDS, visits).with_tls(Some(tls));
    run(model, seed, Balancer::new(site), world)
}

fn failure(network: &Everything, index: usize) -> Option<Error> {
    network.left.application.outcomes[index].as_ref().unwrap().failure.clone()
}

#[test]
fn everything_comes_through_on_both_sides_over_bad_links() {
    let cast = Cast::new();
    let targets =
        ["/length/0", "/length/5", "/chunked/10000", "/length/300000", "/chunked/100000", "/close/20000"];
    let lengths = [0, 5, 10_000, 300_000, 100_000, 20_000];
    for (seed, model) in [(1, quick()), (2, lossy()), (3, lossy()), (4, lossy())] {
        let site = cast.site_to(cast.client(None), "backend.example");
        let backends = cast.server(&cast.backend, ClientCertificates::Off);
        let uploads = Visit { pieces: vec![upload(200_000), upload(1), upload(70_000)], ..Visit::default() };
        let mut visits = vec![cast.visit(Visit::to(&targets)); 2];
        // One knows no TLS but 1.2, and one has new keys all the time.
        visits.push(cast.by(&cast.old(), Visit::to(&targets)));
        if let Some(secrecy) = &mut visits[1].secrecy {
            secrecy.refreshes = true;
        }
        visits.push(cast.visit(uploads));
        let network = with_backends(model, seed, site, backends, visits);
        for index in 0..3 {
            assert_eq!(statuses(&network, index), [200; 6], "seed {seed}");
            for (number, length) in lengths.into_iter().enumerate() {
                assert!(body_of(&network, index, number) == body(length), "seed {seed}, {}", targets[number]);
            }
        }
        assert_eq!(statuses(&network, 3), [200; 3]);
        assert!(body_of(&network, 3, 0) == body(200_000) && body_of(&network, 3, 2) == body(70_000));
        let heads = &network.left.application.heads;
        assert!(heads.iter().all(|(_, head)| head.contains("X-Forwarded-Proto: https\r\n")));
        assert_eq!(network.right.application.proxy.counts().clients.handshakes, 4);
        forgets(network);
    }
}

#[test]
fn a_client_may_send_and_get_octet_by_octet() {
    let cast = Cast::new();
    let mut visit = cast.visit(Visit { pieces: vec![upload(3_000), upload(10)], ..Visit::default() });
    visit.secrecy.as_mut().unwrap().piece = 1;
    let network = simply(cast.site(), vec![visit]);
    assert_eq!(statuses(&network, 0), [200, 200]);
    assert!(body_of(&network, 0, 0) == body(3_000));
    forgets(network);
}

#[test]
fn clients_and_the_balancer_take_up_former_sessions() {
    let cast = Cast::new();
    let backends = cast.server(&cast.backend, ClientCertificates::Off);
    let client = cast.client(None);
    let again = |after| Visit { after, ..cast.by(&client, Visit::to(&["/close/10"; 2])) };
    let visits = vec![again(None), again(Some(0)), again(Some(1))];
    let mut site = cast.site_to(cast.client(None), "backend.example");
    site.rest_time = std::time::Duration::from_secs(1);
    let network = with_backends(quick(), 1, site, backends, visits);
    let resumed: Vec<bool> =
        network.left.application.outcomes.iter().flatten().map(|outcome| outcome.is_resumed).collect();
    assert_eq!(resumed, [false, true, true]);
    // Six connections, three to each of two backends: the first to each is new.
    assert_eq!((network.left.application.accepted, network.left.application.resumed), (6, 4));
    let counts = network.right.application.proxy.counts();
    assert_eq!((counts.clients.handshakes, counts.clients.resumed), (3, 2));
    assert_eq!((counts.backends.handshakes, counts.backends.resumed), (6, 4));
}

#[test]
fn backends_learn_who_clients_are_and_no_client_can_claim_it() {
    let cast = Cast::new();
    let claim = "GET /length/1 HTTP/1.1\r\nHost: a.example\r\nX-Client-Cert-Subject: CN=admin\r\n\
        x-client-cert-names: DNS:admin\r\nX-CLIENT-CERT-SHA256: 00\r\n\r\n";
    let pem = cast.authority.issue(&["client.example"], 9, 2100);
    let stranger = Authority::new().issue(&["client.example"], 9, 2100);
    let trusted = || cast.authority.trusted();
    let meet = |clients: Option<ClientCertificates>, by: Option<&Pem>| {
        let tls = clients.map(|clients| cast.server(&cast.front, clients));
        let mut visit = Visit::raw(claim);
        if tls.is_some() {
            visit = cast.by(&cast.client(by), visit);
        }
        simply(Site { tls, ..site(&BACKENDS, 100, 10) }, vec![visit])
    };
    for clients in [ClientCertificates::Optional(trusted()), ClientCertificates::Required(trusted())] {
        let known = meet(Some(clients), Some(&pem));
        let (_, head) = &known.left.application.heads[0];
        assert!(head.contains("X-Client-Cert-Names: DNS:client.example\r\n"), "{head}");
        assert_eq!(head.matches("X-Client-Cert").count(), 3, "{head}");
        assert!(!head.contains("admin"));
    }
    let nobodies = [
        meet(Some(ClientCertificates::Optional(trusted())), None),
        meet(Some(ClientCertificates::Off), Some(&pem)),
        meet(None, None),
    ];
    for network in nobodies {
        let (_, head) = &network.left.application.heads[0];
        assert!(!head.to_ascii_lowercase().contains("x-client-cert"), "{head}");
    }
    for (clients, by, why) in [
        (ClientCertificates::Required(trusted()), None, AlertDescription::CertificateRequired),
        (ClientCertificates::Required(trusted()), Some(&stranger), AlertDescription::DecryptError),
        (ClientCertificates::Optional(trusted()), Some(&stranger), AlertDescription::DecryptError),
    ] {
        let refused = meet(Some(clients), by);
        assert_eq!(failure(&refused, 0), Some(Error::AlertReceived(why)));
        assert_eq!(refused.left.application.heads, []);
        assert_eq!(refused.right.application.proxy.counts().clients.failed, 1);
        forgets(refused);
    }
}

#[test]
fn backends_that_cannot_be_trusted_get_nothing() {
    let cast = Cast::new();
    let expired = cast.authority.issue(&["backend.example"], 3, 2026);
    let expired = {
        let mut server = ServerConfig::clone(&cast.server(&cast.backend, ClientCertificates::Off));
        server.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(expired.certified()));
        Arc::new(server)
    };
    let good = || cast.server(&cast.backend, ClientCertificates::Off);
    let wants_proof = cast.server(&cast.backend, ClientCertificates::Required(cast.authority.trusted()));
    let stranger = Cast::new();
    let proves = cast.authority.issue(&["balancer.example"], 4, 2100);
    let ask = |config: Arc<ClientConfig>, name, tls: Option<Arc<ServerConfig>>| {
        let world = World::new(&BACKENDS, vec![cast.visit(Visit::to(&["/length/1"; 2]))]).with_tls(tls);
        run(quick(), 1, Balancer::new(cast.site_to(config, name)), world)
    };
    for (what, config, name, tls) in [
        ("another authority", stranger.client(None), "backend.example", Some(good())),
        ("another name", cast.client(None), "other.example", Some(good())),
        ("expired", cast.client(None), "backend.example", Some(expired)),
        ("no TLS at all", cast.client(None), "backend.example", None),
    ] {
        let network = ask(config, name, tls);
        assert!(statuses(&network, 0).iter().all(|status| matches!(status, 502 | 503)), "{what}");
        assert_eq!(network.left.application.heads, [], "{what}");
        let counts = network.right.application.proxy.counts().backends;
        assert!(
            counts.handshakes == 0 && counts.failed + counts.not_tls + counts.cut > 0,
            "{what}: {counts:?}"
        );
        forgets(network);
    }
    let unproved = ask(cast.client(None), "backend.example", Some(Arc::clone(&wants_proof)));
    assert_eq!(statuses(&unproved, 0), [502, 502]);
    assert_eq!(unproved.left.application.heads, []);
    let proved = ask(cast.client(Some(&proves)), "backend.example", Some(wants_proof));
    assert_eq!(statuses(&proved, 0), [200, 200]);
}
