//! What a connection takes when it is idle.

use crate::HeapBuf;
use crate::connection::Connection;
use crate::stack::slab::Slab;

/// Octets of the table of tuples, which is filled to three quarters, and of the timing wheel.
const ELSEWHERE: usize = (8 * 4usize).div_ceil(3) + 12;

#[test]
fn an_idle_connection_takes_no_more_than_is_promised() {
    let place = Slab::<Connection<HeapBuf>>::PLACE;
    assert!(place + ELSEWHERE <= 320, "{place} + {ELSEWHERE}");
}
