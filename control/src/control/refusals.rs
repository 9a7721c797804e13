//! Requests that cannot be fulfilled, as a table.

use crate::protocol::{Answer, RefusalKind};
use crate::testing::{CONFIG, Rig};

/// (command, other fields, kind of refusal, field, nearest)
type Refused = (&'static str, &'static str, RefusalKind, &'static str, Option<&'static str>);

const REFUSED: &[Refused] = &[
    ("service show", r#""service":"wbe""#, RefusalKind::UnknownService, "service", Some("web")),
    ("service remove", r#""service":"x""#, RefusalKind::UnknownService, "service", None),
    ("backend list", r#""service":"webb""#, RefusalKind::UnknownService, "service", Some("web")),
    (
        "backend drain",
        r#""service":"web","backend":"10.0.0.33:8080""#,
        RefusalKind::UnknownBackend,
        "backend",
        Some("10.0.0.3:8080"),
    ),
    (
        "backend drain",
        r#""service":"web","backend":"10.0.0.3:8080","deadline":"1000h""#,
        RefusalKind::BadValue,
        "deadline",
        None,
    ),
    (
        "backend weight",
        r#""service":"web","backend":"10.0.0.3:8080","weight":1001"#,
        RefusalKind::BadValue,
        "weight",
        None,
    ),
    ("backend add", r#""service":"web","backend":"10.0.0.3:8080""#, RefusalKind::Duplicate, "backend", None),
    ("backend add", r#""service":"web","backend":"[fd00::3]:8080""#, RefusalKind::Conflict, "backend", None),
    (
        "backend add",
        r#""service":"web","backend":"10.0.0.4:80","weight":2000"#,
        RefusalKind::BadValue,
        "weight",
        None,
    ),
    (
        "service add",
        r#""service":"web","vip":"192.0.2.11:80","protocol":"tcp","mode":"nat""#,
        RefusalKind::Duplicate,
        "service",
        None,
    ),
    (
        "service add",
        r#""service":"two","vip":"192.0.2.10:80","protocol":"tcp","mode":"nat""#,
        RefusalKind::Duplicate,
        "vip",
        None,
    ),
    (
        "service add",
        r#""service":"a b","vip":"192.0.2.11:80","protocol":"tcp","mode":"nat""#,
        RefusalKind::BadValue,
        "service",
        None,
    ),
    (
        "service add",
        r#""service":"two","vip":"10.0.1.10:80","protocol":"tcp","mode":"nat""#,
        RefusalKind::Conflict,
        "vip",
        None,
    ),
    (
        "service add",
        r#""service":"two","vip":"192.0.2.11:80","protocol":"tcp","mode":"nat","maglev_table":1000"#,
        RefusalKind::BadValue,
        "maglev_table",
        None,
    ),
    (
        "service add",
        r#""service":"two","vip":"[2001:db8::1]:80","protocol":"tcp","mode":"full-nat""#,
        RefusalKind::Conflict,
        "mode",
        None,
    ),
    (
        "service add",
        r#""service":"two","vip":"192.0.2.11:80","protocol":"tcp","mode":"dsr-mac","backends":[{"address":"10.0.0.9:81"}]"#,
        RefusalKind::Conflict,
        "backends[0].address",
        None,
    ),
    (
        "service add",
        r#""service":"two","vip":"192.0.2.11:80","protocol":"tcp","mode":"dsr-mac","backends":[{"address":"10.9.0.9:80"}]"#,
        RefusalKind::Conflict,
        "backends[0].address",
        None,
    ),
    (
        "service add",
        r#""service":"two","vip":"192.0.2.11:80","protocol":"tcp","mode":"nat","backends":[{"address":"10.0.0.9:80"},{"address":"10.0.0.9:80"}]"#,
        RefusalKind::Duplicate,
        "backends[1].address",
        None,
    ),
    (
        "service add",
        r#""service":"two","vip":"10.0.0.1:80","protocol":"tcp","mode":"nat""#,
        RefusalKind::Conflict,
        "vip",
        None,
    ),
    (
        "service add",
        r#""service":"two","vip":"10.0.0.3:80","protocol":"tcp","mode":"nat""#,
        RefusalKind::Conflict,
        "vip",
        None,
    ),
    ("backend add", r#""service":"web","backend":"192.0.2.10:81""#, RefusalKind::Conflict, "backend", None),
    ("flow list", r#""worker":7"#, RefusalKind::UnknownWorker, "worker", None),
    ("flow list", r#""limit":0"#, RefusalKind::BadValue, "limit", None),
    ("flow list", r#""service":"wep""#, RefusalKind::UnknownService, "service", Some("web")),
];

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut rig = Rig::new(CONFIG);
    for &(command, fields, kind, field, nearest) in REFUSED {
        let before = (rig.control.desired.clone(), rig.control.generation());
        let line = format!(r#"{{"command":"{command}",{fields}}}"#);
        let Answer::Refused(refusal) = rig.ask(&line) else { panic!("{line} was not refused") };
        let told = (refusal.error, refusal.field.as_deref(), refusal.nearest.as_deref());
        assert_eq!(told, (kind, Some(field), nearest), "{line}: {refusal}");
        assert_eq!((rig.control.desired.clone(), rig.control.generation()), before, "{line}");
    }
}
