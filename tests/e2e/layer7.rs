//! Layer 7: real clients against the balancer's own TCP and HTTP, on good wires and on bad ones. The kernel of the balancer sees no
//! segment of it.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{Lab, number, succeed};
use crate::network::{Loss, Model};
use crate::relay::Relay;

on_each_wire!(
    pages_are_answered_by_the_balancer_itself,
    many_clients_at_once_get_what_they_ask_for,
    nonsense_is_refused_and_disturbs_nobody,
    pages_come_change_and_go_at_run_time,
    a_bad_link_costs_time_and_nothing_else,
    connections_can_be_looked_at,
);

const HELLO: [&str; 2] = ["192.0.2.40", "[2001:db8::40]"];
const LOAD: [&str; 2] = ["192.0.2.41", "[2001:db8::41]"];
const GREETING: &str = "hello from layer 7\n";

/// What `body_size = "1M"` makes.
fn megabyte() -> Vec<u8> {
    (0..1 << 14).flat_map(|line| format!("{line:063}\n").into_bytes()).collect()
}

/// The body at a VIP, with what else curl is told.
fn body(lab: &Lab, vip: &str, arguments: &[&str]) -> Vec<u8> {
    let output = lab.curl(&["--fail"]).args(arguments).arg(format!("http://{vip}/")).output().expect("curl");
    assert!(output.status.success(), "{vip}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// After any of this: the books balance, and the kernel's TCP in the balancer's namespace has never been asked.
fn check_that_nobody_else_was_involved(lab: &Lab) {
    assert_eq!(lab.counter("flows_opened"), 0);
    check_books_and_kernel(lab);
}

/// The same where backends were asked.
pub(crate) fn check_books_and_kernel(lab: &Lab) {
    assert_ne!(lab.counter("to_l7"), 0);
    assert_ne!(lab.counter("handed_in"), 0, "no segment came to the wrong worker");
    let status = || lab.ask(&json!({ "command": "status" }))["status"].take();
    lab.await_that("an imbalance of zero at rest", || status()["imbalance"] == 0);
    let snmp = succeed(lab.at("balancer", "cat").arg("/proc/net/snmp"));
    let mut tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next().expect("names"), tcp.next().expect("values"));
    for (name, value) in names.split(' ').zip(values.split(' ')) {
        if !["RtoAlgorithm", "RtoMin", "RtoMax", "MaxConn"].contains(&name) {
            assert_eq!(value, "0", "{name} of the balancer's kernel");
        }
    }
}

fn pages_are_answered_by_the_balancer_itself(lab: &Lab) {
    let megabyte = megabyte();
    for (hello, load) in HELLO.into_iter().zip(LOAD) {
        for _ in 0..10 {
            assert_eq!(body(lab, hello, &[]), GREETING.as_bytes());
        }
        let head = succeed(lab.curl(&["--head"]).arg(format!("http://{hello}/")));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 19\r\n"), "{head}");
        assert_eq!(body(lab, hello, &["-H", "Connection: close", "-d", "a question"]), GREETING.as_bytes());
        for _ in 0..3 {
            assert!(body(lab, load, &[]) == megabyte, "{load}: not what was sent");
        }
        // Twenty requests on one connection.
        let url = format!("http://{hello}/?[1-20]");
        let format = "%{stderr}%{num_connects}%{http_code} ";
        let output = lab.curl(&["--no-globoff", "-w", format, &url]).output().expect("curl");
        assert_eq!(output.stdout, GREETING.repeat(20).as_bytes());
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("1200 {}", "0200 ".repeat(19)));
    }
    assert!(
        lab.service_counter("hello", "packets_in") > 0 && lab.service_counter("load", "bytes_out") > 3 << 20
    );
    check_that_nobody_else_was_involved(lab);
}

