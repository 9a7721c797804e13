//! Questions about connections at layer 7, put to the workers as [`crate::inquiry`] has it.

use std::any::Any;
use std::net::SocketAddr;

use evenkeel_datapath::command::Command;
use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_datapath::time::Time;
use evenkeel_l7::tcp::{Counter, Endpoint, Info, State, Step, Tuple};
use evenkeel_l7::{ConnectionView, GAUGES, Query};

use crate::desired::DesiredState;
use crate::fleet::Fleet;
use crate::inquiry::{Inquiries, PAGE};
use crate::protocol::{
    ConnectionReport, ConnectionsReport, CounterReport, Counts, Report, StepReport, TcpCountersReport,
};
use crate::slots::Slots;

/// Steps in one answer of a worker.
const STEPS: usize = 1_024;

/// What is wanted to be known.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// Connections, at most so many, of one service or of all.
    List { service: Option<ServiceSlot>, limit: usize },
    /// One, by its ends: who opened it, and where to.
    Show(SocketAddr, SocketAddr),
    /// Its last segments; and they are remembered from now on, or no longer.
    Trace { client: SocketAddr, vip: SocketAddr, is_on: bool },
    /// What each worker's stack has counted.
    Counters,
}

/// One survey under way.
#[derive(Debug)]
pub(crate) struct Survey {
    wanted: Wanted,
    inquiries: Inquiries<Query>,
    found: Vec<(u8, ConnectionView)>,
    steps: Vec<Step>,
    /// By worker, in the order of the inquiries.
    counters: Vec<(u8, Vec<u64>)>,
    /// There is more than the limit lets in.
    cut: bool,
}

impl Survey {
    /// Begins a survey among `workers`. `mark` tells it from all others.
    pub(crate) fn new(wanted: Wanted, workers: impl Iterator<Item = u8>, mark: u64, now: Time) -> Self {
        let (only, trace, room, steps) = match &wanted {
            Wanted::List { .. } => (None, None, PAGE, 0),
            Wanted::Counters => (None, None, 0, 0),
            Wanted::Show(client, vip) => (Some((*client, *vip)), None, 1, 0),
            Wanted::Trace { client, vip, is_on } => (Some((*client, *vip)), Some(*is_on), 1, STEPS),
        };
        let tuple =
            |(client, vip): (SocketAddr, SocketAddr)| Tuple { local: vip.into(), remote: client.into() };
        let query = |token| Query::new(token, only.map(tuple), trace, room, steps);
        Self {
            inquiries: Inquiries::new(workers, mark, now, query),
            wanted,
            found: Vec::new(),
            steps: Vec::new(),
            counters: Vec::new(),
            cut: false,
        }
    }

    /// Takes an answer; gives it back if it is not to a question of this survey.
    pub(crate) fn take(&mut self, answer: Box<Query>) -> Option<Box<Query>> {
        let Some(inquiry) = self.inquiries.awaited(answer.token) else { return Some(answer) };
        let limit = if let Wanted::List { limit, .. } = self.wanted { limit } else { 1 };
        let wanted = if let Wanted::List { service, .. } = self.wanted { service } else { None };
        let is_of_service = |found: &&ConnectionView| wanted.is_none_or(|wanted| found.service == wanted);
        for found in answer.connections.iter().filter(is_of_service) {
            if self.found.len() == limit {
                self.cut = true;
                break;
            }
            self.found.push((inquiry.worker, *found));
        }
        self.steps.extend(&answer.steps);
        let is_counted = matches!(self.wanted, Wanted::Counters);
        if is_counted {
            self.counters.push((inquiry.worker, answer.counters.clone()));
        }
        inquiry.answered(match answer.next {
            Some(from) if !self.cut && !is_counted => {
                let mut next = answer;
                next.again(from);
                Some(next)
            }
            _ => None,
        });
        None
    }

    /// Puts the questions that are to be put; true when the survey is over.
    pub(crate) fn poll(&mut self, fleet: &Fleet, now: Time) -> bool {
        let is_one = matches!(self.wanted, Wanted::Show(..) | Wanted::Trace { .. });
        if self.cut || is_one && !self.found.is_empty() {
            self.inquiries.enough();
        }
        let back = |command| match command {
            Command::Ask(question) => question.downcast().ok(),
            _ => None,
        };
        self.inquiries.poll(fleet, now, |query| Command::Ask(query), back)
    }

    /// What was found, in the order of the workers.
    pub(crate) fn report(mut self, desired: &DesiredState, slots: &Slots) -> Report {
        let late_workers = self.inquiries.late_workers();
        if matches!(self.wanted, Wanted::Counters) {
            self.counters.sort_by_key(|(worker, _)| *worker);
            return Report::TcpCounters(counters_report(&self.counters, late_workers));
        }
        self.found.sort_by_key(|(worker, _)| *worker);
        let is_traced = matches!(self.wanted, Wanted::Trace { .. });
        Report::Connections(ConnectionsReport {
            connections: self
                .found
                .iter()
                .map(|(worker, view)| connection(*worker, view, desired, slots))
                .collect(),
            complete: !self.cut && late_workers.is_empty(),
            late_workers,
            steps: is_traced.then(|| self.steps.iter().map(step).collect()),
        })
    }
}

