//! Questions that are put to workers page by page, over their rings, and within a time: what a search for flows and a survey of
//! connections have in common.
//!
//! Invariant: each worker has at most one question of these at a time; they are over by their deadline, and then tell the workers that
//! have not answered.

use std::time::Duration;

use evenkeel_datapath::command::Command;
use evenkeel_datapath::time::Time;

use crate::fleet::Fleet;

/// Flows or connections in one answer of a worker.
pub(crate) const PAGE: usize = 256;

/// How long all of them may take: at some 2,000 places a millisecond, long enough for ten million flows.
const PATIENCE: Duration = Duration::from_secs(6);

/// All of them.
#[derive(Debug)]
pub(crate) struct Inquiries<Q> {
    until: Time,
    each: Vec<Inquiry<Q>>,
}

/// The part that is one worker's.
#[derive(Debug)]
pub(crate) struct Inquiry<Q> {
    pub(crate) worker: u8,
    token: u64,
    state: Asking<Q>,
}

#[derive(Debug)]
enum Asking<Q> {
    /// The next question is not in the worker's ring yet.
    Question(Box<Q>),
    /// It is.
    Waiting,
    /// There is nothing more to ask.
    Over,
}

impl<Q> Inquiries<Q> {
    /// Asks `workers`, each what `question` makes of its token. `mark` tells these from all others.
    pub(crate) fn new(
        workers: impl Iterator<Item = u8>,
        mark: u64,
        now: Time,
        question: impl Fn(u64) -> Q,
    ) -> Self {
        let inquiry = |worker| {
            let token = mark << 8 | u64::from(worker);
            Inquiry { worker, token, state: Asking::Question(Box::new(question(token))) }
        };
        Self { until: now + PATIENCE, each: workers.map(inquiry).collect() }
    }

    /// The one that an answer with this token is awaited for, if it is.
    pub(crate) fn awaited(&mut self, token: u64) -> Option<&mut Inquiry<Q>> {
        let is_it =
            |inquiry: &&mut Inquiry<Q>| inquiry.token == token && matches!(inquiry.state, Asking::Waiting);
        self.each.iter_mut().find(is_it)
    }

    /// Enough is known: nobody is asked any more.
    pub(crate) fn enough(&mut self) {
        self.each.clear();
    }

    /// Puts the questions that are to be put; true when all is over. A question is a command, and `back` has it out of one that found no
    /// room in the ring.
    pub(crate) fn poll(
        &mut self,
        fleet: &Fleet,
        now: Time,
        command: impl Fn(Box<Q>) -> Command,
        back: impl Fn(Command) -> Option<Box<Q>>,
    ) -> bool {
        for inquiry in &mut self.each {
            inquiry.state = match std::mem::replace(&mut inquiry.state, Asking::Over) {
                Asking::Question(question) => match fleet.tell(inquiry.worker, command(question)) {
                    Ok(()) => Asking::Waiting,
                    Err(command) => back(command).map_or(Asking::Over, Asking::Question),
                },
                state => state,
            };
        }
        now >= self.until || self.each.iter().all(Inquiry::is_over)
    }

    /// Workers that have not answered.
    pub(crate) fn late_workers(&self) -> Vec<u8> {
        self.each.iter().filter(|inquiry| !inquiry.is_over()).map(|inquiry| inquiry.worker).collect()
    }
}

impl<Q> Inquiry<Q> {
    /// It was answered, and goes on with the `next` question if there is one.
    pub(crate) fn answered(&mut self, next: Option<Box<Q>>) {
        self.state = next.map_or(Asking::Over, Asking::Question);
    }

    const fn is_over(&self) -> bool {
        matches!(self.state, Asking::Over)
    }
}
