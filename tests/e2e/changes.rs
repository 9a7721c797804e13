//! Backends and services come, go, drain and fail while traffic runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::json;

use crate::lab::{BACKENDS, End, Lab, end, is_complete, number, succeed, tally};

on_each_wire!(
    a_drained_backend_fails_no_request,
    connections_outlive_a_drain_without_deadline,
    a_drain_deadline_cuts_what_is_left,
    a_backend_taken_down_is_cut_and_replaced,
    connections_that_say_nothing_are_cut_too,
    a_nat_connection_unknown_after_a_restart_is_reset,
    backends_come_and_go,
    weights_are_shares,
    a_backend_without_next_hop_is_not_picked,
    services_come_and_go,
    reload_applies_the_difference,
    an_invalid_file_changes_nothing,
);

/// Reads lines of a load that runs until `count` have come.
fn read_lines(output: &mut impl BufRead, count: usize) -> String {
    let mut lines = String::new();
    for _ in 0..count {
        assert_ne!(output.read_line(&mut lines).expect("lines"), 0, "the load ended early: {lines}");
    }
    lines
}

fn a_drained_backend_fails_no_request(lab: &Lab) {
    for (service, vip, backend) in [
        ("web", "192.0.2.10", "10.0.1.101:8080"),
        ("nat", "192.0.2.20", "10.0.1.101:8080"),
        ("dsr", "192.0.2.30", "10.0.1.101:80"),
        ("web-v6", "[2001:db8::10]", "[fd00:1::101]:8080"),
    ] {
        let mut load = lab.load(vip, 1000).arg("-N").stdout(Stdio::piped()).spawn().expect("curl");
        let mut output = BufReader::new(load.stdout.take().expect("its output"));
        let before = read_lines(&mut output, 100);
        assert!(tally(&before)[0] > 0, "{service}: {before}");
        lab.change("drain", service, backend);
        // What was under way when the answer came: what the pipe held, and one connection.
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut output, &mut rest).expect("lines");
        assert!(load.wait().expect("curl ends").success(), "{service}: a request failed");
        assert_eq!(tally(&rest).iter().sum::<usize>(), 900, "{service}: a request failed: {rest}");
        assert_eq!(lab.spread(vip, 100)[0], 0, "{service}: new flows to a draining backend");
        lab.change("activate", service, backend);
        assert!(lab.spread(vip, 100)[0] > 0, "{service}: no flows to a backend that is active again");
    }
}

fn connections_outlive_a_drain_without_deadline(lab: &Lab) {
    let downloads = slow_downloads(lab, "nat", "192.0.2.20");
    let backend = "10.0.1.102:8080";
    assert!(flows(lab, "nat", backend) > 0);
    lab.ask(
        &json!({ "command": "backend drain", "service": "nat", "backend": backend, "deadline": "never" }),
    );
    assert_eq!(lab.backend("nat", backend)["state"], "draining");
    assert_eq!(
        downloads.into_iter().filter_map(|download| is_complete(download).then_some(())).count(),
        DOWNLOADS
    );
}

fn a_drain_deadline_cuts_what_is_left(lab: &Lab) {
    let downloads = slow_downloads(lab, "web", "192.0.2.10");
    let backend = "10.0.1.102:8080";
    let doomed = flows(lab, "web", backend);
    assert!(doomed > 0 && doomed < DOWNLOADS, "{doomed}");
    lab.ask(&json!({ "command": "backend drain", "service": "web", "backend": backend, "deadline": "1s" }));
    let complete = downloads.into_iter().map(is_complete).filter(|complete| *complete).count();
    assert_eq!(complete, DOWNLOADS - doomed, "downloads that were not to be cut");
    assert_ne!(lab.counter("resets_sent"), 0);
}

fn a_backend_taken_down_is_cut_and_replaced(lab: &Lab) {
    for (service, vip, backend) in [
        ("web", "192.0.2.10", "10.0.1.102:8080"),
        ("nat", "192.0.2.20", "10.0.1.102:8080"),
        ("dsr", "192.0.2.30", "10.0.1.102:80"),
    ] {
        let mut downloads = slow_downloads(lab, service, vip);
        let doomed = flows(lab, service, backend);
        assert!(doomed > 0 && doomed < DOWNLOADS, "{service}: {doomed}");
        lab.change("down", service, backend);
        let spread = lab.spread(vip, 100);
        assert_eq!(spread[1], 0, "{service}: {spread:?}");
        lab.await_that("the downloads ended", || {
            downloads.iter_mut().all(|download| download.try_wait().expect("a state").is_some())
        });
        // A download that was cut hears of it: its client need not lose patience.
        let ends: Vec<End> = downloads.into_iter().map(end).collect();
        let count = |wanted: End| ends.iter().filter(|end| **end == wanted).count();
        assert_eq!(
            (count(End::Complete), count(End::Reset)),
            (DOWNLOADS - doomed, doomed),
            "{service}: {ends:?}"
        );
    }
}

