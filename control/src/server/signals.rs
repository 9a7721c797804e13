//! Signals, as events for the loop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Event;

/// SIGTERM and SIGINT stop the balancer, SIGHUP reads its file again. To be called inside the runtime; the signals no
/// longer end the process from then on.
pub(super) fn signals() -> io::Result<mpsc::Receiver<Event>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let (sender, events) = mpsc::channel(4);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                _ = terminate.recv() => Event::Stop,
                _ = interrupt.recv() => Event::Stop,
                _ = hang_up.recv() => Event::Reload,
            };
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
    Ok(events)
}
