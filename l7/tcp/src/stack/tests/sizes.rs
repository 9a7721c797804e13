//! What a connection takes when it is idle.

use core::mem::size_of;

use crate::HeapBuf;
use crate::connection::Connection;

/// Octets that the table of tuples and the timing wheel take for each connection.
const ELSEWHERE: usize = 8 * 4 / 3 + 1 + 12;

#[test]
fn an_idle_connection_takes_no_more_than_is_promised() {
    assert!(size_of::<Connection<HeapBuf>>() + ELSEWHERE <= 344, "{}", size_of::<Connection<HeapBuf>>());
}
