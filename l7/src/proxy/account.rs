//! What a request came to: counted, and handed in for the access log.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_tcp::{ConnectionId, Time};

use super::cause::Cause;
use super::client::Client;
use super::exchange::{Phase, of};
use super::origin::Origin;
use super::seen::{Log, Record, Text, Times};
use super::site::Backend;
use super::{Memory, Net, Proxy};

/// Records that lie ready to be filled, at most.
const MOST_BLANKS: usize = 1024;

/// Records to be filled, and the log that they go to.
#[derive(Debug, Default)]
pub(super) struct Paper {
    pub(super) log: Option<Arc<Log>>,
    #[allow(clippy::vec_box, reason = "they are lent to exchanges, which are to stay small")]
    blanks: Vec<Box<Record>>,
}

impl Paper {
    /// A record to be filled, if there is a log.
    pub(super) fn blank(&mut self) -> Option<Box<Record>> {
        self.log.as_ref()?;
        Some(self.blanks.pop().unwrap_or_default())
    }

    fn hand_in(&mut self, mut record: Box<Record>) {
        if let Some(log) = &self.log {
            log.push(*record);
        }
        if self.blanks.len() < MOST_BLANKS {
            *record = Record::default();
            self.blanks.push(record);
        }
    }

    /// Hands in the record of a request that the proxy answered by itself.
    pub(super) fn answered(
        &mut self,
        now: Time,
        record: Option<Box<Record>>,
        status: u16,
        cause: Option<Cause>,
    ) {
        if let Some(mut record) = record {
            record.nanos = now.0;
            (record.status, record.cause) = (status, cause);
            self.hand_in(record);
        }
    }
}

/// What is known of a request under way.
#[derive(Debug)]
pub(super) struct Account {
    began: Time,
    connected: Option<Time>,
    pub(super) first: Option<Time>,
    /// Of the answer; 0 while there is none.
    pub(super) status: u16,
    pub(super) backend: Option<Backend>,
    pub(super) retries: u8,
    /// There was to be a retry, and no budget for it.
    pub(super) is_refused: bool,
    record: Option<Box<Record>>,
}

impl Account {
    pub(super) fn new(now: Time, record: Option<Box<Record>>) -> Self {
        Self {
            began: now,
            connected: None,
            first: None,
            status: 0,
            backend: None,
            retries: 0,
            is_refused: false,
            record,
        }
    }

    pub(super) fn connected(&mut self, now: Time) {
        self.connected = Some(now);
    }

    fn times(&self, now: Time) -> Times {
        let since = |time: Time| Duration::from_nanos(time.nanos_since(self.began));
        Times { total: since(now), connect: self.connected.map(since), first: self.first.map(since) }
    }
}

impl<O: Memory> Proxy<O> {
    /// A client is answered whose request could not be read.
    pub(super) fn answered<N: Net<Octets = O>>(
        &mut self,
        net: &N,
        now: Time,
        client: &Client<O>,
        status: u16,
        cause: Cause,
    ) {
        let mut record = self.desk.paper.blank();
        if let Some(record) = &mut record {
            record.client = Origin::of(net, client).client;
            record.site = Text::of(client.served.site.name.as_bytes());
        }
        self.desk.paper.answered(now, record, status, Some(cause));
    }

    /// An exchange is over, for this cause if it came to nothing.
    pub(super) fn settle(&mut self, now: Time, client: &mut Client<O>, cause: Option<Cause>) {
        let served = Rc::clone(&client.served);
        let Some(exchange) = of(client) else { return };
        let (received, sent) = match &exchange.phase {
            Phase::Relaying { response, .. } => (exchange.request.octets(), response.octets()),
            Phase::Tunnelling { up, down, .. } => (up.octets(), down.octets()),
            _ => (exchange.request.octets(), 0),
        };
        let is_tunnel = matches!(exchange.phase, Phase::Tunnelling { .. });
        let account = &mut exchange.account;
        let times = account.times(now);
        served.count(exchange.plan.route, |tally| {
            tally.answered(account.status);
            cause.into_iter().for_each(|cause| tally.failed(cause));
            tally.retries += u64::from(account.retries);
            tally.retries_refused += u64::from(account.is_refused);
            tally.received += received;
            tally.sent += sent;
            if !is_tunnel {
                tally.took(times.total);
            }
        });
        let tally = account.backend.and_then(|backend| self.backends.get_mut(usize::from(backend.slot)));
        if let Some(tally) = tally {
            tally.received += received;
            tally.sent += sent;
        }
        if let Some(mut record) = account.record.take() {
            record.nanos = now.0;
            record.backend = account.backend.map(|backend| backend.address);
            record.status = account.status;
            (record.received, record.sent) = (received, sent);
            record.retries = account.retries;
            (record.times, record.cause) = (times, cause);
            self.desk.paper.hand_in(record);
        }
    }

    /// A connection's backend has answered a request, or failed one: it may have to be left alone for a while.
    pub(super) fn judge(
        &mut self,
        now: Time,
        client: &mut Client<O>,
        id: ConnectionId,
        cause: Option<Cause>,
        took: Option<Duration>,
    ) {
        let served = Rc::clone(&client.served);
        let Some(exchange) = of(client) else { return };
        let Some(slot) = self.places.upstream_mut(id).map(|upstream| upstream.backend.slot) else { return };
        let Some(cluster) = served.site.clusters.get(exchange.plan.cluster) else { return };
        let status = exchange.account.status;
        let has_failed = cause.is_some() || matches!(status, 502..=504);
        let random = self.desk.random.next();
        let is_out = self.outliers.saw(slot, has_failed, cluster, now, random);
        let Some(tally) = self.backends.get_mut(usize::from(slot)) else { return };
        tally.answered(status);
        cause.into_iter().for_each(|cause| tally.failed(cause));
        took.into_iter().for_each(|took| tally.took(took));
        tally.ejections += u64::from(is_out);
    }
}
