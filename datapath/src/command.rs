//! What the control thread asks of a worker and what comes back, over two bounded rings.
//!
//! A worker never allocates for an answer: each question brings the memory that its answer needs.

use std::any::Any;
use std::sync::Arc;

use crate::flow::FlowView;
use crate::key::{Addr, FlowKey};
use crate::snapshot::Snapshot;

/// From the control thread to one worker. Each takes effect at the top of a turn, in order.
#[derive(Debug)]
pub enum Command {
    /// Forward by this from now on.
    Adopt(Arc<Snapshot>),
    /// Answer a question about the flow table.
    Flows(Box<FlowQuery>),
    /// Answer a question to the stage above layer 4. Only that and the asker know what it is.
    Ask(Box<dyn Any + Send>),
    /// Leave the loop.
    Stop,
}

/// From a worker to the control thread.
#[derive(Debug)]
pub enum Reply {
    /// A snapshot that the worker no longer uses.
    Returned(Arc<Snapshot>),
    /// The question, answered.
    Flows(Box<FlowQuery>),
    /// The question to the stage above layer 4, answered.
    Answered(Box<dyn Any + Send>),
    /// A packet was for this neighbour on a link of ours, and its Ethernet address is not known. Rate-limited.
    Unresolved(Addr),
}

/// A question about the flow table, and room for the answer.
#[derive(Debug)]
pub struct FlowQuery {
    /// The asker's own mark.
    pub token: u64,
    /// What is asked.
    pub question: FlowQuestion,
    /// The answer: filled up to its capacity.
    pub flows: Vec<FlowView>,
    /// Where to go on listing; `None` at the end.
    pub next: Option<u32>,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowQuestion {
    /// The flow of a packet with this key, in either direction.
    Lookup(FlowKey),
    /// Flows from this place of the table on. A bounded number of places is looked at in one answer.
    List {
        /// Zero at first, then what the last answer's `next` said.
        from: u32,
    },
}
