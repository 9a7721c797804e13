//! One to three workers over queues in memory, with every ring around them, settled after every event.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use evenkeel_datapath::command::{Command, FlowQuery, FlowQuestion, Reply};
use evenkeel_datapath::counters::WorkerCounter;
use evenkeel_datapath::flow::FlowView;
use evenkeel_datapath::key::FlowKey;
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::port::MemoryQueue;
use evenkeel_datapath::snapshot::{PortId, Snapshot, WorkerId};
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::{Handle, Links, Worker};

use super::network::{BACKEND_SIDE, BOUNDS, CLIENT_SIDE};

/// What all workers together have counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) opened: u64,
    pub(super) stateless: u64,
    pub(super) originated: u64,
}

impl Totals {
    pub(super) const fn since(&self, before: &Self) -> Self {
        Self {
            opened: self.opened - before.opened,
            stateless: self.stateless - before.stateless,
            originated: self.originated - before.originated,
        }
    }
}

pub(super) struct Fleet {
    workers: Vec<Worker<MemoryQueue<HeapPacket>, HeapPool>>,
    handles: Vec<Handle>,
    inboxes: Vec<Arc<ArrayQueue<HeapPacket>>>,
    to_kernel: Arc<ArrayQueue<HeapPacket>>,
    from_kernel: Arc<ArrayQueue<HeapPacket>>,
    received: u64,
}

impl Fleet {
    pub(super) fn new(setup: u8, snapshot: &Arc<Snapshot>) -> Self {
        let ring = if setup & 0x20 == 0 { 64 } else { 1 };
        let count = snapshot.steering.workers();
        let inboxes: Vec<_> = (0..count).map(|_| Arc::new(ArrayQueue::new(ring))).collect();
        let (to_kernel, from_kernel) = (Arc::new(ArrayQueue::new(8)), Arc::new(ArrayQueue::new(8)));
        let handle = |id| Handle::new(WorkerId(id), None, 4, BOUNDS);
        let handles: Vec<Handle> = (0..count).map(handle).collect();
        let worker = |handle: &Handle| {
            let flows = flows_of_setup(setup);
            let config = PipelineConfig { worker: handle.id, flows, bounds: BOUNDS, seed: 3 };
            let pipeline = Pipeline::new(&config).expect("memory for a small table");
            let is_first = handle.id.0 == 0;
            let links = Links {
                inboxes: inboxes.clone(),
                to_kernel: vec![Some(Arc::clone(&to_kernel)), None],
                from_kernel: is_first.then(|| Arc::clone(&from_kernel)).into_iter().collect(),
            };
            let queues =
                vec![MemoryQueue::default(), MemoryQueue { room: Some(20), ..MemoryQueue::default() }];
            Worker::new(handle.clone(), pipeline, queues, HeapPool, links, Arc::clone(snapshot))
        };
        let workers = handles.iter().map(worker).collect();
        Self { workers, handles, inboxes, to_kernel, from_kernel, received: 0 }
    }

    /// Puts frames into a queue of `port` and lets all workers turn; returns what was sent.
    pub(super) fn deliver(
        &mut self,
        port: PortId,
        frames: impl IntoIterator<Item = Vec<u8>>,
        worker: usize,
        now: Time,
    ) -> Vec<(PortId, Vec<u8>)> {
        let count = self.workers.len();
        if let Some(queue) = self.workers[worker % count].queue_mut(port) {
            let before = queue.incoming.len();
            queue.incoming.extend(frames.into_iter().map(|frame| HeapPacket::new(&frame, port)));
            self.received += (queue.incoming.len() - before) as u64;
        }
        self.settle(now)
    }

