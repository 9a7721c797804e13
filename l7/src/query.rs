//! What the control thread asks a stage about its connections, with the memory that the answer needs.

use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_tcp::{Counter, Info, Step, Tuple};

/// Places that one answer looks at.
pub(crate) const PLACES_PER_ANSWER: u32 = 2_048;

/// A question, and room for the answer: nothing is allocated on a worker.
#[derive(Debug)]
pub struct Query {
    /// The asker's own mark.
    pub token: u64,
    /// Connections from this place on: zero at first, then what the last answer's `next` said.
    pub from: u32,
    /// Only the one between these ends, whichever of them is the local one.
    pub only: Option<Tuple>,
    /// Connections that are found have their steps remembered from now on, or no longer.
    pub trace: Option<bool>,
    /// What was found, up to the capacity.
    pub connections: Vec<ConnectionView>,
    /// The last steps of the connections found, up to the capacity: of one, since they are not told apart.
    pub steps: Vec<Step>,
    /// What the stack has counted, by [`Counter`], and then [`GAUGES`]; nothing where there is no stack yet.
    pub counters: Vec<u64>,
    /// Where to go on; `None` at the end.
    pub next: Option<u32>,
}

/// What a stage tells behind its counters: name, and one sentence of help.
pub const GAUGES: [(&str, &str); 3] = [
    ("connections", "Connections, those not yet accepted and those that are over but not let go included."),
    ("time_wait", "Connections remembered in TIME-WAIT."),
    ("memory", "Octets of packets and other memory that connections hold."),
];

/// How many numbers there are.
pub const NUMBERS: usize = Counter::COUNT + GAUGES.len();

/// A connection, as others see it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionView {
    /// Its ends: the local one of a client's is the VIP.
    pub tuple: Tuple,
    /// In the terms of Linux's TCP_INFO.
    pub info: Info,
    /// The service whose requests come or go by it.
    pub service: ServiceSlot,
    /// The slot of the backend that it leads to; `None` for one of a client.
    pub backend: Option<u16>,
}

impl Query {
    /// A question about connections from the first place on, with room for so many of them and so many steps.
    #[must_use]
    pub fn new(token: u64, only: Option<Tuple>, trace: Option<bool>, room: usize, steps: usize) -> Self {
        Self {
            token,
            from: 0,
            only,
            trace,
            connections: Vec::with_capacity(room),
            steps: Vec::with_capacity(steps),
            counters: Vec::with_capacity(NUMBERS),
            next: None,
        }
    }

    /// The same question again, from `from` on, without the answer.
    pub fn again(&mut self, from: u32) {
        self.from = from;
        self.connections.clear();
        self.steps.clear();
        self.counters.clear();
        self.next = None;
    }
}
