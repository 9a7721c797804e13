//! `evenkeel run` on a device in memory, which needs neither root nor huge pages.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Folder, evenkeel, run, stderr};

fn config(folder: &Folder, device: &str) -> String {
    format!(
        r#"
[balancer]
workers = [0]
idle = "backoff"
flows = 1024
control_socket = "{}"
[dpdk]
huge_pages = false
memory = "64M"
mbufs = 4096
pci = false
file_prefix = "evenkeel-cli-{}"
[[port]]
name = "wan"
device = "{device}"
addresses = ["10.0.0.1/24"]
[[neighbor]]
address = "10.0.0.3"
mac = "02:00:00:00:00:03"
port = "wan"
[[service]]
name = "web"
vip = "192.0.2.10:80"
protocol = "tcp"
mode = "nat"
[[service.backend]]
address = "10.0.0.3:80"
"#,
        folder.path("control.sock").display(),
        std::process::id()
    )
}

#[test]
fn it_says_when_it_is_ready_answers_reloads_and_stops_cleanly() {
    let folder = Folder::new();
    let file = folder.write("evenkeel.toml", config(&folder, "net_ring0"));
    let (socket, notices) = (folder.path("control.sock"), folder.path("notify.sock"));
    let systemd = UnixDatagram::bind(&notices).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut notice = [0; 64];
    let mut told = || systemd.recv(&mut notice).map(|length| notice[..length].to_vec()).unwrap();

    let mut balancer = evenkeel();
    balancer.args(["run", "--config"]).arg(&file).env("NOTIFY_SOCKET", &notices);
    let mut balancer = balancer.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(balancer.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line != "ready\n" {
        panic!("{}", stderr(&balancer.wait_with_output().unwrap()));
    }
    assert_eq!(told(), b"READY=1");

    only_the_worker_is_on_its_core(balancer.id());

    let ask = |words: &[&str]| evenkeel().args(words).env("EVENKEEL_SOCKET", &socket).output().unwrap();
    let answer = ask(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!((&status["status"]["in_force"], &status["status"]["workers"]), (&true.into(), &1.into()));
    assert_eq!(status["status"]["pid"], balancer.id());
    for words in [
        &["service", "show", "web"][..],
        &["backend", "list"],
        &["flow", "list"],
        &["flow", "lookup", "10.0.0.9:1", "192.0.2.10:80"],
        &["drops"],
        &["worker", "list"],
        &["port", "list"],
        &["next-hop", "list"],
        &["backend", "drain", "web", "10.0.0.3:80", "--deadline", "never"],
        &["reload"],
    ] {
        let answer = ask(words);
        assert_eq!(answer.status.code(), Some(0), "{words:?}: {}", stderr(&answer));
        assert!(!answer.stdout.is_empty());
    }
    let second = run(["run".as_ref(), "--config".as_ref(), file.as_os_str()]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another balancer is running"), "{}", stderr(&second));

    assert!(Command::new("kill").arg(balancer.id().to_string()).status().unwrap().success());
    assert_eq!(told(), b"STOPPING=1");
    let output = balancer.wait_with_output().unwrap();
    let log = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{log}");
    // Every change is in the log, with who asked for it.
    let asked_by = format!(" uid={} ", fs::metadata(&file).unwrap().uid());
    for change in ["backend drain", "reload"] {
        let is_it = |line: &str| line.contains(&asked_by) && line.contains(change);
        assert!(log.lines().any(is_it), "{change} by {asked_by}: {log}");
    }
    assert!(!socket.exists());
    assert_eq!(ask(&["status"]).status.code(), Some(3));
}

fn only_the_worker_is_on_its_core(process: u32) {
    if thread::available_parallelism().unwrap().get() == 1 {
        return;
    }
    for task in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let task = task.unwrap().path();
        let name = fs::read_to_string(task.join("comm")).unwrap();
        let status = fs::read_to_string(task.join("status")).unwrap();
        let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
        assert_eq!(cores == "0", name == "worker-0\n", "{name}: {cores}");
    }
}

#[test]
fn a_device_that_cannot_be_opened_ends_it_with_a_reason() {
    let folder = Folder::new();
    let file = folder.write("evenkeel.toml", config(&folder, "net_af_packet0,iface=ek-absent"));
    let output = run(["run".as_ref(), "--config".as_ref(), file.as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    let last = stderr(&output);
    let last = last.lines().last().unwrap();
    assert!(last.starts_with("error: port wan: ") && last.contains("net_af_packet0"), "{last}");
    assert!(!folder.path("control.sock").exists());
}