/// Neither end speaks: nginx waits for a request, and the client for whatever comes.
fn connections_that_say_nothing_are_cut_too(lab: &Lab) {
    for (service, vip, port) in [("web", "192.0.2.10", 8080), ("nat", "192.0.2.20", 8080)] {
        let before = lab.service_counter(service, "flows_opened");
        let listen = format!("exec 3<>/dev/tcp/{vip}/80 && read -ru 3");
        let mut listeners: Vec<Child> =
            (0..6).map(|_| lab.at("client", "bash").args(["-c", &listen]).spawn().expect("bash")).collect();
        lab.await_that("the connections", || lab.service_counter(service, "flows_opened") == before + 6);
        let prompts = lab.counter("resets_prompted");
        let addresses = lab.backends(Some(service)).into_iter().map(|mut backend| backend["backend"].take());
        for address in addresses {
            lab.change("down", service, address.as_str().expect("an address"));
        }
        lab.await_that("both ends to be reset", || {
            let heard = listeners.iter_mut().all(|listener| listener.try_wait().expect("a state").is_some());
            let connections = |place| {
                let filter = format!("( sport = :{port} )");
                succeed(lab.at(place, "ss").args(["-Htn", "state", "established", &filter]))
            };
            heard && BACKENDS.iter().all(|place| connections(place).is_empty())
        });
        assert!(lab.counter("resets_prompted") > prompts, "{service}");
    }
}

fn a_nat_connection_unknown_after_a_restart_is_reset(lab: &Lab) {
    let file = lab.folder().join("files/slow");
    let upload = ["--limit-rate", "128k", "-H", "Expect:", "http://192.0.2.20/upload/copy", "-T"];
    let mut uploads: Vec<Child> =
        (0..3).map(|_| lab.curl(&upload).arg(&file).stderr(Stdio::null()).spawn().expect("curl")).collect();
    lab.await_that("three uploads", || lab.service_counter("nat", "bytes_in") > 300_000);
    lab.stop();
    lab.start();
    lab.await_that("the uploads were reset", || {
        uploads.iter_mut().all(|upload| upload.try_wait().expect("a state").is_some())
    });
    assert!(uploads.iter_mut().all(|upload| !upload.wait().expect("curl ends").success()));
    assert_ne!(lab.counter("resets_sent"), 0);
}

fn backends_come_and_go(lab: &Lab) {
    for (service, vip, backend) in
        [("web", "192.0.2.10", "10.0.1.103:8080"), ("nat-v6", "[2001:db8::20]", "[fd00:1::103]:8080")]
    {
        lab.change("remove", service, backend);
        assert_eq!(lab.backends(Some(service)).len(), 2);
        let spread = lab.spread(vip, 60);
        assert_eq!(spread[2], 0, "{service}: {spread:?}");
        lab.change("add", service, backend);
        lab.await_resolved();
        assert!(lab.spread(vip, 60)[2] > 0, "{service}");
    }
}

fn weights_are_shares(lab: &Lab) {
    let weight = |backend: &str, weight: u32| {
        let command = "backend weight";
        lab.ask(&json!({ "command": command, "service": "nat", "backend": backend, "weight": weight }));
    };
    weight("10.0.1.101:8080", 4);
    weight("10.0.1.103:8080", 0);
    let slots = |backend: &str| number(&lab.backend("nat", backend)["maglev_slots"]);
    assert_eq!(slots("10.0.1.103:8080"), 0);
    assert!((3.9..4.1).contains(&(slots("10.0.1.101:8080") as f64 / slots("10.0.1.102:8080") as f64)));
    let spread = lab.spread("192.0.2.20", 300);
    assert_eq!(spread[2], 0, "{spread:?}");
    assert!(spread[0] > 2 * spread[1] && spread[1] > 20, "{spread:?}");
}

