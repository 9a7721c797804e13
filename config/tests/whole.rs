//! The whole language, once: every key is read, and what serde writes parses to the same value.

use std::time::Duration;

use evenkeel_config::{
    BackendState, Balance, Budget, By, Change, ClientProof, Config, EncodedSlash, Idle, Mode, PathPattern,
    Protocol, ProxyProtocol, Scheme, Share, Site, Test, TlsVersion,
};

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

[[service]]
name = "shop"
vip = "192.0.2.14:80"
protocol = "tcp"
mode = "l7"
trusted = ["10.0.0.0/8", "fd00::/8"]
proxy_protocol_from = ["192.0.2.0/24"]

[service.tls]
minimum = "1.3"
client = "required"
ca = "/etc/evenkeel/clients.pem"
crl = "/etc/evenkeel/clients.crl"
certificates = [{ chain = "/etc/evenkeel/shop.pem", key = "/etc/evenkeel/shop.key" }]

[service.tells]
x_forwarded = false
forwarded = false
request_id = false
via = "edge"

[service.http]
head = "32K"
line = "16K"
fields = 64
head_timeout = "5s"
idle = "30s"
default_host = "shop.example.com"
resolve_dots = false
decode = false
merge_slashes = false
encoded_slashes = "refuse"

[[service.pool]]
name = "default"
balance = "peak-ewma"
connections = 50
queue = 20
queue_timeout = "250ms"
idle = "20s"
slow_start = "30s"
pending = 500
tunnels = 200
proxy_protocol = "v2"
tls = { sni = "backend.example.com", ca = "/ca.pem", crl = "/ca.crl", certificate = "/own.pem", key = "/own.key" }
retries = { percent = 10, per_second = 1, burst = 5, at_once = 4 }
[service.pool.ejection]
enabled = false
consecutive = 3
percent = 50
window = "10s"
least = 20
quarantine = "1m"

[[service.pool]]
name = "canary"
balance = "maglev"
by = "cookie session"

[[service.backend]]
address = "10.0.0.5:8080"

[[service.backend]]
address = "10.0.0.6:8080"
pool = "canary"

[[service.route]]
name = "testers"
hosts = ["shop.example.com", "*.Shop.example.com"]
path_prefix = "/basket"
methods = ["GET", "POST"]
headers = [{ name = "X-Env", is = "beta" }, { name = "X-Old", present = false }]
query = [{ name = "try", begins = "new" }]
cookies = [{ name = "tester", fits = "^[0-9]+$" }]
to = "canary"
rewrite = { prefix = "/", host = "basket.internal:8080" }
request_headers = [{ set = "X-Tester", value = "yes" }, { add = "X-Via", value = "edge" }, { remove = "X-Debug" }]
response_headers = [{ remove = "Server" }]
connect_timeout = "200ms"
response_timeout = "5s"
idle_timeout = "10s"
request_timeout = "1m"
retries = { attempts = 2, statuses = [502, 503] }
upgrades = ["websocket", "tls/1.2"]

[[service.route]]
name = "basket"
path = "/basket"
sticky = "header X-User"
split = [{ pool = "default", weight = 95 }, { pool = "canary", weight = 5 }]

[[service.route]]
name = "items"
path_template = "/items/{id}"

[[service.route]]
name = "old"
path_regex = "/v[0-9]+/.*"
respond = { status = 410, text = "gone" }

[[service.route]]
name = "moved"
path_prefix = "/shop"
redirect = { status = 301, scheme = "https", host = "shop.example.com", prefix = "/" }

