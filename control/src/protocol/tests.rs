use std::time::Duration;

use evenkeel_config::{BackendState, Mode, Protocol, Respond};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// (line, kind of refusal, field, nearest)
const REFUSED: &[(&str, RefusalKind, Option<&str>, Option<&str>)] = &[
    ("", RefusalKind::Malformed, None, None),
    ("\n", RefusalKind::Malformed, None, None),
    ("status", RefusalKind::Malformed, None, None),
    ("[]", RefusalKind::Malformed, None, None),
    ("\"status\"", RefusalKind::Malformed, None, None),
    (r#"{"command":"status""#, RefusalKind::Malformed, None, None),
    (r#"{"command":"status"} {}"#, RefusalKind::Malformed, None, None),
    (r#"{}"#, RefusalKind::MissingField, Some("command"), None),
    (r#"{"comand":"status"}"#, RefusalKind::UnknownField, Some("comand"), Some("command")),
    (r#"{"command":1}"#, RefusalKind::WrongType, Some("command"), None),
    (r#"{"command":null}"#, RefusalKind::WrongType, Some("command"), None),
    (r#"{"command":"statsu"}"#, RefusalKind::UnknownCommand, Some("command"), Some("status")),
    (r#"{"command":"backend drian"}"#, RefusalKind::UnknownCommand, Some("command"), Some("backend drain")),
    (r#"{"command":"make coffee"}"#, RefusalKind::UnknownCommand, Some("command"), None),
    (r#"{"command":"status","x":1}"#, RefusalKind::UnknownField, Some("x"), None),
    (r#"{"command":"status","command":"drops"}"#, RefusalKind::DuplicateField, Some("command"), None),
    (r#"{"command":"service show"}"#, RefusalKind::MissingField, Some("service"), None),
    (
        r#"{"command":"service show","servcie":"web"}"#,
        RefusalKind::UnknownField,
        Some("servcie"),
        Some("service"),
    ),
    (r#"{"command":"service show","service":7}"#, RefusalKind::WrongType, Some("service"), None),
    (
        r#"{"command":"backend down","service":"web","backend":"10.0.0.3"}"#,
        RefusalKind::BadValue,
        Some("backend"),
        None,
    ),
    (
        r#"{"command":"backend weight","service":"web","backend":"10.0.0.3:80","weight":-1}"#,
        RefusalKind::WrongType,
        Some("weight"),
        None,
    ),
    (
        r#"{"command":"backend weight","service":"web","backend":"10.0.0.3:80","weight":1.5}"#,
        RefusalKind::WrongType,
        Some("weight"),
        None,
    ),
    (
        r#"{"command":"backend weight","service":"web","backend":"10.0.0.3:80","weight":4294967296}"#,
        RefusalKind::BadValue,
        Some("weight"),
        None,
    ),
    (
        r#"{"command":"backend drain","service":"web","backend":"10.0.0.3:80","deadline":"30"}"#,
        RefusalKind::BadValue,
        Some("deadline"),
        None,
    ),
    (
        r#"{"command":"backend drain","service":"web","backend":"10.0.0.3:80","deadline":30}"#,
        RefusalKind::WrongType,
        Some("deadline"),
        None,
    ),
    (
        r#"{"command":"service add","service":"w","vip":"192.0.2.1:80","protocol":"tpc","mode":"nat"}"#,
        RefusalKind::BadValue,
        Some("protocol"),
        Some("tcp"),
    ),
    (
        r#"{"command":"service add","service":"w","vip":"192.0.2.1:80","protocol":"tcp","mode":"full_nat"}"#,
        RefusalKind::BadValue,
        Some("mode"),
        Some("full-nat"),
    ),
    (
        r#"{"command":"service add","service":"w","vip":"192.0.2.1:80","protocol":"tcp","mode":"nat","backends":[{"address":"10.0.0.1:80"},{"adress":"10.0.0.2:80"}]}"#,
        RefusalKind::UnknownField,
        Some("backends[1].adress"),
        Some("address"),
    ),
    (
        r#"{"command":"service add","service":"w","vip":"192.0.2.1:80","protocol":"tcp","mode":"nat","backends":[{}]}"#,
        RefusalKind::MissingField,
        Some("backends[0].address"),
        None,
    ),
    (
        r#"{"command":"service add","service":"w","vip":"192.0.2.1:80","protocol":"tcp","mode":"nat","backends":{}}"#,
        RefusalKind::WrongType,
        Some("backends"),
        None,
    ),
];

#[test]
fn malformed_lines_are_told_what_is_wrong() {
    for &(line, kind, field, nearest) in REFUSED {
        let refusal = parse_line(line.as_bytes()).expect_err(line);
        assert_eq!(
            (refusal.error, refusal.field.as_deref(), refusal.nearest.as_deref()),
            (kind, field, nearest),
            "{line}: {refusal}"
        );
        assert!(!refusal.message.is_empty());
    }
    let weight = br#"{"command":"backend weight","service":"web","backend":"10.0.0.3:80","weight":-1}"#;
    let message = parse_line(weight).expect_err("a negative weight").message;
    assert_eq!(message, "\"weight\" is -1; expected a whole number below 2^32");
    assert_eq!(parse_line(b"{\"command\":\"stat\xffus\"}").map_err(|r| r.error), Err(RefusalKind::Malformed));
    assert_eq!(parse_line(&vec![b' '; MAX_LINE + 1]).map_err(|r| r.error), Err(RefusalKind::LineTooLong));
    let nested = "[".repeat(100_000);
    assert_eq!(parse_line(nested.as_bytes()).map_err(|r| r.error), Err(RefusalKind::Malformed));
}

#[test]
fn optional_fields_may_be_absent_or_null() {
    let expected = Request::BackendDrain {
        service: "web".into(),
        backend: "10.0.0.3:8080".parse().unwrap(),
        deadline: None,
    };
    for end in ["", r#","deadline":null"#] {
        let line = format!(r#"{{"command":"backend drain","service":"web","backend":"10.0.0.3:8080"{end}}}"#);
        assert_eq!(parse_line(line.as_bytes()), Ok(expected.clone()));
    }
    for (text, deadline) in [
        ("30s", Deadline::After(Duration::from_secs(30))),
        ("never", Deadline::Never),
        ("0s", Deadline::Never),
    ] {
        assert_eq!(Deadline::parse(text), Ok(deadline));
    }
}

#[test]
fn answers_have_the_shape_that_scripts_rely_on() {
    let late = Answer::Pending { generation: 12, late_workers: vec![1] };
    let refused = Refusal::new(RefusalKind::UnknownBackend, "no such backend")
        .field("backend")
        .nearest(Some("10.0.0.30:8080"));
    let version = Report::Version(VersionReport { version: "0.1.0".into() });
    for (answer, line) in [
        (Answer::Done { generation: 12, report: None }, r#"{"ok":true,"generation":12}"#),
        (
            Answer::Done { generation: 3, report: Some(version) },
            r#"{"ok":true,"generation":3,"version":{"version":"0.1.0"}}"#,
        ),
        (
            Answer::Done { generation: 3, report: Some(Report::Workers(Vec::new())) },
            r#"{"ok":true,"generation":3,"workers":[]}"#,
        ),
        (late, r#"{"ok":false,"pending":true,"generation":12,"late_workers":[1]}"#),
        (
            Answer::Refused(refused),
            r#"{"ok":false,"error":"unknown_backend","field":"backend","message":"no such backend; did you mean \"10.0.0.30:8080\"?","nearest":"10.0.0.30:8080"}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&answer).unwrap(), line);
        assert_eq!(serde_json::from_str::<Answer>(line).unwrap(), answer);
    }
}

#[test]
fn counters_keep_their_order() {
    let counts = Counts(vec![("z".into(), 1), ("a".into(), 2)]);
    let text = serde_json::to_string(&counts).unwrap();
    assert_eq!(text, r#"{"z":1,"a":2}"#);
    assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), counts);
}

fn endpoint() -> impl Strategy<Value = std::net::SocketAddr> {
    (0u8..4, 1u16.., any::<bool>()).prop_map(|(host, port, v6)| {
        if v6 { format!("[fd00::{host:x}1]:{port}") } else { format!("10.0.0.1{host}:{port}") }
            .parse()
            .unwrap()
    })
}

fn respond() -> impl Strategy<Value = Respond> {
    let size = proptest::option::of(0u64..=64 << 20);
    (200u16..600, "[!-~]{1,20}", any::<Option<String>>(), size)
        .prop_map(|(status, content_type, body, body_size)| Respond { status, content_type, body, body_size })
}

fn request() -> impl Strategy<Value = Request> {
    let state =
        prop_oneof![Just(BackendState::Active), Just(BackendState::Draining), Just(BackendState::Down)];
    let deadline = prop_oneof![
        Just(Deadline::Never),
        (1u64..1 << 40).prop_map(|millis| Deadline::After(Duration::from_millis(millis)))
    ];
    let spec =
        (endpoint(), any::<Option<u32>>(), proptest::option::of(state.clone()), any::<Option<String>>())
            .prop_map(|(address, weight, state, pool)| BackendSpec { address, weight, state, pool });
    prop_oneof![
        Just(Request::Status {}),
        Just(Request::Reload {}),
        any::<Option<String>>().prop_map(|service| Request::BackendList { service }),
        (".*", endpoint(), proptest::option::of(deadline))
            .prop_map(|(service, backend, deadline)| Request::BackendDrain { service, backend, deadline }),
        (".*", endpoint(), any::<Option<u32>>(), proptest::option::of(state), any::<Option<String>>())
            .prop_map(|(service, backend, weight, state, pool)| Request::BackendAdd {
                service,
                backend,
                weight,
                state,
                pool
            }),
        (
            ".*",
            endpoint(),
            any::<Option<u32>>(),
            proptest::option::of(respond()),
            vec(any::<String>(), 0..3),
            vec(spec, 0..3)
        )
            .prop_map(|(service, vip, maglev_table, respond, pools, backends)| Request::ServiceAdd {
                service,
                vip,
                protocol: Protocol::Udp,
                mode: Mode::DsrMac,
                maglev_table,
                respond,
                pools,
                backends,
            }),
        (any::<Option<u8>>(), any::<Option<u32>>(), proptest::option::of(endpoint()))
            .prop_map(|(worker, limit, backend)| Request::FlowList { service: None, backend, worker, limit }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(request in request()) {
        let line = serde_json::to_string(&request).unwrap();
        prop_assert_eq!(parse_line(line.as_bytes()), Ok(request));
    }

    #[test]
    fn no_line_panics(line in vec(any::<u8>(), 0..300)) {
        let _ = parse_line(&line);
    }
}
