//! The way of records from a worker to whoever writes them.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;

use super::Record;

/// A bounded queue without locks. When it is full, records are lost and counted: a worker never waits.
#[derive(Debug)]
pub struct Log {
    records: ArrayQueue<Record>,
    lost: AtomicU64,
}

impl Log {
    /// Room for so many records, one at least.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { records: ArrayQueue::new(room.max(1)), lost: AtomicU64::new(0) }
    }

    pub(in crate::proxy) fn push(&self, record: Record) {
        if self.records.push(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The oldest record.
    pub fn pop(&self) -> Option<Record> {
        self.records.pop()
    }

    /// How many records were lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
