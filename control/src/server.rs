//! The control thread's loop: connections, next hops and time in, answers out.
//!
//! Invariants: one task owns the state and never waits for a peer or a worker. Each connection is a task of its own
//! with at most one request under way, one line of memory and a bounded time for each step.

mod connection;
mod signals;

use std::collections::HashMap;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::control::{Control, Peer, Submitted, Ticket};
use crate::next_hops::{NextHopReader, Wanted};
use crate::protocol::{Answer, Refusal, RefusalKind, Request};
use crate::setup::Setup;
use crate::socket::{ControlSocket, SocketError};

use signals::signals;

/// Connections at one time.
const MAX_CONNECTIONS: usize = 64;
/// Requests that wait for the loop; as many connections have one.
const QUEUE: usize = MAX_CONNECTIONS;
/// How often rings are looked at while somebody waits for a worker.
const BUSY: Duration = Duration::from_millis(1);
/// How often rings, deadlines and slots are looked at otherwise.
const IDLE: Duration = Duration::from_millis(50);
/// How long workers and connections are given to take notice of the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the control thread is told besides requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Stop the balancer.
    Stop,
    /// Read the configuration file again.
    Reload,
}

/// Why the control thread could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be put into force.
    #[error("the configuration cannot be put into force: {0}")]
    Configuration(#[from] Refusal),
    /// The control socket cannot be served.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The runtime refused the socket.
    #[error("cannot serve the control socket: {0}")]
    Io(#[from] std::io::Error),
}

/// A request under way from a connection to the loop.
struct Envelope {
    request: Request,
    peer: Peer,
    answer: oneshot::Sender<Answer>,
}

/// Runs the control thread until a signal or a request stops it, and then tells the workers. SIGHUP is `reload`. `ready`
/// is called once every worker runs the first snapshot.
///
/// # Errors
/// When it cannot begin.
pub fn run(
    setup: Setup,
    next_hops: NextHopReader,
    socket: ControlSocket,
    ready: impl FnOnce(),
) -> Result<(), ServeError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { serve(setup, next_hops, socket, signals()?, ready).await })
}

/// [`run`] on a runtime that is there already, with `events` in place of signals.
///
/// # Errors
/// When it cannot begin.
pub async fn serve(
    setup: Setup,
    next_hops: NextHopReader,
    mut socket: ControlSocket,
    mut events: mpsc::Receiver<Event>,
    ready: impl FnOnce(),
) -> Result<(), ServeError> {
    let clock = setup.clock;
    let NextHopReader { mut next_hops, wanted, missed } = next_hops;
    let first = next_hops.borrow_and_update().clone();
    let mut control = Control::new(setup, first, clock())?;
    let listener = UnixListener::from_std(socket.listen()?)?;
    info!(socket = %socket.path().display(), "control socket");

    let mut ready = Some(ready);
    let mut waiting: HashMap<Ticket, oneshot::Sender<Answer>> = HashMap::new();
    let mut connections = Connections::new();
    // The generation of what netlink has been told to want.
    let mut told = 0;
    loop {
        let pace = if control.is_busy() || ready.is_some() { BUSY } else { IDLE };
        tokio::select! {
            Some(envelope) = connections.requests.recv() => {
                match control.submit(envelope.request, envelope.peer, clock()) {
                    // A peer that has gone does not want its answer.
                    Submitted::Answered(answer) => drop(envelope.answer.send(answer)),
                    Submitted::Waiting(ticket) => drop(waiting.insert(ticket, envelope.answer)),
                }
            }
            accepted = listener.accept(), if connections.accepts_now() => {
                connections.accept(accepted.map(|(stream, _)| stream));
            }
            Some(finished) = connections.tasks.join_next() => {
                finished.unwrap_or_else(|error| warn!(%error, "connection"));
            }
            Ok(()) = next_hops.changed() => {
                let newest = next_hops.borrow_and_update().clone();
                control.set_next_hops(newest);
            }
            Some(event) = events.recv() => {
                let request = match event {
                    Event::Stop => Request::Stop {},
                    Event::Reload => Request::Reload {},
                };
                // What becomes of it is in the log.
                let _ = control.submit(request, Peer { uid: None, pid: None }, clock());
            }
            () = sleep(pace) => {}
        }
        for (ticket, answer) in control.poll(clock()) {
            if let Some(peer) = waiting.remove(&ticket) {
                let _ = peer.send(answer);
            }
        }
        if told != control.generation() {
            told = control.generation();
            publish_wanted(&wanted, &control);
        }
        for address in control.take_missed() {
            // A hint: when the ring is full, a later packet gives it again.
            let _ = missed.try_send(address);
        }
        if ready.is_some() && control.is_ready() {
            debug!("every worker runs the first snapshot");
            ready.take().into_iter().for_each(|ready| ready());
        }
        if control.is_stopping() {
            break;
        }
    }
    drop(waiting);
    stop_workers(&mut control).await;
    connections.close().await;
    Ok(())
}

fn publish_wanted(wanted: &watch::Sender<Wanted>, control: &Control) {
    wanted.send_if_modified(|current| {
        let newest = control.wanted();
        let differs = *current != newest;
        if differs {
            *current = newest;
        }
        differs
    });
}

async fn stop_workers(control: &mut Control) {
    let until = Instant::now() + FAREWELL;
    let mut told = Vec::new();
    while !control.fleet.stop(&mut told) {
        if Instant::now() >= until {
            warn!("some workers take no commands and could not be told to stop");
            return;
        }
        sleep(BUSY).await;
    }
}

/// All connections.
struct Connections {
    tasks: JoinSet<()>,
    requests: mpsc::Receiver<Envelope>,
    sender: mpsc::Sender<Envelope>,
    closing: watch::Sender<bool>,
    /// Until then, no connection is accepted.
    pause: Option<Instant>,
}

impl Connections {
    fn new() -> Self {
        let (sender, requests) = mpsc::channel(QUEUE);
        Self { tasks: JoinSet::new(), requests, sender, closing: watch::channel(false).0, pause: None }
    }

    /// False for a while after the system refused to accept one.
    fn accepts_now(&self) -> bool {
        self.pause.is_none_or(|until| Instant::now() >= until)
    }

    fn accept(&mut self, accepted: std::io::Result<UnixStream>) {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                // Out of descriptors, most likely: looking again at once would not help.
                warn!(%error, "cannot accept a connection");
                self.pause = Some(Instant::now() + IDLE);
                return;
            }
        };
        if self.tasks.len() >= MAX_CONNECTIONS {
            let message = format!("{MAX_CONNECTIONS} connections are open, and no more are taken");
            connection::refuse(&stream, Refusal::new(RefusalKind::TooManyConnections, message));
            return;
        }
        match stream.peer_cred() {
            Ok(credentials) => {
                let peer = Peer { uid: Some(credentials.uid()), pid: credentials.pid() };
                self.tasks.spawn(connection::run(
                    stream,
                    peer,
                    self.sender.clone(),
                    self.closing.subscribe(),
                ));
            }
            Err(error) => warn!(%error, "a peer without credentials"),
        }
    }

    /// Lets connections write what they have, and ends them.
    async fn close(mut self) {
        self.requests.close();
        let _ = self.closing.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests;
