//! Hosts for an end of the link: a stack, and a server or clients on it that check every byte.
//!
//! A client sends a [`Request`] and gets the bytes it asks for; then the server closes.

#![allow(
    unreachable_pub,
    unused_imports,
    dead_code,
    reason = "bench shows all of it, a test uses what it needs"
)]

mod bytes;
mod client;
mod exchange;
mod host;
mod ip;
mod server;

pub use bytes::Bytes;
pub use client::{Clients, Flow};
pub use exchange::{Fetched, Request};
pub use host::{Application, Host};
pub use server::Server;
