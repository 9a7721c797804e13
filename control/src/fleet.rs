//! All workers, as the control thread sees them: snapshots out, acknowledgements and counters back.
//!
//! Invariants:
//! - Nothing here waits: a ring that is full is tried again later, and only the newest snapshot is kept for that.
//! - Every snapshot that was ever sent is held here until no worker holds it, so it is this thread that frees it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use evenkeel_datapath::command::{Command, FlowQuery, Reply};
use evenkeel_datapath::counters::{BackendCounter, DropReason, Published, ServiceCounter, WorkerCounter};
use evenkeel_datapath::key::Addr;
use evenkeel_datapath::snapshot::Snapshot;
use evenkeel_datapath::worker::Handle;

use crate::slots::{BackendCounts, Ledger, Progress, ServiceCounts};

/// All workers.
#[derive(Debug)]
pub(crate) struct Fleet {
    workers: Vec<Member>,
    newest: Arc<Snapshot>,
    /// Older snapshots that workers or rings may still hold.
    retired: Vec<Arc<Snapshot>>,
}

/// What workers have said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Answers of stages.
    pub(crate) of_stages: Vec<Box<dyn Any + Send>>,
    /// Flow queries, answered.
    #[expect(clippy::vec_box, reason = "they go back into rings, as they came")]
    pub(crate) answers: Vec<Box<FlowQuery>>,
    /// Neighbours that packets were for and that are not known.
    pub(crate) unresolved: Vec<Addr>,
}

#[derive(Debug)]
struct Member {
    handle: Handle,
    /// The newest snapshot is not in its ring yet.
    owed: bool,
}

impl Fleet {
    /// All workers, to which nothing has been sent yet.
    pub(crate) fn new(handles: Vec<Handle>) -> Self {
        let workers = handles.into_iter().map(|handle| Member { handle, owed: false }).collect();
        Self { workers, newest: Arc::default(), retired: Vec::new() }
    }

    /// Sends a snapshot to every worker, in place of any that is not under way yet.
    pub(crate) fn adopt(&mut self, snapshot: Snapshot) {
        let old = std::mem::replace(&mut self.newest, Arc::new(snapshot));
        self.retired.push(old);
        for worker in &mut self.workers {
            worker.owed = true;
        }
        self.send();
    }

    fn send(&mut self) {
        for worker in self.workers.iter_mut().filter(|worker| worker.owed) {
            let command = Command::Adopt(Arc::clone(&self.newest));
            worker.owed = worker.handle.commands.push(command).is_err();
        }
    }

    /// Sends what is owed, takes what came back, frees what nobody holds.
    pub(crate) fn poll(&mut self) -> Heard {
        self.send();
        let mut heard = Heard::default();
        for worker in &self.workers {
            // Bounded, so that a worker gone mad does not hold this thread.
            for _ in 0..worker.handle.replies.capacity() {
                match worker.handle.replies.pop() {
                    Some(Reply::Returned(snapshot)) => drop(snapshot),
                    Some(Reply::Flows(query)) => heard.answers.push(query),
                    Some(Reply::Answered(answer)) => heard.of_stages.push(answer),
                    Some(Reply::Unresolved(addr)) => heard.unresolved.push(addr),
                    None => break,
                }
            }
        }
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        heard
    }

    /// Gives a worker a command; gives it back if the ring is full or there is no such worker.
    pub(crate) fn tell(&self, worker: u8, command: Command) -> Result<(), Command> {
        match self.workers.iter().find(|member| member.handle.id.0 == worker) {
            Some(member) => member.handle.commands.push(command),
            None => Err(command),
        }
    }

    /// Tells every worker to leave its loop; true once each has been told.
    pub(crate) fn stop(&mut self, told: &mut Vec<bool>) -> bool {
        told.resize(self.workers.len(), false);
        for (worker, told) in self.workers.iter().zip(told.iter_mut()) {
            *told = *told || worker.handle.commands.push(Command::Stop).is_ok();
        }
        told.iter().all(|&told| told)
    }

    /// The newest snapshot.
    pub(crate) fn newest(&self) -> &Snapshot {
        &self.newest
    }

    /// Snapshots that are held for workers besides the newest.
    #[cfg(test)]
    pub(crate) fn retired(&self) -> usize {
        self.retired.len()
    }

    /// The workers that do not run `generation` or a later one.
    pub(crate) fn late(&self, generation: u64) -> Vec<u8> {
        let late = self.workers.iter().filter(|worker| worker.generation() < generation);
        late.map(|worker| worker.handle.id.0).collect()
    }

    /// The workers' handles, in order.
    pub(crate) fn handles(&self) -> impl ExactSizeIterator<Item = &Handle> {
        self.workers.iter().map(|worker| &worker.handle)
    }

    /// The sum over all workers of what `value` finds.
    pub(crate) fn sum(&self, value: impl Fn(&Published) -> u64) -> u64 {
        self.handles().map(|handle| value(&handle.published)).fold(0, u64::wrapping_add)
    }
}

impl Member {
    fn generation(&self) -> u64 {
        self.handle.generation.load(Acquire)
    }
}

impl Ledger for Fleet {
    fn service(&self, slot: u16) -> ServiceCounts {
        let mut counts = [0; ServiceCounter::COUNT];
        for &counter in ServiceCounter::ALL {
            counts[counter as usize] = self.sum(|published| published.service(slot, counter));
        }
        counts
    }

    fn backend(&self, slot: u16) -> BackendCounts {
        let mut counts = [0; BackendCounter::COUNT];
        for &counter in BackendCounter::ALL {
            counts[counter as usize] = self.sum(|published| published.backend(slot, counter));
        }
        counts
    }

    fn progress(&self) -> Vec<Progress> {
        // The generation first: rounds that are read after it are counted from a time when it was in force.
        let progress = |worker: &Member| {
            let generation = worker.generation();
            Progress { generation, rounds: worker.handle.published.rounds() }
        };
        self.workers.iter().map(progress).collect()
    }
}

/// Drops of one worker, for whatever reason.
pub(crate) fn dropped(published: &Published) -> u64 {
    DropReason::ALL.iter().map(|&reason| published.drops(reason)).fold(0, u64::wrapping_add)
}

/// What came into one worker less what went out, was passed on or dropped, as far as it has been published: some packets
/// may be under way, and words are read while they change.
pub(crate) fn imbalance(published: &Published) -> i64 {
    use WorkerCounter as C;
    let sum =
        |counters: &[C]| counters.iter().map(|&counter| published.value(counter)).fold(0, u64::wrapping_add);
    let came = sum(&[C::Received, C::FromKernel, C::HandedIn, C::Originated]);
    let went = sum(&[C::Sent, C::ToKernel, C::HandedOut, C::ToL7]).wrapping_add(dropped(published));
    came.wrapping_sub(went).cast_signed()
}
