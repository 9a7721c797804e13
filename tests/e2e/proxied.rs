//! The proxy between real clients and real servers, both over the balancer's own TCP: requests go out by connections of its own, and the
//! kernel of the balancer sees no segment of any.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{BACKENDS, End, Lab, end, succeed, tally};
use crate::layer7::check_books_and_kernel;
use crate::network::{Loss, Model};
use crate::relay::Relay;

on_each_wire!(
    requests_reach_backends_and_answers_come_back,
    large_content_arrives_whole_both_ways,
    a_bad_link_costs_time_and_nothing_else,
    a_backend_that_drains_or_goes_down_fails_no_request,
    a_backend_that_is_down_is_cut_off,
    a_backend_that_refuses_is_passed_over,
);

const VIPS: [&str; 2] = ["192.0.2.70", "[2001:db8::70]"];
const SERVICES: [&str; 2] = ["proxy", "proxy-v6"];

/// Every connection to a backend is closed by taking all of them out of service, and with it goes its flow.
fn check_that_nothing_is_left(lab: &Lab) {
    for service in SERVICES {
        for backend in lab.backends(Some(service)) {
            lab.change("down", service, backend["backend"].as_str().expect("an address"));
        }
    }
    lab.await_that("the end of all flows", || lab.counter("flows_active") == 0);
    assert_ne!(lab.counter("flows_opened"), 0, "connections to backends have flows");
    check_books_and_kernel(lab);
}

fn connections(lab: &Lab, service: &str) -> Vec<Value> {
    let mut listed = lab.ask(&json!({ "command": "connection list", "service": service }));
    serde_json::from_value(listed["connections"]["connections"].take()).expect("a list")
}

fn requests_reach_backends_and_answers_come_back(lab: &Lab) {
    for (service, vip) in SERVICES.into_iter().zip(VIPS) {
        let spread = lab.spread(vip, 90);
        assert!(spread.iter().all(|share| *share > 5), "{vip}: {spread:?}");
        // What backends see is the balancer.
        let (_, seen) = lab.fetch(vip);
        assert!(["10.0.1.10", "fd00:1::10"].contains(&&*seen), "{seen}");
        // Twenty requests on one connection.
        let url = format!("http://{vip}/?[1-20]");
        let format = "%{stderr}%{num_connects}%{http_code} ";
        let output = lab.curl(&["--no-globoff", "-w", format, &url]).output().expect("curl");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("1200 {}", "0200 ".repeat(19)));
        let head = succeed(lab.curl(&["--head"]).arg(format!("http://{vip}/large")));
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        // Many at once.
        let url = format!("http://{vip}/?[1-300]");
        let lines = succeed(&mut lab.curl(&["--no-globoff", "--fail", "-Z", "--parallel-max", "30", &url]));
        assert_eq!(tally(&lines).iter().sum::<usize>(), 300);

        let to_backends = || {
            let all = connections(lab, service);
            all.into_iter().filter(|connection| !connection["backend"].is_null()).collect::<Vec<_>>()
        };
        let kept = to_backends();
        assert!(!kept.is_empty(), "connections to backends are kept");
        let ends = [&kept[0]["local"], &kept[0]["backend"]].map(|end| end.as_str().expect("an address"));
        let shown = lab.evenkeel(&[&["connection", "show", "--json"][..], &ends].concat());
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        assert_eq!(shown["connections"]["connections"][0]["service"], service, "{shown}");
        assert_eq!(shown["connections"]["connections"][0]["state"], "ESTAB", "{shown}");
        let backend = lab.backend(service, ends[1]);
        assert!(backend["counters"]["packets_in"].as_u64() > Some(10), "{backend}");
        assert!(backend["counters"]["packets_out"].as_u64() > Some(10), "{backend}");
        lab.await_that("the end of clients' connections", || {
            lab.service_counter(service, "flows_active") == 0
        });
    }
    check_that_nothing_is_left(lab);
}

