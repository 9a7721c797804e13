//! What the usual costs. `cargo test --release -p evenkeel-tcp cost -- --ignored --nocapture` prints it.

use std::hint::black_box;
use std::time::Instant;

use crate::recovery::{Ack, FlightPool, Range, Recovery, Settings};
use crate::{SequenceNumber, Time};

#[test]
#[ignore = "prints a time"]
fn cost_of_one_segment_sent_and_acknowledged() {
    let mut recovery = Recovery::new(&Settings { mss: 1_448, ..Settings::default() }, Time(0));
    let mut pool = FlightPool::new(2);
    let (mut next, mut now) = (SequenceNumber(0), Time(1));
    let rounds = 5_000_000;
    let begin = Instant::now();
    for _ in 0..rounds {
        now.0 += 10_000;
        black_box(recovery.next_retransmission(now, 200));
        let length = recovery.may_send(now, 200);
        recovery.sent(&mut pool, Range::new(next, length), 0, now);
        next += length;
        now.0 += 30_000;
        let ack = Ack { number: next, ..Ack::default() };
        black_box(recovery.acknowledged(&mut pool, black_box(&ack), now));
        black_box(recovery.deadline());
    }
    println!("one segment: {:.1} ns", begin.elapsed().as_nanos() as f64 / f64::from(rounds));
}

#[test]
#[ignore = "prints a time"]
fn cost_of_a_segment_of_a_large_window() {
    let mut recovery = Recovery::new(&Settings { mss: 1_448, ..Settings::default() }, Time(0));
    let mut pool = FlightPool::new(2);
    let (mut una, mut next, mut now) = (SequenceNumber(0), SequenceNumber(0), Time(1));
    let rounds = 5_000_000;
    for _ in 0..1_000 {
        recovery.sent(&mut pool, Range::new(next, 1_448), 0, now);
        next += 1_448;
        now.0 += 1_000;
    }
    let begin = Instant::now();
    for _ in 0..rounds / 2 {
        for _ in 0..2 {
            now.0 += 500;
            black_box(recovery.next_retransmission(now, u32::MAX));
            black_box(recovery.may_send(now, u32::MAX));
            recovery.sent(&mut pool, Range::new(next, 1_448), 0, now);
            next += 1_448;
        }
        una += 2 * 1_448;
        let ack = Ack { number: una, ..Ack::default() };
        black_box(recovery.acknowledged(&mut pool, black_box(&ack), now));
        black_box(recovery.deadline());
    }
    println!("a segment of a thousand: {:.1} ns", begin.elapsed().as_nanos() as f64 / f64::from(rounds));
}
