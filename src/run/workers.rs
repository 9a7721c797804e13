//! The workers' threads: each pinned to its core, known to DPDK, and with its memory near it.
//!
//! Invariants: a thread's worker is made on that thread, so that its flow table lies in its core's memory. Either all
//! workers run or none does.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use evenkeel_config::Config;
use evenkeel_datapath::command::Command;
use evenkeel_datapath::dpdk::{DpdkQueue, Eal, Mbuf, MbufPool, register_thread};
use evenkeel_datapath::machine;
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::snapshot::{Snapshot, WorkerId};
use evenkeel_datapath::twin::TwinRings;
use evenkeel_datapath::worker::{Handle, Idle, Links, Worker};
use evenkeel_l7::L7;

use crate::exit::Failure;
use crate::handles::{bounds, handle, random_seed, stage};

/// Packets that wait to be taken over by another worker, at most.
const HANDED_OVER: usize = 4096;

/// What one worker is made of, besides what all have in common.
struct Part {
    handle: Handle,
    core: usize,
    queues: Vec<DpdkQueue>,
    pool: MbufPool,
    links: Links<Mbuf>,
}

/// The workers, in operation.
pub(crate) struct Workers {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts a worker on each core of the configuration. `queues` has a list for each worker, with a queue for each
    /// port; `twins` has the rings of each port's twin.
    pub(crate) fn start(
        eal: &Eal,
        config: &Config,
        pools: &[MbufPool],
        queues: Vec<Vec<DpdkQueue>>,
        twins: &[Option<TwinRings<Mbuf>>],
    ) -> Result<Self, Failure> {
        let parts = parts(config, pools, queues, twins);
        let pipeline = PipelineConfig {
            worker: WorkerId::default(),
            flows: config.balancer.flows,
            bounds: bounds(config),
            seed: config.balancer.seed.unwrap_or_else(random_seed),
        };
        let idle = match config.balancer.idle {
            evenkeel_config::Idle::Poll => Idle::Poll,
            evenkeel_config::Idle::Backoff => Idle::Backoff,
        };
        let (begun, beginnings) = mpsc::channel();
        let mut workers = Self { handles: Vec::new(), threads: Vec::new() };
        for part in parts {
            let (eal, begun, handle) = (eal.clone(), begun.clone(), part.handle.clone());
            let pipeline = PipelineConfig { worker: handle.id, ..pipeline };
            // Never the configured one: who knows it would know the sequence numbers of connections.
            let stage = stage(config, random_seed());
            let name = format!("worker-{}", handle.id.0);
            workers.handles.push(handle);
            let thread = Builder::new()
                .name(name.clone())
                .spawn(move || thread(&eal, part, &pipeline, stage, idle, begun));
            match thread {
                Ok(thread) => workers.threads.push(thread),
                Err(error) => {
                    workers.stop();
                    return Err(Failure::new(format!("cannot start {name}: {error}")));
                }
            }
        }
        drop(begun);
        // The channel ends when every thread has begun or failed.
        match beginnings.iter().find_map(Result::err) {
            Some(failure) => {
                workers.stop();
                Err(failure)
            }
            None => Ok(workers),
        }
    }

    /// What the control thread holds of them.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// Tells the workers to stop, which may have been done before, and waits until they have.
    pub(crate) fn stop(self) {
        for (handle, thread) in self.handles.iter().zip(self.threads) {
            while !thread.is_finished() {
                // A full ring has its turn in the next round.
                let _ = handle.commands.push(Command::Stop);
                while handle.replies.pop().is_some() {}
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.join().is_err() {
                tracing::error!(worker = handle.id.0, "the worker's thread has panicked");
            }
        }
    }
}

/// The body of a worker's thread; `begun` hears of its beginning once, and goes.
fn thread(
    eal: &Eal,
    part: Part,
    pipeline: &PipelineConfig,
    stage: evenkeel_l7::Config,
    idle: Idle,
    begun: mpsc::Sender<Result<(), Failure>>,
) {
    let Part { handle, core, queues, pool, links } = part;
    let name = handle.id.0;
    let begin = || {
        if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
            let what = format!("worker {name} cannot run on core {core}: `evenkeel check` says more");
            return Err(Failure::new(what));
        }
        let registered = register_thread(eal).map_err(|error| Failure::new(error.to_string()))?;
        let pipeline = Pipeline::new(pipeline).map_err(|error| no_memory(name, &error))?;
        Ok((registered, pipeline))
    };
    let (_registered, pipeline) = match begin() {
        Ok(both) => both,
        Err(failure) => {
            // The other end waits for it.
            let _ = begun.send(Err(failure));
            return;
        }
    };
    let commands = Arc::clone(&handle.commands);
    let worker = Worker::new(handle, pipeline, queues, pool, links, Arc::new(Snapshot::default()));
    let worker = worker.with_stage(L7::<Mbuf>::new(stage), machine::now());
    let _ = begun.send(Ok(()));
    drop(begun);
    // The first command is the first snapshot, or to stop: no packet that waits is dropped for want of one.
    while commands.is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    worker.run(idle);
}

fn no_memory(worker: u8, error: &io::Error) -> Failure {
    Failure::new(format!(
        "no memory for the flow table of worker {worker}: {error}; lower `flows` under [balancer]"
    ))
}

fn parts(
    config: &Config,
    pools: &[MbufPool],
    queues: Vec<Vec<DpdkQueue>>,
    twins: &[Option<TwinRings<Mbuf>>],
) -> Vec<Part> {
    let cores = &config.balancer.workers;
    let inboxes: Vec<_> = cores.iter().map(|_| Arc::new(ArrayQueue::new(HANDED_OVER))).collect();
    let to_kernel: Vec<_> =
        twins.iter().map(|twin| twin.as_ref().map(|rings| Arc::clone(&rings.to_kernel))).collect();
    let mut parts = Vec::new();
    for (((id, &core), pool), queues) in (0u8..).zip(cores).zip(pools).zip(queues) {
        // The twins are shared out among the workers.
        let own = |port: usize| port % cores.len() == usize::from(id);
        let from_kernel = twins.iter().enumerate().filter(|(port, _)| own(*port));
        let from_kernel =
            from_kernel.filter_map(|(_, twin)| twin.as_ref()).map(|rings| Arc::clone(&rings.from_kernel));
        let links = Links {
            inboxes: inboxes.clone(),
            to_kernel: to_kernel.clone(),
            from_kernel: from_kernel.collect(),
        };
        let handle = handle(WorkerId(id), Some(core), config);
        parts.push(Part { handle, core, queues, pool: pool.clone(), links });
    }
    parts
}
