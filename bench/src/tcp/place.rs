//! Network namespaces of this process, each with one TAP device.
//!
//! Invariants: a namespace has no name and lives in a thread, and its device in a descriptor, so both are gone with this
//! process however it ends. The device has no offloads: what is read from it is what would be on a wire, checksums and all.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};
use tun_rs::{DeviceBuilder, Layer};

use super::port::Tap;

/// Who is at an end of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its IPv4 address, in a network of 24 bits.
    pub v4: Ipv4Addr,
    /// Its IPv6 address, in a network of 64 bits.
    pub v6: Ipv6Addr,
}

/// Which of its addresses a station uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Family {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl Station {
    /// Its address of this family.
    #[must_use]
    pub const fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        }
    }
}

/// Who asks.
pub const CLIENT: Station = station(1);
/// Who answers.
pub const SERVER: Station = station(2);

const fn station(number: u8) -> Station {
    Station {
        mac: [2, 0, 0, 0, 0, number],
        v4: Ipv4Addr::new(198, 18, 0, number),
        v6: Ipv6Addr::new(0xfd18, 0, 0, 0, 0, 0, 0, number as u16),
    }
}

/// The name of the device in each namespace.
const DEVICE: &str = "wire";

/// What the kernel is told, so that no limit of its own or memory of earlier connections is measured.
const SETTINGS: [(&str, &str); 5] = [
    ("ipv4/tcp_rmem", "4096 131072 67108864"),
    ("ipv4/tcp_wmem", "4096 65536 67108864"),
    ("ipv4/tcp_no_metrics_save", "1"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
];

type Job = Box<dyn FnOnce() + Send>;

/// A namespace.
#[derive(Debug)]
pub struct Place {
    jobs: Sender<Job>,
}

impl Place {
    /// A namespace that `own` lives in, who knows `other` as a neighbour, and the wire between them.
    ///
    /// # Errors
    /// When this is not root, or something that makes namespaces and devices is missing.
    pub fn new(own: Station, other: Station) -> Result<(Self, Tap)> {
        let (jobs, todo) = channel::<Job>();
        let (ready, outcome) = channel();
        thread::Builder::new().name("place".into()).spawn(move || {
            // The receiver waits for exactly this message.
            let _ = ready.send(set_up(own, other));
            todo.iter().for_each(|job| job());
        })?;
        Ok((Self { jobs }, outcome.recv()??))
    }

    /// Runs `job` on the thread of the namespace, whose threads, processes and sockets belong there, too.
    ///
    /// # Errors
    /// When an earlier job panicked.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, outcome) = channel();
        let job = Box::new(move || {
            let _ = done.send(job());
        });
        self.jobs.send(job).map_err(|_| anyhow!("the namespace is gone"))?;
        outcome.recv().context("a job panicked in its namespace")
    }
}

fn set_up(own: Station, other: Station) -> Result<Tap> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (are you root?)")?;
    for (name, value) in SETTINGS {
        let path = format!("/proc/sys/net/{name}");
        fs::write(&path, value).with_context(|| format!("cannot write {path}"))?;
    }
    let device = DeviceBuilder::new()
        .name(DEVICE)
        .layer(Layer::L2)
        .mtu(1_500)
        .mac_addr(own.mac)
        .enable(false)
        // Longer than any window: what is dropped, the link drops.
        .with(|builder| {
            builder.tx_queue_len(50_000);
        })
        .build_sync()
        .context("cannot make a TAP device")?;
    device.set_nonblocking(true)?;
    ip("link set lo up")?;
    ip(&format!("address add {}/24 dev {DEVICE}", own.v4))?;
    ip(&format!("address add {}/64 dev {DEVICE} nodad", own.v6))?;
    ip(&format!("link set {DEVICE} up"))?;
    let mac = other.mac.map(|octet| format!("{octet:02x}")).join(":");
    for address in [other.v4.to_string(), other.v6.to_string()] {
        ip(&format!("neighbour add {address} lladdr {mac} nud permanent dev {DEVICE}"))?;
    }
    Ok(Tap::new(device, own.mac, other.mac))
}

fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output().context("cannot run ip")?;
    ensure!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
