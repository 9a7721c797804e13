//! A balancer in memory and in virtual time: the control state and one worker, without threads, devices or clock.
//!
//! Invariant: the same configuration, seed, packets, requests and times give the same packets and counters.

use std::path::Path;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use evenkeel_config::Config;
use evenkeel_control::netlink::{Link, fixed};
use evenkeel_control::next_hops::Wanted;
use evenkeel_control::protocol::{Answer, Report, Request};
use evenkeel_control::{Control, Peer, Setup, Submitted};
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::pipeline::{Pipeline, PipelineConfig};
use evenkeel_datapath::port::{MemoryQueue, PortCapabilities};
use evenkeel_datapath::snapshot::{ChecksumOffload, MacAddress, PortId, Snapshot, WorkerId};
use evenkeel_datapath::time::Time;
use evenkeel_datapath::worker::{Handle, Links, Worker};
use evenkeel_l7::L7;

use crate::exit::Failure;
use crate::handles::{bounds, handle, stage};

/// Packets for a twin that wait to be counted: more than one turn makes.
const TO_KERNEL: usize = 256;

/// Between packets the worker turns about once in this time, as its housekeeping goes by time.
const IDLE_NS: u64 = 1_000_000;

/// Turns in one pause of the capture, at most.
const MAX_IDLE_TURNS: u64 = 10_000;

/// Turns that a request is given to be answered in.
const TURNS_TO_ANSWER: usize = 4_096;

/// See the module.
pub(crate) struct Balancer {
    control: Control,
    worker: Worker<MemoryQueue<HeapPacket>, HeapPool, L7<HeapPacket>>,
    handle: Handle,
    to_kernel: Vec<Arc<ArrayQueue<HeapPacket>>>,
    links: Vec<Link>,
    wanted: Wanted,
    macs: Vec<MacAddress>,
    now: Time,
}

impl Balancer {
    /// A balancer of this configuration at the time `now`.
    pub(crate) fn new(config: Config, file: &Path, seed: u64, now: Time) -> Result<Self, Failure> {
        let ports = capabilities(&config)?;
        let pipeline = PipelineConfig {
            worker: WorkerId(0),
            flows: config.balancer.flows,
            bounds: bounds(&config),
            seed,
        };
        let pipeline = Pipeline::new(&pipeline)
            .map_err(|error| Failure::new(format!("no memory for the flow table: {error}; lower `flows`")))?;
        let handle = handle(WorkerId(0), None, &config);
        let rings: Vec<_> = config
            .ports
            .iter()
            .map(|port| port.kernel.is_some().then(|| Arc::new(ArrayQueue::new(TO_KERNEL))))
            .collect();
        let to_kernel = rings.iter().flatten().cloned().collect();
        let links = Links { inboxes: Vec::new(), to_kernel: rings, from_kernel: Vec::new() };
        let queues = config.ports.iter().map(|_| MemoryQueue::default()).collect();
        let snapshot = Arc::new(Snapshot::default());
        let stage = L7::new(stage(&config, seed));
        let worker =
            Worker::new(handle.clone(), pipeline, queues, HeapPool, links, snapshot).with_stage(stage, now);

        let macs = ports.iter().map(|port| port.mac).collect();
        let links = Link::all(&config, &ports);
        let wanted = Wanted::of(&config);
        let next_hops = fixed(links.clone(), wanted.clone());
        let setup = Setup {
            config,
            config_file: file.to_owned(),
            workers: vec![handle.clone()],
            ports,
            clock: || Time(0), // for the loop around the control state, which stays out of this
            version: env!("EVENKEEL_VERSION").to_owned(),
        };
        let control =
            Control::new(setup, next_hops, now).map_err(|refusal| Failure::new(refusal.to_string()))?;
        let mut balancer = Self { control, worker, handle, to_kernel, links, wanted, macs, now };
        balancer.turn();
        Ok(balancer)
    }

    /// Lets time pass until `now`, with the housekeeping that is due on the way.
    pub(crate) fn advance(&mut self, now: Time) {
        let start = self.now;
        let pause = now.nanos_since(start);
        let turns = (pause / IDLE_NS).min(MAX_IDLE_TURNS);
        for turn in 1..=turns {
            self.now = Time(start.0 + pause / turns * turn);
            self.turn();
        }
        self.now = self.now.max(now);
    }

    /// Receives a frame at this time, by the port that it is addressed to.
    pub(crate) fn receive(&mut self, frame: &[u8]) {
        let destination = frame.get(..6);
        let port = self.macs.iter().position(|mac| destination == Some(&mac.0[..])).unwrap_or(0);
        let port = PortId(u8::try_from(port).unwrap_or(0));
        if let Some(queue) = self.worker.queue_mut(port) {
            queue.incoming.push_back(HeapPacket::new(frame, port));
        }
        self.turn();
    }

    /// Gives every frame that was sent since the last call to `each`, in the order of the ports.
    pub(crate) fn sent<E>(&mut self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        for port in (0..=u8::MAX).take(self.macs.len()) {
            for packet in
                self.worker.queue_mut(PortId(port)).into_iter().flat_map(|queue| queue.outgoing.drain(..))
            {
                each(packet.bytes())?;
            }
        }
        Ok(())
    }

    /// Answers a request at this time.
    pub(crate) fn ask(&mut self, request: Request) -> Result<Answer, Failure> {
        self.worker.pipeline().counters.publish_all(&self.handle.published);
        let ticket = match self.control.submit(request, Peer { uid: None, pid: None }, self.now) {
            Submitted::Answered(answer) => return Ok(answer),
            Submitted::Waiting(ticket) => ticket,
        };
        let mut answer = None;
        for _ in 0..TURNS_TO_ANSWER {
            let answers = self.turn();
            answer = answers.into_iter().find_map(|(other, answer)| (other == ticket).then_some(answer));
            if answer.is_some() {
                break;
            }
        }
        let wanted = self.control.wanted();
        if wanted != self.wanted {
            self.control.set_next_hops(fixed(self.links.clone(), wanted.clone()));
            self.wanted = wanted;
            self.turn();
        }
        answer.ok_or_else(|| Failure::new("a request was never answered, which is a fault of this program"))
    }

    /// The report that a query is answered with.
    pub(crate) fn report(&mut self, request: Request) -> Result<Report, Failure> {
        match self.ask(request)? {
            Answer::Done { report: Some(report), .. } => Ok(report),
            other => Err(Failure::new(format!(
                "a report was refused, which is a fault of this program: {other:?}"
            ))),
        }
    }

    /// One turn of the worker between two looks of the control state at its rings; the answers that were due.
    fn turn(&mut self) -> Vec<(evenkeel_control::Ticket, Answer)> {
        let mut answers = self.control.poll(self.now);
        self.worker.turn(self.now);
        for ring in &self.to_kernel {
            while ring.pop().is_some() {}
        }
        answers.extend(self.control.poll(self.now));
        answers
    }
}

/// What ports without devices can do: nothing but to be what the configuration says.
fn capabilities(config: &Config) -> Result<Vec<PortCapabilities>, Failure> {
    let port = |port: &evenkeel_config::Port| match port.mac {
        Some(mac) => Ok(PortCapabilities {
            mac: MacAddress(mac.0),
            mtu: port.mtu,
            transmit_checksums: ChecksumOffload::default(),
            rss: None,
            queues: 1,
            numa_node: None,
        }),
        None => Err(Failure::new(format!(
            "port {} has no device here to ask for its Ethernet address: give it a `mac`, the one that frames in the \
             capture are sent to",
            port.name
        ))),
    };
    config.ports.iter().map(port).collect()
}
