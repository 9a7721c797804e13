//! The server over a real socket, with workers in threads.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel_datapath::counters::Bounds;
use evenkeel_datapath::machine;
use evenkeel_datapath::time::Time;
use tokio::sync::mpsc;

use super::*;
use crate::control::PATIENCE;
use crate::next_hops;
use crate::protocol::MAX_LINE;
use crate::testing::{CONFIG, SimWorker, config, everywhere, setup};

/// A directory that vanishes with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("evenkeel-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("run/control.sock")
    }

    fn entries(&self) -> usize {
        std::fs::read_dir(self.0.join("run")).unwrap().count()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Server {
    directory: Directory,
    events: mpsc::Sender<Event>,
    ready: Arc<AtomicBool>,
    stuck: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        Self::start_by(machine::now)
    }

    /// One that lives by this clock.
    fn start_by(clock: fn() -> Time) -> Self {
        let directory = Directory::new();
        let file = directory.0.join("evenkeel.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let bounds = Bounds { services: 8, backends: 16 };
        let stuck = Arc::new(AtomicBool::new(false));
        let mut handles = Vec::new();
        let mut threads = Vec::new();
        for id in 0..2 {
            let mut worker = SimWorker::new(id, bounds);
            handles.push(worker.handle.clone());
            let stuck = Arc::clone(&stuck);
            threads.push(std::thread::spawn(move || {
                while !worker.stopped {
                    worker.alive = id == 0 || !stuck.load(Relaxed);
                    worker.turn();
                    worker.publish();
                    std::thread::sleep(Duration::from_micros(200));
                }
            }));
        }
        let mut setup = setup(config(CONFIG), file, handles);
        setup.clock = clock;
        let (reader, writer) = next_hops::channel(everywhere(), next_hops::Wanted::default());
        let socket = ControlSocket::claim(&directory.socket()).unwrap();
        let (events, received) = mpsc::channel(4);
        let ready = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ready);
        threads.push(std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let ready = move || told.store(true, Relaxed);
            runtime.block_on(serve(setup, reader, socket, received, ready)).unwrap();
            drop(writer);
        }));
        let server = Self { directory, events, ready, stuck, threads };
        wait_for("readiness", || server.ready.load(Relaxed));
        server
    }

    fn connect(&self) -> Client {
        Client::new(&self.directory.socket())
    }

    fn stop(mut self) -> Directory {
        let _ = self.events.blocking_send(Event::Stop);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        self.directory
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct Client {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Client {
    fn new(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let answers = BufReader::new(stream.try_clone().unwrap());
        Self { stream, answers }
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ask(&mut self, line: &str) -> Answer {
        self.stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.answer()
    }

    fn must(&mut self, line: &str) {
        let answer = self.ask(line);
        assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    }

    fn is_ended(&mut self) -> bool {
        match self.answers.read(&mut [0; 1]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

const STATUS: &str = r#"{"command":"status"}"#;
const DRAIN: &str = r#"{"command":"backend drain","service":"web","backend":"10.0.0.3:8080"}"#;

#[test]
fn one_connection_has_many_answers_and_nothing_is_left_behind() {
    let server = Server::start();
    let socket = server.directory.socket();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = server.connect();
    client.must(STATUS);
    client.must(DRAIN);
    assert!(matches!(client.ask("{}"), Answer::Refused(_)));
    // Several lines at once, and the last without its end.
    client.stream.write_all(format!("{STATUS}\n{DRAIN}\r\n{STATUS}").as_bytes()).unwrap();
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..3 {
        assert!(matches!(client.answer(), Answer::Done { .. }));
    }
    assert!(client.is_ended());
    let directory = server.stop();
    assert_eq!(directory.entries(), 0, "neither socket nor lock");
}

#[test]
fn stop_is_answered() {
    let server = Server::start();
    server.connect().must(r#"{"command":"stop"}"#);
    server.stop();
}

#[test]
fn a_file_is_read_again_on_a_signal() {
    let server = Server::start();
    std::fs::write(server.directory.0.join("evenkeel.toml"), CONFIG.replace("weight = 2", "weight = 9"))
        .unwrap();
    server.events.blocking_send(Event::Reload).unwrap();
    let mut client = server.connect();
    wait_for("reload", || {
        let answer = client.ask(r#"{"command":"backend list"}"#);
        let Answer::Done { report: Some(crate::protocol::Report::Backends(backends)), .. } = answer else {
            panic!("{answer:?}")
        };
        backends[1].weight == 9
    });
    server.stop();
}

#[test]
fn a_second_instance_is_refused_and_the_first_goes_on() {
    let server = Server::start();
    let socket = server.directory.socket();
    assert!(matches!(ControlSocket::claim(&socket), Err(SocketError::InUse { .. })));
    server.connect().must(STATUS);
    assert_eq!(server.stop().entries(), 0);
}

#[test]
fn what_has_the_sockets_name() {
    let directory = Directory::new();
    let path = directory.socket();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(ControlSocket::claim(&path), Err(SocketError::NotASocket { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();

    // Of a program without locks, which lives; then of the same, which died.
    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(matches!(ControlSocket::claim(&path), Err(SocketError::InUse { .. })));
    drop(other);
    let mut socket = ControlSocket::claim(&path).unwrap();
    let listener = socket.listen().unwrap();
    UnixStream::connect(&path).unwrap();
    drop(listener);
    drop(socket);
    assert_eq!(directory.entries(), 0);
}

#[test]
fn an_endless_line_is_refused_and_never_held() {
    let server = Server::start();
    let mut client = server.connect();
    let chunk = vec![b'x'; 2 << 20];
    let mut sent = 0_usize;
    let refused = loop {
        match client.stream.write_all(&chunk) {
            Ok(()) => sent += chunk.len(),
            Err(error) => break error,
        }
        assert!(sent < 1 << 30, "1 GB was taken");
    };
    assert!(matches!(refused.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{refused}");
    let Answer::Refused(refusal) = client.answer() else { panic!("not refused") };
    assert_eq!(refusal.error, RefusalKind::LineTooLong);
    assert!(client.is_ended());
    // The longest line that is one is read: blanks are no harm to JSON.
    let mut line = STATUS.to_owned();
    line.extend(std::iter::repeat_n(' ', MAX_LINE - 1 - STATUS.len()));
    server.connect().must(&line);
    server.stop();
}

#[test]
fn garbage_and_half_lines_and_dead_peers() {
    let server = Server::start();
    let mut client = server.connect();
    for garbage in [&b"\0\xff\xfe\n"[..], b"\n", b"{\n", b"[1,2\n", b"nul\n"] {
        client.stream.write_all(garbage).unwrap();
        let Answer::Refused(refusal) = client.answer() else { panic!("not refused") };
        assert_eq!(refusal.error, RefusalKind::Malformed);
    }
    client.must(STATUS);
    // Half a line, which waits; half a line of one that dies; a request of one that does not wait.
    let mut half = server.connect();
    half.stream.write_all(&STATUS.as_bytes()[..9]).unwrap();
    server.connect().stream.write_all(&DRAIN.as_bytes()[..20]).unwrap();
    server.connect().stream.write_all(format!("{DRAIN}\n").as_bytes()).unwrap();
    client.must(STATUS);
    half.stream.write_all(&STATUS.as_bytes()[9..]).unwrap();
    half.stream.write_all(b"\n").unwrap();
    assert!(matches!(half.answer(), Answer::Done { .. }));
    server.stop();
}

#[test]
fn a_peer_that_does_not_read_holds_nobody_up() {
    let server = Server::start();
    let deaf = server.connect();
    deaf.stream.set_nonblocking(true).unwrap();
    let lines = format!("{STATUS}\n").repeat(1000);
    // Until its answers fill the socket and the server reads no more of it.
    let mut blocked = 0;
    while blocked < 20 {
        match (&deaf.stream).write(lines.as_bytes()) {
            Ok(_) => blocked = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                blocked += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
    let mut client = server.connect();
    for _ in 0..20 {
        client.must(DRAIN);
    }
    drop(deaf);
    server.stop();
}

#[test]
fn a_worker_that_never_acknowledges_is_named_and_holds_nobody_up() {
    // The time of this test, which passes when the test says so.
    static NOW: AtomicU64 = AtomicU64::new(0);
    let server = Server::start_by(|| Time(NOW.load(Relaxed)));
    server.stuck.store(true, Relaxed);
    let mut waiting = server.connect();
    waiting.stream.write_all(format!("{DRAIN}\n").as_bytes()).unwrap();
    let mut client = server.connect();
    for _ in 0..10 {
        client.must(STATUS);
    }
    waiting.stream.set_nonblocking(true).unwrap();
    let early = waiting.answers.fill_buf().map(<[u8]>::to_vec);
    assert!(early.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{early:?}");
    wait_for("an answer once patience is at its end", || {
        NOW.fetch_add(PATIENCE.as_nanos().try_into().unwrap(), Relaxed);
        waiting.answers.fill_buf().is_ok()
    });
    waiting.stream.set_nonblocking(false).unwrap();
    let Answer::Pending { late_workers, .. } = waiting.answer() else { panic!("not pending") };
    assert_eq!(late_workers, [1]);
    server.stuck.store(false, Relaxed);
    waiting.must(DRAIN);
    server.stop();
}

#[test]
fn connections_are_bounded() {
    let server = Server::start();
    let mut all: Vec<Client> = (0..MAX_CONNECTIONS).map(|_| server.connect()).collect();
    all.iter_mut().for_each(|client| client.must(STATUS));
    let mut more = server.connect();
    let Answer::Refused(refusal) = more.answer() else { panic!("not refused") };
    assert_eq!(refusal.error, RefusalKind::TooManyConnections);
    assert!(more.is_ended());
    drop(all.pop());
    wait_for("room", || {
        let mut client = server.connect();
        let _ = client.stream.write_all(format!("{STATUS}\n").as_bytes());
        matches!(client.answer(), Answer::Done { .. })
    });
    server.stop();
}
