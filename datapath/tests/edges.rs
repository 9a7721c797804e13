//! Cases at the edge of a rule: each fails if the rule is broken in one place, which other tests would not notice.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

mod support;

use evenkeel_datapath::key::Protocol;
use evenkeel_datapath::packet::Packet;
use evenkeel_datapath::snapshot::Mode;

use support::frames::Frame;
use support::*;

const VIP: &str = "192.0.2.10:80";
const CLIENT: &str = "198.51.100.7:40000";

fn rig() -> Rig {
    let mut snapshot = network();
    add_service(&mut snapshot, Mode::Nat, Protocol::Udp, VIP, &["10.0.0.1:8080"]);
    Rig::new(snapshot)
}

/// Zero says that there is none (RFC 768).
#[test]
fn a_udp_checksum_that_comes_to_zero_is_sent_as_ones() {
    let field = |sent: &Sent| <[u8; 2]>::try_from(&sent.packet.bytes()[40..42]).unwrap();
    let of_zeros = rig().send(CLIENT_SIDE, &Frame::udp(CLIENT, VIP).payload(&[0, 0]));
    // What is added to its own complement makes all ones, whose complement is zero.
    let sent = rig().send(CLIENT_SIDE, &Frame::udp(CLIENT, VIP).payload(&field(&of_zeros)));
    assert_eq!(field(&sent), [0xff, 0xff]);
    sent.expect_on(BACKEND_SIDE);
}
