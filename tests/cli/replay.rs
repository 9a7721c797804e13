//! `evenkeel replay`: captures made here, through the datapath of the shipped program.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Folder, run, stderr, stdout};

const CONFIG: &str = r#"
[balancer]
workers = [0]
flows = 1024

[full_nat]
local_addresses = ["10.0.0.1"]

[[port]]
name = "wan"
device = "net_null0"
mac = "02:00:00:00:00:01"
kernel = "ek-wan"
addresses = ["10.0.0.1/24"]

[[neighbor]]
address = "10.0.0.3"
mac = "02:00:00:00:00:03"
port = "wan"

[[neighbor]]
address = "10.0.0.4"
mac = "02:00:00:00:00:04"
port = "wan"

[[neighbor]]
address = "10.0.0.9"
mac = "02:00:00:00:00:09"
port = "wan"

[[service]]
name = "web"
vip = "192.0.2.10:80"
protocol = "tcp"
mode = "full-nat"
[[service.backend]]
address = "10.0.0.3:8080"
[[service.backend]]
address = "10.0.0.4:8080"
"#;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// The complement of the sum of 16-bit words (RFC 1071).
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 =
        words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An Ethernet frame with a TCP segment without payload.
fn segment(source: ([u8; 4], u16), destination: ([u8; 4], u16), flags: u8) -> Vec<u8> {
    let mut tcp = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
    tcp.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let pseudo = [&source.0[..], &destination.0, &[0, 6, 0, 20]].concat();
    let sum = checksum(&[&pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    ip.extend([source.0, destination.0].concat());
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0][..], &ip, &tcp].concat()
}

/// A SYN of the client's port `port` to the service.
fn syn(port: u16) -> Vec<u8> {
    segment(([10, 0, 0, 9], port), ([192, 0, 2, 10], 80), SYN)
}

fn arp_request() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 0, 0, 9]);
    frame.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
    frame
}

/// A capture with microseconds, little-endian: frames and their times.
fn capture(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let word = |word: usize| u32::try_from(word).unwrap().to_le_bytes();
    let mut file =
        [0xa1b2_c3d4_u32.to_le_bytes(), [2, 0, 4, 0], [0; 4], [0; 4], word(65_535), word(1)].concat();
    for (micros, frame) in frames {
        let times = [word((micros / 1_000_000) as usize), word((micros % 1_000_000) as usize)];
        file.extend([times.concat(), [word(frame.len()); 2].concat()].concat());
        file.extend(frame);
    }
    file
}

