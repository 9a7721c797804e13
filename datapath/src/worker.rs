//! A worker's loop, and what others hold of it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam::queue::ArrayQueue;

use crate::command::{Command, Reply};
use crate::counters::Published;
use crate::snapshot::WorkerId;

/// The control thread's end of one worker: rings both ways, and what the worker publishes.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Which worker it is.
    pub id: WorkerId,
    /// The core that it is pinned to, if it is.
    pub core: Option<usize>,
    /// To the worker.
    pub commands: Arc<ArrayQueue<Command>>,
    /// From the worker.
    pub replies: Arc<ArrayQueue<Reply>>,
    /// Its counters.
    pub published: Arc<Published>,
    /// The generation of the snapshot that it forwards by, stored with release after the old one is no longer read.
    pub generation: Arc<AtomicU64>,
}
