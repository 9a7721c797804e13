//! One request to the running balancer, and its answer.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use evenkeel_control::protocol::{Answer, Request};
use serde_json::Value;

use crate::exit::{Exit, Failure};

/// The server bounds its own waiting; past this it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// No answer is longer, flow lists included.
const MAX_ANSWER: u64 = 256 << 20;

/// Asks the balancer at `socket`; the answer as it came, without its line end.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<String, Failure> {
    let shown = socket.display();
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::Told(
            Exit::NoBalancer,
            format!(
                "no balancer answers at {shown}; start one with `evenkeel run --config FILE`, or name its socket \
                 with --socket"
            ),
        ),
        ErrorKind::PermissionDenied => {
            Failure::new(format!("{shown} belongs to another user: ask as the one who runs the balancer (sudo)"))
        }
        _ => Failure::new(format!("cannot ask the balancer at {shown}: {error}")),
    })?;
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::new(format!(
            "the balancer at {shown} gave no answer within {} s; its log says more",
            PATIENCE.as_secs()
        )),
        _ => Failure::new(format!("lost the balancer at {shown}: {error}; its log says more")),
    };
    let mut line = serde_json::to_vec(request).map_err(|error| Failure::new(error.to_string()))?;
    line.push(b'\n');
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.write_all(&line).map_err(failed)?;

    let mut answer = String::new();
    BufReader::new(stream).take(MAX_ANSWER).read_line(&mut answer).map_err(failed)?;
    if answer.pop() != Some('\n') {
        return Err(Failure::new(format!(
            "the balancer at {shown} broke off amid its answer; its log says more"
        )));
    }
    Ok(answer)
}

/// What the answer to `request` means.
pub(crate) fn meaning(request: &Request, answer: &str) -> Result<Answer, Failure> {
    let unreadable = |reason: &str| {
        Failure::new(format!(
            "cannot read the balancer's answer: {reason}; is it of this version? `--json` shows the answer as it is"
        ))
    };
    match serde_json::from_str(answer).map_err(|error| unreadable(&error.to_string()))? {
        Answer::Done { report: None, .. } if !request.is_change() => {
            Err(unreadable("it holds no known report"))
        }
        answer => Ok(answer),
    }
}

/// The exit code that an answer stands for, of whatever version it is.
pub(crate) fn exit(answer: &str) -> Exit {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    match (answer.get("ok"), answer.get("pending")) {
        (Some(Value::Bool(true)), _) => Exit::Done,
        (_, Some(Value::Bool(true))) => Exit::Pending,
        _ => Exit::Failed,
    }
}
