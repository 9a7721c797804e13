//! What comes back: done on every worker, not yet on every worker, or refused.

use super::routes::RouteReport;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::connections::{ConnectionsReport, TcpCountersReport};
use super::report::{
    BackendReport, DropsReport, FlowsReport, NextHopReport, PortReport, ReloadReport, ServiceReport,
    StatusReport, VersionReport, WorkerReport,
};

/// The answer to one request.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// `"ok": true`: a query answered, or a change in force on every worker.
    Done {
        /// The generation of the state that this is about.
        generation: u64,
        /// What was asked for.
        report: Option<Report>,
    },
    /// `"ok": false, "pending": true`: the change is made and will be in force, but some workers were late.
    Pending {
        /// The generation that they have yet to adopt.
        generation: u64,
        /// Who they are.
        late_workers: Vec<u8>,
    },
    /// `"ok": false`: nothing was changed.
    Refused(Refusal),
}

/// What was asked for, under the name that it has in the JSON object of the answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Of `status`.
    Status(Box<StatusReport>),
    /// Of `service list`.
    Services(Vec<ServiceReport>),
    /// Of `service show`.
    Service(Box<ServiceReport>),
    /// Of `backend list`.
    Backends(Vec<BackendReport>),
    /// Of `flow lookup` and `flow list`.
    Flows(FlowsReport),
    /// Of `connection list`, `connection show` and `connection trace`.
    Connections(ConnectionsReport),
    /// Of `connection counters`.
    TcpCounters(TcpCountersReport),
    /// Of `route explain`.
    Route(Box<RouteReport>),
    /// Of `drops`.
    Drops(DropsReport),
    /// Of `worker list`.
    Workers(Vec<WorkerReport>),
    /// Of `port list`.
    Ports(Vec<PortReport>),
    /// Of `next-hop list`.
    NextHops(Vec<NextHopReport>),
    /// Of `reload`.
    Reload(ReloadReport),
    /// Of `version`.
    Version(VersionReport),
}

/// Why a request was refused. A refused request has changed nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of mistake it is, for programs.
    pub error: RefusalKind,
    /// The field that is wrong, missing or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong, for people.
    pub message: String,
    /// The valid word that is nearest to the one given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

/// The kinds of mistakes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The line is not one JSON object.
    Malformed,
    /// The line is longer than [`MAX_LINE`](super::MAX_LINE).
    LineTooLong,
    /// More connections than the server keeps.
    TooManyConnections,
    /// There is no such command.
    UnknownCommand,
    /// The command has no such field.
    UnknownField,
    /// The command needs this field.
    MissingField,
    /// A field is there twice.
    DuplicateField,
    /// A field has a value of another JSON type.
    WrongType,
    /// A field has a value that cannot be.
    BadValue,
    /// There is no such service.
    UnknownService,
    /// The service has no such backend.
    UnknownBackend,
    /// There is no such worker.
    UnknownWorker,
    /// A service or backend like this is there already.
    Duplicate,
    /// It cannot be so together with what else is configured.
    Conflict,
    /// A bound of the configuration is reached.
    BoundReached,
    /// The configuration file is not valid.
    BadConfiguration,
    /// It cannot change while the balancer runs.
    NotAtRunTime,
    /// The balancer is on its way out.
    Stopping,
}

impl Refusal {
    pub(crate) fn new(error: RefusalKind, message: impl Into<String>) -> Self {
        Self { error, field: None, message: message.into(), nearest: None }
    }

    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub(crate) fn nearest(mut self, word: Option<&str>) -> Self {
        self.nearest = word.map(ToOwned::to_owned);
        if let Some(word) = word {
            self.message.push_str(&format!("; did you mean {word:?}?"));
        }
        self
    }

    pub(crate) fn line_too_long() -> Self {
        Self::new(RefusalKind::LineTooLong, format!("a line may have at most {} octets", super::MAX_LINE))
    }

    pub(crate) fn wrong_type(field: &str, expected: &str, found: &Value) -> Self {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(number) => &number.to_string(),
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        Self::new(RefusalKind::WrongType, format!("{field:?} is {found}; expected {expected}")).field(field)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// An answer as it stands on the line.
#[derive(Serialize, Deserialize)]
struct Line<R> {
    ok: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pending: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    late_workers: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<RefusalKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nearest: Option<String>,
    #[serde(flatten)]
    report: Option<R>,
}

impl<R> Line<R> {
    const fn of(ok: bool) -> Self {
        Self {
            ok,
            pending: false,
            generation: None,
            late_workers: None,
            error: None,
            field: None,
            message: None,
            nearest: None,
            report: None,
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let line = match self {
            Self::Done { generation, report } => {
                Line { generation: Some(*generation), report: report.as_ref(), ..Line::of(true) }
            }
            Self::Pending { generation, late_workers } => Line {
                pending: true,
                generation: Some(*generation),
                late_workers: Some(late_workers.clone()),
                ..Line::of(false)
            },
            Self::Refused(refusal) => Line {
                error: Some(refusal.error),
                field: refusal.field.clone(),
                message: Some(refusal.message.clone()),
                nearest: refusal.nearest.clone(),
                ..Line::of(false)
            },
        };
        line.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Line::<Report>::deserialize(deserializer)?;
        let generation = || line.generation.ok_or_else(|| de::Error::missing_field("generation"));
        match (line.ok, line.pending) {
            (true, _) => Ok(Self::Done { generation: generation()?, report: line.report }),
            (false, true) => Ok(Self::Pending {
                generation: generation()?,
                late_workers: line.late_workers.unwrap_or_default(),
            }),
            (false, false) => Ok(Self::Refused(Refusal {
                error: line.error.ok_or_else(|| de::Error::missing_field("error"))?,
                field: line.field,
                message: line.message.unwrap_or_default(),
                nearest: line.nearest,
            })),
        }
    }
}