fn a_backend_without_next_hop_is_not_picked(lab: &Lab) {
    lab.change("add", "web", "10.0.1.99:8080");
    assert_eq!(lab.backend("web", "10.0.1.99:8080")["resolved"], false);
    assert_eq!(lab.backend("web", "10.0.1.99:8080")["maglev_slots"], 0);
    lab.spread("192.0.2.10", 100);
    // It is probed: once somebody has the address, it is picked.
    succeed(lab.at("b1", "ip").args(["address", "add", "10.0.1.99/24", "dev", "eth0"]));
    lab.await_that("the new backend is found", || lab.backend("web", "10.0.1.99:8080")["resolved"] == true);
    lab.spread("192.0.2.10", 100);
    assert_ne!(lab.backend("web", "10.0.1.99:8080")["counters"]["flows_opened"], 0);
}

fn services_come_and_go(lab: &Lab) {
    lab.ask(&json!({
        "command": "service add", "service": "late", "vip": "192.0.2.50:8080", "protocol": "tcp", "mode": "nat",
        "backends": [{ "address": "10.0.1.101:8080" }, { "address": "10.0.1.103:8080", "weight": 2 }],
    }));
    lab.await_resolved();
    let spread = lab.spread("192.0.2.50:8080", 60);
    assert!(spread[0] > 0 && spread[1] == 0 && spread[2] > 0, "{spread:?}");
    lab.ask(&json!({ "command": "service remove", "service": "late" }));
    let gone = lab.curl(&["--max-time", "1", "http://192.0.2.50:8080/"]).output().expect("curl");
    assert!(!gone.status.success());
    lab.spread("192.0.2.20", 20);
}

fn reload_applies_the_difference(lab: &Lab) {
    let downloads = slow_downloads(lab, "nat", "192.0.2.20");
    let text = std::fs::read_to_string(lab.config()).expect("the configuration");
    let before = "vip = \"192.0.2.10:80\"\nprotocol = \"tcp\"\nmode = \"full-nat\"\n[[service.backend]]\naddress = \"10.0.1.101:8080\"\n";
    assert!(text.contains(before));
    let after = before.replace("[[service.backend]]\naddress = \"10.0.1.101:8080\"\n", "");
    let text = text.replace(before, &after)
        + "\n[[service]]\nname = \"late\"\nvip = \"192.0.2.50:80\"\nprotocol = \"tcp\"\nmode = \"dsr-mac\"\n";
    std::fs::write(lab.config(), text).expect("write the configuration");
    let answer = lab.ask(&json!({ "command": "reload" }));
    assert_eq!(answer["reload"]["services_added"], json!(["late"]), "{answer}");
    assert_eq!(answer["reload"]["services_removed"], json!([]), "{answer}");
    assert_eq!(answer["reload"]["backends_removed"], json!(["web 10.0.1.101:8080"]), "{answer}");
    assert_eq!(lab.spread("192.0.2.10", 60)[0], 0);
    assert!(downloads.into_iter().all(is_complete), "a service that did not change lost a connection");
    let again = lab.ask(&json!({ "command": "reload" }));
    assert_eq!(again["reload"]["services_changed"], json!([]), "{again}");
}

fn an_invalid_file_changes_nothing(lab: &Lab) {
    let before = lab.configured();
    let text = std::fs::read_to_string(lab.config()).expect("the configuration");
    let wrong = text.replacen("mode = \"nat\"", "mode = \"natt\"", 1).replacen(
        "10.0.1.102:8080",
        "10.0.1.101:8080",
        1,
    );
    std::fs::write(lab.config(), wrong).expect("write the configuration");
    let answer = lab.answer("{\"command\":\"reload\"}");
    assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!("bad_configuration")), "{answer}");
    assert!(answer["message"].as_str().is_some_and(|message| message.contains("natt")), "{answer}");
    assert_eq!(lab.configured(), before);
    lab.spread("192.0.2.20", 30);
}

/// So many that none of three backends is left out by chance.
const DOWNLOADS: usize = 24;

/// Downloads of four seconds each through a service, all under way.
fn slow_downloads(lab: &Lab, service: &str, vip: &str) -> Vec<Child> {
    let before = number(&json!(lab.service_counter(service, "flows_opened")));
    let downloads = (0..DOWNLOADS).map(|_| lab.slow_download(vip)).collect();
    let all = before + DOWNLOADS as u64;
    lab.await_that("the downloads", || lab.service_counter(service, "flows_opened") == all);
    downloads
}

/// Flows that are with a backend.
fn flows(lab: &Lab, service: &str, backend: &str) -> usize {
    let flows = lab.ask(&json!({ "command": "flow list", "service": service, "backend": backend }));
    flows["flows"]["flows"]
        .as_array()
        .expect("a list of flows")
        .iter()
        .filter(|flow| flow["state"] != "closed")
        .count()
}
