//! A bad link between the client and the router of a lab: two TAP devices in place of the cable, and a thread that moves frames
//! between them as a seeded model says.
//!
//! Invariant: the devices live in descriptors of this process and are gone with it, however it ends.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::lab::{Lab, succeed};
use crate::network::{Counts, Flight, Link, Model, Random};

/// A frame without offloads is no longer.
const FRAME: usize = 14 + 1500;

/// An end of the cable: the place, the device's name, its Ethernet address, and its network-layer addresses.
struct End {
    place: &'static str,
    device: &'static str,
    mac: [u8; 6],
    addresses: [&'static str; 2],
}

const CLIENT: End = End {
    place: "client",
    device: "eth0",
    mac: [2, 0, 0, 0, 9, 2],
    addresses: ["10.9.0.2/24", "fd00:9::2/64"],
};

const ROUTER: End = End {
    place: "router",
    device: "client",
    mac: [2, 0, 0, 0, 9, 1],
    addresses: ["10.9.0.1/24", "fd00:9::1/64"],
};

/// See the module. What it does ends when it is dropped.
pub(crate) struct Relay {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<[Counts; 2]>>,
}

impl Relay {
    /// Puts a link like `model`, on which `seed` says what happens, in place of the client's cable.
    pub(crate) fn lay(lab: &Lab, model: Model, seed: u64) -> Self {
        succeed(lab.at(CLIENT.place, "ip").args(["link", "delete", CLIENT.device]));
        let ends = [make(lab, &CLIENT, &ROUTER), make(lab, &ROUTER, &CLIENT)];
        for gateway in ROUTER.addresses {
            let (gateway, _) = gateway.split_once('/').expect("a subnet");
            succeed(lab.at(CLIENT.place, "ip").args(["route", "add", "default", "via", gateway]));
        }
        let mut random = Random(seed);
        let links = [(); 2].map(|()| Link::new(model, random.number()));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || relay(&ends, links, &stopped));
        Self { stop, thread: Some(thread) }
    }

    /// What became of frames of the client and of the router.
    pub(crate) fn take_up(mut self) -> [Counts; 2] {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is taken up once").join().expect("the relay ran")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of its own is shown already.
            let _ = thread.join();
        }
    }
}

/// Makes an end, on a thread that goes to its place and no further.
fn make(lab: &Lab, own: &'static End, other: &'static End) -> SyncDevice {
    let space = File::open(lab.namespace(own.place)).expect("the namespace");
    let make = move || {
        setns(&space, CloneFlags::CLONE_NEWNET).expect("root may go there");
        let device = DeviceBuilder::new()
            .name(own.device)
            .layer(Layer::L2)
            .mtu(1_500)
            .mac_addr(own.mac)
            .enable(false)
            .with(|builder| {
                builder.tx_queue_len(10_000);
            })
            .build_sync()
            .expect("a TAP device");
        device.set_nonblocking(true).expect("it need not wait");
        device
    };
    let device = thread::spawn(make).join().expect("the device is made");
    let ip = |arguments: &[&str]| succeed(lab.at(own.place, "ip").args(arguments));
    for address in own.addresses {
        let family = if address.contains(':') { "-6" } else { "-4" };
        let nodad: &[&str] = if family == "-6" { &["nodad"] } else { &[] };
        ip(&[&[family, "address", "add", address, "dev", own.device][..], nodad].concat());
    }
    ip(&["link", "set", own.device, "up"]);
    // What is lost are segments, and not the questions who the neighbour is.
    let mac = other.mac.map(|octet| format!("{octet:02x}")).join(":");
    for address in other.addresses {
        let (address, _) = address.split_once('/').expect("a subnet");
        ip(&["neighbour", "replace", address, "lladdr", &mac, "nud", "permanent", "dev", own.device]);
    }
    device
}

fn relay(ends: &[SyncDevice; 2], mut links: [Link; 2], stop: &AtomicBool) -> [Counts; 2] {
    let begin = Instant::now();
    let clock = || begin.elapsed().as_nanos() as u64;
    let mut flight: Flight<(usize, Vec<u8>)> = Flight::default();
    let mut room = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        wait(ends, flight.next_arrival().map(|arrival| arrival.saturating_sub(clock())));
        for end in 0..2 {
            while let Ok(length) = ends[end].recv(&mut room) {
                assert!(length <= FRAME, "a frame of {length} octets: offloads are on");
                links[end].send(clock(), room[..length].to_vec(), |arrival, frame| {
                    flight.add(arrival, (1 - end, frame));
                });
            }
        }
        while let Some((_, (end, frame))) = flight.arrived(clock()) {
            // A kernel whose queue is full loses frames, as it may.
            let _ = ends[end].send(&frame);
        }
    }
    links.map(|link| link.counts)
}

/// Waits for a frame, for `most` nanoseconds, or for a moment in which somebody may have asked to stop.
fn wait(ends: &[SyncDevice; 2], most: Option<u64>) {
    const MOMENT_MS: u64 = 20;
    let millis = most.map_or(MOMENT_MS, |nanos| nanos.div_ceil(1_000_000).min(MOMENT_MS));
    let descriptors: [BorrowedFd<'_>; 2] = [ends[0].as_fd(), ends[1].as_fd()];
    let mut polled = descriptors.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
    poll(&mut polled, PollTimeout::from(millis as u8)).expect("both can be polled");
}
