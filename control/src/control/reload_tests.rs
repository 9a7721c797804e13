use evenkeel_datapath::snapshot::BackendState;

use crate::protocol::{Answer, RefusalKind, ReloadReport, Report};
use crate::testing::{CONFIG, Rig};

fn reloaded(rig: &mut Rig, text: &str) -> ReloadReport {
    match rig.reload(text) {
        Answer::Done { report: Some(Report::Reload(report)), .. } => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_file_changes_nothing() {
    let mut rig = Rig::new(CONFIG);
    let generation = rig.control.generation();
    assert_eq!(reloaded(&mut rig, CONFIG), ReloadReport::default());
    assert_eq!(rig.control.generation(), generation);
}

#[test]
fn the_file_wins_over_what_was_changed_at_run_time() {
    let mut rig = Rig::new(CONFIG);
    let kept = rig.id_of("10.0.0.3:8080").unwrap();
    rig.must(r#"{"command":"backend drain","service":"web","backend":"10.0.0.3:8080"}"#);
    rig.must(r#"{"command":"backend add","service":"web","backend":"10.0.0.4:8080"}"#);
    rig.must(r#"{"command":"backend remove","service":"web","backend":"10.0.0.30:8080"}"#);
    rig.must(
        r#"{"command":"service add","service":"dns","vip":"192.0.2.53:53","protocol":"udp","mode":"nat"}"#,
    );
    let report = reloaded(&mut rig, CONFIG);
    assert_eq!(report.services_removed, ["dns"]);
    assert_eq!(report.services_changed, ["web"]);
    assert_eq!(report.backends_added, ["web 10.0.0.30:8080"]);
    assert_eq!(report.backends_removed, ["web 10.0.0.4:8080"]);
    assert_eq!(report.backends_changed, ["web 10.0.0.3:8080"]);
    assert_eq!(rig.id_of("10.0.0.3:8080"), Some(kept), "what is in both keeps its slot");
    assert_eq!(rig.snapshot().backend(kept).unwrap().state, BackendState::Active);
}

#[test]
fn a_drain_that_the_file_wants_too_keeps_its_deadline() {
    let mut rig = Rig::new(CONFIG);
    rig.must(r#"{"command":"backend drain","service":"web","backend":"10.0.0.3:8080","deadline":"7s"}"#);
    let id = rig.id_of("10.0.0.3:8080").unwrap();
    let state = rig.snapshot().backend(id).unwrap().state;
    let file =
        CONFIG.replace(r#"address = "10.0.0.3:8080""#, "address = \"10.0.0.3:8080\"\nstate = \"draining\"");
    assert_eq!(reloaded(&mut rig, &file), ReloadReport::default());
    assert_eq!(rig.snapshot().backend(id).unwrap().state, state);
}

#[test]
fn another_vip_makes_another_service() {
    let mut rig = Rig::new(CONFIG);
    let old = rig.id_of("10.0.0.3:8080").unwrap();
    assert!(rig.workers[0].open(old.slot));
    let report = reloaded(&mut rig, &CONFIG.replace("192.0.2.10:80", "192.0.2.11:80"));
    assert_eq!(
        (report.services_added, report.services_removed),
        (vec!["web".to_owned()], vec!["web".to_owned()])
    );
    assert_eq!(rig.snapshot().backend(old).unwrap().state, BackendState::Down);
    assert_ne!(rig.id_of("10.0.0.3:8080"), Some(old));
}

#[test]
fn settings_change_in_place() {
    let mut rig = Rig::new(CONFIG);
    let file = CONFIG.replace(r#"drain_timeout = "5m""#, r#"drain_timeout = "1m""#);
    let file = format!("{file}\n[limits]\nresets = 5\n[timeouts]\nudp_one_way = \"3s\"\n");
    let report = reloaded(&mut rig, &file);
    assert_eq!(report.settings_changed, ["balancer.drain_timeout", "timeouts", "limits"]);
    assert_eq!((rig.snapshot().limits.resets, rig.snapshot().timeouts.udp_one_way_ms), (5, 3000));
}

#[test]
fn what_cannot_change_is_refused_by_name_and_nothing_else_changes() {
    // (from, to, field)
    let cases = [
        ("workers = [0, 1]", "workers = [0]", "balancer.workers"),
        ("workers = [0, 1]", "workers = [0, 1]\nidle = \"backoff\"", "balancer.idle"),
        ("workers = [0, 1]", "workers = [0, 1]\nflows = 5000", "balancer.flows"),
        ("workers = [0, 1]", "workers = [0, 1]\nseed = 5", "balancer.seed"),
        ("max_services = 8", "max_services = 9", "balancer.max_services"),
        ("max_backends = 16", "max_backends = 17", "balancer.max_backends"),
        ("[full_nat]", "[dpdk]\nmbufs = 65536\n[full_nat]", "dpdk"),
        (r#"["10.0.1.10"]"#, r#"["10.0.1.11"]"#, "full_nat.local_addresses"),
        (r#"["10.0.1.10"]"#, "[\"10.0.1.10\"]\nports = \"2000-30000\"", "full_nat.ports"),
        ("net_null1", "net_null2", "port"),
    ];
    let mut rig = Rig::new(CONFIG);
    for (from, to, field) in cases {
        let before = (rig.control.desired.clone(), rig.control.generation());
        let file = CONFIG.replace(from, to).replace("weight = 2", "weight = 3");
        let Answer::Refused(refusal) = rig.reload(&file) else { panic!("{to} was not refused") };
        assert_eq!(
            (refusal.error, refusal.field.as_deref()),
            (RefusalKind::NotAtRunTime, Some(field)),
            "{refusal}"
        );
        assert_eq!((rig.control.desired.clone(), rig.control.generation()), before, "{to}");
    }
    let Answer::Refused(refusal) = rig.reload("[balancer]\nworkers = \"all\"\n") else {
        panic!("not refused")
    };
    assert_eq!(refusal.error, RefusalKind::BadConfiguration);
    assert!(refusal.message.contains(":2:"), "{refusal}");
    let Answer::Refused(refusal) = rig.ask(r#"{"command":"reload"}"#) else { panic!("not refused") };
    assert_eq!(refusal.error, RefusalKind::BadConfiguration, "the file is gone");
}
