//! Who sends to whom over the relay, and one batch of transfers between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use super::linux::{Servers, fetch};
use super::ours;
use super::place::{CLIENT, Family, Place, SERVER};
use super::port::{Alternate, Tap};
use super::relay::{Account, Wires, relay};
use crate::hosts::{Clients, Fetched, Host, Request};
use crate::network::{Model, Random};

/// A client's and a server's stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pair {
    /// The kernel on both sides.
    Linux {
        /// The server's congestion control.
        congestion: &'static str,
    },
    /// Ours on both sides.
    Ours,
    /// Our server, and the kernel's clients.
    OursToLinux,
    /// The kernel's server, and our clients.
    LinuxToOurs {
        /// The server's congestion control.
        congestion: &'static str,
    },
    /// Our server and the kernel's, whose flows alternate, and the kernel's clients.
    Both {
        /// The kernel's congestion control.
        congestion: &'static str,
    },
}

/// What each flow of a batch does, on a link of its own, one request after the other.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Of each request; no end of them for what runs until the limit.
    pub octets: Option<u64>,
    /// How many requests, each over a connection of its own.
    pub requests: usize,
    /// How long each may take.
    pub limit: Duration,
}

/// Both namespaces, and their ends of the relay.
pub struct Rig {
    client: Place,
    server: Place,
    client_tap: Tap,
    server_tap: Tap,
    /// Each batch has ports of its own: what is left of an earlier one's connections passes nowhere.
    next_port: u16,
    /// What is spoken on the wire.
    pub family: Family,
}

impl Rig {
    /// Makes the namespaces.
    ///
    /// # Errors
    /// When this is not root.
    pub fn new() -> Result<Self> {
        let (client, client_tap) = Place::new(CLIENT, SERVER)?;
        let (server, server_tap) = Place::new(SERVER, CLIENT)?;
        Ok(Self { client, server, client_tap, server_tap, next_port: 2_000, family: Family::V4 })
    }

    /// Runs one flow for each of `seeds`, all at once; what each request of each flow brought.
    ///
    /// # Errors
    /// When bytes are wrong, or a connection breaks.
    pub fn batch(
        &mut self,
        pair: Pair,
        models: [Model; 2],
        seeds: &[u64],
        load: Load,
    ) -> Result<(Vec<Vec<Fetched>>, Account)> {
        let wires = Wires::separate(self.next_port, models, seeds.iter().copied());
        self.run(pair, wires, seeds, load)
    }

    /// The same, all on one link, on which `seed` says what happens.
    ///
    /// # Errors
    /// As for [`Rig::batch`].
    pub fn share(
        &mut self,
        pair: Pair,
        models: [Model; 2],
        seed: u64,
        seeds: &[u64],
        load: Load,
    ) -> Result<(Vec<Vec<Fetched>>, Account)> {
        let wires = Wires::shared(self.next_port, models, seed);
        self.run(pair, wires, seeds, load)
    }

    fn run(
        &mut self,
        pair: Pair,
        wires: Wires,
        seeds: &[u64],
        load: Load,
    ) -> Result<(Vec<Vec<Fetched>>, Account)> {
        let first = self.next_port;
        // Below the ports that the kernel gives to clients.
        self.next_port = if first > 30_000 { 2_000 } else { first + seeds.len() as u16 };
        let ports = first..first + seeds.len() as u16;
        let stop = AtomicBool::new(false);
        let flows: Vec<(u16, u64)> = ports.clone().zip(seeds.iter().copied()).collect();
        let (client, server) = (&mut self.client_tap, &mut self.server_tap);
        let family = self.family;
        let serve = |congestion| Servers::listen(&self.server, family, ports.clone(), congestion);
        match pair {
            Pair::Linux { congestion } => {
                let _servers = serve(congestion)?;
                with_kernel_clients(&self.client, family, flows, load, &stop, || {
                    relay(client, server, wires, &stop)
                })
            }
            Pair::OursToLinux => {
                let server = ours::server(ports);
                with_kernel_clients(&self.client, family, flows, load, &stop, || {
                    relay(client, server, wires, &stop)
                })
            }
            Pair::Both { congestion } => {
                let _servers = serve(congestion)?;
                let both = Alternate {
                    first_port: first,
                    first: ours::server(ports.clone()),
                    second: server,
                    is_turn_of_second: false,
                };
                with_kernel_clients(&self.client, family, flows, load, &stop, || {
                    relay(client, both, wires, &stop)
                })
            }
            Pair::LinuxToOurs { congestion } => {
                let _servers = serve(congestion)?;
                with_our_clients(family, &flows, load, |clients| relay(clients, server, wires, &stop))
            }
            Pair::Ours => {
                let server = ours::server(ports);
                with_our_clients(family, &flows, load, |clients| relay(clients, server, wires, &stop))
            }
        }
    }
}

/// Runs our clients for as long as `relay` does.
fn with_our_clients(
    family: Family,
    flows: &[(u16, u64)],
    load: Load,
    relay: impl FnOnce(&mut Host<Clients>) -> Result<Account>,
) -> Result<(Vec<Vec<Fetched>>, Account)> {
    let mut clients = ours::clients(family, flows, load);
    let account = relay(&mut clients)?;
    ensure!(clients.application.broken == 0, "{} connections broke", clients.application.broken);
    Ok((clients.application.fetched, account))
}

/// Runs the kernel's clients at a place while `relay` runs here, and stops it at their end.
fn with_kernel_clients(
    place: &Place,
    family: Family,
    flows: Vec<(u16, u64)>,
    load: Load,
    stop: &AtomicBool,
    relay: impl FnOnce() -> Result<Account>,
) -> Result<(Vec<Vec<Fetched>>, Account)> {
    let (left, threads) = place.run(move || {
        let left = Arc::new(AtomicUsize::new(flows.len()));
        let threads = flows.into_iter().map(|(port, seed)| {
            let left = Arc::clone(&left);
            thread::Builder::new().name("client".into()).spawn(move || {
                let _done = CountDown(left);
                requests(load, seed)
                    .map(|request| fetch(SocketAddr::new(SERVER.address(family), port), request, load.limit))
                    .collect::<Result<Vec<_>>>()
            })
        });
        std::io::Result::Ok((Arc::clone(&left), threads.collect::<std::io::Result<Vec<_>>>()?))
    })??;
    let account = thread::scope(|scope| {
        scope.spawn(|| {
            while left.load(Relaxed) > 0 {
                thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Relaxed);
        });
        relay()
    })?;
    let fetched =
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?);
    Ok((fetched.collect::<Result<_>>()?, account))
}

/// What a flow of this seed asks for.
pub(super) fn requests(load: Load, seed: u64) -> impl Iterator<Item = Request> {
    let mut random = Random(seed);
    (0..load.requests).map(move |_| {
        let seed = random.number();
        load.octets.map_or_else(|| Request::endless(seed), |octets| Request { octets, seed })
    })
}

/// Counts one down at its end, whatever that is.
struct CountDown(Arc<AtomicUsize>);

impl Drop for CountDown {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
