//! What the simulations have in common: two addresses, a server, and clients.

use std::time::Duration;

use evenkeel_tcp::{Addr, Config, Endpoint, ListenerConfig, Settings, Time};

use crate::hosts::{Application, Clients, Flow, Host, Request, Server};
use crate::network::{Loss, Model, Network, Random};

pub(crate) type Pair = Network<Host<Clients>, Host<Server>>;

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;

pub(crate) const PORT: u16 = 80;

/// The client's and the server's address, of one family.
pub(crate) fn addresses(is_v4: bool) -> [Addr; 2] {
    let v6 = |last| Addr([0xfd, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    [1, 2].map(|last| if is_v4 { Addr::from_v4([198, 18, 0, last]) } else { v6(last) })
}

pub(crate) fn server(settings: &Settings, seed: u64, now: u64) -> Host<Server> {
    let config = ListenerConfig { settings: settings.clone(), ..ListenerConfig::default() };
    Host::new(&small(), seed, Time(now), Server::new(PORT..PORT + 1, config))
}

pub(crate) fn clients(
    is_v4: bool,
    settings: &Settings,
    flows: Vec<Flow>,
    seed: u64,
    now: u64,
) -> Host<Clients> {
    let ends_gently = seed & 1 == 0;
    let clients = Clients::new(addresses(is_v4)[0], settings.clone(), flows, ends_gently);
    Host::new(&small(), seed, Time(now), clients)
}

/// A stack with small tables, of which a test may make many.
fn small() -> Config {
    Config { max_connections: 256, max_time_wait: 256, ..Config::default() }
}

/// A flow that asks for `sizes` octets, one after the other.
pub(crate) fn flow(is_v4: bool, sizes: impl IntoIterator<Item = u64>, seed: u64) -> Flow {
    let mut random = Random(seed);
    let requests = sizes.into_iter().map(|octets| Request { octets, seed: random.number() }).collect();
    let server = Endpoint { addr: addresses(is_v4)[1], port: PORT };
    Flow { server, requests, limit: Duration::from_secs(3_600), pause: Duration::ZERO }
}

/// A link that does a little or a lot of everything.
pub(crate) fn troubled(random: &mut Random) -> Model {
    let mut share = |most: f64| if random.happens(0.5) { random.fraction() * most } else { 0.0 };
    let (reordering, duplication, corruption, lost) = (share(0.3), share(0.1), share(0.05), share(0.1));
    let loss = match random.below(3) {
        0 => Loss::Never,
        1 => Loss::Random { share: lost },
        _ => Loss::Burst { share: lost / 2.0, length: 3.0 },
    };
    let mut micros = |most: u64| Duration::from_micros(random.below(most));
    let (delay, lateness) = (micros(60_000), micros(40_000));
    let mut model =
        Model { reordering, lateness, duplication, corruption, ..Model::delay(delay) }.with_loss(loss);
    if random.happens(0.5) {
        model = model.with_rate(1_000_000 << random.below(8), 10 + random.below(200) as usize);
    }
    if random.happens(0.3) {
        model = model.with_marking(1 + random.below(30) as usize);
    }
    model
}

/// Fails unless every request was answered with every byte.
pub(crate) fn all_is_there(clients: &Clients, flows: &[Flow]) {
    assert_eq!(clients.broken, 0, "connections broke");
    for (flow, fetched) in flows.iter().zip(&clients.fetched) {
        let wanted = flow.requests.iter().map(|request| request.octets);
        assert!(wanted.eq(fetched.iter().map(|fetched| fetched.octets)), "{fetched:?}");
        assert!(fetched.iter().all(|fetched| fetched.completion.is_some()));
    }
}

/// Fails unless a host holds no connection and no memory, remembers none, and waits for nothing.
pub(crate) fn nothing_is_left<A: Application>(host: &Host<A>, who: &str) {
    assert_eq!(host.stack.connections(), 0, "connections of the {who}");
    assert_eq!(host.stack.memory(), 0, "octets of the {who}");
    assert_eq!(host.stack.time_wait(), 0, "connections of the {who} in TIME-WAIT");
    assert_eq!(host.stack.deadline(), None, "timers of the {who}");
}
