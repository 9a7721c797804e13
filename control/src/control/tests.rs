use std::sync::Arc;
use std::time::Duration;

use evenkeel_datapath::snapshot::BackendState;

use crate::control::PATIENCE;
use crate::protocol::{Answer, NewFlowReport, RefusalKind, Report};
use crate::testing::{CONFIG, Rig, everywhere, next_hops};

fn request(command: &str, rest: &str) -> String {
    format!(r#"{{"command":"{command}"{}{rest}}}"#, if rest.is_empty() { "" } else { "," })
}

fn backend(command: &str, address: &str) -> String {
    request(&format!("backend {command}"), &format!(r#""service":"web","backend":"{address}""#))
}

const SERVICE: &str = r#""service":"dns","vip":"192.0.2.53:53","protocol":"udp","mode":"nat""#;

#[test]
fn changes_are_in_force_when_they_are_answered() {
    let mut rig = Rig::new(CONFIG);
    let mut generation = rig.control.generation();
    let lines = [
        request("service add", &format!(r#"{SERVICE},"backends":[{{"address":"10.0.0.53:53"}}]"#)),
        backend("add", "10.0.0.4:8080"),
        backend("drain", "10.0.0.4:8080"),
        backend("activate", "10.0.0.4:8080"),
        backend("down", "10.0.0.3:8080"),
        backend("remove", "10.0.0.3:8080"),
        request("backend weight", r#""service":"web","backend":"10.0.0.4:8080","weight":7"#),
        request("service remove", r#""service":"dns""#),
    ];
    for line in &lines {
        assert_eq!(rig.must(line), Answer::Done { generation: generation + 1, report: None }, "{line}");
        generation += 1;
        assert!(rig.workers.iter().all(|worker| worker.snapshot.generation == generation), "{line}");
    }
    // What is so already needs no new generation.
    assert_eq!(rig.must(&lines[3]), Answer::Done { generation, report: None });
}

#[test]
fn a_worker_that_is_stuck_is_named_and_the_change_stands() {
    let mut rig = Rig::new(CONFIG);
    rig.workers[1].alive = false;
    let generation = rig.control.generation() + 1;
    let pending = Answer::Pending { generation, late_workers: vec![1] };
    assert_eq!(rig.ask(&backend("drain", "10.0.0.3:8080")), pending);
    assert_eq!(rig.workers[0].snapshot.generation, generation);
    // Its ring fills, and still nothing is lost but time.
    for weight in 2..20 {
        let line = request(
            "backend weight",
            &format!(r#""service":"web","backend":"10.0.0.30:8080","weight":{}"#, weight + 1),
        );
        let answer = rig.ask(&line);
        assert!(
            matches!(&answer, Answer::Pending { late_workers, .. } if late_workers == &[1]),
            "{answer:?}"
        );
    }
    let Answer::Done { report: Some(Report::Status(status)), .. } = rig.must(&request("status", "")) else {
        panic!("no status")
    };
    assert_eq!((status.in_force, status.late_workers), (false, vec![1]));
    rig.workers[1].alive = true;
    rig.must(&backend("activate", "10.0.0.3:8080"));
    assert_eq!(rig.workers[1].snapshot.generation, rig.control.generation());
}

#[test]
fn the_answer_waits_no_longer_than_said() {
    let mut rig = Rig::new(CONFIG);
    rig.workers[0].alive = false;
    let start = rig.now;
    rig.ask(&backend("down", "10.0.0.3:8080"));
    assert!(
        rig.now.nanos_since(start)
            <= u64::try_from((PATIENCE + Duration::from_millis(100)).as_nanos()).unwrap()
    );
}

#[test]
fn a_drain_ends_by_itself() {
    let mut rig = Rig::new(CONFIG);
    rig.must(&request("backend drain", r#""service":"web","backend":"10.0.0.3:8080","deadline":"30s""#));
    let id = rig.id_of("10.0.0.3:8080").unwrap();
    let state = |rig: &Rig| rig.snapshot().backend(id).unwrap().state;
    let until = BackendState::Draining { until: Some(rig.now + Duration::from_secs(30)) };
    assert_eq!(state(&rig), until);
    rig.now = rig.now + Duration::from_secs(29);
    rig.settle();
    assert_eq!(state(&rig), until);
    rig.now = rig.now + Duration::from_secs(1);
    rig.settle();
    assert_eq!(state(&rig), BackendState::Down);
    rig.must(&request("backend drain", r#""service":"web","backend":"10.0.0.3:8080","deadline":"never""#));
    assert_eq!(state(&rig), BackendState::Draining { until: None });
}

#[test]
fn without_weight_a_backend_drains() {
    let mut rig = Rig::new(CONFIG);
    rig.must(&request("backend weight", r#""service":"web","backend":"10.0.0.3:8080","weight":0"#));
    let id = rig.id_of("10.0.0.3:8080").unwrap();
    assert_eq!(rig.snapshot().backend(id).unwrap().state, BackendState::Draining { until: None });
    let service = rig.snapshot().services[0].as_ref().unwrap();
    assert!(service.maglev.shares().iter().all(|(slot, _)| *slot != id.slot));
}

#[test]
fn only_what_can_be_reached_is_picked_while_there_is_any() {
    let mut rig = Rig::new(CONFIG);
    let near = rig.id_of("10.0.0.3:8080").unwrap().slot;
    let far = rig.id_of("10.0.0.30:8080").unwrap().slot;
    let picked = |rig: &Rig| -> Vec<u16> {
        let service = rig.snapshot().services[0].as_ref().unwrap();
        service.maglev.shares().iter().map(|(slot, _)| *slot).collect()
    };
    assert_eq!(picked(&rig), [near, far]);
    rig.control.set_next_hops(next_hops(["10.0.0.3".parse().unwrap()]));
    assert_eq!(picked(&rig), [near]);
    let Answer::Done { report: Some(Report::Backends(backends)), .. } =
        rig.must(&request("backend list", ""))
    else {
        panic!("no backends")
    };
    assert_eq!(backends.iter().map(|backend| backend.resolved).collect::<Vec<_>>(), [true, false]);
    assert_eq!(backends.iter().map(|backend| backend.maglev_slots).collect::<Vec<_>>(), [251, 0]);
    rig.control.set_next_hops(next_hops([]));
    assert_eq!(picked(&rig), [near, far], "so that drops say that the way is missing");
    let generation = rig.control.generation();
    let same = rig.control.next_hops.clone();
    rig.control.set_next_hops(same);
    assert_eq!(rig.control.generation(), generation);
    rig.control.set_next_hops(everywhere());
    assert_eq!(picked(&rig), [near, far]);
}

#[test]
fn a_slot_is_free_only_when_no_worker_has_a_flow_in_it() {
    let mut rig = Rig::new(CONFIG);
    let old = rig.id_of("10.0.0.3:8080").unwrap();
    // Opened after the last publication: what is published says zero.
    assert!(rig.workers[1].open(old.slot));
    rig.submit(&backend("remove", "10.0.0.3:8080")).unwrap();
    rig.workers.iter_mut().for_each(super::super::testing::SimWorker::turn);
    rig.poll();
    rig.must(&backend("add", "10.0.0.4:8080"));
    let new = rig.id_of("10.0.0.4:8080").unwrap();
    assert_ne!(new.slot, old.slot);
    assert_eq!(rig.snapshot().backend(old).unwrap().state, BackendState::Down);
    rig.settle();
    rig.must(&backend("add", "10.0.0.5:8080"));
    assert_ne!(rig.id_of("10.0.0.5:8080").unwrap().slot, old.slot);
    rig.workers[1].close(old);
    rig.settle();
    rig.must(&backend("add", "10.0.0.6:8080"));
    let reused = rig.id_of("10.0.0.6:8080").unwrap();
    assert_eq!((reused.slot, reused.epoch), (old.slot, old.epoch + 1));
    let Answer::Done { report: Some(Report::Backends(backends)), .. } =
        rig.must(&request("backend list", ""))
    else {
        panic!("no backends")
    };
    assert_eq!(backends[3].counters.value("flows_opened"), 0, "counted for the one before");
}

#[test]
fn a_worker_that_is_stuck_keeps_slots_from_changing_hands() {
    let mut rig = Rig::new(CONFIG);
    let old = rig.id_of("10.0.0.3:8080").unwrap();
    rig.workers[1].alive = false;
    rig.ask(&backend("remove", "10.0.0.3:8080"));
    for _ in 0..4 {
        rig.workers[1].publish();
        rig.settle();
    }
    // It has not heard of the end of the backend, and gives it a flow.
    assert!(rig.workers[1].open(old.slot));
    rig.ask(&backend("add", "10.0.0.4:8080"));
    assert_ne!(rig.id_of("10.0.0.4:8080").unwrap().slot, old.slot);
    assert_eq!(rig.snapshot().backend(old).unwrap().state, BackendState::Down);
}

#[test]
fn a_removed_service_stays_until_its_flows_are_gone_but_takes_no_new_ones() {
    let mut rig = Rig::new(CONFIG);
    let id = rig.id_of("10.0.0.3:8080").unwrap();
    assert!(rig.workers[0].open(id.slot));
    rig.must(&request("service remove", r#""service":"web""#));
    assert!(rig.snapshot().vips.is_empty());
    assert!(!rig.snapshot().vip_addresses.is_empty(), "packets of its flows find their worker as before");
    let endpoint = rig.snapshot().backend(id).unwrap().endpoint;
    assert!(rig.snapshot().nat_endpoints.contains(&(endpoint, Default::default())));
    assert!(rig.snapshot().services[0].as_ref().unwrap().maglev.is_empty());
    assert!(!rig.workers[0].open(id.slot));
    rig.must(&request("service add", SERVICE));
    assert!(rig.snapshot().services[0].is_some() && rig.snapshot().services[1].is_some());
    rig.workers[0].close(id);
    rig.settle();
    rig.must(&request("service remove", r#""service":"dns""#));
    rig.settle();
    rig.must(&request("service add", SERVICE));
    assert_eq!(rig.snapshot().vips.values().next().map(|slot| slot.0), Some(0));
}

#[test]
fn bounds_are_kept_and_named() {
    let mut rig = Rig::new(CONFIG);
    for at in 0..14 {
        rig.must(&backend("add", &format!("10.0.0.100:{}", 1000 + at)));
    }
    let before = rig.control.desired.clone();
    let Answer::Refused(refusal) = rig.ask(&backend("add", "10.0.0.100:999")) else { panic!("not refused") };
    assert_eq!(refusal.error, RefusalKind::BoundReached);
    assert_eq!(refusal.field.as_deref(), Some("balancer.max_backends"));
    assert_eq!(rig.control.desired, before);
}

#[test]
fn untouched_services_keep_their_tables() {
    let mut rig = Rig::new(CONFIG);
    let table = |rig: &Rig| Arc::clone(&rig.snapshot().services[0].as_ref().unwrap().maglev);
    let first = table(&rig);
    rig.must(&request("service add", SERVICE));
    rig.must(&request("backend add", r#""service":"dns","backend":"10.0.0.53:53""#));
    rig.must(&request("service remove", r#""service":"dns""#));
    assert!(Arc::ptr_eq(&first, &table(&rig)));
    rig.must(&backend("drain", "10.0.0.3:8080"));
    assert!(!Arc::ptr_eq(&first, &table(&rig)));
}

#[test]
fn flows_are_listed_page_by_page_and_looked_up() {
    let mut rig = Rig::new(CONFIG);
    let (a, b) = (rig.id_of("10.0.0.3:8080").unwrap(), rig.id_of("10.0.0.30:8080").unwrap());
    for _ in 0..5 {
        assert!(rig.workers[0].open(a.slot) && rig.workers[1].open(b.slot));
    }
    let list = |rig: &mut Rig, fields: &str| {
        let answer = rig.must(&request("flow list", fields));
        let Answer::Done { report: Some(Report::Flows(flows)), .. } = answer else { panic!("no flows") };
        flows
    };
    let all = list(&mut rig, "");
    assert_eq!((all.flows.len(), all.complete), (10, true));
    assert_eq!(all.flows[0].service.as_deref(), Some("web"));
    assert_eq!(all.flows[9].backend, Some("10.0.0.30:8080".parse().unwrap()));
    let one = list(&mut rig, r#""service":"web","backend":"10.0.0.30:8080""#);
    assert!(one.flows.len() == 5 && one.flows.iter().all(|flow| flow.worker == 1));
    let worker = list(&mut rig, r#""worker":0"#);
    assert!(worker.flows.len() == 5 && worker.flows.iter().all(|flow| flow.worker == 0));
    let some = list(&mut rig, r#""limit":4"#);
    assert_eq!((some.flows.len(), some.complete), (4, false));
    let exactly = list(&mut rig, r#""limit":10"#);
    assert_eq!((exactly.flows.len(), exactly.complete), (10, true));
    rig.workers[1].alive = false;
    let late = list(&mut rig, "");
    assert_eq!((late.flows.len(), late.complete, late.late_workers), (5, false, vec![1]));
    // The answer to a question that nobody waits for any more is dropped.
    rig.workers[1].alive = true;
    assert_eq!(list(&mut rig, "").flows.len(), 10);
    let lookup = r#""protocol":"tcp","source":"192.0.2.200:1","destination":"192.0.2.10:80""#;
    rig.must(&request("flow lookup", lookup));
}

#[test]
fn a_look_up_without_a_flow_tells_where_a_new_one_would_go() {
    let mut rig = Rig::new(CONFIG);
    let look_up = |rig: &mut Rig, port: u16, vip: &str| {
        let fields = format!(r#""protocol":"tcp","source":"198.51.100.7:{port}","destination":"{vip}""#);
        let answer = rig.must(&request("flow lookup", &fields));
        let Answer::Done { report: Some(Report::Flows(flows)), .. } = answer else { panic!("no flows") };
        assert!(flows.flows.is_empty() && flows.complete);
        flows.new_flow.map(|new| *new)
    };
    let mut seen = std::collections::BTreeSet::new();
    for port in 1..60 {
        let new = look_up(&mut rig, port, "192.0.2.10:80").unwrap();
        assert_eq!((new.service.as_str(), new.client.port(), new.drop), ("web", port, None));
        seen.insert((new.worker, new.backend.unwrap().to_string()));
    }
    assert_eq!(seen.len(), 4, "two workers, two backends: {seen:?}");
    assert_eq!(look_up(&mut rig, 1, "192.0.2.10:81"), None, "no service there");
    // As it is now: what drains gets none, and then there is nobody.
    rig.must(&backend("drain", "10.0.0.3:8080"));
    let of =
        |new: Option<NewFlowReport>| new.map(|new| (new.backend.map(|at| at.to_string()), new.drop)).unwrap();
    for port in 1..60 {
        let new = of(look_up(&mut rig, port, "192.0.2.10:80"));
        assert_eq!(new, (Some("10.0.0.30:8080".to_owned()), None));
    }
    rig.control.set_next_hops(next_hops([]));
    let nowhere = of(look_up(&mut rig, 1, "192.0.2.10:80"));
    assert_eq!(nowhere, (None, Some("no_next_hop".to_owned())));
    rig.must(&backend("down", "10.0.0.30:8080"));
    assert_eq!(of(look_up(&mut rig, 1, "192.0.2.10:80")), (None, Some("no_backend".to_owned())));
    // A worker that has not answered may have the flow.
    rig.workers[1].alive = false;
    let fields = r#""protocol":"tcp","source":"198.51.100.7:1","destination":"192.0.2.10:80""#;
    let answer = rig.must(&request("flow lookup", fields));
    let Answer::Done { report: Some(Report::Flows(flows)), .. } = answer else { panic!("no flows") };
    assert_eq!((flows.late_workers, flows.new_flow), (vec![1], None));
}

#[test]
fn every_query_has_its_report() {
    let mut rig = Rig::new(CONFIG);
    for command in [
        "status",
        "service list",
        "backend list",
        "drops",
        "worker list",
        "port list",
        "next-hop list",
        "version",
    ] {
        let answer = rig.must(&request(command, ""));
        let line = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer, "{command}");
    }
    let Answer::Done { report: Some(Report::Ports(ports)), .. } = rig.must(&request("port list", "")) else {
        panic!("no ports")
    };
    assert_eq!(ports[0].transmit_checksums, ["ipv4"]);
    assert_eq!(ports[1].addresses[0], "10.0.0.1/24");
}

#[test]
fn after_stop_nothing_is_taken() {
    let mut rig = Rig::new(CONFIG);
    assert!(matches!(rig.ask(&request("stop", "")), Answer::Done { .. }));
    assert!(rig.control.is_stopping());
    let Answer::Refused(refusal) = rig.ask(&request("status", "")) else { panic!("not refused") };
    assert_eq!(refusal.error, RefusalKind::Stopping);
}