/// The frames of a little-endian capture with microseconds.
fn frames(file: &Path) -> Vec<(u64, Vec<u8>)> {
    let file = fs::read(file).unwrap();
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(20)), (0xa1b2_c3d4, 1));
    let (mut at, mut frames) = (24, Vec::new());
    while at < file.len() {
        let length = word(at + 8) as usize;
        let time = u64::from(word(at)) * 1_000_000 + u64::from(word(at + 4));
        frames.push((time, file[at + 16..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    frames
}

/// A folder with a configuration and a capture, and the answer of a replay with further arguments.
fn replayed(config: &str, input: &[u8], more: &[&str]) -> (Folder, std::process::Output) {
    let folder = Folder::new();
    let config = folder.write("evenkeel.toml", config);
    let (input, output) = (folder.write("in.pcap", input), folder.path("out.pcap"));
    let arguments = ["replay".as_ref(), input.as_os_str(), "-o".as_ref(), output.as_os_str()];
    let config = ["--config".as_ref(), config.as_os_str()];
    let answer = run(arguments.iter().chain(&config).copied().chain(more.iter().map(|word| word.as_ref())));
    (folder, answer)
}

fn json(output: &std::process::Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_syn_to_a_service_leaves_for_a_backend_and_its_answer_for_the_client() {
    let (folder, output) = replayed(CONFIG, &capture(&[(5_000_001, syn(40_000))]), &["--json"]);
    let report = json(&output);
    let sent = frames(&folder.path("out.pcap"));
    let [(time, frame)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*time, 5_000_001);
    assert!(frame[..6] == [2, 0, 0, 0, 0, 3] || frame[..6] == [2, 0, 0, 0, 0, 4], "{frame:?}");
    assert_eq!(frame[6..12], [2, 0, 0, 0, 0, 1]);
    let (ip, tcp) = (&frame[14..34], &frame[34..]);
    assert_eq!(ip[12..16], [10, 0, 0, 1]);
    assert_eq!((&ip[16..19], ip[19]), (&[10, 0, 0][..], frame[5]));
    assert_eq!(tcp[2..4], 8080_u16.to_be_bytes());
    assert_eq!(checksum(&[ip]), 0);
    assert_eq!(checksum(&[&ip[12..20], &[0, 6, 0, 20], tcp]), 0);
    assert_eq!(report["imbalance"], 0);
    assert_eq!(report["counters"]["flows_opened"], 1);

    // The backend's answer, to the address and port that full NAT chose; the seed makes the choice the same again.
    let port = u16::from_be_bytes([tcp[0], tcp[1]]);
    let answer = segment(([10, 0, 0, ip[19]], 8080), ([10, 0, 0, 1], port), SYN | ACK);
    let both = capture(&[(5_000_001, syn(40_000)), (5_000_201, answer)]);
    let (folder, output) = replayed(CONFIG, &both, &["--json"]);
    let report = json(&output);
    let sent = frames(&folder.path("out.pcap"));
    assert_eq!(sent.len(), 2, "{report}");
    let (time, frame) = &sent[1];
    assert_eq!(*time, 5_000_201);
    assert_eq!(frame[..12], [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1]);
    assert_eq!(frame[26..38], [192, 0, 2, 10, 10, 0, 0, 9, 0, 80, 0x9c, 0x40]);
    let service = &report["services"][0];
    assert_eq!(
        (&service["counters"]["packets_in"], &service["counters"]["packets_out"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn the_same_input_gives_the_same_output_and_the_seed_another() {
    let input = capture(&(0..200_u16).map(|n| (u64::from(n) * 1_000, syn(1_024 + n))).collect::<Vec<_>>());
    let outcome = |seed: &str| {
        let (folder, output) = replayed(CONFIG, &input, &["--seed", seed]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (fs::read(folder.path("out.pcap")).unwrap(), stdout(&output))
    };
    assert_eq!(outcome("7"), outcome("7"));
    assert_ne!(outcome("7").0, outcome("8").0);
}

#[test]
fn what_is_not_sent_is_counted_under_its_reason() {
    let cut = syn(40_000)[..30].to_vec();
    let stray = segment(([10, 0, 0, 9], 1), ([192, 0, 2, 10], 81), SYN);
    let input = capture(&[(0, arp_request()), (1, cut), (2, stray), (3, Vec::new())]);
    let (folder, output) = replayed(CONFIG, &input, &["--json"]);
    let report = json(&output);
    assert_eq!(frames(&folder.path("out.pcap")).len(), 0);
    assert_eq!(report["counters"]["to_kernel"], 1);
    assert_eq!(report["drops"]["truncated"], 2);
    assert_eq!(report["drops"]["no_service"], 1);
    assert_eq!((&report["imbalance"], &report["packets"]), (&0.into(), &4.into()));
    let text = stdout(&replayed(CONFIG, &input, &[]).1);
    assert!(
        text.starts_with("4 packets over 0.000003 s, seed 0: 0 sent, 1 to the kernel, 3 dropped"),
        "{text}"
    );
    assert!(text.contains("no_service        1  TCP or UDP for an address"), "{text}");
}

#[test]
fn changes_are_made_on_the_way() {
    let folder = Folder::new();
    let updates = folder.write(
        "updates",
        "{\"at\":1,\"command\":\"backend down\",\"service\":\"web\",\"backend\":\"10.0.0.3:8080\"}\n\
         {\"at\":2,\"command\":\"backend down\",\"service\":\"web\",\"backend\":\"10.0.0.5:8080\"}\n",
    );
    let input = capture(&(0..400_u16).map(|n| (u64::from(n) * 10_000, syn(1_024 + n))).collect::<Vec<_>>());
    let (out, output) = replayed(CONFIG, &input, &["--json", "--updates", updates.to_str().unwrap()]);
    let report = json(&output);
    let (before, after): (Vec<_>, Vec<_>) =
        frames(&out.path("out.pcap")).into_iter().partition(|(micros, _)| *micros < 1_000_000);
    assert!(before.iter().any(|(_, frame)| frame[5] == 3) && before.iter().any(|(_, frame)| frame[5] == 4));
    assert!(after.iter().all(|(_, frame)| frame[5] == 4));
    assert_eq!(report["updates"][0]["answer"]["ok"], true);
    assert_eq!(report["updates"][1]["answer"]["error"], "unknown_backend");
    assert_eq!(report["imbalance"], 0);
}

#[test]
fn time_passes_between_packets() {
    // A SYN that is never answered is forgotten after `tcp_handshake`, ten seconds, amid the pause.
    let input = capture(&[(0, syn(40_000)), (60_000_000, syn(40_001))]);
    let report = json(&replayed(CONFIG, &input, &["--json"]).1);
    assert_eq!(report["counters"]["flows_expired"], 1, "{report}");
    assert_eq!(report["counters"]["flows_active"], 1);
}

#[test]
fn mistakes_are_explained_and_leave_no_output() {
    let good = capture(&[(0, syn(1)), (1, syn(2))]);
    let without_mac = CONFIG.replacen("mac = \"02:00:00:00:00:01\"\n", "", 1);
    for (config, input, code, message) in [
        (CONFIG, &b"\x0a\x0d\x0d\x0a                    "[..], 1, "pcapng"),
        (CONFIG, &good[..20], 1, "the file ends inside the file header at offset 0"),
        (CONFIG, &good[..30], 1, "the file ends inside the record header at offset 24"),
        (&without_mac, &good, 1, "port wan has no device here"),
        ("[balancer]\n", &good, 5, "workers"),
    ] {
        let (folder, output) = replayed(config, input, &[]);
        assert_eq!(output.status.code(), Some(code));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert!(!folder.path("out.pcap").exists());
    }
    // What was replayed before the capture breaks off is kept.
    let (folder, output) = replayed(CONFIG, &good[..120], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the file ends inside the record at offset 94"), "{}", stderr(&output));
    assert!(folder.path("out.pcap").exists());
}

#[test]
fn the_capture_is_not_overwritten() {
    let folder = Folder::new();
    let config = folder.write("evenkeel.toml", CONFIG);
    let input = folder.write("in.pcap", capture(&[(0, syn(1))]));
    let before = fs::read(&input).unwrap();
    let output = run(["replay".as_ref(), input.as_os_str(), "-o".as_ref(), input.as_os_str()]
        .into_iter()
        .chain(["--config".as_ref(), config.as_os_str()]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is the capture itself"), "{}", stderr(&output));
    assert_eq!(fs::read(&input).unwrap(), before);
}
