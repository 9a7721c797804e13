//! Who has which certificate, and how they speak by it.

use std::sync::Arc;

use evenkeel_l7::proxy::{Site, UpstreamTls};
use evenkeel_l7::tls::client::ClientTls;
use evenkeel_l7::tls::server::{ClientCertificates, ServerTls};
use evenkeel_l7::tls::tickets::{KEY_LENGTH, Tickets};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::BACKENDS;
use crate::authority::{Authority, Pem, Still};
use crate::front::site;
use crate::line::Secrecy;
use crate::world::Visit;

/// Everybody's certificates, and how they speak by them.
pub(crate) struct Cast {
    pub(crate) authority: Authority,
    pub(crate) front: Pem,
    pub(crate) backend: Pem,
}

impl Cast {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let front = authority.issue(&["a.example"], 1, 2100);
        let backend = authority.issue(&["backend.example"], 2, 2100);
        Self { authority, front, backend }
    }

    pub(crate) fn server(&self, pem: &Pem, clients: ClientCertificates) -> Arc<ServerConfig> {
        let tickets = Arc::new(Tickets::new(&[[7; KEY_LENGTH]], 3600).unwrap());
        let protocols = vec![b"http/1.1".to_vec()];
        let certificates = vec![pem.certificate()];
        ServerTls { certificates, clients, protocols, allows_1_2: true, tickets, time: Arc::new(Still) }
            .compile()
            .unwrap()
    }

    pub(crate) fn client(&self, by: Option<&Pem>) -> Arc<ClientConfig> {
        let protocols = vec![b"http/1.1".to_vec()];
        let (authorities, certificate) = (self.authority.trusted(), by.map(Pem::certificate));
        ClientTls { authorities, certificate, protocols, time: Arc::new(Still) }.compile().unwrap()
    }

    /// A site that speaks TLS to clients.
    pub(crate) fn site(&self) -> Site {
        Site { tls: Some(self.server(&self.front, ClientCertificates::Off)), ..site(&BACKENDS, 100, 10) }
    }

    /// A site that speaks TLS to clients and backends.
    pub(crate) fn site_to(&self, config: Arc<ClientConfig>, name: &'static str) -> Site {
        let mut site = self.site();
        site.clusters[0].tls =
            Some(Arc::new(UpstreamTls { config, name: ServerName::try_from(name).unwrap() }));
        site
    }

    pub(crate) fn secrecy(&self, config: Arc<ClientConfig>) -> Secrecy {
        Secrecy {
            config,
            name: "a.example",
            piece: 8_000,
            cuts: false,
            before: "",
            spoils: None,
            refreshes: false,
        }
    }

    /// A visit by a client of its own.
    pub(crate) fn visit(&self, visit: Visit) -> Visit {
        self.by(&self.client(None), visit)
    }

    pub(crate) fn by(&self, config: &Arc<ClientConfig>, visit: Visit) -> Visit {
        Visit { secrecy: Some(self.secrecy(Arc::clone(config))), ..visit }
    }

    /// A client that knows no TLS but 1.2.
    pub(crate) fn old(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Still));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
        let roots = self.authority.trusted().store().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// A request with so much content, which comes back.
pub(crate) fn upload(length: usize) -> Vec<u8> {
    let head = format!("POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), crate::world::body(length)].concat()
}

/// The balancer forgets all of it.
pub(crate) fn forgets(mut network: crate::Everything) {
    assert!(network.run_until(5000 * crate::SECOND, |_, balancer, _| balancer.stack.connections() == 0));
    assert_eq!(network.right.stack.memory(), 0);
    assert_eq!(network.right.application.proxy.secured(), 0);
}