    /// Lets all workers turn until none has anything to do; returns what was sent.
    pub(super) fn settle(&mut self, now: Time) -> Vec<(PortId, Vec<u8>)> {
        let mut turns = 0;
        while self.workers.iter_mut().fold(false, |moved, worker| worker.turn(now) | moved) {
            turns += 1;
            assert!(turns < 10, "workers hand packets around");
            while self.to_kernel.pop().is_some() {}
        }
        let mut sent = Vec::new();
        for worker in &mut self.workers {
            for port in [CLIENT_SIDE, BACKEND_SIDE] {
                let packets = worker.queue_mut(port).map(|queue| queue.outgoing.drain(..));
                sent.extend(packets.into_iter().flatten().map(|packet| (port, packet.bytes().to_vec())));
            }
        }
        sent
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            opened: self.total(WorkerCounter::FlowsOpened),
            stateless: self.total(WorkerCounter::Stateless),
            originated: self.total(WorkerCounter::Originated),
        }
    }

    fn total(&self, counter: WorkerCounter) -> u64 {
        self.workers.iter().map(|worker| worker.pipeline().counters.value(counter)).sum()
    }

    /// What holds whenever nothing is under way.
    pub(super) fn check(&self) {
        assert!(self.inboxes.iter().all(|inbox| inbox.is_empty()));
        assert_eq!(self.total(WorkerCounter::Received), self.received);
        assert_eq!(self.total(WorkerCounter::HandedIn), self.total(WorkerCounter::HandedOut));
        for worker in &self.workers {
            let pipeline = worker.pipeline();
            assert_eq!(pipeline.counters.imbalance(), 0, "the books of {:?}", worker.id());
            let value = |counter| pipeline.counters.value(counter);
            let len = u64::from(pipeline.table().len());
            assert_eq!(value(WorkerCounter::FlowsOpened) - value(WorkerCounter::FlowsClosed), len);
            assert_eq!(value(WorkerCounter::FlowsActive), len);
        }
    }

    /// Every worker takes the snapshot, and gives the old one back.
    pub(super) fn adopt(&mut self, snapshot: &Arc<Snapshot>, now: Time) {
        for _ in self.ask(|| Command::Adopt(Arc::clone(snapshot)), now) {}
        let has_it = |handle: &Handle| {
            handle.generation.load(std::sync::atomic::Ordering::Acquire) == snapshot.generation
        };
        assert!(self.handles.iter().all(has_it));
    }

    /// The flow of a packet with this key, at whichever workers have it.
    pub(super) fn lookup(&mut self, key: FlowKey, now: Time) -> Vec<FlowView> {
        self.question(FlowQuestion::Lookup(key), 1, now)
    }

    /// Walks the tables in answers of `room` flows: as many are listed as there are.
    pub(super) fn list(&mut self, from: u32, room: usize, now: Time) {
        let listed = self.question(FlowQuestion::List { from }, room, now);
        assert!(listed.len() <= room * self.workers.len());
        if from == 0 && room > 200 {
            assert!(listed.len() as u64 <= self.total(WorkerCounter::FlowsActive));
        }
    }

    fn question(&mut self, question: FlowQuestion, room: usize, now: Time) -> Vec<FlowView> {
        let query = || {
            let flows = Vec::with_capacity(room);
            Command::Flows(Box::new(FlowQuery { token: 1, question, flows, next: None }))
        };
        let answers = self.ask(query, now).into_iter();
        answers
            .flat_map(|reply| match reply {
                Reply::Flows(query) => query.flows,
                Reply::Returned(_) | Reply::Answered(_) | Reply::Unresolved(_) => Vec::new(),
            })
            .collect()
    }

    fn ask(&mut self, command: impl Fn() -> Command, now: Time) -> Vec<Reply> {
        for handle in &self.handles {
            assert!(handle.commands.push(command()).is_ok());
        }
        // The answer to the last command of a turn is sent at the top of the next one.
        self.settle(now);
        self.settle(now);
        let replies = self.handles.iter().flat_map(|handle| std::iter::from_fn(|| handle.replies.pop()));
        replies.filter(|reply| !matches!(reply, Reply::Unresolved(_))).collect()
    }

    /// The kernel's twin of `port`, which may not exist, sends something.
    pub(super) fn send_from_kernel(&mut self, port: PortId, octets: &[u8], now: Time) {
        assert!(self.from_kernel.push(HeapPacket::new(octets, port)).is_ok());
        self.settle(now);
        assert!(self.from_kernel.is_empty());
    }
}

/// Flows that each table holds.
pub(super) const fn flows_of_setup(setup: u8) -> u32 {
    [4, 64, 256, 64][(setup >> 2 & 3) as usize]
}
