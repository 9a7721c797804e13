//! Every counter and drop reason, once: its name, its help, its place.
//!
//! A worker counts in private arrays ([`Counters`]) and copies them to memory that others read ([`Published`]) a part
//! at a time, so that publishing never holds up a burst for long.

use crate::flow::Direction;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

macro_rules! counters {
    ($(#[$outer:meta])* $kind:ident { $($(#[$m:meta])* $variant:ident $name:literal $help:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $kind {
            $(#[doc = $help] $variant,)+
        }

        impl $kind {
            /// All of them, in order of their index.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in metrics, JSON and on the terminal.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence of help.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

pub(crate) use counters;

counters! {
    /// Why a packet was dropped. Every dropped packet has exactly one reason.
    DropReason {
        Truncated "truncated" "The frame ends before the headers that it announces do.",
        BadIpHeader "bad_ip_header" "IP version, header length or total length contradict the frame.",
        BadIpChecksum "bad_ip_checksum" "The IPv4 header checksum is wrong.",
        BadL4Header "bad_l4_header" "A TCP data offset or UDP length contradicts the packet.",
        BadL4Checksum "bad_l4_checksum" "The receiving port found the TCP or UDP checksum wrong. (Where it does not look, the receiving end does.)",
        BadTcpFlags "bad_tcp_flags" "TCP flags that no sender sets together (none at all, SYN with FIN or RST).",
        BadIcmp "bad_icmp" "An ICMP checksum is wrong, or an ICMP error quotes too little to tell its flow.",
        BadExtensionHeader "bad_extension_header" "IPv6 extension headers are too many, too long or not to be forwarded.",
        Martian "martian" "A source or destination address that must not be on a wire (loopback, multicast source, unspecified, source equal to destination).",
        Fragment "fragment" "A fragment: it carries too little to tell its flow.",
        NotForUs "not_for_us" "The destination Ethernet address is another host's.",
        TtlExceeded "ttl_exceeded" "The TTL or hop limit ran out and no answer could be sent.",
        TooBig "too_big" "Larger than the MTU of the way out and no answer could be sent.",
        NoService "no_service" "TCP or UDP for an address that is only a VIP, at a port without a service.",
        NoBackend "no_backend" "The service has no backend that may be picked.",
        NoNextHop "no_next_hop" "The way out has no resolved neighbour.",
        NoFlow "no_flow" "Amid a NAT connection that no flow is known for, or a stray answer of a backend.",
        FlowReset "flow_reset" "Its flow was reset because its backend is down, gone or past its drain deadline.",
        FlowTableFull "flow_table_full" "A new NAT flow found no room in the flow table.",
        NoLocalPort "no_local_port" "Full NAT found no free local port for a new flow.",
        NatAmbiguous "nat_ambiguous" "A NAT flow whose answers could not be told from those of another (one client port, two VIPs, one backend).",
        IcmpLimit "icmp_limit" "More echo requests than the rate limit answers.",
        KernelLimit "kernel_limit" "More packets for the kernel than its rate limit allows.",
        NoTwin "no_twin" "A packet for the kernel, by a port that has no twin there.",
        KernelRingFull "kernel_ring_full" "The ring to the kernel's twin of the port was full.",
        HandOverRingFull "hand_over_ring_full" "The ring to the owning worker was full.",
        HandOverLoop "hand_over_loop" "A packet that was handed over is owned by yet another worker.",
        TransmitFull "transmit_full" "The transmit queue of the port had no room.",
        NoPort "no_port" "The port that it should leave by does not exist.",
    }
}

counters! {
    /// What a worker counts besides drops. The first ten balance: see [`Counters::imbalance`].
    WorkerCounter {
        Received "received" "Packets received from ports.",
        ReceivedBytes "received_bytes" "Octets received from ports.",
        FromKernel "from_kernel" "Packets that the kernel's twins sent.",
        HandedIn "handed_in" "Packets that other workers handed over to this one.",
        Originated "originated" "Packets made by the balancer: resets and the like beside the packet that caused them.",
        Sent "sent" "Packets that ports took for sending.",
        SentBytes "sent_bytes" "Octets that ports took for sending.",
        ToKernel "to_kernel" "Packets passed to the kernel's twins.",
        HandedOut "handed_out" "Packets handed over to their owners.",
        ToL7 "to_l7" "Packets consumed by the layer 7 stage.",
        Hits "hits" "Packets that found their flow.",
        Misses "misses" "Packets of services that found no flow.",
        FlowsOpened "flows_opened" "Flows entered into the table.",
        FlowsClosed "flows_closed" "Flows that left the table, for whatever reason.",
        FlowsExpired "flows_expired" "Flows that left the table because they were silent for too long.",
        FlowsActive "flows_active" "Flows in the table.",
        Stateless "stateless" "DSR packets answered from Maglev without a flow, for want of room.",
        ResetsSent "resets_sent" "TCP resets sent by the balancer.",
        ResetsLimited "resets_limited" "TCP resets not sent, because of their rate limit.",
        ResetsPrompted "resets_prompted" "TCP segments sent to silent ends of flows to be cut, so that they tell where a reset must stand.",
        EchoReplies "echo_replies" "ICMP echo requests to a VIP answered.",
        IcmpTranslated "icmp_translated" "ICMP errors delivered to the end of a flow that they are about.",
        IcmpGenerated "icmp_generated" "ICMP errors sent by the balancer (time exceeded, packet too big).",
        AllocationFailures "allocation_failures" "Packets not originated because the pool was empty.",
        UsefulTurns "useful_turns" "Turns of the loop that moved a packet.",
        EmptyTurns "empty_turns" "Turns of the loop that moved none.",
        UsefulCycles "useful_cycles" "TSC cycles spent in useful turns.",
        EmptyCycles "empty_cycles" "TSC cycles spent in empty turns, sleep included.",
        SnapshotSwaps "snapshot_swaps" "Snapshots taken into force.",
    }
}

counters! {
    /// What is counted for each service.
    ServiceCounter {
        PacketsIn "packets_in" "Packets from clients.",
        PacketsOut "packets_out" "Packets to clients (none in DSR).",
        BytesIn "bytes_in" "Octets from clients.",
        BytesOut "bytes_out" "Octets to clients (none in DSR).",
        FlowsOpened "flows_opened" "Flows opened; at layer 7, connections accepted.",
        FlowsActive "flows_active" "Flows in the table; at layer 7, connections.",
        Unserved "unserved" "Packets that no backend could be picked for.",
    }
}

counters! {
    /// What is counted for each backend.
    BackendCounter {
        PacketsIn "packets_in" "Packets to the backend.",
        PacketsOut "packets_out" "Packets from the backend (none in DSR).",
        BytesIn "bytes_in" "Octets to the backend.",
        BytesOut "bytes_out" "Octets from the backend (none in DSR).",
        FlowsOpened "flows_opened" "Flows opened.",
        FlowsActive "flows_active" "Flows in the table.",
        SynsUnanswered "syns_unanswered" "TCP flows that ended before the handshake did.",
        Resets "resets" "TCP resets from the backend (in DSR, none is seen).",
    }
}

/// Most services and backends that can be configured at once: it sizes the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Slots of services.
    pub services: usize,
    /// Slots of backends.
    pub backends: usize,
}

/// The counters of one service or backend: one cache line, by [`ServiceCounter`] or [`BackendCounter`].
pub type Row = [u64; 8];

const ROW: usize = size_of::<Row>() / size_of::<u64>();
const _: () = assert!(ServiceCounter::COUNT <= ROW && BackendCounter::COUNT <= ROW);

/// One worker's own counters: plain memory that nobody else touches.
#[derive(Clone, Debug)]
pub struct Counters {
    worker: [u64; WorkerCounter::COUNT],
    drops: [u64; DropReason::COUNT],
    services: Vec<Row>,
    backends: Vec<Row>,
    /// The row to be published next: services first, then backends.
    next: usize,
}

/// Where things lie in [`Published`].
const DROPS_AT: usize = WorkerCounter::COUNT;
const ROWS_AT: usize = DROPS_AT + DropReason::COUNT;

impl Counters {
    /// Rows copied by one call of [`Counters::publish`], besides the worker's own counters, which go every time.
    pub const PART: usize = 64;

    /// All zero.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            worker: [0; WorkerCounter::COUNT],
            drops: [0; DropReason::COUNT],
            services: vec![[0; ROW]; bounds.services],
            backends: vec![[0; ROW]; bounds.backends],
            next: 0,
        }
    }

    /// Counts `n` of `counter`.
    #[inline]
    pub fn add(&mut self, counter: WorkerCounter, n: u64) {
        self.worker[counter as usize] += n;
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&mut self, counter: WorkerCounter, value: u64) {
        self.worker[counter as usize] = value;
    }

    /// What `counter` stands at.
    #[must_use]
    #[inline]
    pub fn value(&self, counter: WorkerCounter) -> u64 {
        self.worker[counter as usize]
    }

    /// Counts one drop.
    #[inline]
    pub fn dropped(&mut self, reason: DropReason, n: u64) {
        self.drops[reason as usize] += n;
    }

    /// Drops for `reason`.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Drops in all.
    #[must_use]
    pub fn total_drops(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// The counters of the service in `slot`, by [`ServiceCounter`]; `None` past the bound.
    #[inline]
    pub fn service(&mut self, slot: u16) -> Option<&mut Row> {
        self.services.get_mut(usize::from(slot))
    }

    /// The counters of the backend in `slot`, by [`BackendCounter`]; `None` past the bound.
    #[inline]
    pub fn backend(&mut self, slot: u16) -> Option<&mut Row> {
        self.backends.get_mut(usize::from(slot))
    }

    /// Counts a packet of `octets` for the service and the backend of its flow, by their slots.
    #[inline(always)]
    pub fn count_packet(&mut self, direction: Direction, service: u16, backend: u16, octets: u64) {
        use BackendCounter as B;
        use ServiceCounter as S;
        let (of_service, of_backend) = match direction {
            Direction::Forward => ((S::PacketsIn, S::BytesIn), (B::PacketsIn, B::BytesIn)),
            Direction::Reverse => ((S::PacketsOut, S::BytesOut), (B::PacketsOut, B::BytesOut)),
        };
        if let Some(row) = self.service(service) {
            row[of_service.0 as usize] += 1;
            row[of_service.1 as usize] += octets;
        }
        if let Some(row) = self.backend(backend) {
            row[of_backend.0 as usize] += 1;
            row[of_backend.1 as usize] += octets;
        }
    }

    /// What came in less what went out, was passed on or dropped: zero whenever nothing is under way in the worker
    /// (received + from the kernel + handed in + originated == sent + to the kernel + handed out + to layer 7 + dropped).
    #[must_use]
    pub fn imbalance(&self) -> i128 {
        use WorkerCounter as C;
        let sum =
            |counters: &[C]| counters.iter().map(|&counter| i128::from(self.value(counter))).sum::<i128>();
        sum(&[C::Received, C::FromKernel, C::HandedIn, C::Originated])
            - sum(&[C::Sent, C::ToKernel, C::HandedOut, C::ToL7])
            - i128::from(self.total_drops())
    }

    /// Copies the worker's own counters and drops, and the next [`Counters::PART`] rows of the others.
    pub fn publish(&mut self, published: &Published) {
        let end = self.next + Self::PART;
        self.publish_rows(published, self.next, end);
        self.next = if end >= self.services.len() + self.backends.len() { 0 } else { end };
        if self.next == 0 {
            published.rounds.fetch_add(1, Release);
        }
    }

    /// Copies everything.
    pub fn publish_all(&self, published: &Published) {
        self.publish_rows(published, 0, usize::MAX);
        published.rounds.fetch_add(1, Release);
    }

    fn publish_rows(&self, published: &Published, from: usize, to: usize) {
        published.store(0, &self.worker);
        published.store(DROPS_AT, &self.drops);
        for (first, rows) in [(0, &self.services), (self.services.len(), &self.backends)] {
            let within = |at: usize| at.saturating_sub(first).min(rows.len());
            let (start, end) = (within(from), within(to));
            published.store(ROWS_AT + (first + start) * ROW, rows[start..end].as_flattened());
        }
    }
}

/// One worker's counters as others see them: written by that worker only, late by some turns, each word whole.
#[derive(Debug)]
pub struct Published {
    words: Vec<AtomicU64>,
    bounds: Bounds,
    rounds: AtomicU64,
}

impl Published {
    /// All zero.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            words: std::iter::repeat_with(AtomicU64::default)
                .take(ROWS_AT + (bounds.services + bounds.backends) * ROW)
                .collect(),
            bounds,
            rounds: AtomicU64::new(0),
        }
    }

    fn store(&self, at: usize, words: &[u64]) {
        for (shared, own) in self.words[at..].iter().zip(words) {
            shared.store(*own, Relaxed);
        }
    }

    fn word(&self, at: usize) -> u64 {
        self.words.get(at).map_or(0, |word| word.load(Relaxed))
    }

    /// How many times every word has been published. When this has grown by two, each word is of a later time than the
    /// first look: whoever must know that a gauge *is* zero, and not that it was, waits for that.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Acquire)
    }

    /// What `counter` stood at when it was last published.
    #[must_use]
    pub fn value(&self, counter: WorkerCounter) -> u64 {
        self.word(counter as usize)
    }

    /// Drops for `reason`.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.word(DROPS_AT + reason as usize)
    }

    /// A counter of the service in `slot`; zero past the bound.
    #[must_use]
    pub fn service(&self, slot: u16, counter: ServiceCounter) -> u64 {
        if usize::from(slot) >= self.bounds.services {
            return 0;
        }
        self.word(ROWS_AT + usize::from(slot) * ROW + counter as usize)
    }

    /// A counter of the backend in `slot`; zero past the bound.
    #[must_use]
    pub fn backend(&self, slot: u16, counter: BackendCounter) -> u64 {
        if usize::from(slot) >= self.bounds.backends {
            return 0;
        }
        self.word(ROWS_AT + (self.bounds.services + usize::from(slot)) * ROW + counter as usize)
    }
}
