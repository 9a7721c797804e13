//! Arbitrary sequences of requests, packets, stuck workers, lost ways and time.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_datapath::key::Endpoint;
use evenkeel_datapath::maglev::Maglev;
use evenkeel_datapath::snapshot::{BackendId, BackendState};
use proptest::prelude::*;

use crate::protocol::Answer;
use crate::testing::{CONFIG, Rig, everywhere, next_hops};

#[derive(Clone, Debug)]
enum Step {
    Ask(String),
    /// A worker gets a packet for whatever has this slot.
    Open(usize, u16),
    /// A worker's first flow ends.
    Close(usize),
    /// A worker takes its commands.
    Turn(usize),
    Publish(usize),
    Poll,
    Settle,
    Wait(u64),
    Reachable(u8),
}

fn request() -> impl Strategy<Value = String> {
    let service = prop_oneof![Just("web"), Just("a"), Just("b")];
    let backend = (0u8..6).prop_map(|host| format!("10.0.0.{}:80", 10 + host));
    let verb = prop_oneof![Just("add"), Just("remove"), Just("drain"), Just("down"), Just("activate")];
    let with_backend = (verb, service.clone(), backend.clone()).prop_map(|(verb, service, backend)| {
        format!(r#"{{"command":"backend {verb}","service":"{service}","backend":"{backend}"}}"#)
    });
    let weight = (service.clone(), backend, 0u32..1002).prop_map(|(service, backend, weight)| {
        format!(
            r#"{{"command":"backend weight","service":"{service}","backend":"{backend}","weight":{weight}}}"#
        )
    });
    let add = (service.clone(), 0u8..3, any::<bool>()).prop_map(|(service, host, dsr)| {
        let mode = if dsr { "dsr-mac" } else { "full-nat" };
        format!(
            r#"{{"command":"service add","service":"{service}","vip":"192.0.2.{host}:80","protocol":"tcp","mode":"{mode}","maglev_table":31,"backends":[{{"address":"10.0.0.10:80"}},{{"address":"10.0.0.{}:80"}}]}}"#,
            10 + host
        )
    });
    let remove =
        service.prop_map(|service| format!(r#"{{"command":"service remove","service":"{service}"}}"#));
    prop_oneof![6 => with_backend, 2 => weight, 2 => add, 1 => remove]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => request().prop_map(Step::Ask),
        4 => (0usize..2, 0u16..16).prop_map(|(worker, slot)| Step::Open(worker, slot)),
        3 => (0usize..2).prop_map(Step::Close),
        4 => (0usize..2).prop_map(Step::Turn),
        3 => (0usize..2).prop_map(Step::Publish),
        2 => Just(Step::Poll),
        2 => Just(Step::Settle),
        1 => (0u64..400).prop_map(Step::Wait),
        1 => any::<u8>().prop_map(Step::Reachable),
    ]
}

/// What must hold at any time.
fn check(rig: &Rig) -> Result<(), TestCaseError> {
    let snapshot = rig.snapshot();
    let mut wanted = BTreeSet::new();
    for service in &rig.control.desired.services {
        let slot = rig.control.slots.of(service.id).expect("what is wanted has a slot");
        let entry = snapshot.services[usize::from(slot)].as_ref().expect("and is in the snapshot");
        prop_assert_eq!(entry.vip, Endpoint::from(service.vip));
        prop_assert_eq!(snapshot.vips[&(entry.vip, entry.protocol)].0, slot);
        for backend in &service.backends {
            let id = rig.control.slots.backend_id(backend.id).expect("what is wanted has a slot");
            prop_assert!(wanted.insert(id.slot), "a slot is one backend's");
            let entry = snapshot.backend(id).expect("and is in the snapshot");
            prop_assert_eq!((entry.endpoint, entry.service.0), (Endpoint::from(backend.address), slot));
            prop_assert_eq!(entry.state, backend.effective_state());
        }
        for (picked, _) in entry.maglev.shares() {
            let backend = snapshot.backends[usize::from(picked)].as_ref().expect("Maglev names backends");
            prop_assert_eq!((backend.service.0, backend.state), (slot, BackendState::Active));
        }
    }
    prop_assert_eq!(snapshot.vips.len(), rig.control.desired.services.len());
    for (slot, backend) in snapshot.backends.iter().enumerate() {
        let Some(backend) = backend else { continue };
        prop_assert!(snapshot.service(backend.service).is_some());
        let is_wanted = wanted.contains(&u16::try_from(slot).unwrap());
        prop_assert!(is_wanted || backend.state == BackendState::Down);
    }
    // A backend with flows is never gone, nor is its slot another's: the worker's own snapshot and the newest know it.
    for worker in &rig.workers {
        for id in worker.flows.keys() {
            prop_assert!(worker.snapshot.backend(*id).is_some(), "worker's snapshot");
            prop_assert!(snapshot.backend(*id).is_some(), "newest snapshot");
        }
    }
    Ok(())
}

fn tables(rig: &Rig) -> Vec<(String, Arc<Maglev>)> {
    let of = |service: &crate::desired::Service| {
        Some((service.name.clone(), Arc::clone(rig.control.tables.of(service.id)?)))
    };
    rig.control.desired.services.iter().filter_map(of).collect()
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut rig = Rig::new(CONFIG);
    for step in steps {
        match step {
            Step::Ask(line) => {
                let before = (rig.control.desired.clone(), rig.control.generation(), tables(&rig));
                match rig.submit(&line).map_err(|answer| *answer) {
                    Err(Answer::Refused(refusal)) => {
                        prop_assert_eq!(&rig.control.desired, &before.0, "{}", refusal);
                        prop_assert_eq!(rig.control.generation(), before.1);
                    }
                    Err(other) => prop_assert!(false, "{:?}", other),
                    Ok(_) => {
                        let grown = u64::from(!rig.control.desired.is_same(&before.0));
                        prop_assert_eq!(rig.control.generation(), before.1 + grown);
                        for (name, table) in &before.2 {
                            let touched = line.contains(&format!(r#""service":"{name}""#));
                            let kept = |known: &(String, Arc<Maglev>)| {
                                known.0 == *name && Arc::ptr_eq(&known.1, table)
                            };
                            prop_assert!(touched || tables(&rig).iter().any(kept), "{} lost its table", name);
                        }
                    }
                }
            }
            Step::Open(worker, slot) => drop(rig.workers[worker].open(slot)),
            Step::Close(worker) => {
                let first: Option<BackendId> = rig.workers[worker].flows.keys().next().copied();
                first.into_iter().for_each(|id| rig.workers[worker].close(id));
            }
            Step::Turn(worker) => rig.workers[worker].turn(),
            Step::Publish(worker) => rig.workers[worker].publish(),
            Step::Poll => rig.poll(),
            Step::Settle => rig.settle(),
            Step::Wait(seconds) => {
                rig.now = rig.now + Duration::from_secs(seconds);
                rig.poll();
            }
            Step::Reachable(hosts) => {
                let on = (0u8..8).filter(|host| hosts & (1 << host) != 0);
                let addresses = on.map(|host| IpAddr::from([10, 0, 0, 10 + host]));
                let reachable = if hosts == 0 { everywhere() } else { next_hops(addresses) };
                rig.control.set_next_hops(reachable);
            }
        }
        check(&rig)?;
    }
    // In the end all is quiet: every snapshot but the newest is freed, and every slot that is not wanted is free.
    for worker in &mut rig.workers {
        worker.turn();
        while let Some(id) = worker.flows.keys().next().copied() {
            worker.close(id);
        }
    }
    rig.settle();
    rig.settle();
    prop_assert_eq!(rig.control.fleet.retired(), 0);
    prop_assert_eq!(rig.control.slots.leaving_backends().count(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_slots_and_tables_are_right(steps in proptest::collection::vec(step(), 1..80)) {
        run(steps)?;
    }
}
