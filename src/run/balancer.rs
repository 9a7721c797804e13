//! The wiring: DPDK, ports, twins, workers and the control thread, made in this order and taken down in reverse.

use std::path::Path;

use evenkeel_config::{Config, Parsed};
use evenkeel_control::netlink::{Follower, Link, fixed};
use evenkeel_control::next_hops::{self, Wanted};
use evenkeel_control::{ControlSocket, Setup};
use evenkeel_datapath::dpdk::{
    DpdkQueue, Eal, EalConfig, EalError, Mbuf, MbufPool, PortConfig, PortMonitor, open_port, register_thread,
};
use evenkeel_datapath::machine;
use evenkeel_datapath::port::PortCapabilities;
use evenkeel_datapath::snapshot::PortId;
use evenkeel_datapath::twin::{RunningTwin, Twin, TwinRings};
use tracing::{info, warn};

use super::affinity::leave_to_workers;
use super::notify::{State, notify};
use super::workers::Workers;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;

/// Packets on the way to or from a twin, at most.
const TWIN_RING: usize = 1024;

/// Runs the balancer of the configuration in `file` until it is told to stop.
pub(crate) fn run(output: &mut Output, file: &Path) -> Outcome {
    let Parsed { config, warnings } = Config::load(file).map_err(Failure::Invalid)?;
    for warning in &warnings.0 {
        warn!(file = %file.display(), "{warning}");
    }
    info!(version = env!("EVENKEEL_VERSION"), config = %file.display(), "starting");
    // First of all, since a second instance must not touch what the first one uses.
    let socket = ControlSocket::claim(&config.balancer.control_socket).map_err(|error| told(&error))?;
    leave_to_workers(&config.balancer.workers);
    let eal = Eal::init(&eal_config(&config)).map_err(|error| told(&error))?;
    let pools = pools(&eal, &config)?;
    let Ports { capabilities, queues, monitors } = Ports::open(&eal, &config, &pools)?;
    let twins = Twins::start(&eal, &config, &capabilities, &pools)?;

    let links = Link::all(&config, &capabilities);
    let wanted = Wanted::of(&config);
    let (reader, writer) = next_hops::channel(fixed(links.clone(), wanted.clone()), wanted);
    let follower = Follower::start(links, writer).map_err(|error| told(&error))?;

    let workers = Workers::start(&eal, &config, &pools, queues, &twins.rings)?;
    let setup = Setup {
        config,
        config_file: file.to_owned(),
        workers: workers.handles(),
        ports: capabilities,
        clock: machine::now,
        version: env!("EVENKEEL_VERSION").to_owned(),
    };
    let outcome = evenkeel_control::run(setup, reader, socket, || ready(output, &monitors));

    notify(State::Stopping);
    info!("stopping");
    workers.stop();
    drop(follower);
    twins.stop();
    farewell(&monitors);
    outcome.map_err(|error| told(&error))?;
    Ok(Exit::Done)
}

fn told(error: &dyn std::error::Error) -> Failure {
    Failure::new(error.to_string())
}

fn eal_config(config: &Config) -> EalConfig {
    let dpdk = &config.dpdk;
    EalConfig {
        huge_pages: dpdk.huge_pages,
        memory_mib: u32::try_from(dpdk.memory >> 20).unwrap_or(u32::MAX),
        file_prefix: dpdk.file_prefix.clone(),
        pci: dpdk.pci,
        devices: config.ports.iter().flat_map(|port| &port.devices).cloned().collect(),
        worker_cores: config.balancer.workers.clone(),
        args: dpdk.args.clone(),
    }
}

/// For each worker the pool of its NUMA node, with packets that hold what any port sends.
fn pools(eal: &Eal, config: &Config) -> Result<Vec<MbufPool>, Failure> {
    let mtu = config.ports.iter().map(|port| port.mtu).max().unwrap_or(0);
    MbufPool::for_cores(eal, &config.balancer.workers, config.dpdk.mbufs, mtu).map_err(|error| told(&error))
}

