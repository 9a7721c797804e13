//! What the fuzz targets do with octets, as plain functions: `bench/fuzz` feeds them from libFuzzer, and a test replays
//! the corpora through them on stable Rust.
//!
//! Invariant: no input makes any of them panic, unless the program is wrong.

mod bursts;
mod captures;
mod endpoint;
mod events;
mod fleet;
mod forward;
mod frames;
mod http;
mod input;
mod network;
mod pair;
mod segment;

use evenkeel_config::Config;
use evenkeel_control::protocol::{Answer, parse_line};
use evenkeel_datapath::key::Protocol;
use evenkeel_datapath::packet::{ChecksumStatus, Received};
use evenkeel_datapath::parse::{self as datapath, Content, Parsed};
use evenkeel_datapath::snapshot::MacAddress;

pub use captures::pcap;
pub use endpoint::endpoint;
pub use forward::forward;
pub use http::{http_chunked, http_head, http_path};
pub use pair::pair;
pub use segment::segment;

use input::Input;

/// What a target does with an input.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("parse", parse),
    ("forward", forward),
    ("segment", segment),
    ("endpoint", endpoint),
    ("pair", pair),
    ("config", config),
    ("control_line", control_line),
    ("pcap", pcap),
    ("http_head", http_head),
    ("http_chunked", http_chunked),
    ("http_path", http_path),
];

/// A UDP packet over IPv6.
const USED: &[u8] = b"\x02\x02\x02\x02\x02\x02\x02\0\0\0\0\xc1\x86\xdd\x60\0\0\0\0\x08\x11\x07\
    0123456789abcdefghijklmnopqrstuv\x12\x34\x56\x78\0\x08\x9a\xbc";

/// The first octet says what the port found out and how much of the frame lies in further segments, the rest is the
/// first segment: all that [`Parsed`] names lies in it.
pub fn parse(data: &[u8]) {
    const STATUSES: [ChecksumStatus; 3] =
        [ChecksumStatus::Unknown, ChecksumStatus::Good, ChecksumStatus::Bad];
    let mut input = Input::new(data);
    let mode = input.octet();
    let bytes = input.rest();
    let received = Received {
        ip_checksum: STATUSES[usize::from(mode % 3)],
        l4_checksum: STATUSES[usize::from(mode / 3 % 3)],
        rss_hash: (mode & 0x40 != 0).then_some(0x1234_5678),
    };
    let total_len = bytes.len() + if mode & 0x80 != 0 { 1500 } else { 0 };
    let own = MacAddress(bytes.first_chunk().copied().unwrap_or_default());
    let fresh = datapath::parse(bytes, total_len, received, own);
    if let Ok(parsed) = &fresh {
        lies_within(bytes, total_len, parsed);
    }
    // On the hot path another packet has been there before.
    let mut used =
        datapath::parse(USED, USED.len(), Received::default(), MacAddress([2; 6])).unwrap_or_default();
    let outcome = used.read(bytes, total_len, received, &own);
    assert_eq!(outcome.err(), fresh.err());
    match fresh {
        Ok(fresh) if matches!(fresh.content, Content::Transport | Content::IcmpError { .. }) => {
            assert_eq!(used, fresh);
        }
        Ok(fresh) => assert_eq!(used.content, fresh.content),
        Err(_) => {}
    }
    let other = MacAddress([2, 0, 0, 0, 0, 1]);
    if let Ok(parsed) = datapath::parse(bytes, total_len, received, other) {
        assert!(other == own || parsed.content == Content::Other, "a packet for another host: {parsed:?}");
    }
}

fn lies_within(bytes: &[u8], total_len: usize, parsed: &Parsed) {
    let (l3, l4) = (usize::from(parsed.l3), usize::from(parsed.l4));
    let end = l3 + usize::from(parsed.length);
    assert!(end <= total_len, "{parsed:?}");
    if parsed.content == Content::Other {
        return;
    }
    assert!(l3 < l4 && l4 <= end && usize::from(parsed.l4_length()) == end - l4, "{parsed:?}");
    let ports =
        |at: usize| [[bytes[at], bytes[at + 1]], [bytes[at + 2], bytes[at + 3]]].map(u16::from_be_bytes);
    let (header, quoted_ports) = match (parsed.content, parsed.key.protocol) {
        (Content::Transport, Protocol::Tcp) => (20, None),
        (Content::Transport, Protocol::Udp) | (Content::EchoRequest, _) => (8, None),
        (Content::IcmpError { l3: quoted_l3, l4: quoted_l4 }, _) => {
            assert!(quoted_l3 == parsed.l4 + 8 && quoted_l4 > quoted_l3, "{parsed:?}");
            assert!(usize::from(quoted_l4) + 8 <= end.min(bytes.len()), "{parsed:?}");
            (8, Some(ports(usize::from(quoted_l4))))
        }
        (Content::Other, _) => return,
    };
    assert!(l4 + header <= end.min(bytes.len()), "{parsed:?}");
    let key = &parsed.key;
    match (parsed.content, quoted_ports) {
        (Content::Transport, _) => assert_eq!(ports(l4), [key.source.port, key.destination.port]),
        (_, Some(quoted)) => assert_eq!(quoted, [key.destination.port, key.source.port]),
        _ => {}
    }
    assert_eq!(key.source.addr.is_v4(), !parsed.v6);
    assert_eq!(key.destination.addr.is_v4(), !parsed.v6);
}

/// A configuration file: it is one, or there is an error with something to say.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text, "fuzz.toml") {
        Ok(parsed) => drop(format!("{:?}", parsed.config)),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}

/// A line of the control socket: a request that reads back as itself, or a refusal that can be sent.
pub fn control_line(data: &[u8]) {
    match parse_line(data) {
        Ok(request) => {
            let line = serde_json::to_vec(&request).expect("a request can be written");
            assert_eq!(parse_line(&line).as_ref(), Ok(&request));
        }
        Err(refusal) => {
            let answer = serde_json::to_string(&Answer::from(refusal)).expect("an answer can be written");
            assert!(!answer.contains('\n'));
        }
    }
}
