//! A lab made by `scripts/lab`: up when it is created, gone when it is dropped, whatever happens in between.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The program under test: the one that `EVENKEEL_PROGRAM` names, else the one built along with the tests.
pub(crate) fn program() -> OsString {
    std::env::var_os("EVENKEEL_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_evenkeel").into())
}

/// How long anything that is awaited may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The names of the backends' places.
pub(crate) const BACKENDS: [&str; 3] = ["b1", "b2", "b3"];

/// Labs share the machine's cores and huge pages: there is one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What carries frames between the balancer and the lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    AfXdp,
    AfPacket,
}

impl Wire {
    const fn name(self) -> &'static str {
        match self {
            Self::AfXdp => "af_xdp",
            Self::AfPacket => "af_packet",
        }
    }
}

/// A lab that is up.
pub(crate) struct Lab {
    name: String,
    folder: PathBuf,
    /// What it was made with.
    pub(crate) wire: Wire,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    /// A lab without a balancer in it.
    pub(crate) fn up(wire: Wire, options: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let user = Command::new("id").arg("-u").output().expect("id");
        assert_eq!(
            user.stdout, b"0\n",
            "end-to-end tests make network namespaces: run them as root, by scripts/test"
        );
        let name = format!("e2e-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let lab = Self { folder: Path::new("/run/evenkeel-lab").join(&name), name, wire, _turn: turn };
        let mut up = lab.script("up");
        up.args(["--wire", wire.name()]).args(options);
        succeed(&mut up);
        lab
    }

    /// A lab with the balancer running on two workers and the ways to all backends known.
    pub(crate) fn ready(wire: Wire) -> Self {
        let lab = Self::up(wire, &[]);
        lab.start();
        lab
    }

    /// Starts the balancer, and waits until the ways to all backends are known.
    pub(crate) fn start(&self) {
        succeed(self.script("start").arg(program()));
        self.await_resolved();
    }

    /// Ends the balancer by SIGTERM.
    pub(crate) fn stop(&self) {
        succeed(&mut self.script("stop"));
    }

    pub(crate) fn await_resolved(&self) {
        self.await_that("next hops to all backends", || {
            self.backends(None).iter().all(|backend| backend["resolved"] == true)
        });
    }

    /// `scripts/lab VERB NAME`.
    pub(crate) fn script(&self, verb: &str) -> Command {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab"));
        command.args([verb, &self.name]);
        command
    }

    /// The folder that holds all of the lab's state.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The balancer's configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("evenkeel.toml")
    }

