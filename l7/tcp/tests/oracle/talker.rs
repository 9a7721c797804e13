//! Our end.

use std::time::Duration;

use evenkeel_tcp::{
    Addr, Config, ConnectionId, Ending, Endpoint, Event, HeapBuf, Keepalive, ListenerConfig, Settings, Stack,
    Time, Tuple,
};

use crate::hosts::{Application, Bytes, Host};
use crate::network::Random;
use crate::plan::{OURS, Plan, THEIRS};

/// The most octets of one buffer.
const PIECE: u64 = 4_000;

/// What runs on our stack.
pub(crate) struct Talker {
    plan: Plan,
    settings: Settings,
    outgoing: Bytes,
    incoming: Bytes,
    id: Option<ConnectionId>,
    given: u64,
    pub(crate) received: u64,
    has_closed: bool,
    pub(crate) ending: Option<Ending>,
}

/// A host that acts as planned, of settings that the seed chooses.
pub(crate) fn host(plan: Plan, random: &mut Random, now: u64) -> Host<Talker> {
    let keepalive =
        Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(20), probes: 20 };
    let settings = Settings {
        sack: random.happens(0.7),
        timestamps: random.happens(0.7),
        window_scaling: random.happens(0.7),
        ecn: random.happens(0.5),
        no_delay: random.happens(0.5),
        mtu: if random.happens(0.3) { 600 } else { 1_500 },
        receive_buffer: 1 << (12 + random.below(8)),
        send_buffer: 1 << (13 + random.below(8)),
        // Losses may be many in a row, and smoltcp is slow to try again.
        retries: 40,
        syn_retries: 40,
        keepalive: Some(keepalive),
        ..Settings::default()
    };
    let config = Config { max_connections: 16, max_time_wait: 16, ..Config::default() };
    let talker = Talker {
        plan,
        settings,
        outgoing: plan.outgoing(),
        incoming: plan.incoming(),
        id: None,
        given: 0,
        received: 0,
        has_closed: false,
        ending: None,
    };
    Host::new(&config, random.number(), Time(now), talker)
}

impl Talker {
    /// True if the connection has come to its end, whichever.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.is_some()
    }

    fn go_on(&mut self, stack: &mut Stack<HeapBuf>) {
        let Some(id) = self.id else { return };
        let mut count = 0;
        for slice in stack.read(id) {
            assert!(
                self.incoming.matches(self.received + count, slice),
                "wrong after {}",
                self.received + count
            );
            count += slice.len() as u64;
        }
        self.received += count;
        stack.consume(id, count as usize);
        if self.plan.aborts_after.is_some_and(|most| self.received >= most) {
            stack.abort(id);
            (self.id, self.ending) = (None, Some(Ending::Aborted));
            return;
        }
        while self.given < self.plan.octets {
            let count = (self.plan.octets - self.given).min(PIECE) as usize;
            if stack.send(id, HeapBuf::from(self.outgoing.slice(self.given, count))).is_err() {
                break;
            }
            self.given += count as u64;
        }
        let may_close = !self.plan.closes_last || stack.is_at_end(id);
        if self.given == self.plan.octets && may_close && !self.has_closed {
            self.has_closed = true;
            stack.close(id);
        }
    }
}

impl Application for Talker {
    fn start(&mut self, now: Time, stack: &mut Stack<HeapBuf>) {
        let [local, remote] =
            [OURS, THEIRS].map(|(address, port)| Endpoint { addr: Addr::from_v4(address.octets()), port });
        if self.plan.opens {
            self.id = stack.connect(now, Tuple { local, remote }, &self.settings).ok();
        } else {
            let config = ListenerConfig { settings: self.settings.clone(), ..ListenerConfig::default() };
            stack.listen(local, &config).expect("it is the only one");
        }
    }

    fn event(&mut self, _: Time, stack: &mut Stack<HeapBuf>, event: Event) {
        match event {
            Event::Acceptable(listener) => self.id = stack.accept(listener).or(self.id),
            Event::Closed(id, ending) => {
                // What came before it can still be read.
                let aborts_after = self.plan.aborts_after.take();
                self.go_on(stack);
                self.plan.aborts_after = aborts_after;
                self.ending = Some(ending);
                self.id = None;
                stack.release(id);
            }
            _ => {}
        }
        self.go_on(stack);
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn timer(&mut self, _: Time, _: &mut Stack<HeapBuf>) {}
}
