//! What the operator has made of the configuration, generation by generation.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use evenkeel_control::protocol::ServiceReport;
use evenkeel_datapath::time::Time;

/// One backend of one service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    /// Counts the times that this address has been added to this service.
    pub(crate) incarnation: u32,
    pub(crate) takes_new: bool,
    pub(crate) is_down: bool,
    /// When its flows are cut, to the millisecond.
    pub(crate) until: Option<Time>,
}

impl Known {
    /// True if it may have packets of its old flows. A deadline is known to the millisecond only.
    pub(crate) fn keeps_flows(&self, now: Time) -> bool {
        !self.is_down && self.until.is_none_or(|until| now.0 < until.0 + 2_000_000)
    }
}

pub(crate) type World = BTreeMap<(String, SocketAddr), Known>;

/// Every world since the start, by the first generation that it held in.
#[derive(Debug, Default)]
pub(crate) struct History {
    worlds: BTreeMap<u64, World>,
    incarnations: BTreeMap<(String, SocketAddr), u32>,
}

impl History {
    /// The world that workers of this generation are in.
    pub(crate) fn at(&self, generation: u64) -> &World {
        self.worlds.range(..=generation).next_back().expect("a world since the first generation").1
    }

    pub(crate) fn latest(&self) -> &World {
        self.at(u64::MAX)
    }

    /// Records what the control thread reports. What was there before is the same still; all else is new.
    pub(crate) fn record(&mut self, generation: u64, reports: &[ServiceReport], now: Time) {
        let before = self.worlds.last_key_value().map(|(_, world)| world.clone()).unwrap_or_default();
        let mut world = World::new();
        for backend in reports.iter().flat_map(|service| &service.backends) {
            let key = (backend.service.clone(), backend.backend);
            let incarnation = before.get(&key).map_or_else(
                || {
                    let count = self.incarnations.entry(key.clone()).or_default();
                    *count += 1;
                    *count
                },
                |known| known.incarnation,
            );
            let state = format!("{:?}", backend.state);
            let known = Known {
                incarnation,
                takes_new: state == "Active" && backend.weight > 0,
                is_down: state == "Down",
                until: backend.deadline_ms.map(|millis| Time(now.0 + millis * 1_000_000)),
            };
            world.insert(key, known);
        }
        self.worlds.insert(generation, world);
    }
}
