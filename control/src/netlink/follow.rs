//! Following the kernel: events in, [`NextHops`] out, at most one every [`PAUSE`].

use std::io;
use std::sync::{Arc, mpsc as sync_mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use evenkeel_datapath::fib::{Fib, NextHop, Prefix};
use futures_util::{StreamExt, stream};
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{error, info, warn};

use super::event::{Event, Outdated};
use super::setup::{Twins, refused};
use super::table::{Table, Upkeep};
use super::{Link, NetlinkError, keep, read, translate};
use crate::next_hops::{NextHopWriter, NextHops};

/// Between two [`NextHops`], so that a storm of events does not become a storm of snapshots.
const PAUSE: Duration = Duration::from_millis(20);

/// From an event to the [`NextHops`] that follow from it: what belongs together comes together.
const GATHER: Duration = Duration::from_millis(2);

/// Between two looks at the neighbours of backends, and before what failed is tried again.
const UPKEEP: Duration = Duration::from_secs(1);

/// The thread `netlink`, which sets the twins up and follows their routes and neighbours for as long as this lives. It
/// goes before the twins do, or it reports them missing.
#[derive(Debug)]
pub struct Follower {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Configures the twins, which must exist, as is wanted at this time, reads the kernel's tables, and only then
    /// returns. From then on it does what is wanted as soon as it is, tries again each second where the kernel refuses,
    /// and writes next hops.
    pub fn start(links: Vec<Link>, writer: NextHopWriter) -> Result<Self, NetlinkError> {
        let (stop, stopped) = oneshot::channel();
        let (ready, outcome) = sync_mpsc::sync_channel(1);
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = ready.send(Err(no_socket(error)));
                    return;
                }
            };
            runtime.block_on(async {
                match Loop::new(links, writer).await {
                    Ok(looping) => {
                        let _ = ready.send(Ok(()));
                        tokio::select! {
                            () = looping.run() => {}
                            _ = stopped => {}
                        }
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            });
        };
        let thread = Builder::new().name("netlink".to_owned()).spawn(body).map_err(no_socket)?;
        let follower = Self { stop: Some(stop), thread: Some(thread) };
        let panicked = || no_socket(io::Error::other("its thread ended"));
        outcome.recv().unwrap_or_else(|_| Err(panicked()))?;
        Ok(follower)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

type Events = stream::BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>;

/// What it takes to follow the kernel.
struct Kernel {
    handle: Handle,
    twins: Twins,
    events: Events,
    work: mpsc::Sender<Upkeep>,
}

struct Loop {
    table: Table,
    /// `None` where no port has a twin: then the kernel is not asked at all.
    kernel: Option<Kernel>,
    writer: NextHopWriter,
    /// What the last [`NextHops`] were made of.
    written: Option<Vec<(Prefix, Option<NextHop>)>>,
    left_out: (u64, u64),
    /// When the table is to be looked at again.
    due: Option<Instant>,
    not_before: Instant,
    /// What is wanted could not be put on the twins.
    misplaced: bool,
    tasks: JoinSet<()>,
}

impl Loop {
    async fn new(links: Vec<Link>, mut writer: NextHopWriter) -> Result<Self, NetlinkError> {
        let mut tasks = JoinSet::new();
        let wanted = writer.wanted.borrow_and_update().clone();
        let has_twins = links.iter().any(|link| link.twin.is_some());
        let kernel = if has_twins {
            let (connection, handle, _) = rtnetlink::new_connection_with_strict_check().map_err(no_socket)?;
            tasks.spawn(connection);
            let mut twins = Twins::new(handle.clone(), &links).await?;
            let events = events(&mut tasks)?;
            twins.place(&wanted).await?;
            let (work, queue) = mpsc::channel(1);
            tasks.spawn(keep::run(handle.clone(), queue));
            Some(Kernel { handle, twins, events, work })
        } else {
            None
        };
        let interfaces = kernel.as_ref().map(|kernel| kernel.twins.interfaces.clone()).unwrap_or_default();
        let mut this = Self {
            table: Table::new(links, interfaces, wanted),
            kernel,
            writer,
            written: None,
            left_out: (0, 0),
            due: None,
            not_before: Instant::now(),
            misplaced: false,
            tasks,
        };
        this.read_outdated().await?;
        this.write();
        this.upkeep();
        Ok(this)
    }

    async fn run(mut self) {
        let mut upkeep = interval(UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.due;
            tokio::select! {
                message = next_message(&mut self.kernel) => self.take(message),
                changed = self.writer.wanted.changed() => match changed {
                    Ok(()) => self.place().await,
                    Err(_) => return,
                },
                Some(address) = self.writer.missed.recv() => {
                    if self.table.miss(address) {
                        self.upkeep();
                    }
                }
                _ = upkeep.tick() => {
                    if self.misplaced {
                        self.place().await;
                    }
                    self.upkeep();
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.due = None;
                    let began = Instant::now();
                    if let Err(error) = self.read_outdated().await {
                        warn!(%error, "trying again");
                        self.due = Some(began + UPKEEP);
                    }
                    self.write();
                    self.upkeep();
                    // Large tables that change all the time cost at most a tenth of a core.
                    self.not_before = Instant::now() + PAUSE.max(began.elapsed() * 10);
                }
            }
        }
    }

    /// Something may have changed.
    fn touch(&mut self) {
        let due = self.not_before.max(Instant::now() + GATHER);
        self.due = Some(self.due.map_or(due, |already| already.min(due)));
    }

    async fn place(&mut self) {
        let wanted = self.writer.wanted.borrow_and_update().clone();
        if let Some(kernel) = &mut self.kernel {
            let result = kernel.twins.place(&wanted).await;
            if let Err(error) = &result {
                error!(%error, "the kernel's twins do not have what is wanted; trying again");
            }
            self.misplaced = result.is_err();
        }
        self.table.set_wanted(wanted);
        self.touch();
    }

    fn take(&mut self, message: Option<NetlinkMessage<RouteNetlinkMessage>>) {
        let Some(message) = message else {
            self.reopen();
            return;
        };
        let Some(event) = translate::event(message) else { return };
        match event {
            Event::Overrun => info!("events of the kernel were lost: reading its tables anew"),
            Event::LinkGone { interface } if self.table.has_interface(interface) => {
                error!(interface, "the twin of a port was removed by somebody");
            }
            _ => {}
        }
        if self.table.apply(&event) {
            self.touch();
        }
    }

    /// The socket that events come by was closed.
    fn reopen(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        match events(&mut self.tasks) {
            Ok(events) => kernel.events = events,
            Err(error) => {
                error!(%error, "routes and neighbours are not followed; trying again");
                kernel.events = ends_after(UPKEEP);
            }
        }
        self.table.mark_outdated(Outdated::ALL);
        self.touch();
    }

    /// Reads anew what is outdated. Events that come meanwhile wait and are taken afterwards: the last word on anything
    /// is the kernel's last.
    async fn read_outdated(&mut self) -> Result<(), NetlinkError> {
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let outdated = self.table.take_outdated();
        if !outdated.any() {
            return Ok(());
        }
        let result = read::outdated(&kernel.handle, &mut self.table, outdated).await;
        if result.is_err() {
            self.table.mark_outdated(outdated);
        }
        result.map_err(|error| refused("read routes and neighbours".to_owned(), &error))
    }

    fn write(&mut self) {
        let (routes, neighbours) = self.table.left_out();
        if routes > 0 && self.left_out.0 == 0 {
            warn!(routes, bound = super::MAX_ROUTES, "too many routes: the least specific are left out");
        }
        if neighbours > 0 && self.left_out.1 == 0 {
            warn!(bound = super::MAX_NEIGHBOURS, "too many neighbours: new ones are left out");
        }
        self.left_out = (routes, neighbours);

        let next_hops = self.table.next_hops();
        let same_routes = self.written.as_ref() == Some(&next_hops);
        let neighbors = self.table.neighbors();
        let written = self.writer.next_hops.send_if_modified(|current| {
            if same_routes && neighbors == current.neighbors {
                return false;
            }
            let fib =
                if same_routes { Arc::clone(&current.fib) } else { Arc::new(Fib::new(next_hops.clone())) };
            *current = NextHops { fib, neighbors };
            true
        });
        if written {
            self.written = Some(next_hops);
        }
    }

    fn upkeep(&mut self) {
        // While the last round is under way, the next one waits.
        let Some(permit) = self.kernel.as_ref().and_then(|kernel| kernel.work.try_reserve().ok()) else {
            return;
        };
        let upkeep = self.table.upkeep();
        if !upkeep.is_empty() {
            permit.send(upkeep);
        }
    }
}

async fn next_message(kernel: &mut Option<Kernel>) -> Option<NetlinkMessage<RouteNetlinkMessage>> {
    match kernel {
        Some(kernel) => kernel.events.next().await,
        None => std::future::pending().await,
    }
}

/// Opens a socket of its own for events: a flood of them must not get in the way of answers.
fn events(tasks: &mut JoinSet<()>) -> Result<Events, NetlinkError> {
    use MulticastGroup::{Ipv4Route, Ipv6Route, Link, Neigh};
    let groups = [Link, Neigh, Ipv4Route, Ipv6Route];
    let (connection, _, messages) = rtnetlink::new_multicast_connection(&groups).map_err(no_socket)?;
    tasks.spawn(connection);
    Ok(messages.map(|(message, _)| message).boxed())
}

/// No events, and the end after a while.
fn ends_after(pause: Duration) -> Events {
    stream::once(tokio::time::sleep(pause)).filter_map(|()| std::future::ready(None)).boxed()
}

fn no_socket(source: io::Error) -> NetlinkError {
    NetlinkError::Refused { doing: "follow the kernel's routes and neighbours".to_owned(), source }
}
