//! The control socket and the command line against a running balancer.

use std::io::{BufReader, Write};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::lab::{Lab, is_complete, number, read_answer, succeed};

on_each_wire!(
    mistakes_are_answered_with_what_was_meant,
    one_connection_carries_many_requests,
    a_line_without_end_is_cut_off,
    the_command_line_says_the_same_as_the_socket,
    flows_can_be_looked_up,
);

fn mistakes_are_answered_with_what_was_meant(lab: &Lab) {
    let before = lab.configured();
    for (line, error, field, nearest) in [
        ("drain it", "malformed", Value::Null, Value::Null),
        (r#"{"command":"bakend list"}"#, "unknown_command", json!("command"), json!("backend list")),
        (r#"{"command":"status","x":1}"#, "unknown_field", json!("x"), Value::Null),
        (r#"{"command":"backend down","service":"web"}"#, "missing_field", json!("backend"), Value::Null),
        (
            r#"{"command":"backend down","service":"wbe","backend":"10.0.1.101:8080"}"#,
            "unknown_service",
            json!("service"),
            json!("web"),
        ),
        (
            r#"{"command":"backend down","service":"web","backend":"10.0.1.201:8080"}"#,
            "unknown_backend",
            json!("backend"),
            json!("10.0.1.101:8080"),
        ),
        (
            r#"{"command":"backend add","service":"web","backend":"10.0.1.101:8080"}"#,
            "duplicate",
            json!("backend"),
            Value::Null,
        ),
    ] {
        let answer = lab.answer(line);
        assert_eq!(answer["ok"], false, "{line}: {answer}");
        assert_eq!(answer["error"], error, "{line}: {answer}");
        assert_eq!(answer["field"], field, "{line}: {answer}");
        if !nearest.is_null() {
            assert_eq!(answer["nearest"], nearest, "{line}: {answer}");
        }
    }
    assert_eq!(lab.configured(), before);
    let mode = std::fs::metadata(lab.folder().join("control.sock"))
        .expect("the control socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn one_connection_carries_many_requests(lab: &Lab) {
    let mut stream = lab.connect();
    let mut answers = BufReader::new(stream.try_clone().expect("a second handle"));
    for weight in [2, 3, 1] {
        let request = json!({ "command": "backend weight", "service": "web", "backend": "10.0.1.101:8080", "weight": weight });
        writeln!(stream, "{request}\n{}", json!({ "command": "worker list" })).expect("requests are taken");
        let changed = read_answer(&mut answers);
        assert_eq!(changed["ok"], true, "{changed}");
        let workers = read_answer(&mut answers);
        for worker in workers["workers"].as_array().expect("workers") {
            assert!(
                number(&worker["generation"]) >= number(&changed["generation"]),
                "ok before it was in force: {worker}"
            );
        }
    }
}

fn a_line_without_end_is_cut_off(lab: &Lab) {
    let mut stream = lab.connect();
    let line = vec![b'x'; 64 * 1024];
    // The balancer closes the connection long before a gigabyte has gone through.
    let sent = (0..16 * 1024).take_while(|_| stream.write_all(&line).is_ok()).count();
    assert!(sent < 1024, "{sent} pieces of 64 KiB were taken");
    assert_eq!(lab.answer(r#"{"command":"version"}"#)["ok"], true);
    lab.spread("192.0.2.10", 20);
}

fn the_command_line_says_the_same_as_the_socket(lab: &Lab) {
    let json = |arguments: &[&str]| -> Value {
        let output = lab.evenkeel(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one JSON value")
    };
    assert_eq!(json(&["backend", "list", "web"])["backends"].as_array().map(Vec::len), Some(3));
    assert_eq!(json(&["service", "show", "dsr"])["service"]["vip"], "192.0.2.30:80");
    assert_eq!(json(&["port", "list"])["ports"][0]["port"], "wan");
    for arguments in [
        &["status"][..],
        &["service", "list"],
        &["service", "show", "web"],
        &["backend", "list"],
        &["worker", "list"],
        &["next-hop", "list"],
        &["drops", "--all"],
        &["flow", "list"],
    ] {
        let output = lab.evenkeel(arguments);
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}");
    }
    let code = |arguments: &[&str]| lab.evenkeel(arguments).status.code();
    assert_eq!(code(&["backend", "drain", "web", "10.0.1.101:8080", "--deadline", "30s"]), Some(0));
    assert_eq!(lab.backend("web", "10.0.1.101:8080")["state"], "draining");
    assert_eq!(code(&["backend", "activate", "web", "10.0.1.101:8080"]), Some(0));
    assert_eq!(code(&["backend", "down", "web", "10.0.1.201:8080"]), Some(1));
    assert_eq!(code(&["backend", "dwon", "web", "10.0.1.101:8080"]), Some(2));
}

fn flows_can_be_looked_up(lab: &Lab) {
    let download = lab.slow_download("192.0.2.20");
    let listed = || lab.ask(&json!({ "command": "flow list", "service": "nat" }))["flows"]["flows"].take();
    lab.await_that("the flow is listed", || listed()[0]["state"].is_string());
    let flow = &listed()[0];
    let client = flow["client"].as_str().expect("a client");
    assert!(client.starts_with("10.9.0.2:"), "{flow}");
    let output = lab.evenkeel(&["flow", "lookup", client, "192.0.2.20:80", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["flows"]["flows"][0]["backend"], flow["backend"], "{found}");
    assert!(is_complete(download));
    // What is told of a flow that is not there yet comes true.
    for port in 30_000..30_010 {
        let client = format!("10.9.0.2:{port}");
        let output = lab.evenkeel(&["flow", "lookup", &client, "192.0.2.20:80", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let new = &told["flows"]["new_flow"];
        assert_eq!((&told["flows"]["flows"], &new["service"]), (&json!([]), &json!("nat")), "{told}");
        let fetch = ["--local-port", &port.to_string(), "http://192.0.2.20/"];
        assert_ne!(succeed(&mut lab.curl(&fetch)), "");
        let output = lab.evenkeel(&["flow", "lookup", &client, "192.0.2.20:80", "--json"]);
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let flow = &found["flows"]["flows"][0];
        assert_eq!((&flow["worker"], &flow["backend"]), (&new["worker"], &new["backend"]), "{told} {found}");
    }
}
