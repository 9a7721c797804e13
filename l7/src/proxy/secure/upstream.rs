//! What TLS to backends is made with, on one worker.

use std::net::SocketAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;

/// Sessions that are kept of a backend, to be resumed.
const KEPT: usize = 8;

/// How backends are spoken TLS with.
#[derive(Debug)]
pub struct UpstreamTls {
    /// Whom to trust, and what to prove oneself by.
    pub config: Arc<ClientConfig>,
    /// Whom backends have to prove to be, and are asked for (RFC 6066, section 3).
    pub name: ServerName<'static>,
}

impl UpstreamTls {
    /// By this configuration, to backends of this name or address; `None` if it is neither.
    #[must_use]
    pub fn new(config: Arc<ClientConfig>, name: &str) -> Option<Self> {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        Some(Self { config, name: ServerName::try_from(bare.to_owned()).ok()? })
    }
}

/// Configurations by what they were made of and for which backend, each with sessions of that backend alone: tickets of one are of no
/// use to another. They belong to one worker, so that the lock around rustls' store is never waited for.
#[derive(Debug, Default)]
pub(super) struct Configs {
    all: HashMap<(usize, SocketAddr), Kept, foldhash::fast::FixedState>,
}

#[derive(Debug)]
struct Kept {
    /// What it was made of, which keeps the key from meaning another one.
    from: Arc<UpstreamTls>,
    own: Arc<ClientConfig>,
}

impl Configs {
    /// The configuration for sessions with a backend.
    pub(super) fn of(&mut self, tls: &Arc<UpstreamTls>, backend: SocketAddr) -> &Arc<ClientConfig> {
        let key = (Arc::as_ptr(tls).addr(), backend);
        if !self.all.contains_key(&key) {
            // Those of former snapshots.
            self.all.retain(|_, kept| Arc::strong_count(&kept.from) > 1);
        }
        let kept = self.all.entry(key).or_insert_with(|| {
            let mut own = ClientConfig::clone(&tls.config);
            own.resumption = Resumption::in_memory_sessions(KEPT);
            Kept { from: Arc::clone(tls), own: Arc::new(own) }
        });
        &kept.own
    }
}
