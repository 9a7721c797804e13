//! The commands, once: name, help, fields. The enum, its parser and the lists in messages come from one table.

use std::net::SocketAddr;

use evenkeel_config::nearest::nearest;
use evenkeel_config::{Mode, Protocol, Respond};
use serde::Serialize;
use serde_json::Value;

use super::answer::{Refusal, RefusalKind};
use super::fields::{BackendSpec, Deadline, Object};

/// Longest line of the control socket, in octets, its end included.
pub const MAX_LINE: usize = 1 << 20;

macro_rules! commands {
    ($(
        $(#[doc = $help:literal])+
        $kind:ident $command:ident = $name:literal { $($(#[doc = $field_help:literal])+ $field:ident: $type:ty,)* }
    )+) => {
        /// One request. What serde writes of it is what [`parse_line`] reads.
        #[derive(Clone, PartialEq, Eq, Debug, Serialize)]
        #[serde(tag = "command")]
        pub enum Request {
            $(
                $(#[doc = $help])+
                #[serde(rename = $name)]
                $command { $($(#[doc = $field_help])+ $field: $type,)* },
            )+
        }

        impl Request {
            /// The names of all commands.
            pub const COMMANDS: &'static [&'static str] = &[$($name,)+];

            /// The name of this command.
            #[must_use]
            pub const fn command(&self) -> &'static str {
                match self { $(Self::$command { .. } => $name,)+ }
            }

            /// True for a command that asks for a change, false for a query.
            #[must_use]
            pub const fn is_change(&self) -> bool {
                match self { $(Self::$command { .. } => commands!(@$kind),)+ }
            }

            fn from_object(command: &str, object: &mut Object) -> Result<Self, Refusal> {
                match command {
                    $($name => {
                        object.only(&[$(stringify!($field),)*])?;
                        Ok(Self::$command { $($field: object.field::<$type>(stringify!($field))?,)* })
                    })+
                    _ => Err(unknown_command(command)),
                }
            }
        }
    };
    (@query) => { false };
    (@change) => { true };
}

commands! {
    /// The state of the whole balancer.
    query Status = "status" {}
    /// Every service.
    query ServiceList = "service list" {}
    /// One service with its backends.
    query ServiceShow = "service show" {
        /// Its name.
        service: String,
    }
    /// Adds a service.
    change ServiceAdd = "service add" {
        /// Its name: unique.
        service: String,
        /// Where clients find it: unique together with the protocol.
        vip: SocketAddr,
        /// What clients speak.
        protocol: Protocol,
        /// How packets reach its backends.
        mode: Mode,
        /// Slots of its Maglev table, a prime; 65,537 when absent.
        maglev_table: Option<u32>,
        /// What requests are answered with, in mode `l7` alone.
        respond: Option<Respond>,
        /// Its pools beside "default", in mode `l7`.
        pools: Vec<String>,
        /// Its backends at first; none when absent.
        backends: Vec<BackendSpec>,
    }
    /// Removes a service with all its backends; their flows are cut.
    change ServiceRemove = "service remove" {
        /// Its name.
        service: String,
    }
    /// Every backend of one service or of all.
    query BackendList = "backend list" {
        /// Only of this service.
        service: Option<String>,
    }
    /// Adds a backend to a service.
    change BackendAdd = "backend add" {
        /// The service's name.
        service: String,
        /// Where the backend listens.
        backend: SocketAddr,
        /// Its share of new flows against the others'; 1 when absent.
        weight: Option<u32>,
        /// What it may be given; active when absent.
        state: Option<evenkeel_config::BackendState>,
        /// The pool that it is in, in mode `l7`; "default" when absent.
        pool: Option<String>,
    }
    /// Removes a backend from a service; its flows are cut.
    change BackendRemove = "backend remove" {
        /// The service's name.
        service: String,
        /// Where the backend listens.
        backend: SocketAddr,
    }
    /// Gives a backend no new flows, and cuts those that it has at the deadline.
    change BackendDrain = "backend drain" {
        /// The service's name.
        service: String,
        /// Where the backend listens.
        backend: SocketAddr,
        /// When its flows are cut; `drain_timeout` of the configuration when absent.
        deadline: Option<Deadline>,
    }
    /// Cuts a backend's flows and gives it no new ones.
    change BackendDown = "backend down" {
        /// The service's name.
        service: String,
        /// Where the backend listens.
        backend: SocketAddr,
    }
    /// Gives a backend new flows again.
    change BackendActivate = "backend activate" {
        /// The service's name.
        service: String,
        /// Where the backend listens.
        backend: SocketAddr,
    }
    /// Sets a backend's share of new flows; 0 leaves it those that it has.
    change BackendWeight = "backend weight" {
        /// The service's name.
        service: String,
        /// Where the backend listens.
        backend: SocketAddr,
        /// Its share of new flows against the others', at most 1,000.
        weight: u32,
    }
    /// The flow that a packet belongs to, in either direction; without one, where a new flow would go.
    query FlowLookup = "flow lookup" {
        /// The packet's transport protocol.
        protocol: Protocol,
        /// Who sent it.
        source: SocketAddr,
        /// Whom it is for.
        destination: SocketAddr,
    }
    /// Flows in the tables of all workers.
    query FlowList = "flow list" {
        /// Only of this service.
        service: Option<String>,
        /// Only of this backend.
        backend: Option<SocketAddr>,
        /// Only of this worker.
        worker: Option<u8>,
        /// At most so many; 100 when absent.
        limit: Option<u32>,
    }
    /// Connections at layer 7, of all workers.
    query ConnectionList = "connection list" {
        /// Only of this service.
        service: Option<String>,
        /// At most so many; 100 when absent.
        limit: Option<u32>,
    }
    /// One connection at layer 7.
    query ConnectionShow = "connection show" {
        /// Its client.
        client: SocketAddr,
        /// Where the client connected to.
        vip: SocketAddr,
    }
    /// The last segments of a connection at layer 7, which are remembered from the first such question on.
    query ConnectionTrace = "connection trace" {
        /// Its client.
        client: SocketAddr,
        /// Where the client connected to.
        vip: SocketAddr,
        /// They are remembered no longer.
        end: Option<bool>,
    }
    /// What the TCP of each worker has counted.
    query ConnectionCounters = "connection counters" {}
    /// Which route a request takes, and why not the others.
    query RouteExplain = "route explain" {
        /// Of this service; the only one in mode `l7` when absent.
        service: Option<String>,
        /// Its method.
        method: String,
        /// Where to: `https://host/path?query`.
        url: String,
        /// Further fields of its head, each as in `Name: value`.
        headers: Vec<String>,
    }
    /// Why packets were dropped.
    query Drops = "drops" {}
    /// Every worker, with its counters.
    query WorkerList = "worker list" {}
    /// Every port.
    query PortList = "port list" {}
    /// Every next hop.
    query NextHopList = "next-hop list" {}
    /// Reads the configuration file again and makes services, backends and limits what it says.
    change Reload = "reload" {}
    /// Stops the balancer.
    change Stop = "stop" {}
    /// What is running.
    query Version = "version" {}
}

/// Reads one line, with or without its end.
///
/// # Errors
/// What is wrong with it, naming the field.
pub fn parse_line(line: &[u8]) -> Result<Request, Refusal> {
    if line.len() > MAX_LINE {
        return Err(Refusal::line_too_long());
    }
    let mut object = Object::parse(line)?;
    let command = match object.take("command") {
        Some(Value::String(command)) => command,
        Some(other) => return Err(Refusal::wrong_type("command", "a string", &other)),
        None => return Err(object.without_command(Request::COMMANDS)),
    };
    Request::from_object(&command, &mut object)
}

fn unknown_command(command: &str) -> Refusal {
    let nearest = nearest(command, Request::COMMANDS.iter().copied());
    let shown: String = command.chars().take(64).collect();
    Refusal::new(RefusalKind::UnknownCommand, format!("there is no command {shown:?}"))
        .field("command")
        .nearest(nearest)
}
