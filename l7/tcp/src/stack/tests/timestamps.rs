//! Timestamps (RFC 7323, sections 3 to 5).

use super::peer::{ACK, Peer, mss};
use crate::segment::{Flags, Options, Timestamps};
use crate::{ListenerConfig, State};

const NONE: Options = Options::NONE;

#[test]
fn old_timestamps_are_refused_and_their_wrap_is_not() {
    let options = |value| Options { timestamps: Some(Timestamps { value, echo: 0 }), ..mss(1000) };
    let (mut peer, id) = Peer::open(&ListenerConfig::default(), options(0xffff_fff0));
    let bare = |value| Options { mss: None, ..options(value) };
    // Old (RFC 7323, section 5): acknowledged, not taken.
    peer.put(ACK, 1, 1, b"old", bare(0xffff_ff00));
    peer.acknowledges(1, 1);
    assert_eq!(peer.stack.readable(id), 0);
    // Without the option.
    peer.put(ACK, 1, 1, b"none", NONE);
    assert_eq!(peer.stack.readable(id), 0);
    peer.take();
    // Past the wrap.
    peer.put(ACK, 1, 1, b"new", bare(5));
    assert_eq!(peer.stack.readable(id), 3);
    assert_eq!(peer.one().options.timestamps.map(|timestamps| timestamps.echo), Some(5));
    // A reset needs none, and after 24 days the clock may be anywhere (section 5.5).
    peer.wait_ms(25 * 86_400_000);
    peer.put(ACK, 4, 1, b"later", bare(0x8000_0001));
    assert_eq!(peer.stack.readable(id), 8);
    peer.put(Flags::RST, 9, 0, b"", NONE);
    assert_eq!(peer.stack.state(id), Some(State::Closed));
}