/// Answers to surveys among what workers sent.
pub(crate) fn answer_of(answer: Box<dyn Any + Send>) -> Option<Box<Query>> {
    answer.downcast().ok()
}

fn connection(worker: u8, view: &ConnectionView, desired: &DesiredState, slots: &Slots) -> ConnectionReport {
    let service = desired.services.iter().find(|service| slots.of(service.id) == Some(view.service.0));
    let [local, remote] = [view.tuple.local, view.tuple.remote].map(socket_addr);
    let is_clients = view.backend.is_none();
    ConnectionReport {
        worker,
        service: service.map(|service| service.name.clone()),
        client: is_clients.then_some(remote),
        vip: is_clients.then_some(local),
        local: (!is_clients).then_some(local),
        backend: (!is_clients).then_some(remote),
        state: state_word(view.info.state).to_owned(),
        tcp_info: tcp_info(&view.info),
    }
}

fn socket_addr(endpoint: Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.addr.into(), endpoint.port)
}

/// As `ss` has it.
const fn state_word(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::SynSent => "SYN-SENT",
        State::SynReceived => "SYN-RECV",
        State::Established => "ESTAB",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::CloseWait => "CLOSE-WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST-ACK",
    }
}

/// Names and units of Linux's `struct tcp_info`, except that what is in flight is counted in octets, as this TCP does.
fn tcp_info(info: &Info) -> Counts {
    let numbers: [(&str, u64); 28] = [
        ("tcpi_retransmits", info.retransmits.into()),
        ("tcpi_probes", info.probes.into()),
        ("tcpi_backoff", info.backoff.into()),
        ("tcpi_opt_timestamps", info.timestamps.into()),
        ("tcpi_opt_sack", info.sack.into()),
        ("tcpi_opt_ecn", info.ecn.into()),
        ("tcpi_snd_wscale", info.send_scale.unwrap_or(0).into()),
        ("tcpi_rto", info.rto.into()),
        ("tcpi_snd_mss", info.send_mss.into()),
        ("tcpi_unacked_bytes", info.unacknowledged.into()),
        ("tcpi_sacked_bytes", info.sacked.into()),
        ("tcpi_lost_bytes", info.lost.into()),
        ("tcpi_retrans_bytes", info.retransmitting.into()),
        ("tcpi_last_data_recv", info.last_received_ms.into()),
        ("tcpi_rtt", info.rtt.into()),
        ("tcpi_rttvar", info.rtt_variation.into()),
        ("tcpi_min_rtt", info.min_rtt.into()),
        ("tcpi_snd_cwnd_bytes", info.congestion_window.into()),
        ("tcpi_snd_ssthresh_bytes", info.slow_start_threshold.into()),
        ("tcpi_rcv_space", info.receive_space.into()),
        ("tcpi_snd_wnd", info.send_window.into()),
        ("tcpi_total_retrans", info.total_retransmissions.into()),
        ("tcpi_pacing_rate", info.pacing_rate),
        ("tcpi_bytes_acked", info.octets_acknowledged),
        ("tcpi_bytes_received", info.octets_received),
        ("tcpi_segs_out", info.segments_out.into()),
        ("tcpi_segs_in", info.segments_in.into()),
        ("tcpi_notsent_bytes", info.not_sent.into()),
    ];
    Counts(numbers.map(|(name, value)| (name.to_owned(), value)).into())
}

fn step(step: &Step) -> StepReport {
    StepReport {
        time_us: step.time.micros(),
        outgoing: step.is_outgoing,
        state: state_word(step.state).to_owned(),
        flags: format!("{:?}", step.flags),
        sequence: step.sequence,
        acknowledgement: step.acknowledgement,
        length: step.length,
        window: step.window.into(),
        congestion_window: step.congestion_window,
    }
}

fn counters_report(counters: &[(u8, Vec<u64>)], late_workers: Vec<u8>) -> TcpCountersReport {
    let own = Counter::ALL.iter().map(|counter| (counter.name(), counter.help()));
    let report = |(at, (name, help)): (usize, (&str, &str))| {
        let by_worker: Vec<u64> =
            counters.iter().map(|(_, numbers)| numbers.get(at).copied().unwrap_or(0)).collect();
        CounterReport {
            name: name.to_owned(),
            help: help.to_owned(),
            count: by_worker.iter().copied().fold(0, u64::wrapping_add),
            by_worker,
        }
    };
    TcpCountersReport {
        counters: own.chain(GAUGES).enumerate().map(report).collect(),
        workers: counters.iter().map(|(worker, _)| *worker).collect(),
        late_workers,
    }
}
