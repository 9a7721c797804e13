//! Two stacks and a link between them, in virtual time: every byte is checked, and at the end nothing is left.

#![forbid(unsafe_code)]

#[path = "../hosts/mod.rs"]
mod hosts;
#[path = "../network/mod.rs"]
mod network;

mod fair;
mod lossy;
mod marks;
mod scene;
mod short;
mod soak;
mod vanish;
