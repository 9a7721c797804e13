//! The command line: object first, then verb. Every word of it stands here and nowhere else; help, man pages and
//! completions are made from it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use evenkeel_config::{BackendState, Mode, Protocol, Word, units};
use evenkeel_control::protocol::Deadline;

/// Where a balancer listens unless its configuration says otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/evenkeel/control.sock";

const AFTER_HELP: &str = "\
Exit codes:
  0  done; for a change: in force on every worker
  1  refused, or failed
  2  wrong usage
  3  no balancer answers at the control socket
  4  pending: accepted, but a worker has not taken it into force yet
  5  the configuration is invalid";

/// A kernel-bypass load balancer for layers 4 and 7 on DPDK.
#[derive(Parser, Debug)]
#[command(name = "evenkeel", version = env!("EVENKEEL_VERSION"), after_help = AFTER_HELP)]
#[command(arg_required_else_help = true, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// The control socket of the running balancer.
    #[arg(long, global = true, env = "EVENKEEL_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    pub(crate) socket: PathBuf,

    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Check a configuration, and whether this machine is ready for it.
    ///
    /// Errors of the file end with exit code 5. What the machine lacks is warned of, each with the command that
    /// mends it, and does not change the exit code.
    Check {
        /// The configuration.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Run the balancer until SIGTERM; SIGHUP reloads the configuration.
    Run(Run),
    /// Send the packets of a capture through the same datapath, without DPDK, root or hugepages.
    ///
    /// Time is the capture's, so that the same input always gives the same output. A packet comes in by the port
    /// whose `mac` it is addressed to, else by the first port; next hops are the `[[neighbor]]` entries of the
    /// configuration. What the kernel would get is counted and not written.
    Replay(Replay),
    #[command(flatten)]
    Ask(Ask),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the man page, or write one for each command.
    Man {
        /// Write all pages into this folder instead.
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// What the running balancer is asked.
#[derive(Subcommand, Debug)]
pub(crate) enum Ask {
    /// Show the balancer as a whole.
    Status,
    /// Services: a virtual address, and how it is served.
    #[command(subcommand, arg_required_else_help = true)]
    Service(Service),
    /// Backends: the servers behind a service.
    #[command(subcommand, arg_required_else_help = true)]
    Backend(Backend),
    /// Flows: which client is with which backend.
    #[command(subcommand, arg_required_else_help = true)]
    Flow(Flow),
    /// Routes: what becomes of requests to services in mode `l7`.
    #[command(subcommand, arg_required_else_help = true)]
    Route(Route),
    /// Connections that end in the balancer: services in mode `l7`.
    #[command(subcommand, arg_required_else_help = true)]
    Connection(Connection),
    /// Show why packets were dropped, by reason.
    Drops {
        /// Show the reasons that did not occur, too.
        #[arg(long)]
        all: bool,
    },
    /// Workers: the cores that forward.
    #[command(subcommand, arg_required_else_help = true)]
    Worker(List),
    /// Ports: the devices that packets come and go by.
    #[command(subcommand, arg_required_else_help = true)]
    Port(List),
    /// Next hops: the neighbours that packets are sent to.
    #[command(subcommand, arg_required_else_help = true)]
    NextHop(List),
    /// Bring the running balancer in line with its configuration file; all or nothing.
    Reload,
    /// Stop the running balancer.
    Stop,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// What to log: a level (error, warn, info, debug, trace), or `target=level` pairs with commas between.
    #[arg(long, env = "EVENKEEL_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
}

#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// The capture: classic pcap, Ethernet.
    #[arg(value_name = "IN.pcap")]
    pub(crate) input: PathBuf,
    /// Where to write the packets that were sent, each at the time of the packet that caused it.
    #[arg(short, long, value_name = "OUT.pcap")]
    pub(crate) output: PathBuf,
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The seed of every hash and choice, instead of `seed` in the configuration; 0 where neither says.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Changes to make on the way: control requests, one a line, each with `"at"`: seconds from the first packet.
    #[arg(long, value_name = "FILE")]
    pub(crate) updates: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum List {
    /// List them.
    List,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Service {
    /// List the services.
    List,
    /// Show one service and its backends.
    Show {
        /// The service's name.
        name: String,
    },
    /// Add a service.
    Add(ServiceAdd),
    /// Remove a service and its backends; their flows are cut.
    Remove {
        /// The service's name.
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ServiceAdd {
    /// The service's name: letters, digits and hyphens.
    pub(crate) name: String,
    /// Where clients find it.
    #[arg(value_name = "VIP:PORT", value_parser = units::endpoint)]
    pub(crate) vip: SocketAddr,
    /// What clients speak.
    #[arg(long, default_value = "tcp", value_parser = word::<Protocol>())]
    pub(crate) protocol: Protocol,
    /// How packets reach the backends: with both addresses rewritten (the backends need nothing), with the destination
    /// rewritten (they route back through the balancer), or with new Ethernet addresses only (they carry the VIP); or not
    /// at all, since connections end in the balancer.
    #[arg(long, default_value = "full-nat", value_parser = word::<Mode>())]
    pub(crate) mode: Mode,
    /// Size of its Maglev table: a prime, 65537 unless given.
    #[arg(long, value_name = "PRIME")]
    pub(crate) maglev_table: Option<u32>,
    /// The status of the answer to every request, in mode `l7`: such a service has no backends.
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(200..=599))]
    pub(crate) status: Option<u16>,
    /// The body of the answer to every request, in mode `l7`.
    #[arg(long, value_name = "TEXT", value_parser = evenkeel_config::body)]
    pub(crate) body: Option<String>,
    /// A pool for backends beside "default", in mode `l7`; may be given again.
    #[arg(long = "pool", value_name = "NAME", value_parser = units::pool_name)]
    pub(crate) pools: Vec<String>,
    /// A backend to begin with; may be given again.
    #[arg(long = "backend", value_name = "ADDRESS:PORT", value_parser = units::endpoint)]
    pub(crate) backends: Vec<SocketAddr>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Backend {
    /// List the backends of all services, or of one.
    List {
        /// Only of this service.
        service: Option<String>,
    },
    /// Add a backend to a service.
    Add {
        #[command(flatten)]
        which: BackendName,
        /// Its share of new flows, relative to the others; 0 gives it none.
        #[arg(long, default_value_t = evenkeel_config::Backend::WEIGHT)]
        weight: u32,
        /// What it may be given.
        #[arg(long, default_value = "active", value_parser = word::<BackendState>())]
        state: BackendState,
        /// The pool that it is in, in mode `l7`; "default" unless given.
        #[arg(long, value_name = "NAME", value_parser = units::pool_name)]
        pool: Option<String>,
    },
    /// Remove a backend at once; its flows are cut.
    Remove(BackendName),
    /// Give a backend no new flows; those that it has go on until the deadline.
    Drain {
        #[command(flatten)]
        which: BackendName,
        /// When its remaining flows are cut: `30s`, `5m`, `1h`, or `never`; unless given, the configuration's
        /// `drain_timeout` from now.
        #[arg(long, value_name = "DURATION", value_parser = Deadline::parse)]
        deadline: Option<Deadline>,
    },
    /// Take a backend down: its flows are cut and it gets no new ones.
    Down(BackendName),
    /// Give a backend new flows (again).
    #[command(visible_alias = "undrain")]
    Activate(BackendName),
    /// Set a backend's share of new flows; 0 drains it.
    Weight {
        #[command(flatten)]
        which: BackendName,
        /// Relative to the other backends, 0 to 1000.
        weight: u32,
    },
}

/// A backend is named by its service and its address.
#[derive(Args, Debug)]
pub(crate) struct BackendName {
    /// The service's name.
    pub(crate) service: String,
    /// The backend's address and port.
    #[arg(value_name = "ADDRESS:PORT", value_parser = units::endpoint)]
    pub(crate) backend: SocketAddr,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Flow {
    /// Show the flow of a client's packets: its worker, backend and state; or where a new one would go.
    Lookup {
        /// Where the client's packets come from.
        #[arg(value_name = "CLIENT:PORT", value_parser = units::endpoint)]
        client: SocketAddr,
        /// Where they go to: a service.
        #[arg(value_name = "VIP:PORT", value_parser = units::endpoint)]
        vip: SocketAddr,
        /// What they are.
        #[arg(long, default_value = "tcp", value_parser = word::<Protocol>())]
        protocol: Protocol,
    },
    /// List flows.
    List {
        /// Only of this service.
        #[arg(long)]
        service: Option<String>,
        /// Only to this backend.
        #[arg(long, value_name = "ADDRESS:PORT", value_parser = units::endpoint)]
        backend: Option<SocketAddr>,
        /// Only of this worker.
        #[arg(long)]
        worker: Option<u8>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Route {
    /// Show which route a request takes, where it goes, and why it takes none of the others.
    Explain {
        /// The request's method.
        method: String,
        /// Where it goes to: `https://host/path?query`.
        url: String,
        /// A further field of its head; may be given again.
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
        /// At this service; the only one in mode `l7` unless given.
        #[arg(long)]
        service: Option<String>,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Connection {
    /// List connections.
    List {
        /// Only of this service.
        #[arg(long)]
        service: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Show one connection in the terms of Linux's TCP_INFO.
    Show(ConnectionName),
    /// Show the last segments of a connection; they are remembered from the first time that this is asked.
    Trace {
        #[command(flatten)]
        which: ConnectionName,
        /// Show them and remember none from now on.
        #[arg(long)]
        end: bool,
    },
    /// Show what the balancer's TCP has counted, under the names of `nstat`.
    Counters {
        /// Show counters that are zero, too.
        #[arg(long)]
        all: bool,
    },
}

/// A connection is named by its two ends.
#[derive(Args, Debug)]
pub(crate) struct ConnectionName {
    /// Who opened it: the client, or for a connection to a backend an address of the balancer's own.
    #[arg(value_name = "CLIENT:PORT", value_parser = units::endpoint)]
    pub(crate) client: SocketAddr,
    /// Where to: the VIP, or the backend.
    #[arg(value_name = "VIP:PORT", value_parser = units::endpoint)]
    pub(crate) vip: SocketAddr,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// The words of one closed list of the configuration.
fn word<W: Word + Send + Sync>() -> impl TypedValueParser<Value = W> {
    let words = PossibleValuesParser::new(W::ALL.iter().map(|word| word.as_str()));
    words.try_map(|word| W::from_word(&word).ok_or("no such word"))
}
