//! The layout that the version stands for, and which cache lines an operation depends on and changes.

use std::collections::BTreeSet;
use std::mem::{align_of, offset_of, size_of};

use super::*;
use crate::hash::Random;

/// Whoever changes a number here changes the version too: another process may map the memory.
#[test]
fn the_layout_is_that_of_its_version() {
    assert_eq!(LAYOUT_VERSION, 2);
    assert_eq!((size_of::<Entry>(), align_of::<Entry>()), (32, 32));
    let entry = [
        offset_of!(Entry, client_addr),
        offset_of!(Entry, client_port),
        offset_of!(Entry, service),
        offset_of!(Entry, backend),
        offset_of!(Entry, local_port),
        offset_of!(Entry, local_addr),
        offset_of!(Entry, state),
        offset_of!(Entry, last_seen_ms),
    ];
    assert_eq!(entry, [0, 16, 18, 20, 24, 26, 27, 28]);
    assert_eq!((offset_of!(BackendId, slot), offset_of!(BackendId, epoch)), (0, 2));
    assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    let bucket = [offset_of!(Bucket, tags), offset_of!(Bucket, away), offset_of!(Bucket, references)];
    assert_eq!(bucket, [0, 20, 24]);
    let states = [
        FlowState::Free,
        FlowState::Handshake,
        FlowState::Established,
        FlowState::ClientClosed,
        FlowState::BackendClosed,
        FlowState::Closed,
        FlowState::OneWay,
        FlowState::TwoWay,
        FlowState::ClientReset,
        FlowState::BackendReset,
    ];
    assert_eq!(states.map(|state| state as u8), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // References as they stand in memory, and the chain of free places.
    let mut table = FlowTable::new(4).unwrap();
    let id = table.insert(established(9), 7 << 32, Some(11 << 32)).unwrap();
    let references: BTreeSet<u32> = table.buckets.iter().flat_map(|bucket| bucket.references).collect();
    assert_eq!((id.0, references), (0, BTreeSet::from([0, 1, 1 | 1 << 31])));
    assert_eq!((table.hashes[0], table.free, table.entries[3].last_seen_ms), ([7, 11], 1, NONE));
}

fn established(client_port: u16) -> Entry {
    Entry { client_port: client_port.to_be_bytes(), state: FlowState::Established, ..Entry::default() }
}

/// A cache line: which array, and which 64 octets of it.
type Line = (char, usize);

fn lines_of_hash(table: &FlowTable, stored: u32) -> [Line; 2] {
    [('b', table.first_bucket(stored)), ('b', table.second_bucket(stored))]
}

fn lines_of_place(id: u32) -> [Line; 2] {
    [('e', id as usize / 2), ('h', id as usize / 8)]
}

fn copy(from: &FlowTable, to: &mut FlowTable) {
    to.entries.copy_from_slice(&from.entries);
    to.hashes.copy_from_slice(&from.hashes);
    to.buckets.copy_from_slice(&from.buckets);
    (to.free, to.len) = (from.free, from.len);
}

/// Fills every line but `kept` with what makes no sense.
fn spoil(table: &mut FlowTable, kept: &BTreeSet<Line>, random: &mut Random) {
    for (index, entry) in table.entries.iter_mut().enumerate() {
        if !kept.contains(&('e', index / 2)) {
            *entry = Entry { last_seen_ms: random.next() as u32, ..established(random.next() as u16) };
        }
    }
    for (index, hashes) in table.hashes.iter_mut().enumerate() {
        if !kept.contains(&('h', index / 8)) {
            *hashes = [random.next() as u32, random.next() as u32];
        }
    }
    for (index, bucket) in table.buckets.iter_mut().enumerate() {
        if !kept.contains(&('b', index)) {
            bucket.tags.fill_with(|| random.next() as u16);
            bucket.references.fill_with(|| random.next() as u32);
        }
    }
}

fn changed(before: &FlowTable, after: &FlowTable) -> BTreeSet<Line> {
    let entries = before.entries.iter().zip(&*after.entries).map(|(a, b)| a != b);
    let hashes = before.hashes.iter().zip(&*after.hashes).map(|(a, b)| a != b);
    let buckets = before.buckets.iter().zip(&*after.buckets).map(|(a, b)| a != b);
    let line = |array: char, share: usize| {
        move |(index, differs): (usize, bool)| differs.then_some((array, index / share))
    };
    let entries = entries.enumerate().filter_map(line('e', 2));
    let hashes = hashes.enumerate().filter_map(line('h', 8));
    entries.chain(hashes).chain(buckets.enumerate().filter_map(line('b', 1))).collect()
}

/// A table, and others as large to compare it with: memory for one is not taken lightly.
struct Compared {
    table: FlowTable,
    before: FlowTable,
    spoilt: FlowTable,
    spoilt_before: FlowTable,
    random: Random,
}

impl Compared {
    fn new(capacity: u32) -> Self {
        let table = || FlowTable::new(capacity).unwrap();
        let (before, spoilt, spoilt_before) = (table(), table(), table());
        Self { table: table(), before, spoilt, spoilt_before, random: Random::new(9) }
    }

    /// What `operation` answers and changes is the same when everything but the lines `may_touch` is spoilt: so it
    /// depends on these lines alone, and changes no others.
    fn touches_only<R: PartialEq + std::fmt::Debug>(
        &mut self,
        may_touch: &BTreeSet<Line>,
        operation: impl Fn(&mut FlowTable) -> R,
    ) -> R {
        let Self { table, before, spoilt, spoilt_before, random } = self;
        copy(table, before);
        copy(table, spoilt);
        spoil(spoilt, may_touch, random);
        copy(spoilt, spoilt_before);
        let outcome = operation(table);
        assert_eq!(operation(spoilt), outcome);
        let lines = changed(before, table);
        assert!(lines.is_subset(may_touch), "{lines:?} changed, of {may_touch:?}");
        assert_eq!(changed(spoilt_before, spoilt), lines);
        assert!(changed(table, spoilt).is_disjoint(may_touch));
        outcome
    }
}

#[test]
fn insertion_and_removal_touch_six_lines_at_most() {
    const CAPACITY: u32 = 120;
    let mut compared = Compared::new(CAPACITY);
    let mut random = Random::new(4);
    let mut most = 0;
    let mut keys: Vec<(FlowId, [u64; 2])> = Vec::new();
    for round in 0..3_000_u32 {
        // Up to the brim, then about there.
        let table = &compared.table;
        let is_full = table.len() == CAPACITY;
        if is_full || (table.len() > CAPACITY * 9 / 10 && random.below(2) == 0) {
            let (id, [forward, reverse]) = keys.swap_remove(random.below(keys.len() as u32) as usize);
            let buckets = [forward, reverse].map(|hash| lines_of_hash(table, FlowTable::stored(hash)));
            let may_touch: BTreeSet<Line> =
                buckets.into_iter().flatten().chain(lines_of_place(id.0)).collect();
            most = most.max(may_touch.len());
            assert!(compared.touches_only(&may_touch, |table| table.remove(id)).is_some());
            continue;
        }
        // Every fourth reverse hash is one that its buckets are crowded by.
        let (forward, reverse) = (random.next(), if round % 4 == 0 { 77 << 32 } else { random.next() });
        let buckets = [forward, reverse].map(|hash| lines_of_hash(table, FlowTable::stored(hash)));
        let may_touch: BTreeSet<Line> =
            buckets.into_iter().flatten().chain(lines_of_place(table.free)).collect();
        most = most.max(may_touch.len());
        let entry = established(round as u16);
        let inserted = compared.touches_only(&may_touch, |table| table.insert(entry, forward, Some(reverse)));
        if let Ok(id) = inserted {
            keys.push((id, [forward, reverse]));
        }
    }
    assert_eq!(most, INSERT_LINES, "the bound is reached, and not passed");
}

#[test]
fn a_refused_insertion_changes_nothing() {
    let mut table = FlowTable::new(100).unwrap();
    // One hash for all: its two buckets hold ten references each.
    let inserted = (0..30).filter(|&port| table.insert(established(port), 1 << 32, None).is_ok()).count();
    assert_eq!(inserted, 2 * SLOTS);
    let mut before = FlowTable::new(100).unwrap();
    copy(&table, &mut before);
    assert_eq!(table.insert(established(99), 2 << 32, Some(1 << 32)), Err(Full), "a reverse one too many");
    assert!(changed(&before, &table).is_empty());
    assert_eq!((table.len, table.free), (before.len, before.free));
}

#[test]
fn the_last_place_is_given_and_no_more() {
    let mut table = FlowTable::new(3).unwrap();
    let hash = |n: u16| u64::from(n) << 32;
    let ids = [1, 2, 3].map(|n| table.insert(established(n), hash(n), None).unwrap());
    assert_eq!(table.insert(established(4), hash(4), None), Err(Full));
    table.remove(ids[1]).unwrap();
    assert_eq!(table.insert(established(5), hash(5), None), Ok(ids[1]));
    assert_eq!(table.find(hash(5), |_, _| true), Some((ids[1], Direction::Forward)));
    assert_eq!(table.find(hash(2), |_, _| true), None, "what has left is not found");
}
