//! Routes and pools over the control socket: what is explained, and what follows backends as they change.

use crate::protocol::{Answer, Refusal, Report, RouteOutcome, RouteReport, RouteVerdict};
use crate::testing::{CONFIG, Rig};

const SHOP: &str = r#"
[[service]]
name = "shop"
vip = "192.0.2.20:80"
protocol = "tcp"
mode = "l7"
[[service.backend]]
address = "10.0.0.5:80"
[[service.backend]]
address = "10.0.0.6:80"
[[service.backend]]
address = "10.0.0.7:80"
pool = "canary"
[[service.pool]]
name = "canary"
[[service.route]]
name = "testers"
hosts = ["shop.example.com"]
path_prefix = "/basket"
headers = [{ name = "X-Env", is = "beta" }]
to = "canary"
[[service.route]]
name = "basket"
path_prefix = "/basket"
split = [{ pool = "default", weight = 9 }, { pool = "canary", weight = 1 }]
sticky = "header X-User"
[[service.route]]
name = "old"
path = "/old"
redirect = { scheme = "https", path = "/new" }
"#;

fn rig() -> Rig {
    Rig::new(&format!("{CONFIG}{SHOP}"))
}

fn explained(rig: &mut Rig, url: &str, headers: &str) -> RouteReport {
    let line = format!(r#"{{"command":"route explain","method":"GET","url":"{url}","headers":[{headers}]}}"#);
    match rig.ask(&line) {
        Answer::Done { report: Some(Report::Route(report)), .. } => *report,
        other => panic!("{other:?}"),
    }
}

fn refusal(rig: &mut Rig, line: &str) -> Refusal {
    match rig.ask(line) {
        Answer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// The pools that a request may go to, with their backends and whether they are chosen.
fn pools(report: &RouteReport) -> Vec<(String, bool, Vec<String>)> {
    let RouteOutcome::Forward { pools } = &report.outcome else { panic!("{report:?}") };
    let of = |pool: &crate::protocol::PoolShare| {
        (pool.pool.clone(), pool.chosen, pool.backends.iter().map(ToString::to_string).collect())
    };
    pools.iter().map(of).collect()
}

#[test]
fn a_request_is_explained() {
    let mut rig = rig();
    let report = explained(&mut rig, "https://Shop.Example.com:443/a/../basket/%31?x=1", r#""X-Env: beta""#);
    assert_eq!((report.service.as_str(), report.host.as_str()), ("shop", "shop.example.com"));
    assert_eq!((report.path.as_str(), report.taken.as_deref()), ("/basket/1", Some("testers")));
    assert_eq!(pools(&report), [("canary".to_owned(), true, vec!["10.0.0.7:80".to_owned()])]);
    let verdicts: Vec<_> = report.routes.iter().map(|route| (route.route.as_str(), route.verdict)).collect();
    assert_eq!(verdicts[0], ("testers", RouteVerdict::Taken));
    assert!(verdicts.contains(&("basket", RouteVerdict::LessSpecific)), "{verdicts:?}");
    assert!(verdicts.contains(&("old", RouteVerdict::Path)), "{verdicts:?}");

    let report = explained(&mut rig, "http://shop.example.com/basket", "");
    assert_eq!(report.taken.as_deref(), Some("basket"));
    let unmet = report.routes.iter().find(|route| route.route == "testers").unwrap();
    assert_eq!(unmet.condition.as_deref(), Some("header X-Env is \"beta\""));
    assert!(pools(&report).iter().all(|(_, chosen, _)| !chosen));
    let report = explained(&mut rig, "http://shop.example.com/basket", r#""X-User: anna""#);
    assert_eq!(pools(&report).iter().filter(|(_, chosen, _)| *chosen).count(), 1);

    let report = explained(&mut rig, "http://a/old", "");
    assert!(matches!(report.outcome, RouteOutcome::Redirect { status: 308, .. }), "{report:?}");
    let report = explained(&mut rig, "http://a", "");
    assert_eq!((report.path.as_str(), report.taken.as_deref()), ("/", None));
    assert!(matches!(report.outcome, RouteOutcome::Respond { status: 404, .. }), "{report:?}");
    let report = explained(&mut rig, "http://a/..", "");
    assert!(matches!(report.outcome, RouteOutcome::Refused { status: 400, .. }), "{report:?}");
}

#[test]
fn what_cannot_be_explained_is_refused_by_name() {
    let mut rig = rig();
    let field = |rig: &mut Rig, rest: &str| {
        refusal(rig, &format!(r#"{{"command":"route explain","method":"GET",{rest}}}"#)).field
    };
    assert_eq!(field(&mut rig, r#""url":"/basket""#).as_deref(), Some("url"));
    assert_eq!(field(&mut rig, r#""url":"http://a/b c""#).as_deref(), Some("url"));
    assert_eq!(field(&mut rig, r#""url":"http://a/","service":"web""#).as_deref(), Some("service"));
    assert_eq!(field(&mut rig, r#""url":"http://a/","service":"shp""#).as_deref(), Some("service"));
    let header = r#""url":"http://a/","headers":["A: b\r\nC: d"]"#;
    assert_eq!(field(&mut rig, header).as_deref(), Some("headers[0]"));
}

#[test]
fn pools_follow_their_backends() {
    let mut rig = rig();
    let default = |rig: &mut Rig| {
        let report = explained(rig, "http://a/basket", "");
        pools(&report).remove(0).2
    };
    assert_eq!(default(&mut rig), ["10.0.0.5:80", "10.0.0.6:80"]);
    rig.must(r#"{"command":"backend drain","service":"shop","backend":"10.0.0.5:80"}"#);
    assert_eq!(default(&mut rig), ["10.0.0.6:80"]);
    rig.must(r#"{"command":"backend weight","service":"shop","backend":"10.0.0.6:80","weight":0}"#);
    assert_eq!(default(&mut rig), [""; 0]);
    rig.must(r#"{"command":"backend activate","service":"shop","backend":"10.0.0.5:80"}"#);
    rig.must(r#"{"command":"backend add","service":"shop","backend":"10.0.0.8:80"}"#);
    assert_eq!(default(&mut rig), ["10.0.0.5:80", "10.0.0.8:80"]);
    rig.must(r#"{"command":"backend add","service":"shop","backend":"10.0.0.9:80","pool":"canary"}"#);
    let report = explained(&mut rig, "http://a/basket", "");
    assert_eq!(pools(&report)[1].2, ["10.0.0.7:80", "10.0.0.9:80"]);
    let line = r#"{"command":"backend add","service":"shop","backend":"10.0.0.4:80","pool":"canari"}"#;
    let refused = refusal(&mut rig, line);
    assert!(refused.message.contains("did you mean \"canary\"?"), "{refused}");
}

#[test]
fn a_service_with_pools_is_added() {
    let mut rig = Rig::new(CONFIG);
    let backends = r#"[{"address":"10.0.0.5:80"},{"address":"10.0.0.6:80","pool":"blue"}]"#;
    let add = |pools: &str| {
        format!(
            r#"{{"command":"service add","service":"app","vip":"192.0.2.30:80","protocol":"tcp","mode":"l7","pools":{pools},"backends":{backends}}}"#
        )
    };
    assert_eq!(refusal(&mut rig, &add("[]")).field.as_deref(), Some("backends[1].pool"));
    assert_eq!(refusal(&mut rig, &add(r#"["b c"]"#)).field.as_deref(), Some("pools[0]"));
    rig.must(&add(r#"["blue"]"#));
    let report = explained(&mut rig, "http://a/", "");
    assert_eq!(pools(&report), [("default".to_owned(), true, vec!["10.0.0.5:80".to_owned()])]);
}

#[test]
fn a_reload_changes_routes_or_nothing() {
    let mut rig = rig();
    let site = |rig: &Rig| {
        let shop = rig.control.desired.service("shop").unwrap().id;
        std::sync::Arc::clone(rig.control.tables.site_of(shop).unwrap())
    };
    let before = site(&rig);
    let id = rig.id_of("10.0.0.5:80");
    let Answer::Done { report: Some(Report::Reload(report)), .. } = rig.reload(&format!("{CONFIG}{SHOP}"))
    else {
        panic!()
    };
    assert!(report.services_changed.is_empty(), "{report:?}");
    assert!(std::sync::Arc::ptr_eq(&before, &site(&rig)));
    let bad = SHOP.replace("to = \"canary\"", "to = \"canry\"");
    assert!(matches!(rig.reload(&format!("{CONFIG}{bad}")), Answer::Refused(_)));
    assert!(std::sync::Arc::ptr_eq(&before, &site(&rig)));
    let good = SHOP.replace("path = \"/old\"", "path = \"/older\"");
    let Answer::Done { report: Some(Report::Reload(report)), .. } = rig.reload(&format!("{CONFIG}{good}"))
    else {
        panic!()
    };
    assert_eq!(report.services_changed, ["shop"]);
    assert!(report.backends_changed.is_empty());
    assert_eq!(rig.id_of("10.0.0.5:80"), id, "backends keep their places");
    assert_eq!(explained(&mut rig, "http://a/older", "").taken.as_deref(), Some("old"));
}