fn checksum(file: &Path) -> String {
    let output = succeed(Command::new("sha256sum").arg(file));
    output.split(' ').next().expect("a sum").to_owned()
}

fn random_file(file: &Path, megabytes: u32) -> String {
    let [from, to] = [("if", Path::new("/dev/urandom")), ("of", file)]
        .map(|(name, path)| format!("{name}={}", path.display()));
    succeed(Command::new("dd").args([&from, &to, "bs=1M", &format!("count={megabytes}"), "status=none"]));
    checksum(file)
}

fn large_content_arrives_whole_both_ways(lab: &Lab) {
    let large = lab.folder().join("files/large");
    let received = lab.folder().join("received");
    for megabytes in [1, 20] {
        let sent = random_file(&large, megabytes);
        for vip in VIPS {
            succeed(lab.curl(&["--fail", &format!("http://{vip}/large"), "-o"]).arg(&received));
            assert_eq!(checksum(&received), sent, "{megabytes} MB from {vip}");
        }
        for (number, vip) in VIPS.into_iter().enumerate() {
            let name = format!("copy-{megabytes}-{number}");
            let url = format!("http://{vip}/upload/{name}");
            // In chunks where it comes by a pipe, and with a length where it is a file.
            let chunked = ["-H", "Transfer-Encoding: chunked"];
            let how: &[&str] = if number == 0 { &[] } else { &chunked };
            succeed(lab.curl(&["--fail", &url]).args(how).arg("-T").arg(&large));
            let copies = BACKENDS.map(|backend| lab.folder().join(backend).join("upload").join(&name));
            let copies: Vec<_> = copies.into_iter().filter(|copy| copy.exists()).collect();
            assert_eq!(copies.len(), 1, "{copies:?}");
            assert_eq!(checksum(&copies[0]), sent, "{megabytes} MB to {vip}");
        }
    }
    // Several at once.
    let folder = lab.folder().join("many");
    std::fs::create_dir(&folder).expect("a folder");
    let sent = random_file(&large, 1);
    let out = folder.join("#1").display().to_string();
    let url = format!("http://{}/large?[1-40]", VIPS[0]);
    succeed(&mut lab.curl(&["--no-globoff", "-Z", "--parallel-max", "20", "--fail", "-o", &out, &url]));
    for number in 1..=40 {
        assert_eq!(checksum(&folder.join(number.to_string())), sent, "number {number}");
    }
    check_that_nothing_is_left(lab);
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
    let sent = random_file(&lab.folder().join("files/large"), 1);
    let received = lab.folder().join("received");
    let relay = Relay::lay(lab, model, 7);
    for vip in VIPS {
        for _ in 0..2 {
            succeed(lab.curl(&["--fail", &format!("http://{vip}/large"), "-o"]).arg(&received));
            assert_eq!(checksum(&received), sent, "{vip}");
        }
        let url = format!("http://{vip}/?[1-40]");
        let lines = succeed(&mut lab.curl(&["--no-globoff", "--fail", "-Z", &url]));
        assert_eq!(tally(&lines).iter().sum::<usize>(), 40);
    }
    let counts = relay.take_up();
    assert!(counts.iter().all(|counts| counts.lost > 10), "{counts:?}");
    check_that_nothing_is_left(lab);
}