    /// A command to be run at a place of the lab.
    pub(crate) fn at(&self, place: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("ek-{}-{place}", self.name)]).arg(program);
        command
    }

    /// The namespace of a place, as a file.
    pub(crate) fn namespace(&self, place: &str) -> PathBuf {
        PathBuf::from(format!("/run/netns/ek-{}-{place}", self.name))
    }

    /// The program as a client of the running balancer.
    pub(crate) fn evenkeel(&self, arguments: &[&str]) -> Output {
        Command::new(program())
            .arg("--socket")
            .arg(self.folder.join("control.sock"))
            .args(arguments)
            .output()
            .expect("the program runs")
    }

    // --- The control socket ---------------------------------------------------------------------------------------

    /// A connection to the control socket.
    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.join("control.sock")).expect("the control socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        stream
    }

    /// The answer to one line.
    pub(crate) fn answer(&self, line: &str) -> Value {
        let mut stream = self.connect();
        writeln!(stream, "{line}").expect("a request is taken");
        read_answer(&mut BufReader::new(stream))
    }

    /// The answer to a request, which must be granted.
    pub(crate) fn ask(&self, request: &Value) -> Value {
        let answer = self.answer(&request.to_string());
        assert_eq!(answer["ok"], true, "{request} was answered by {answer}");
        answer
    }

    /// Changes one backend: `verb` is the second word of the command.
    pub(crate) fn change(&self, verb: &str, service: &str, backend: &str) -> Value {
        self.ask(&json!({ "command": format!("backend {verb}"), "service": service, "backend": backend }))
    }

    /// The backends of a service, or of all.
    pub(crate) fn backends(&self, service: Option<&str>) -> Vec<Value> {
        let mut answer = self.ask(&json!({ "command": "backend list", "service": service }));
        serde_json::from_value(answer["backends"].take()).expect("a list of backends")
    }

    /// What is configured of all backends, and nothing that changes by itself.
    pub(crate) fn configured(&self) -> Vec<[Value; 4]> {
        let pick =
            |backend: &Value| ["service", "backend", "weight", "state"].map(|field| backend[field].clone());
        self.backends(None).iter().map(pick).collect()
    }

    /// One backend of a service.
    pub(crate) fn backend(&self, service: &str, address: &str) -> Value {
        let mut backends = self.backends(Some(service));
        let at = backends.iter().position(|backend| backend["backend"] == address).expect("the backend");
        backends.swap_remove(at)
    }

    /// A counter of a service.
    pub(crate) fn service_counter(&self, service: &str, counter: &str) -> u64 {
        let answer = self.ask(&json!({ "command": "service show", "service": service }));
        number(&answer["service"]["counters"][counter])
    }

    /// A counter summed over all workers.
    pub(crate) fn counter(&self, counter: &str) -> u64 {
        number(&self.ask(&json!({ "command": "status" }))["status"]["counters"][counter])
    }

    /// Packets dropped for a reason.
    pub(crate) fn drops(&self, reason: &str) -> u64 {
        let answer = self.ask(&json!({ "command": "drops" }));
        let reasons = answer["drops"]["reasons"].as_array().expect("a list of reasons");
        number(&reasons.iter().find(|known| known["reason"] == reason).expect("the reason")["count"])
    }

    /// Polls until `claim` holds.
    pub(crate) fn await_that(&self, what: &str, mut claim: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !claim() {
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    // --- Clients --------------------------------------------------------------------------------------------------

    /// curl at the client, quiet but for errors.
    pub(crate) fn curl(&self, arguments: &[&str]) -> Command {
        let mut curl = self.at("client", "curl");
        curl.args(["-sS", "--globoff", "--max-time", "60"]).args(arguments);
        curl
    }

    /// One GET of `/` at a VIP: who answers, and which address it sees.
    pub(crate) fn fetch(&self, vip: &str) -> (String, String) {
        let output = self.curl(&[&format!("http://{vip}/")]).output().expect("curl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match text.trim().split_once(' ') {
            Some((backend, client)) => (backend.to_owned(), client.to_owned()),
            None => panic!("{vip}: {text:?} {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// So many GETs of `/`, each on a connection of its own, to be run at the client: a line of output for each.
    pub(crate) fn load(&self, vip: &str, requests: usize) -> Command {
        let mut curl = self.at("client", "curl");
        curl.args([
            "-sS",
            "--max-time",
            "60",
            "-H",
            "Connection: close",
            &format!("http://{vip}/?[1-{requests}]"),
        ]);
        curl
    }

    /// How many of so many GETs each backend answered; all must be.
    pub(crate) fn spread(&self, vip: &str, requests: usize) -> [usize; 3] {
        let output = succeed(&mut self.load(vip, requests));
        let spread = tally(&output);
        assert_eq!(spread.iter().sum::<usize>(), requests, "{vip}: {output}");
        spread
    }

    /// A download of 1 MiB that takes four seconds; its output ends with "CODE OCTETS EXIT-CODE".
    pub(crate) fn slow_download(&self, vip: &str) -> Child {
        self.curl(&[
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{size_download} %{exitcode}",
            &format!("http://{vip}/slow"),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("curl")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("balancer.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "the end of the balancer's log:\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
            let counters = self.evenkeel(&["status", "--json"]);
            eprintln!("{}", String::from_utf8_lossy(&counters.stdout));
        }
        let down = self.script("down").status();
        if !std::thread::panicking() {
            assert!(down.is_ok_and(|status| status.success()), "the lab could not be taken down");
        }
    }
}

/// Runs a command that must succeed; returns its output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// How a slow download ended.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// With all of its octets.
    Complete,
    /// By a reset, in the midst of them.
    Reset,
    /// In any other way: what curl says of it.
    Other(String),
}

/// Waits for the end of a slow download.
pub(crate) fn end(download: Child) -> End {
    let output = download.wait_with_output().expect("curl ends");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    match told.rsplit_once(' ') {
        Some(("200 1048576", "0")) => End::Complete,
        // Failure in receiving network data.
        Some((_, "56")) => End::Reset,
        _ => End::Other(told),
    }
}

/// True if a slow download was complete.
pub(crate) fn is_complete(download: Child) -> bool {
    end(download) == End::Complete
}

/// How many lines begin with the name of each backend.
pub(crate) fn tally(lines: &str) -> [usize; 3] {
    BACKENDS.map(|backend| lines.lines().filter(|line| line.split(' ').next() == Some(backend)).count())
}

/// The next line of a connection to the control socket.
pub(crate) fn read_answer(stream: &mut impl BufRead) -> Value {
    let mut line = String::new();
    stream.read_line(&mut line).expect("an answer in time");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

/// A JSON number that counts something.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}
