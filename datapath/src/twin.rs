//! The kernel's twin of a port: a TAP interface through which Linux sees what the datapath does not own.
//!
//! Invariants: only the twin's own thread makes system calls, workers touch nothing but the two rings. A packet that
//! was taken from a ring or read from the TAP is counted exactly once. The TAP is given no offloads, so frames from
//! the kernel carry complete checksums and are no larger than its MTU. It vanishes with the process.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use nix::poll::{PollFd, PollFlags, ppoll};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::packet::{Packet, PacketPool};
use crate::port::BURST;
use crate::snapshot::{MacAddress, PortId};

crate::counters::counters! {
    /// What a twin's thread counts.
    TwinCounter {
        ToKernel "to_kernel" "Frames that the kernel took.",
        FromKernel "from_kernel" "Frames that the kernel sent and that a worker will find in the ring.",
        RingFull "ring_full" "Frames from the kernel that were dropped because the ring to the workers was full.",
        PoolEmpty "pool_empty" "Frames from the kernel that were dropped because no packet buffer was free.",
        TooLarge "too_large" "Frames dropped because they exceed one packet buffer, or one frame of the TAP.",
        WriteErrors "write_errors" "Frames that the kernel refused, as it does while the interface is down.",
        ReadErrors "read_errors" "Failed attempts to read from the TAP.",
    }
}

/// A twin's counters: written by its thread only, each word whole.
#[derive(Debug, Default)]
pub struct TwinCounters([AtomicU64; TwinCounter::COUNT]);

impl TwinCounters {
    /// What `counter` stands at.
    #[must_use]
    pub fn value(&self, counter: TwinCounter) -> u64 {
        self.0[counter as usize].load(Relaxed)
    }

    fn count(&self, counter: TwinCounter) {
        self.0[counter as usize].fetch_add(1, Relaxed);
    }
}

/// Why a twin could not be made or started.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// The process may not make interfaces.
    #[error(
        "no permission to make the TAP interface {name}: CAP_NET_ADMIN and access to /dev/net/tun are needed"
    )]
    Permission {
        /// The interface.
        name: String,
    },
    /// Another process holds an interface of this name, or it is of another kind.
    #[error("the interface {name} exists already and is not a free TAP interface")]
    Taken {
        /// The interface.
        name: String,
    },
    /// Anything else.
    #[error("cannot make the TAP interface {name}: {source}")]
    Io {
        /// The interface.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl TwinError {
    fn new(name: &str, source: io::Error) -> Self {
        let name = name.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Permission { name },
            Some(libc::EBUSY | libc::EINVAL | libc::EEXIST) => Self::Taken { name },
            _ => Self::Io { name, source },
        }
    }
}

/// Both directions between a twin and the workers.
#[derive(Debug)]
pub struct TwinRings<P> {
    /// Filled by workers, drained by the twin's thread.
    pub to_kernel: Arc<ArrayQueue<P>>,
    /// Filled by the twin's thread, drained by one worker.
    pub from_kernel: Arc<ArrayQueue<P>>,
}

impl<P> TwinRings<P> {
    /// Empty rings of `capacity` packets each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            to_kernel: Arc::new(ArrayQueue::new(capacity)),
            from_kernel: Arc::new(ArrayQueue::new(capacity)),
        }
    }
}

impl<P> Clone for TwinRings<P> {
    fn clone(&self) -> Self {
        Self { to_kernel: Arc::clone(&self.to_kernel), from_kernel: Arc::clone(&self.from_kernel) }
    }
}

/// A port's TAP interface. It is made down and without addresses: who configures it brings it up.
pub struct Twin {
    name: String,
    port: PortId,
    mtu: u16,
    device: SyncDevice,
}

impl Twin {
    /// Makes the interface `name` with the address and MTU of `port`.
    pub fn new(name: &str, port: PortId, mac: MacAddress, mtu: u16) -> Result<Self, TwinError> {
        let device = DeviceBuilder::new()
            .name(name)
            .layer(Layer::L2)
            .mtu(mtu)
            .mac_addr(mac.0)
            .enable(false)
            .build_sync()
            .and_then(|device| device.set_nonblocking(true).map(|()| device))
            .map_err(|source| TwinError::new(name, source))?;
        Ok(Self { name: name.to_owned(), port, mtu, device })
    }

    /// The name of the interface.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts the thread `twin-NAME`, which moves frames until it is told to stop.
    ///
    /// `on_start` runs first on that thread, and what it returns lives as long as the thread does: it registers the
    /// thread with whatever `pool` needs. If it fails, so does the thread, and [`RunningTwin::stop`] tells.
    pub fn start<A, G, E>(
        self,
        rings: TwinRings<A::Packet>,
        pool: A,
        on_start: impl FnOnce() -> Result<G, E> + Send + 'static,
    ) -> Result<RunningTwin<E>, TwinError>
    where
        A: PacketPool + Send + 'static,
        A::Packet: 'static,
        E: Send + 'static,
    {
        let (stop, counters) = (Arc::new(AtomicBool::new(false)), Arc::new(TwinCounters::default()));
        let name = self.name.clone();
        let thread = {
            let (stop, counters) = (Arc::clone(&stop), Arc::clone(&counters));
            Builder::new()
                .name(format!("twin-{name}"))
                .spawn(move || {
                    let guard = on_start()?;
                    let mut pump = Pump::new(self, rings, pool, counters);
                    pump.run(&stop);
                    drop(pump);
                    drop(guard);
                    Ok(())
                })
                .map_err(|source| TwinError::new(&name, source))?
        };
        Ok(RunningTwin { name, counters, stop, thread: Some(thread) })
    }
}