/// While a load runs, each backend is drained, taken down, and put back.
fn a_backend_that_drains_or_goes_down_fails_no_request(lab: &Lab) {
    const REQUESTS: usize = 6_000;
    for (service, vip) in SERVICES.into_iter().zip(VIPS) {
        let url = format!("http://{vip}/?[1-{REQUESTS}]");
        let arguments = ["--no-globoff", "-N", "--fail", "-Z", "--parallel-max", "8", &url];
        let mut load =
            lab.curl(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("curl");
        let mut output = BufReader::new(load.stdout.take().expect("its output"));
        let mut lines = String::new();
        let mut read = |count: usize| {
            for _ in 0..count {
                assert_ne!(output.read_line(&mut lines).expect("lines"), 0, "the load ended early");
            }
        };
        for backend in lab.backends(Some(service)) {
            let backend = backend["backend"].as_str().expect("an address");
            for verb in ["drain", "activate", "down", "activate"] {
                read(200);
                lab.change(verb, service, backend);
            }
        }
        output.read_to_string(&mut lines).expect("lines");
        assert!(load.wait().expect("curl ends").success(), "{service}: a request failed");
        let spread = tally(&lines);
        assert_eq!(spread.iter().sum::<usize>(), REQUESTS, "{service}: a request failed");
        assert!(spread.iter().all(|share| *share > 100), "{service}: {spread:?}");

        let backend = if service == SERVICES[0] { "10.0.1.101:8080" } else { "[fd00:1::101]:8080" };
        lab.change("drain", service, backend);
        assert_eq!(lab.spread(vip, 60)[0], 0, "{service}: requests to a backend that drains");
        lab.await_that("the end of connections to it", || {
            connections(lab, service).iter().all(|connection| connection["backend"] != backend)
        });
    }
    check_that_nothing_is_left(lab);
}

fn a_backend_that_is_down_is_cut_off(lab: &Lab) {
    let downloads: Vec<_> = (0..12).map(|_| lab.slow_download(VIPS[0])).collect();
    let backend = "10.0.1.102:8080";
    let under_way = |backend: &str| {
        let all = connections(lab, "proxy");
        all.iter().filter(|connection| connection["backend"] == backend).count()
    };
    lab.await_that("twelve downloads", || {
        ["10.0.1.101:8080", backend, "10.0.1.103:8080"]
            .iter()
            .map(|backend| under_way(backend))
            .sum::<usize>()
            == 12
    });
    let doomed = under_way(backend);
    assert!(doomed > 0 && doomed < 12, "{doomed}");
    lab.change("down", "proxy", backend);
    lab.await_that("the end of its connections", || under_way(backend) == 0);
    let ends: Vec<End> = downloads.into_iter().map(end).collect();
    let complete = ends.iter().filter(|end| **end == End::Complete).count();
    assert_eq!(complete, 12 - doomed, "{ends:?}");
    check_that_nothing_is_left(lab);
}

fn a_backend_that_refuses_is_passed_over(lab: &Lab) {
    let add = |name: &str, vip: &str, backends: &[&str]| {
        let backends: Vec<Value> = backends.iter().map(|address| json!({ "address": address })).collect();
        lab.ask(&json!({
            "command": "service add", "service": name, "vip": vip, "protocol": "tcp", "mode": "l7", "backends": backends,
        }));
    };
    add("half", "192.0.2.71:80", &["10.0.1.101:9", "10.0.1.102:8080", "10.0.1.103:9"]);
    add("none", "192.0.2.72:80", &["10.0.1.101:9", "10.0.1.102:9"]);
    lab.await_resolved();
    assert_eq!(lab.spread("192.0.2.71", 40), [0, 40, 0]);
    let status = || {
        let arguments = ["-o", "/dev/null", "-w", "%{http_code}", "http://192.0.2.72/"];
        succeed(&mut lab.curl(&arguments))
    };
    for _ in 0..10 {
        let status = status();
        assert!(["502", "503"].contains(&&*status), "{status}");
    }
    for backend in ["10.0.1.101:9", "10.0.1.102:9"] {
        let arguments = json!({ "command": "backend remove", "service": "none", "backend": backend });
        lab.ask(&arguments);
    }
    assert_eq!(status(), "503", "a service without backends");
    lab.ask(&json!({ "command": "service remove", "service": "half" }));
    lab.await_that("the end of all flows", || lab.counter("flows_active") == 0);
    check_books_and_kernel(lab);
}
