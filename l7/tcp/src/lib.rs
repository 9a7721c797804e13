//! A sans-IO TCP: segments and time in, segments and a deadline out. No DPDK, clock, thread, randomness or I/O.
//!
//! A [`Stack`] is the TCP of one worker: its listeners, its connections and its timers. Whoever drives it
//! - hands over every segment that arrives: [`Stack::receive`], or [`Stack::receive_burst`], which is sooner done where there are many
//!   connections; and ICMP errors: [`Stack::icmp`];
//! - lets time pass: [`Stack::advance`], whenever [`Stack::deadline`] has come (later is slower, not wrong);
//! - asks what has happened: [`Stack::next_event`], and serves the connections it is told of: [`Stack::accept`], [`Stack::read`],
//!   [`Stack::consume`], [`Stack::send`], [`Stack::close`], [`Stack::release`];
//! - sends whatever is to be sent, while there is room for it on the wire: [`Stack::poll_transmit`].
//!
//! Time is an argument ([`Time`]), and so is randomness (one seed, in [`Stack::new`]): the same calls give the same segments. IP headers are the
//! caller's; a segment here is a TCP header with its payload, and two addresses beside it. The caller also chooses the local port of
//! an active open, since in a machine with many workers the port decides which of them gets the answers.
//!
//! # Memory
//!
//! Payload stays in the buffer it arrived in ([`Buf`]) until it is consumed, and what is sent stays where the application put it until it is
//! acknowledged: nothing is copied here. A connection with nothing unread and nothing unacknowledged holds no buffer. What buffers weigh
//! ([`Buf::true_size`]) is bounded for each connection ([`Settings::send_buffer`], [`Settings::receive_buffer`]), both from a first value
//! on as the path and the application have use for it, and for all together ([`Config::memory`]); all tables have their full size from the start, and SYNs beyond what may be remembered are answered by cookies.
//!
//! # Life of a connection
//!
//! A listener's connections are announced by [`Event::Acceptable`], those that were opened from here by [`Event::Connected`]. A
//! [`ConnectionId`] is good until it is given to [`Stack::release`] or [`Stack::abort`], also when the connection has long been over: what
//! was received can still be read then. [`Event::Closed`] says how it ended. [`Stack::close`] is half of an end: it sends a FIN after the
//! last octet, and reading goes on.
//!
//! # By hand: packets in, packets out, time as an argument
//!
//! ```
//! use evenkeel_tcp::{
//!     Config, Endpoint, Event, HeapBuf, Incoming, ListenerConfig, Settings, Stack, Time, Tuple,
//! };
//!
//! let client = Endpoint::v4([192, 0, 2, 1], 40_000);
//! let server = Endpoint::v4([192, 0, 2, 2], 80);
//! let mut now = Time::from_millis(1);
//! let mut here: Stack<HeapBuf> = Stack::new(&Config::default(), 1, now);
//! let mut there: Stack<HeapBuf> = Stack::new(&Config::default(), 2, now);
//!
//! /// The wire: what one stack sends, the other one gets. True if there was anything.
//! fn carry(from: &mut Stack<HeapBuf>, to: &mut Stack<HeapBuf>, now: Time) -> bool {
//!     let mut any = false;
//!     while let Some(out) = from.poll_transmit(now) {
//!         let (local, remote) = (out.remote.addr, out.local.addr);
//!         let mut octets = out.header.to_vec();
//!         out.payload.slices().for_each(|slice| octets.extend(slice));
//!         to.receive(now, Incoming { local, remote, ecn: 0, segment: HeapBuf::from(octets) });
//!         any = true;
//!     }
//!     any
//! }
//!
//! let listener = there.listen(server, &ListenerConfig::default())?;
//! let ours = here.connect(now, Tuple { local: client, remote: server }, &Settings::default())?;
//! while carry(&mut here, &mut there, now) | carry(&mut there, &mut here, now) {
//!     now = now.plus_millis(10);
//! }
//! assert_eq!(here.next_event(), Some(Event::Connected(ours)));
//! assert_eq!(there.next_event(), Some(Event::Acceptable(listener)));
//! let theirs = there.accept(listener).expect("the event said so");
//!
//! here.send(ours, HeapBuf::from(b"question")).expect("there is room");
//! here.close(ours);
//! carry(&mut here, &mut there, now);
//! assert_eq!(there.next_event(), Some(Event::Readable(theirs)));
//! assert_eq!(there.read(theirs).collect::<Vec<_>>(), [b"question"]);
//! there.consume(theirs, 8);
//! assert!(there.is_at_end(theirs));
//! there.send(theirs, HeapBuf::from(b"answer")).expect("there is room");
//! there.release(theirs);
//!
//! while carry(&mut there, &mut here, now) | carry(&mut here, &mut there, now) {
//!     now = now.plus_millis(10);
//! }
//! let mut answer = [0; 16];
//! assert_eq!(here.read_into(ours, &mut answer), 6);
//! here.release(ours);
//!
//! // This side closed first, so it remembers the connection for a minute, in 40 octets.
//! assert_eq!((here.connections(), there.connections(), here.time_wait()), (0, 0, 1));
//! now = here.deadline().expect("the minute ends some time");
//! here.advance(now);
//! assert_eq!(here.time_wait(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it follows
//!
//! RFC 9293 with the checklist of its appendix B in `RFC9293.md`; 7323 (window scale, timestamps, PAWS); 2018, 2883, 6675 (SACK); 8985
//! (RACK-TLP); 6937 (PRR); 5682, 3522 and 4015 (spurious timeouts); 6298 (RTO); 6928 (initial window); 9438 (CUBIC), 9406 (HyStart++),
//! 6582 (NewReno); 5961 (blind attacks); 6528 (initial sequence numbers); 4987 (SYN cookies); 6191 (TIME-WAIT reuse); 1191, 8201 and
//! 5927 (path MTU and ICMP); 3168 (ECN); 6093 (urgent data). The section stands at the code that follows it.
#![forbid(unsafe_code)]

mod addr;
mod buf;
pub mod checksum;
mod chunk;
pub mod congestion;
mod connection;
pub mod cookie;
mod counters;
mod error;
mod event;
mod info;
pub mod isn;
mod packet;
mod range;
pub mod receive;
pub mod recovery;
pub mod segment;
pub mod send_buffer;
mod sequence;
mod settings;
mod stack;
mod time;
mod trace;
pub mod wheel;

pub use addr::{Addr, Endpoint, Tuple};
pub use buf::{Buf, HeapBuf};
pub use chunk::{Chunk, Piece, Pieces, Spares};
pub use connection::State;
pub use counters::{Counter, Counters};
pub use error::{ConnectError, Ending, ListenError, NoConnection, SendError};
pub use event::{ConnectionId, Event, ListenerId};
pub use info::Info;
pub use packet::{IcmpError, Incoming, Outgoing, Payload};
pub use range::Range;
pub use sequence::SequenceNumber;
pub use settings::{Checksums, Config, Congestion, Keepalive, ListenerConfig, Settings};
pub use stack::Stack;
pub use time::Time;
pub use trace::Step;
