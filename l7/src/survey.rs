//! What the control thread asks a stage about backends and routes, with the memory that the answer needs.

use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_tcp::Time;

use crate::proxy::seen::Tally;
use crate::proxy::{Memory, Proxy, Served};

/// What is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// Backends, by their slots.
    Backends,
    /// Routes of a service, by their indices.
    Routes(ServiceSlot),
}

/// A question, and room for the answer: nothing is allocated on a worker.
#[derive(Debug)]
pub struct Survey {
    /// The asker's own mark.
    pub token: u64,
    /// See there.
    pub about: About,
    /// From this index on: zero at first, then what the last answer's `next` said.
    pub from: u32,
    /// Where to go on; `None` at the end.
    pub next: Option<u32>,
    rows: Vec<Row>,
    /// How many rows are filled.
    filled: usize,
}

/// A backend or a route, as one worker sees it.
#[derive(Debug)]
pub struct Row {
    /// Its slot, or its index.
    pub index: u32,
    /// Connections to a backend.
    pub pool: PoolView,
    /// What was counted.
    pub tally: Tally,
}

/// Connections to one backend, and who waits for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolView {
    /// Connections that serve requests or lie ready.
    pub open: u32,
    /// Those that lie ready.
    pub idle: u32,
    /// Requests that wait for one.
    pub waiting: u32,
    /// Connections that have become tunnels, or are asked to.
    pub tunnels: u32,
    /// Requests that were sent and are not answered.
    pub under_way: u32,
    /// The backend is left alone for a while.
    pub is_out: bool,
}

impl Survey {
    /// A question with room for so many rows.
    #[must_use]
    pub fn new(token: u64, about: About, room: usize) -> Self {
        let blank = || Row { index: 0, pool: PoolView::default(), tally: Tally::blank() };
        let rows = std::iter::repeat_with(blank).take(room).collect();
        Self { token, about, from: 0, next: None, rows, filled: 0 }
    }

    /// The same question again, from `from` on, without the answer.
    pub fn again(&mut self, from: u32) {
        self.from = from;
        self.next = None;
        let filled = std::mem::take(&mut self.filled);
        self.rows.iter_mut().take(filled).for_each(|row| row.tally.clear());
    }

    /// What was found.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        self.rows.get(..self.filled).unwrap_or_default()
    }

    /// Fills rows with backends that were asked something, or are connected to.
    pub fn see_backends<O: Memory>(&mut self, proxy: &Proxy<O>, now: Time) {
        for slot in self.from.. {
            let seen =
                u16::try_from(slot).ok().and_then(|slot| proxy.backend(slot).zip(proxy.pool(slot, now)));
            let Some((tally, pool)) = seen else { return };
            if tally.requests == 0 && pool == PoolView::default() {
                continue;
            }
            if !self.fill(slot, pool, tally) {
                return;
            }
        }
    }

    /// Fills rows with routes.
    pub fn see_routes(&mut self, served: &Served) {
        for index in self.from.. {
            let Some(tally) = served.route(index as usize) else { return };
            if !self.fill(index, PoolView::default(), &tally) {
                return;
            }
        }
    }

    /// Fills a row; false if there is none left.
    fn fill(&mut self, index: u32, pool: PoolView, tally: &Tally) -> bool {
        let Some(row) = self.rows.get_mut(self.filled) else {
            self.next = Some(index);
            return false;
        };
        (row.index, row.pool) = (index, pool);
        row.tally.add(tally);
        self.filled += 1;
        true
    }
}
