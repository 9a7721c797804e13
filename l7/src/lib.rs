//! The layer 7 stage of a worker: clients' connections end here, and what is asked over them is answered, or asked of backends.
//!
//! Start at [`L7`], which a worker drives as its [`Stage`](evenkeel_datapath::stage::Stage): packets come in by the datapath's
//! verdict and become segments of a [`Stack`](evenkeel_tcp::Stack); what the stack sends becomes packets. On the stack runs a
//! [`Proxy`](proxy::Proxy), which answers requests by itself or has backends answer them, as the [`Site`](proxy::Site) of their service says.
//! The control thread says by a list of [`Services`] in the snapshot what is served.
//!
//! Invariants:
//! - all of it is sans-IO: time, packets and randomness are arguments, so that a test drives workers, links and clients in virtual
//!   time under one seed;
//! - one turn does a bounded amount of work, and connections hold a bounded amount of memory, packet buffers counted by true size;
//! - what was received stays in the packet that it came in until it is read; what is sent is referred to until it is acknowledged.
#![forbid(unsafe_code)]

pub mod balance;
mod gather;
pub mod http;
mod octets;
mod page;
pub mod proxy;
pub mod proxy_protocol;
mod query;
pub mod route;
mod service;
mod stage;
mod survey;
pub mod tls;
mod work;

pub use evenkeel_tcp as tcp;

pub use octets::Octets;
pub use page::Page;
pub use query::{ConnectionView, GAUGES, NUMBERS, Query};
pub use service::{Listener, Service, Services};
pub use stage::{Config, L7};
pub use survey::{About, PoolView, Row, Survey};
pub use work::Work;
