//! One request to the running balancer, and its answer.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use evenkeel_control::protocol::{Answer, Request};

use crate::exit::{Exit, Failure};

/// The server bounds its own waiting; past this it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// No answer is longer, flow lists included.
const MAX_ANSWER: u64 = 256 << 20;

/// Asks the balancer at `socket`; the answer as it came, without its line end, and as it is meant.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<(String, Answer), Failure> {
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
    let meant = serde_json::from_str(&answer).map_err(|error| {
        Failure::new(format!(
            "cannot read the balancer's answer: {error}; is it of this version? `--json` shows the answer as it is"
        ))
    });
    Ok((answer, meant?))
}
