//! Two TCP stacks over a link that loses, repeats, delays, cuts and damages packets as the input says.
//!
//! All bytes that arrive are right, and at the end nothing is left. What a checksum cannot find is not done.

use std::time::Duration;

use evenkeel_tcp::{Addr, Config, Endpoint as Place, ListenerConfig, Settings, Time};

use super::input::Input;
use crate::hosts::{Application, Clients, Flow, Host, Request, Server};
use crate::network::{Endpoint, Flight, mark};

const SECOND: u64 = 1_000_000_000;
const DELAY: u64 = 5_000_000;
const ADDRESSES: [Addr; 2] = [Addr::from_v4([198, 18, 0, 1]), Addr::from_v4([198, 18, 0, 2])];

/// The first octets choose settings and sizes; each further one is the fate of a packet, until none is left and all arrive.
pub fn pair(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = [settings(&mut input), settings(&mut input)];
    let mut clients = clients(&mut input, &settings[0]);
    let mut server = server(&settings[1]);
    let mut flight: Flight<(usize, Vec<u8>)> = Flight::default();
    let mut now = SECOND;
    let mut done = None;
    for _ in 0..200_000 {
        while let Some(packet) = clients.transmit(now) {
            send(&mut input, &mut flight, now, 1, packet);
        }
        while let Some(packet) = server.transmit(now) {
            send(&mut input, &mut flight, now, 0, packet);
        }
        if done.is_none() && clients.application.is_done() {
            done = Some(now);
        }
        let next = [clients.deadline(), server.deadline(), flight.next_arrival()].into_iter().flatten().min();
        let Some(next) = next else { break };
        now = next.max(now + 1);
        while let Some((_, (end, packet))) = flight.arrived(now) {
            if end == 0 {
                clients.receive(now, packet);
            } else {
                server.receive(now, packet);
            }
        }
    }
    assert!(done.is_some(), "the transfers do not end");
    for (connections, memory) in [
        (clients.stack.connections(), clients.stack.memory()),
        (server.stack.connections(), server.stack.memory()),
    ] {
        assert_eq!((connections, memory), (0, 0), "something is left");
    }
}

fn settings(input: &mut Input<'_>) -> Settings {
    let setup = input.octet();
    Settings {
        send_buffer: input.choose(&[2_000, 20_000, 200_000]),
        initial_window: input.choose(&[1_000, 10_000, 60_000]),
        receive_buffer: input.choose(&[2_000, 20_000, 200_000]),
        no_delay: setup & 1 != 0,
        sack: setup & 2 == 0,
        timestamps: setup & 4 == 0,
        window_scaling: setup & 8 == 0,
        ecn: setup & 16 == 0,
        mtu: input.choose(&[1_500, 576, 9_000]),
        // A peer that is gone unheard is noticed.
        user_timeout: Some(Duration::from_secs(600)),
        keepalive: Some(evenkeel_tcp::Keepalive::default()),
        ..Settings::default()
    }
}

fn clients(input: &mut Input<'_>, settings: &Settings) -> Host<Clients> {
    let mut request = |seed| Request { octets: u64::from(input.octet()).pow(2), seed };
    let requests = vec![request(1), request(2)];
    let flow = Flow {
        server: Place { addr: ADDRESSES[1], port: 80 },
        requests,
        limit: Duration::from_secs(36_000),
        pause: Duration::ZERO,
    };
    let ends_gently = input.octet() & 1 == 0;
    let clients = Clients::new(ADDRESSES[0], settings.clone(), vec![flow], ends_gently);
    Host::new(&config(), 1, Time(SECOND), clients)
}

fn server(settings: &Settings) -> Host<Server> {
    let config_of_listener = ListenerConfig { settings: settings.clone(), ..ListenerConfig::default() };
    Host::new(&config(), 2, Time(SECOND), Server::new(80..81, config_of_listener))
}

fn config() -> Config {
    Config { max_connections: 8, max_time_wait: 8, ..Config::default() }
}

/// Sends a packet to an end: most often, it simply arrives.
fn send(
    input: &mut Input<'_>,
    flight: &mut Flight<(usize, Vec<u8>)>,
    now: u64,
    end: usize,
    mut packet: Vec<u8>,
) {
    let arrival = now + DELAY;
    match input.octet() {
        0..=111 => flight.add(arrival, (end, packet)),
        112..=127 => {
            mark(&mut packet);
            flight.add(arrival, (end, packet));
        }
        128..=159 => {}
        late @ 160..=191 => flight.add(arrival + u64::from(late - 159) * 3_000_000, (end, packet)),
        192..=207 => {
            flight.add(arrival, (end, packet.clone()));
            flight.add(arrival + DELAY, (end, packet));
        }
        208..=239 => {
            let at = usize::from(input.octet()) * packet.len() / 256;
            if let Some(octet) = packet.get_mut(at) {
                *octet ^= 1 << (input.octet() % 8);
            }
            flight.add(arrival, (end, packet));
        }
        // So late that the connection may be another one.
        ancient @ 240..=247 => flight.add(arrival + u64::from(ancient - 239) * 7 * SECOND, (end, packet)),
        _ => {
            packet.truncate(usize::from(input.octet()) * packet.len() / 256);
            flight.add(arrival, (end, packet));
        }
    }
}
