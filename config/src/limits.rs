//! The bounds of everything that a configuration may hold. Each is a limit of the datapath's types or of sense.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Octets of a configuration file.
pub const FILE_OCTETS: u64 = 16 << 20;
/// Workers: their ids are small and RSS tables have few places.
pub const WORKERS: usize = 64;
/// The highest core that a worker may be given (the kernel's `cpu_set_t` ends there).
pub const CORE: u64 = 1023;
/// Flows in one worker's table.
pub const FLOWS: RangeInclusive<u64> = 1..=1 << 27;
/// Slots for services.
pub const SERVICES: RangeInclusive<u64> = 1..=65_535;
/// Slots for backends of all services.
pub const BACKENDS: RangeInclusive<u64> = 1..=65_535;
/// Characters of a path: a unix socket's address holds 108 octets, one of them zero.
pub const SOCKET_PATH: usize = 107;
/// A drain's deadline.
pub const DRAIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
/// Idle timeouts: flow entries keep milliseconds modulo 2^32, of which a day is a fiftieth.
pub const IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
/// Memory for EAL, in octets.
pub const MEMORY: RangeInclusive<u64> = 16 << 20..=1 << 40;
/// Packet buffers.
pub const MBUFS: RangeInclusive<u64> = 1_024..=16 << 20;
/// Arguments to EAL.
pub const ARGUMENTS: usize = 64;
/// Octets of an argument to EAL or a device string.
pub const ARGUMENT_OCTETS: usize = 1_024;
/// Packets a second of `[limits]`.
pub const RATE: RangeInclusive<u64> = 0..=100_000_000;
/// Local addresses of full NAT: a flow keeps an index of 8 bits.
pub const LOCAL_ADDRESSES: usize = 256;
/// The least number of ports that full NAT may have: they are shared out among the workers.
pub const LOCAL_PORTS: u32 = 1_024;
/// Ports of the balancer.
pub const PORTS: usize = 64;
/// Devices that make up one port: one for each worker.
pub const DEVICES: usize = WORKERS;
/// Addresses of one port.
pub const ADDRESSES: usize = 64;
/// What IPv4 requires of a link (RFC 791, section 3.2) up to what fits the jumbo frames of NICs.
pub const MTU: RangeInclusive<u64> = 68..=9_700;
/// IPv6 requires this much of a link (RFC 8200, section 5).
pub const MTU_IPV6: u16 = 1_280;
/// Routes.
pub const ROUTES: usize = 4_096;
/// Static neighbours.
pub const NEIGHBORS: usize = 65_535;
/// Characters of a port's or kernel interface's name (`IFNAMSIZ` less the zero).
pub const INTERFACE_NAME: usize = 15;
/// Characters of a service's name.
pub const SERVICE_NAME: usize = 63;
/// Slots of a Maglev table.
pub const MAGLEV_TABLE: RangeInclusive<u64> = 2..=5_000_003;
/// Weight of a backend.
pub const WEIGHT: RangeInclusive<u64> = 0..=1_000;
/// The status of a fixed response: a final one.
pub const STATUS: RangeInclusive<u64> = 200..=599;
/// Octets of the media type of a fixed response.
pub const CONTENT_TYPE_OCTETS: usize = 128;
/// Octets of the body of a fixed response.
pub const BODY_OCTETS: usize = 64 << 10;
/// Octets of the body of a fixed response that is a pattern.
pub const BODY_SIZE: RangeInclusive<u64> = 0..=64 << 20;
/// Connections at layer 7 of each worker.
pub const CONNECTIONS: RangeInclusive<u64> = 1..=1 << 22;
/// Memory of connections at layer 7, in octets.
pub const L7_MEMORY: RangeInclusive<u64> = 1 << 20..=1 << 40;
/// Pools of a service.
pub const POOLS: usize = 64;
/// Routes of a service at layer 7.
pub const SITE_ROUTES: usize = 20_000;
/// Hosts of a route.
pub const HOSTS: usize = 64;
/// Octets of a host's name (RFC 1035, section 2.3.4).
pub const HOST_OCTETS: usize = 253;
/// Octets of a path, a name or a value that a route asks for.
pub const PATTERN_OCTETS: usize = 1_024;
/// Regular expressions that the routes of one host may have: they are tried one by one.
pub const REGEXES: usize = 64;
/// Regular expressions of a file.
pub const FILE_REGEXES: usize = 1_024;
/// Octets that a compiled regular expression may take.
pub const REGEX_OCTETS: usize = 256 << 10;
/// Methods of a route.
pub const METHODS: usize = 16;
/// Conditions of a route, of each kind.
pub const CONDITIONS: usize = 16;
/// Parts of a split.
pub const SHARES: usize = 16;
/// Connections to one backend.
pub const POOL_CONNECTIONS: RangeInclusive<u64> = 1..=1_000;
/// Requests that wait for a connection to one backend.
pub const QUEUE: RangeInclusive<u64> = 0..=10_000;
/// How long they may wait.
pub const QUEUE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
/// How long a connection may be at rest.
pub const REST: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// How long a backend may be new.
pub const SLOW_START: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
/// How long the requests of a route may take for anything.
pub const REQUEST_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// How long a head may take.
pub const HEAD_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
/// Octets of a head.
pub const HEAD: RangeInclusive<u64> = 1 << 10..=64 << 10;
/// Octets of a line of a head.
pub const LINE: RangeInclusive<u64> = 256..=64 << 10;
/// Fields of a head.
pub const FIELDS: RangeInclusive<u64> = 1..=256;
/// Prefixes of addresses that are trusted.
pub const PREFIXES: usize = 1_024;
/// Changes to the fields of a head.
pub const EDITS: usize = 64;
/// The status of a redirect.
pub const REDIRECT_STATUS: RangeInclusive<u64> = 301..=308;
/// Requests that wait for a connection to any backend of a pool, and tunnels to one.
pub const PENDING: RangeInclusive<u64> = 0..=100_000;
/// Of a hundred.
pub const PERCENT: RangeInclusive<u64> = 0..=100;
/// Retries a second, saved up or at one time.
pub const RETRIES: RangeInclusive<u64> = 0..=10_000;
/// Failures or requests by which a backend is judged.
pub const JUDGED: RangeInclusive<u64> = 1..=10_000;
/// How often a request is sent at most.
pub const ATTEMPTS: RangeInclusive<u64> = 1..=10;
/// Protocols that clients may go on with.
pub const UPGRADES: usize = 8;
/// Certificates of a service.
pub const CERTIFICATES: usize = 10_000;
/// Octets of a file's path.
pub const FILE_PATH: usize = 4_095;
/// Octets of a file of certificates, keys or revocation lists.
pub const PEM_OCTETS: u64 = 16 << 20;