fn many_clients_at_once_get_what_they_ask_for(lab: &Lab) {
    let folder = lab.folder().join("pages");
    std::fs::create_dir(&folder).expect("a folder");
    let out = folder.join("#1").display().to_string();
    let arguments = ["--no-globoff", "-Z", "--parallel-max", "30", "--fail", "-o", &out];
    let url = format!("http://{}/?[1-60]", LOAD[0]);
    succeed(lab.curl(&arguments).args(["-H", "Connection: close", &url]));
    let megabyte = megabyte();
    for number in 1..=60 {
        let got = std::fs::read(folder.join(number.to_string())).expect("a page");
        assert!(got == megabyte, "number {number} is not what was sent");
    }
    check_that_nobody_else_was_involved(lab);
}

fn nonsense_is_refused_and_disturbs_nobody(lab: &Lab) {
    for (text, status) in [
        ("what is this?\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\nHost: a\n\n", "400 Bad Request"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported"),
    ] {
        let answer = talk(lab, HELLO[0], text.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{text:?}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{text:?}: {answer}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "A: b\r\n".repeat(10_000));
    let answer = talk(lab, HELLO[1], long.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // Half of a request, and the end: no answer is owed.
    assert_eq!(talk(lab, HELLO[0], b"GET / HTTP/1.1\r\n"), "");
    assert_eq!(body(lab, HELLO[0], &[]), GREETING.as_bytes());
    // A port that nobody listens at is still nobody's.
    let closed = lab.curl(&["--max-time", "1", "http://192.0.2.40:81/"]).output().expect("curl");
    assert!(!closed.status.success());
    assert_ne!(lab.drops("no_service"), 0);
    assert_ne!(lab.counter("to_l7"), 0);
}

/// Sends octets to a VIP and closes; returns what comes back until that side closes too.
fn talk(lab: &Lab, vip: &str, octets: &[u8]) -> String {
    let to = format!("TCP:{vip}:80,connect-timeout=5");
    let mut socat = lab
        .at("client", "socat")
        .args(["-t", "10", "-", &to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("socat");
    // Whoever has heard enough may not read the rest.
    let _ = socat.stdin.take().expect("its input").write_all(octets);
    let output = socat.wait_with_output().expect("socat ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn pages_come_change_and_go_at_run_time(lab: &Lab) {
    let vip = "192.0.2.60";
    let added = lab.evenkeel(&[
        "service",
        "add",
        "late",
        "192.0.2.60:80",
        "--mode",
        "l7",
        "--status",
        "203",
        "--body",
        "late\n",
    ]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    assert_eq!(body(lab, vip, &[]), b"late\n");
    let lookup = lab.evenkeel(&["flow", "lookup", "10.9.0.2:4000", "192.0.2.60:80"]);
    let lookup = String::from_utf8_lossy(&lookup.stdout).into_owned();
    assert!(lookup.contains("would end at layer 7 of worker"), "{lookup}");

    // Whoever has a connection gets the new page by it, and hears of its end.
    let text = std::fs::read_to_string(lab.config()).expect("the configuration");
    std::fs::write(lab.config(), text.replace("hello from layer 7", "hello again")).expect("it is written");
    let answer = lab.ask(&json!({ "command": "reload" }));
    assert_eq!(answer["reload"]["services_changed"], json!(["hello", "hello-v6"]), "{answer}");
    assert_eq!(answer["reload"]["services_removed"], json!(["late"]), "{answer}");
    assert_eq!(body(lab, HELLO[0], &[]), b"hello again\n");

    let listen = format!("exec 3<>/dev/tcp/{}/80 && read -ru 3", HELLO[0]);
    let mut listener =
        lab.at("client", "bash").args(["-c", &listen]).stderr(Stdio::null()).spawn().expect("bash");
    lab.await_that("a connection", || {
        let listed = lab.ask(&json!({ "command": "connection list", "service": "hello" }));
        listed["connections"]["connections"][0]["state"] == "ESTAB"
    });
    lab.ask(&json!({ "command": "service remove", "service": "hello" }));
    lab.await_that("the client to be reset", || listener.try_wait().expect("a state").is_some());
    let gone = lab.curl(&["--max-time", "1", "http://192.0.2.40/"]).output().expect("curl");
    assert!(!gone.status.success());
}

fn a_bad_link_costs_time_and_nothing_else(lab: &Lab) {
    let model = Model {
        loss: Loss::Burst { share: 0.03, length: 2.0 },
        reordering: 0.03,
        lateness: Duration::from_millis(3),
        duplication: 0.01,
        corruption: 0.005,
        ..Model::delay(Duration::from_millis(2)).with_rate(200_000_000, 100)
    };
    let relay = Relay::lay(lab, model, 7);
    let megabyte = megabyte();
    for (hello, load) in HELLO.into_iter().zip(LOAD) {
        for _ in 0..5 {
            assert_eq!(body(lab, hello, &[]), GREETING.as_bytes());
        }
        for _ in 0..2 {
            assert!(body(lab, load, &[]) == megabyte, "{load}: not what was sent");
        }
        let output =
            succeed(&mut lab.curl(&["--no-globoff", "--fail", "-Z", &format!("http://{hello}/?[1-40]")]));
        assert_eq!(output, GREETING.repeat(40));
    }
    let counts = relay.take_up();
    assert!(counts.iter().all(|counts| counts.lost > 10), "{counts:?}");
    check_that_nobody_else_was_involved(lab);
}

fn connections_can_be_looked_at(lab: &Lab) {
    let port = "40123";
    let line = format!("TCP:{}:80,sourceport={port},connect-timeout=5", HELLO[0]);
    let mut client = lab
        .at("client", "socat")
        .args(["-", &line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("socat");
    let ask = |client: &mut Child| {
        let input = client.stdin.as_mut().expect("its input");
        input.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
        let mut answer = vec![0; 1024];
        let length = client.stdout.as_mut().expect("its output").read(&mut answer).expect("an answer");
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK\r\n"));
    };
    ask(&mut client);
    let ends = [&format!("10.9.0.2:{port}"), "192.0.2.40:80"];
    let said = |verb: &str| {
        let output = lab.evenkeel(&[&["connection", verb, "--json"][..], &ends].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["connections"].take()
    };
    let shown = said("show");
    let connection = &shown["connections"][0];
    assert_eq!((&connection["service"], &connection["state"]), (&json!("hello"), &json!("ESTAB")), "{shown}");
    assert_eq!(connection["tcp_info"]["tcpi_bytes_received"], 27, "{shown}");
    assert!(number(&connection["tcp_info"]["tcpi_rtt"]) > 0, "{shown}");
    let listed = lab.ask(&json!({ "command": "connection list", "service": "hello" }));
    assert_eq!(listed["connections"]["connections"].as_array().map(Vec::len), Some(1), "{listed}");
    lab.await_that("a connection of the service", || lab.service_counter("hello", "flows_active") == 1);

    assert_eq!(said("trace")["steps"], json!([]));
    ask(&mut client);
    let traced = said("trace");
    let steps = traced["steps"].as_array().expect("steps");
    assert!(steps.iter().any(|step| step["outgoing"] == false && step["length"] == 27), "{traced}");
    assert!(steps.iter().any(|step| step["outgoing"] == true && step["length"] != 0), "{traced}");

    let counted = lab.ask(&json!({ "command": "connection counters" }))["tcp_counters"].take();
    let counters = counted["counters"].as_array().expect("counters");
    let count = |name: &str| {
        let counter = counters.iter().find(|counter| counter["name"] == name).expect("the counter");
        number(&counter["count"])
    };
    assert_eq!((count("TcpPassiveOpens"), count("connections")), (1, 1), "{counted}");
    assert!(count("TcpInSegs") > 4, "{counted}");
    client.kill().expect("kill");
    client.wait().expect("socat ends");
    let gone =
        || lab.ask(&json!({ "command": "connection list" }))["connections"]["connections"] == json!([]);
    lab.await_that("the connection's end", gone);
    lab.await_that("no connection of the service", || lab.service_counter("hello", "flows_active") == 0);
}