[[service.route]]
name = "root"
path = "/index"
redirect = { path = "/" }
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
fn every_key_of_a_site() {
    let config = Config::parse(EVERY_KEY, "evenkeel.toml").unwrap().config;
    let service = &config.services[4];
    let Site { tls, http, trusted, proxy_protocol_from, tells, pools, routes } = &service.site;
    assert_eq!((trusted.len(), proxy_protocol_from[0].to_string().as_str()), (2, "192.0.2.0/24"));
    assert!(!tells.x_forwarded && !tells.forwarded && !tells.request_id && tells.via == "edge");
    let tls = tls.as_ref().unwrap();
    assert_eq!(
        (tls.minimum, tls.client, tls.certificates.len()),
        (TlsVersion::V13, ClientProof::Required, 1)
    );
    assert_eq!(pools[0].tls.as_ref().map(|tls| tls.sni.as_str()), Some("backend.example.com"));
    assert_eq!((http.head, http.line, http.fields), (32 << 10, 16 << 10, 64));
    assert_eq!((http.head_timeout.as_secs(), http.idle.as_secs()), (5, 30));
    assert_eq!(http.default_host.as_deref(), Some("shop.example.com"));
    assert!(!http.resolve_dots && !http.decode && !http.merge_slashes);
    assert_eq!(http.encoded_slashes, EncodedSlash::Refuse);
    assert_eq!(service.site.pool_names().collect::<Vec<_>>(), ["default", "canary"]);
    assert_eq!((pools[0].balance, pools[0].connections, pools[0].queue), (Balance::PeakEwma, 50, 20));
    assert_eq!((pools[0].queue_timeout, pools[0].slow_start.as_secs()), (Duration::from_millis(250), 30));
    assert_eq!((pools[0].pending, pools[0].tunnels), (500, 200));
    assert_eq!(pools[0].proxy_protocol, Some(ProxyProtocol::V2));
    assert_eq!(pools[0].retries, Budget { percent: 10, per_second: 1, burst: 5, at_once: 4 });
    assert!(!pools[0].ejection.enabled && pools[0].ejection.quarantine == Duration::from_secs(60));
    assert_eq!(pools[1].by, Some(By::Cookie("session".to_owned())));
    let pools_of: Vec<&str> = service.backends.iter().map(|backend| backend.pool.as_str()).collect();
    assert_eq!(pools_of, ["default", "canary"]);
    let testers = &routes[0];
    assert_eq!(testers.hosts, ["shop.example.com", "*.shop.example.com"]);
    assert_eq!(testers.path, Some(PathPattern::Prefix("/basket".to_owned())));
    assert_eq!(testers.methods, ["GET", "POST"]);
    assert_eq!(testers.headers[1].test, Test::Present(false));
    assert_eq!(testers.query[0].test, Test::Begins("new".to_owned()));
    assert_eq!(testers.cookies[0].test, Test::Fits("^[0-9]+$".to_owned()));
    assert_eq!((testers.to.as_deref(), testers.timeouts.connect.as_millis()), (Some("canary"), 200));
    assert_eq!(testers.timeouts.whole, Some(Duration::from_secs(60)));
    assert_eq!((testers.retries.attempts, testers.retries.statuses.as_slice()), (2, &[502, 503][..]));
    assert_eq!(testers.upgrades, ["websocket", "tls/1.2"]);
    assert_eq!(routes[1].split[1], Share { pool: "canary".to_owned(), weight: 5 });
    assert_eq!(routes[1].sticky, Some(By::Header("X-User".to_owned())));
    assert_eq!(routes[2].path, Some(PathPattern::Template("/items/{id}".to_owned())));
    assert_eq!(routes[3].respond.as_ref().map(|respond| respond.status), Some(410));
    assert_eq!(testers.rewrite.host.as_deref(), Some("basket.internal:8080"));
    assert_eq!(testers.request_headers[1].change, Change::Add("X-Via".to_owned()));
    assert_eq!(testers.response_headers[0].change, Change::Remove("Server".to_owned()));
    let redirects: Vec<_> = routes.iter().filter_map(|route| route.redirect.as_ref()).collect();
    assert_eq!((redirects[0].status, redirects[0].scheme), (301, Some(Scheme::Https)));
    assert_eq!((redirects[1].status, redirects[1].path.as_deref()), (308, Some("/")));
}

/// Ten thousand routes and pools at their bound are read, checked and written like few.
#[test]
fn many_routes() {
    let (head, _) = EVERY_KEY.split_once("[[service]]").unwrap();
    let mut text = format!(
        "{head}[[service]]\nname = \"big\"\nvip = \"192.0.2.14:80\"\nprotocol = \"tcp\"\nmode = \"l7\"\n"
    );
    text.push_str("backend = [{ address = \"10.0.0.5:8080\" }]\n");
    for number in 0..10_000 {
        text.push_str(&format!(
            "[[service.route]]\nname = \"r{number}\"\nhosts = [\"h{number}.example.com\"]\npath_template = \"/{{a}}/{number}\"\n"
        ));
    }
    let config = Config::parse(&text, "f").map_err(|errors| panic!("{errors}")).unwrap().config;
    assert_eq!(config.services[0].site.routes.len(), 10_000);
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
        let written = format!("{key} = ");
        let begins = |before: &str| before.is_empty() || before.ends_with(['#', ' ']);
        let shown = |line: &str| line.match_indices(&written).any(|(at, _)| begins(&line[..at]));
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
