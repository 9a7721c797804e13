//! How backends do, as one worker sees it.

use std::time::Duration;

use evenkeel_tcp::Time;

use super::PeakEwma;

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It was answered, so long after it was sent.
    Answered(Duration),
    /// The backend failed.
    Failed,
    /// Whoever had asked does not want the answer any more: that says nothing of the backend.
    Abandoned,
}

/// What a worker knows of one backend.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Load {
    /// Requests that were sent to it and are not answered.
    pub under_way: u32,
    /// Its latency of late.
    pub latency: PeakEwma,
    /// When it came, or came back; `None` for one that was there from the beginning, which is not spared.
    pub since: Option<Time>,
}

impl Load {
    /// Its part of its full share: less than 1 while it is new, and at least a tenth.
    #[must_use]
    pub fn share(&self, now: Time, slow_start: Duration) -> f32 {
        match self.since {
            Some(since) if !slow_start.is_zero() => {
                let age = Duration::from_nanos(now.nanos_since(since));
                (age.as_secs_f32() / slow_start.as_secs_f32()).clamp(0.1, 1.0)
            }
            _ => 1.0,
        }
    }
}

/// Loads by the slot of the backend.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Loads(Vec<Load>);

impl Loads {
    /// For so many slots.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self(vec![Load::default(); slots])
    }

    /// There are so many slots from now on, and not fewer.
    pub fn grow(&mut self, slots: usize) {
        if self.0.len() < slots {
            self.0.resize(slots, Load::default());
        }
    }

    /// That of a backend. A slot that does not exist has no load.
    #[must_use]
    pub fn of(&self, slot: u16) -> Load {
        self.0.get(usize::from(slot)).copied().unwrap_or_default()
    }

    /// A backend comes, or comes back: what was known of the slot is forgotten.
    pub fn came(&mut self, slot: u16, since: Option<Time>) {
        if let Some(load) = self.0.get_mut(usize::from(slot)) {
            *load = Load { since, ..Load::default() };
        }
    }

    /// A request is sent to it.
    pub fn began(&mut self, slot: u16) {
        if let Some(load) = self.0.get_mut(usize::from(slot)) {
            load.under_way += 1;
        }
    }

    /// A request is not under way any more.
    pub fn ended(&mut self, slot: u16, now: Time, how: Ended) {
        let Some(load) = self.0.get_mut(usize::from(slot)) else { return };
        load.under_way = load.under_way.saturating_sub(1);
        match how {
            Ended::Answered(latency) => load.latency.answered(now, latency),
            Ended::Failed => load.latency.failed(now),
            Ended::Abandoned => {}
        }
    }
}