/// All ports, open.
struct Ports {
    capabilities: Vec<PortCapabilities>,
    /// For each worker a queue of each port.
    queues: Vec<Vec<DpdkQueue>>,
    /// By name.
    monitors: Vec<(String, PortMonitor)>,
}

impl Ports {
    fn open(eal: &Eal, config: &Config, pools: &[MbufPool]) -> Result<Self, Failure> {
        let queues = pools.iter().map(|_| Vec::new()).collect();
        let mut ports = Self { capabilities: Vec::new(), queues, monitors: Vec::new() };
        for (id, port) in (0u8..).zip(&config.ports) {
            let devices = &port.devices;
            let asked = PortConfig { id: PortId(id), name: &port.name, devices, mtu: port.mtu, pools };
            let opened = open_port(eal, &asked).map_err(|error| told(&error))?;
            for warning in &opened.warnings {
                warn!(port = port.name, "{warning}");
            }
            let able = &opened.capabilities;
            info!(
                port = port.name,
                devices = devices.join(" "),
                mac = %able.mac,
                mtu = able.mtu,
                queues = able.queues,
                rss = able.rss.is_some(),
                ipv4_offload = able.transmit_checksums.ipv4,
                tcp_offload = able.transmit_checksums.tcp,
                udp_offload = able.transmit_checksums.udp,
                numa = able.numa_node,
                "port open"
            );
            for (queues, queue) in ports.queues.iter_mut().zip(opened.queues) {
                queues.push(queue);
            }
            ports.capabilities.push(opened.capabilities);
            ports.monitors.push((port.name.clone(), opened.monitor));
        }
        Ok(ports)
    }
}

/// The ports' twins in the kernel.
struct Twins {
    /// By port.
    rings: Vec<Option<TwinRings<Mbuf>>>,
    running: Vec<RunningTwin<EalError>>,
}

impl Twins {
    fn start(
        eal: &Eal,
        config: &Config,
        ports: &[PortCapabilities],
        pools: &[MbufPool],
    ) -> Result<Self, Failure> {
        let mut twins = Self { rings: Vec::new(), running: Vec::new() };
        let pool = pools.first().ok_or_else(|| Failure::new("there is no worker"))?;
        for ((id, port), able) in (0u8..).zip(&config.ports).zip(ports) {
            let Some(name) = &port.kernel else {
                twins.rings.push(None);
                continue;
            };
            let rings = TwinRings::new(TWIN_RING);
            let twin = Twin::new(name, PortId(id), able.mac, able.mtu).map_err(|error| told(&error))?;
            let eal = eal.clone();
            let running = twin
                .start(rings.clone(), pool.clone(), move || register_thread(&eal))
                .map_err(|error| told(&error))?;
            info!(port = port.name, interface = running.name(), "twin made");
            twins.rings.push(Some(rings));
            twins.running.push(running);
        }
        Ok(twins)
    }

    fn stop(self) {
        for twin in self.running {
            let name = twin.name().to_owned();
            if let Err(error) = twin.stop() {
                warn!(interface = name, %error, "the twin did not run");
            }
        }
    }
}

fn ready(output: &mut Output, ports: &[(String, PortMonitor)]) {
    for (port, monitor) in ports {
        if let Some(link) = monitor.link().filter(|link| !link.up) {
            warn!(port, ?link, "the link is down");
        }
    }
    // Nobody need read it.
    let _ = output.line("ready").and_then(|()| output.flush());
    info!("ready");
    notify(State::Ready);
}

/// What the devices counted and nobody else did.
fn farewell(ports: &[(String, PortMonitor)]) {
    for (port, monitor) in ports {
        let counted = monitor.statistics();
        info!(
            port,
            received = counted.received,
            sent = counted.sent,
            missed = counted.missed,
            receive_errors = counted.receive_errors,
            transmit_errors = counted.transmit_errors,
            no_buffers = counted.no_buffers,
            oversize = counted.oversize,
            "port closed"
        );
    }
}
