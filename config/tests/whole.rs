//! The whole language, once: every key is read, and what serde writes parses to the same value.

use std::time::Duration;

use evenkeel_config::{BackendState, Config, Idle, Mode, Protocol};

const EVERY_KEY: &str = r#"
[balancer]
workers = [0, 1]
idle = "backoff"
flows = 1_000_000
max_services = 256
max_backends = 4096
control_socket = "/run/evenkeel/control.sock"
drain_timeout = "5m"
seed = 7

[dpdk]
huge_pages = true
memory = "512M"
mbufs = 32768
file_prefix = "evenkeel"
pci = true
args = ["--log-level=8"]

[timeouts]
tcp_handshake = "10s"
tcp_established = "15m"
tcp_half_closed = "2m"
tcp_closed = "10s"
udp_one_way = "30s"
udp_two_way = "2m"

[limits]
to_kernel = 20_000
resets = 1_000
icmp = 1_000

[full_nat]
local_addresses = ["10.0.1.10", "fd00:1::10"]
ports = "1024-32767"

[l7]
connections = 1000
memory = "16M"

[[port]]
name = "wan"
device = "0000:03:00.0"
mtu = 1500
kernel = "ek-wan0"
addresses = ["10.0.0.1/24", "fd00::1/64"]
mac = "02:00:00:00:00:01"
recompute_checksums = false

[[port]]
name = "lan"
device = ["net_af_xdp0,iface=ek-lan,start_queue=0", "net_af_xdp1,iface=ek-lan,start_queue=1"]

[[route]]
to = "0.0.0.0/0"
via = "10.0.0.254"

[[route]]
to = "default"
via = "fd00::fe"

[[neighbor]]
address = "10.0.0.3"
mac = "02:00:00:00:00:03"
port = "wan"

[[service]]
name = "web"
vip = "192.0.2.10:80"
protocol = "tcp"
mode = "full-nat"
maglev_table = 65537

[[service.backend]]
address = "10.0.0.3:8080"
weight = 1
state = "active"

[[service.backend]]
address = "10.0.0.4:8080"
weight = 0
state = "draining"

[[service]]
name = "dns6"
vip = "[2001:db8::53]:53"
protocol = "udp"
mode = "dsr-mac"
backend = [{ address = "[fd00::3]:53" }]

[[service]]
name = "hello"
vip = "192.0.2.12:80"
protocol = "tcp"
mode = "l7"
respond = { status = 503, content_type = "text/html", body = "<p>Sorry\n" }

[[service]]
name = "load"
vip = "192.0.2.13:80"
protocol = "tcp"
mode = "l7"
[service.respond]
body_size = "1M"
"#;

#[test]
fn every_key() {
    let config =
        Config::parse(EVERY_KEY, "evenkeel.toml").map_err(|errors| panic!("{errors}")).unwrap().config;
    assert_eq!(config.balancer.workers, [0, 1]);
    assert_eq!(config.balancer.idle, Idle::Backoff);
    assert_eq!(config.balancer.drain_timeout, Duration::from_secs(300));
    assert_eq!(config.balancer.seed, Some(7));
    assert_eq!(config.dpdk.memory, 512 << 20);
    assert_eq!(config.timeouts.tcp_established, Duration::from_secs(900));
    assert_eq!(config.full_nat.ports.to_string(), "1024-32767");
    assert_eq!(config.ports[0].addresses[1].to_string(), "fd00::1/64");
    assert_eq!(config.ports[0].mac.unwrap().to_string(), "02:00:00:00:00:01");
    assert_eq!(config.ports[1].devices.len(), 2);
    assert_eq!(config.routes[1].to.to_string(), "::/0");
    assert_eq!(config.neighbors[0].port, "wan");
    assert_eq!(config.services[0].mode, Mode::FullNat);
    assert_eq!(config.services[0].backends[1].state, BackendState::Draining);
    assert_eq!(config.services[1].protocol, Protocol::Udp);
    assert_eq!(config.services[1].maglev_table, 65_537);
    assert_eq!(config.services[1].backends[0].address.to_string(), "[fd00::3]:53");
    assert_eq!((config.l7.connections, config.l7_memory_of_a_worker()), (1000, 8 << 20));
    let respond = config.services[2].respond.as_ref().unwrap();
    assert_eq!((respond.status, respond.octets()), (503, b"<p>Sorry\n".to_vec()));
    assert_eq!(config.services[3].respond.as_ref().unwrap().octets().len(), 1 << 20);
}

#[test]
fn what_is_written_parses_to_the_same() {
    let config = Config::parse(EVERY_KEY, "evenkeel.toml").unwrap().config;
    let written = toml::to_string(&config).unwrap();
    let again = Config::parse(&written, "written.toml").map_err(|errors| panic!("{errors}")).unwrap().config;
    assert_eq!(config, again);
}

const EXAMPLE: &str = include_str!("../example.toml");

#[test]
fn the_example_is_good() {
    let parsed = Config::parse(EXAMPLE, "example.toml").map_err(|errors| panic!("{errors}")).unwrap();
    assert_eq!(parsed.warnings.to_string(), "");
}

/// What the example says in comments is what happens without it.
#[test]
fn the_examples_commented_keys_show_the_defaults() {
    let mut all = String::new();
    for line in EXAMPLE.lines() {
        let key = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        // These have no default: they are optional.
        let optional = |key: &&str| key.starts_with("seed = ") || key.starts_with("mac = ");
        all.push_str(key.filter(|key| !optional(key)).unwrap_or(line));
        all.push('\n');
    }
    assert_ne!(all, EXAMPLE);
    let whole = Config::parse(&all, "example.toml").map_err(|errors| panic!("{errors}")).unwrap().config;
    assert_eq!(whole, Config::parse(EXAMPLE, "example.toml").unwrap().config);
}

/// Every key that the model writes is somewhere in the example.
#[test]
fn the_example_has_every_key() {
    let written = toml::to_string(&Config::parse(EVERY_KEY, "evenkeel.toml").unwrap().config).unwrap();
    for key in written.lines().filter_map(|line| line.split_once(" = ").map(|(key, _)| key)) {
        let shown = |line: &str| line.trim_start_matches('#').trim_start().starts_with(&format!("{key} = "));
        assert!(EXAMPLE.lines().any(shown), "`{key}` is not in example.toml");
    }
}

#[test]
fn a_file_is_loaded_or_says_why_not() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(Config::load(&folder.join("example.toml")).is_ok());
    let absent = Config::load(&folder.join("absent.toml")).unwrap_err().to_string();
    assert!(absent.contains("error: cannot read the configuration: No such file"), "{absent}");
    assert!(absent.contains("absent.toml"), "{absent}");
    let directory = Config::load(folder).unwrap_err().to_string();
    assert!(directory.contains("Is a directory"), "{directory}");
}
