//! Black-box tests of the program: real clients and servers in network namespaces, the balancer between them on virtual
//! devices with two workers, on each kind of wire. They need root; run them by `scripts/test`, which also cleans up.
//!
//! Each test has a lab of its own (`scripts/lab`), one at a time, and leaves nothing behind. What a test waits for is
//! polled with a deadline, never slept for.

/// Makes a test on every wire of each function: it is given a lab whose balancer runs on two workers.
macro_rules! on_each_wire {
    ($($name:ident),+ $(,)?) => {
        mod af_xdp {
            $(#[test] fn $name() { super::$name(&crate::lab::Lab::ready(crate::lab::Wire::AfXdp)); })+
        }

        mod af_packet {
            $(#[test] fn $name() { super::$name(&crate::lab::Lab::ready(crate::lab::Wire::AfPacket)); })+
        }
    };
}

mod changes;
mod control;
mod forwarding;
mod lab;
mod layer7;
mod life;
#[path = "../../l7/tcp/tests/network/mod.rs"]
mod network;
mod proxied;
mod relay;
mod router;
