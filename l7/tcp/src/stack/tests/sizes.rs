//! What a connection takes when it is idle, and what of it an exchange touches.

use core::mem::offset_of;

use crate::HeapBuf;
use crate::connection::{Connection, Counts};
use crate::recovery::Recovery;
use crate::stack::slab::Slab;

/// Octets of the table of tuples, which is filled to three quarters, and of the timing wheel.
const ELSEWHERE: usize = (8 * 4usize).div_ceil(3) + 12;

/// Octets of a line of memory.
const LINE: usize = 64;

type Idle = Connection<HeapBuf>;

#[test]
fn an_idle_connection_takes_no_more_than_is_promised() {
    let place = Slab::<Idle>::PLACE;
    assert!(place + ELSEWHERE <= 320, "{place} + {ELSEWHERE}");
}

#[test]
fn an_exchange_touches_what_is_read_ahead_and_nothing_behind() {
    // As in `Connection::read_ahead`: no line lies between two of them, wherever a connection begins.
    let read = [
        0,
        offset_of!(Idle, send_next),
        offset_of!(Idle, send_window),
        offset_of!(Idle, counts) + offset_of!(Counts, segments_out),
        offset_of!(Idle, recovery) + Recovery::WINDOW,
    ];
    assert!(read.is_sorted_by(|a, b| a < b && b - a <= LINE), "{read:?}");
    // The window and the threshold, which follows it, are the last.
    assert!(offset_of!(Idle, tuple) == 0 && read[4] + 8 <= 260, "{read:?}");
}