/// A twin whose thread runs. Dropping it stops the thread and removes the interface.
pub struct RunningTwin<E> {
    name: String,
    counters: Arc<TwinCounters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), E>>>,
}

impl<E> RunningTwin<E> {
    /// The name of the interface.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its thread has counted.
    #[must_use]
    pub fn counters(&self) -> &Arc<TwinCounters> {
        &self.counters
    }

    /// True once the thread has ended, which before [`RunningTwin::stop`] it only does if `on_start` failed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the thread, within a few milliseconds, and removes the interface. Fails if `on_start` did.
    pub fn stop(mut self) -> Result<(), E> {
        self.join()
    }

    fn join(&mut self) -> Result<(), E> {
        self.stop.store(true, Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl<E> Drop for RunningTwin<E> {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// How long to wait while nothing moves: longer and longer, since workers give no wake-up, and an idle machine should
/// hardly notice the polling.
struct Waits(Duration);

impl Waits {
    const FIRST: Duration = Duration::from_micros(200);
    /// 500 wake-ups a second.
    const LAST: Duration = Duration::from_millis(2);

    fn next(&mut self) -> Duration {
        let longer = (self.0 * 2).min(Self::LAST);
        std::mem::replace(&mut self.0, longer)
    }
}

/// The loop of a twin's thread.
struct Pump<A: PacketPool> {
    twin: Twin,
    rings: TwinRings<A::Packet>,
    pool: A,
    counters: Arc<TwinCounters>,
    frame: Vec<u8>,
}

impl<A: PacketPool> Pump<A> {
    fn new(twin: Twin, rings: TwinRings<A::Packet>, pool: A, counters: Arc<TwinCounters>) -> Self {
        // Ethernet header, two VLAN tags, and one octet that tells a frame that is longer still.
        let frame = vec![0; usize::from(twin.mtu) + 14 + 8 + 1];
        Self { twin, rings, pool, counters, frame }
    }

    fn run(&mut self, stop: &AtomicBool) {
        let (mut waits, mut readable) = (Waits(Waits::FIRST), true);
        while !stop.load(Relaxed) {
            let moved = self.drain_ring() + if readable { self.drain_kernel() } else { 0 };
            if moved > 0 {
                (waits, readable) = (Waits(Waits::FIRST), true);
            } else {
                readable = self.wait(waits.next());
            }
        }
    }

    /// Until the kernel has a frame, which is what true says, or for this long.
    fn wait(&self, duration: Duration) -> bool {
        let mut descriptors = [PollFd::new(self.twin.device.as_fd(), PollFlags::POLLIN)];
        // A failed poll (a signal, say) only means that the next look at the rings comes early.
        let _ = ppoll(&mut descriptors, Some(duration.into()), None);
        let events = descriptors[0].revents().unwrap_or(PollFlags::empty());
        if !events.is_empty() && !events.contains(PollFlags::POLLIN) {
            // Somebody removed the interface: poll returns at once, for ever.
            std::thread::sleep(duration);
        }
        events.contains(PollFlags::POLLIN)
    }

    /// At most a burst from the ring to the kernel; returns how many were taken from the ring.
    fn drain_ring(&mut self) -> usize {
        let packets = std::iter::from_fn(|| self.rings.to_kernel.pop()).take(BURST);
        packets.map(|packet| self.counters.count(self.write(&packet))).count()
    }

    fn write(&self, packet: &A::Packet) -> TwinCounter {
        if packet.bytes().len() != packet.total_len() {
            return TwinCounter::TooLarge;
        }
        match self.twin.device.send(packet.bytes()) {
            Ok(_) => TwinCounter::ToKernel,
            Err(_) => TwinCounter::WriteErrors,
        }
    }

    /// At most a burst from the kernel to the ring; returns how many were read.
    fn drain_kernel(&mut self) -> usize {
        for read in 0..BURST {
            match self.twin.device.recv(&mut self.frame) {
                Ok(length) => {
                    let outcome = self.deliver(length);
                    self.counters.count(outcome);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return read,
                Err(_) => {
                    self.counters.count(TwinCounter::ReadErrors);
                    return read;
                }
            }
        }
        BURST
    }

    fn deliver(&mut self, length: usize) -> TwinCounter {
        if length >= self.frame.len() {
            return TwinCounter::TooLarge;
        }
        let Some(mut packet) = self.pool.allocate() else { return TwinCounter::PoolEmpty };
        if !packet.resize(length) {
            return TwinCounter::TooLarge;
        }
        packet.bytes_mut().copy_from_slice(&self.frame[..length]);
        packet.set_port(self.twin.port);
        match self.rings.from_kernel.push(packet) {
            Ok(()) => TwinCounter::FromKernel,
            Err(_) => TwinCounter::RingFull,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_twin_looks_at_its_ring_soon_at_first_and_then_seldom() {
        let mut waits = Waits(Waits::FIRST);
        let looks: Vec<Duration> = std::iter::repeat_with(|| waits.next()).take(505).collect();
        assert_eq!(looks[0], Duration::from_micros(200));
        assert!(looks.is_sorted());
        assert!(looks.iter().sum::<Duration>() > Duration::from_secs(1), "500 looks a second");
    }
}
