//! How the program ends: its exit codes, and the errors that lead to them.

use std::process::ExitCode;

/// The exit codes, as `--help` documents them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; for a change: in force on every worker.
    Done = 0,
    /// Refused, or failed.
    Failed = 1,
    /// No balancer answers at the control socket.
    NoBalancer = 3,
    /// Accepted, but a worker has not taken it into force yet.
    Pending = 4,
    /// The configuration is invalid.
    Invalid = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read our output has left (`| head`): nothing more to do, and nothing wrong.
    ReaderLeft,
    /// The configuration is invalid: its errors say where and how.
    Invalid(evenkeel_config::Errors),
    /// For the person at the terminal: what went wrong and what to do.
    Told(Exit, String),
}

impl Failure {
    /// A failure that none of the other exit codes is for.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Told(Exit::Failed, message.into())
    }
}

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failure>;
