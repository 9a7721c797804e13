//! Case `bulk-1460`: both ends on one core, full segments, one copy for each of them where there would be a wire.

use anyhow::{Result, ensure};
use evenkeel_datapath::machine;
use evenkeel_tcp::{
    Addr, Checksums, Config, ConnectionId, Endpoint, Event, Incoming, ListenerConfig, Settings, Stack, Time,
    Tuple,
};
use smoltcp::socket::tcp::Socket;
use smoltcp::time::Instant;
use smoltcp::wire::IpAddress;

use super::buffers::Recycled;
use super::ours::settings;
use super::smol::{Flow, Wire};
use super::{BASELINE, peers::SERVER};
use crate::median;
use crate::report::{Figure, Goal, Report};
use crate::tcp::Options;

const OCTETS: u64 = 256 << 20;
const CLIENT: [u8; 4] = [198, 18, 0, 1];
/// Octets that may be under way.
const WINDOW: usize = 256 << 10;
/// Segments that arrive at once.
const BURST: usize = 32;

pub(super) fn run(report: &mut Report, options: &Options) -> Result<()> {
    if !options.wants("bulk-1460") {
        return Ok(());
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        a.push(ours()?);
        b.push(smol()?);
    }
    let figure = Figure::new("bulk-1460", median(&mut a), "Gbit/s").beside(BASELINE, median(&mut b));
    Ok(report.print(&figure.goal(Goal::AtLeast(80.0)))?)
}

fn gigabits(nanos: u64) -> f64 {
    OCTETS as f64 * 8.0 / nanos as f64
}

fn ours() -> Result<f64> {
    let config = Config { max_connections: 16, checksums: Checksums::Absent, ..Config::default() };
    let [mut sender, mut receiver] = [1, 2].map(|seed| Stack::<Recycled>::new(&config, seed, Time(0)));
    let window = WINDOW as u32;
    let settings = Settings {
        initial_send_buffer: window,
        send_buffer: window,
        initial_window: window,
        receive_buffer: 2 * window,
        ..settings()
    };
    let remote = Endpoint::v4(SERVER.0, SERVER.1);
    receiver.listen(remote, &ListenerConfig { settings: settings.clone(), ..ListenerConfig::default() })?;
    let id = sender.connect(Time(0), Tuple { local: Endpoint::v4(CLIENT, 5_000), remote }, &settings)?;
    // What is sent is shared, not copied: the application has it in memory that lasts.
    let piece = Recycled::piece();
    let (mut given, mut taken, mut now) = (0, 0, Time(0));
    let mut accepted: Option<ConnectionId> = None;
    let mut burst = Vec::with_capacity(BURST);
    let start = machine::now();
    for turn in 0_u64.. {
        now = Time(now.0 + 10_000);
        while sender.next_event().is_some() {}
        while given < OCTETS && sender.send(id, evenkeel_tcp::Buf::share(&piece)).is_ok() {
            given += 64 << 10;
        }
        carry(now, &mut sender, &mut receiver, &mut burst);
        while let Some(event) = receiver.next_event() {
            if let Event::Acceptable(listener) = event {
                accepted = receiver.accept(listener);
            }
        }
        if let Some(id) = accepted {
            let count: usize = receiver.read(id).map(<[u8]>::len).sum();
            receiver.consume(id, count);
            taken += count as u64;
        }
        carry(now, &mut receiver, &mut sender, &mut burst);
        for stack in [&mut sender, &mut receiver] {
            if stack.deadline().is_some_and(|deadline| deadline <= now) {
                stack.advance(now);
            }
        }
        if taken >= OCTETS {
            break;
        }
        ensure!(turn < OCTETS / 1_000, "only {taken} of {OCTETS} octets came");
    }
    Ok(gigabits(machine::now().nanos_since(start)))
}

/// Moves what one sends to the other, in buffers of the other's own, in bursts as a worker does.
fn carry(
    now: Time,
    from: &mut Stack<Recycled>,
    to: &mut Stack<Recycled>,
    burst: &mut Vec<Incoming<Recycled>>,
) {
    while let Some(outgoing) = from.poll_transmit(now) {
        let (local, remote): (Addr, Addr) = (outgoing.remote.addr, outgoing.local.addr);
        let pieces = core::iter::once(outgoing.header).chain(outgoing.payload.slices());
        burst.push(Incoming { local, remote, ecn: 0, segment: Recycled::gathered(pieces) });
        if burst.len() == BURST {
            to.receive_burst(now, burst);
        }
    }
    to.receive_burst(now, burst);
}

fn smol() -> Result<f64> {
    let (mut to_receiver, mut to_sender) = (Wire::new(), Wire::new());
    let mut sender = Flow::new(&mut to_sender, CLIENT, WINDOW);
    let mut receiver = Flow::new(&mut to_receiver, SERVER.0, WINDOW);
    receiver.socket().listen(SERVER.1).map_err(|error| anyhow::anyhow!("{error}"))?;
    let [a, b, c, d] = SERVER.0;
    let socket = sender.sockets.get_mut::<Socket<'_>>(sender.handle);
    socket
        .connect(sender.interface.context(), (IpAddress::v4(a, b, c, d), SERVER.1), 5_000)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let piece = vec![0x5a; 64 << 10];
    let (mut given, mut taken) = (0_u64, 0_u64);
    let start = machine::now();
    for turn in 0_i64.. {
        let now = Instant::from_micros(turn * 10);
        while given < OCTETS && sender.socket().can_send() {
            given += sender.socket().send_slice(&piece).unwrap_or(0) as u64;
        }
        sender.poll(now, &mut to_sender);
        to_receiver.incoming.append(&mut to_sender.outgoing);
        to_sender.spare.append(&mut to_receiver.spare);
        receiver.poll(now, &mut to_receiver);
        while let Ok(count) = receiver.socket().recv(|octets| (octets.len(), octets.len())) {
            if count == 0 {
                break;
            }
            taken += count as u64;
        }
        receiver.poll(now, &mut to_receiver);
        to_sender.incoming.append(&mut to_receiver.outgoing);
        if taken >= OCTETS {
            break;
        }
        ensure!(turn < OCTETS as i64 / 1_000, "only {taken} of {OCTETS} octets came");
    }
    Ok(gigabits(machine::now().nanos_since(start)))
}
