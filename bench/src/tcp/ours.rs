//! Our stack at an end of the relay, with buffers as large as the kernel is given.

use std::ops::Range;
use std::time::Duration;

use evenkeel_tcp::{Addr, Config, Endpoint, ListenerConfig, Settings, Time};

use super::pair::{Load, requests};
use super::place::{CLIENT, Family, SERVER};
use super::relay::START;
use crate::hosts::{Clients, Flow, Host, Server};

/// As [`place`](super::place) sets the kernel's.
const BUFFER: u32 = 64 << 20;

fn settings() -> Settings {
    Settings { send_buffer: BUFFER, receive_buffer: BUFFER, ..Settings::default() }
}

/// A server on these ports.
pub(super) fn server(ports: Range<u16>) -> Host<Server> {
    let config = ListenerConfig { settings: settings(), ..ListenerConfig::default() };
    Host::new(&Config::default(), 1, Time(START), Server::new(ports, config))
}

/// A client for each of these ports and seeds.
pub(super) fn clients(family: Family, flows: &[(u16, u64)], load: Load) -> Host<Clients> {
    let flow = |&(port, seed): &(u16, u64)| Flow {
        server: Endpoint { addr: Addr::from(SERVER.address(family)), port },
        requests: requests(load, seed).collect(),
        limit: load.limit,
        pause: Duration::ZERO,
    };
    let flows = flows.iter().map(flow).collect();
    let address = Addr::from(CLIENT.address(family));
    Host::new(&Config::default(), 2, Time(START), Clients::new(address, settings(), flows, false))
}
