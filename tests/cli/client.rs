//! The command line and a balancer at the socket, played by the test.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Output;
use std::thread;

use crate::support::{Folder, evenkeel, run, stderr, stdout};

/// Runs the program against a balancer that gives one answer; what it asked, and what it said.
fn answered(arguments: &[&str], answer: &str) -> (String, Output) {
    let folder = Folder::new();
    let socket = folder.path("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = answer.to_owned();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut request).unwrap();
        let _ = stream.write_all(answer.as_bytes());
        request
    });
    let output = evenkeel().args(arguments).env("EVENKEEL_SOCKET", &socket).output().unwrap();
    drop(UnixStream::connect(&socket)); // the program may not have come so far as to ask
    (server.join().unwrap(), output)
}

#[test]
fn without_a_balancer_the_exit_code_is_3_and_a_sentence_says_what_to_do() {
    let folder = Folder::new();
    let socket = folder.path("nobody.sock");
    let stale = folder.path("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    for socket in [socket, stale] {
        let output = run(["--socket".as_ref(), socket.as_os_str(), "status".as_ref()]);
        assert_eq!(output.status.code(), Some(3));
        let expected = format!(
            "error: no balancer answers at {}; start one with `evenkeel run --config FILE`, or name its socket with \
             --socket\n",
            socket.display()
        );
        assert_eq!(stderr(&output), expected);
    }
}

#[test]
fn commands_become_requests() {
    let done = "{\"ok\":true,\"generation\":12}\n";
    for (arguments, request) in [
        (
            &["backend", "drain", "web", "10.0.0.3:8080", "--deadline", "30s"][..],
            r#"{"command":"backend drain","service":"web","backend":"10.0.0.3:8080","deadline":"30s"}"#,
        ),
        (
            &["backend", "undrain", "web", "[fd00::3]:8080"],
            r#"{"command":"backend activate","service":"web","backend":"[fd00::3]:8080"}"#,
        ),
        (
            &["backend", "weight", "web", "10.0.0.3:8080", "0"],
            r#"{"command":"backend weight","service":"web","backend":"10.0.0.3:8080","weight":0}"#,
        ),
        (&["service", "remove", "web"], r#"{"command":"service remove","service":"web"}"#),
        (&["stop"], r#"{"command":"stop"}"#),
    ] {
        let (asked, output) = answered(arguments, done);
        assert_eq!(asked, format!("{request}\n"));
        let said =
            if arguments == ["stop"] { "stopping\n" } else { "in force on every worker, generation 12\n" };
        assert_eq!(stdout(&output), said);
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn refused_is_1_and_pending_is_4() {
    let refused =
        r#"{"ok":false,"error":"unknown_backend","field":"backend","message":"web has no backend"}"#;
    let pending = r#"{"ok":false,"pending":true,"generation":12,"late_workers":[1,3]}"#;
    for (answer, code, message) in [
        (refused, 1, "error: web has no backend\n"),
        (
            pending,
            4,
            "error: pending: generation 12 is not in force on workers 1, 3 yet; see `evenkeel worker list`\n",
        ),
    ] {
        let line = format!("{answer}\n");
        let (_, output) = answered(&["backend", "down", "web", "10.0.0.3:8080"], &line);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(code), message));
        let (_, output) = answered(&["backend", "down", "web", "10.0.0.3:8080", "--json"], &line);
        assert_eq!((output.status.code(), stdout(&output)), (Some(code), line));
    }
}

#[test]
fn answers_are_tables_for_people_and_themselves_for_programs() {
    let answer = r#"{"ok":true,"generation":7,"next_hops":[{"address":"10.0.0.3","port":"wan","mac":"02:00:00:00:00:03","state":"resolved","backends":2},{"address":"fd00::30","port":"wan","mac":null,"state":"probing","backends":12}]}"#;
    let line = format!("{answer}\n");
    let (_, output) = answered(&["next-hop", "list"], &line);
    assert_eq!(
        stdout(&output),
        "ADDRESS   PORT  MAC                STATE     BACKENDS\n\
         10.0.0.3  wan   02:00:00:00:00:03  resolved         2\n\
         fd00::30  wan   -                  probing         12\n"
    );
    let (_, output) = answered(&["next-hop", "list", "--json"], &line);
    assert_eq!(stdout(&output), line);
}

#[test]
fn where_a_flow_would_go_is_told_when_there_is_none() {
    let new = r#"{"worker":1,"service":"web","protocol":"tcp","client":"198.51.100.7:40000","vip":"192.0.2.10:80","backend":"10.0.0.3:8080","drop":null}"#;
    let none = new.replace("\"10.0.0.3:8080\",\"drop\":null", "null,\"drop\":\"no_backend\"");
    let arguments = ["flow", "lookup", "198.51.100.7:40000", "192.0.2.10:80"];
    for (new, said) in [
        (new, "a new one would go to 10.0.0.3:8080, by worker 1"),
        (&none, "the first packet of a new one would be dropped by worker 1: no_backend"),
    ] {
        let line = format!(
            r#"{{"ok":true,"generation":7,"flows":{{"flows":[],"complete":true,"late_workers":[],"new_flow":{new}}}}}"#
        ) + "\n";
        let (asked, output) = answered(&arguments, &line);
        assert_eq!(
            asked,
            "{\"command\":\"flow lookup\",\"protocol\":\"tcp\",\"source\":\"198.51.100.7:40000\",\"destination\":\"192.0.2.10:80\"}\n"
        );
        assert_eq!(
            stdout(&output),
            format!("no flow of tcp from 198.51.100.7:40000 to 192.0.2.10:80 (web); {said}\n")
        );
        let (_, output) = answered(&[&arguments[..], &["--json"]].concat(), &line);
        assert_eq!(stdout(&output), line);
    }
    let neither =
        "{\"ok\":true,\"generation\":7,\"flows\":{\"flows\":[],\"complete\":true,\"late_workers\":[]}}\n";
    assert_eq!(stdout(&answered(&arguments, neither).1), "no flows\n");
}

#[test]
fn answers_that_cannot_be_read_are_errors() {
    for (answer, message) in [
        ("", "broke off amid its answer"),
        ("{\"ok\":true", "broke off amid its answer"),
        ("what?\n", "cannot read the balancer's answer"),
    ] {
        let (_, output) = answered(&["status"], answer);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
    // Another version may report what this one does not know: programs get it all the same.
    let newer = "{\"ok\":true,\"generation\":1,\"status\":{\"new\":1}}\n";
    let (_, output) = answered(&["status", "--json"], newer);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), newer));
    let (_, output) = answered(&["status"], newer);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
}
