//! The program as a person or a script meets it: words, tables, exit codes.

#![allow(clippy::unwrap_used, reason = "a test")]

mod check;
mod client;
mod pages;
mod replay;
#[cfg(feature = "dpdk")]
mod run;
mod support;
