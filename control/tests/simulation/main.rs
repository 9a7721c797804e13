//! The control state and two real workers in one virtual time: arbitrary requests amid packets of many connections.
//!
//! What must hold whatever happens: a request that is answered `ok` is in force for the very next packet; no packet of a
//! connection reaches another backend than the one it was opened with (in DSR, unless that one takes none any more);
//! answers go back to the client that asked; and every packet is accounted for.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../../datapath/tests/support/frames.rs"]
#[allow(dead_code, unreachable_pub, reason = "another crate's tests share this module and use more of it")]
mod frames;
mod rig;

use proptest::prelude::*;

use rig::{HOSTS, Rig, SERVICES};

#[derive(Clone, Debug)]
enum Step {
    /// A new connection to a service.
    Open {
        service: usize,
        worker: usize,
    },
    /// The client of a connection sends.
    Send {
        connection: usize,
        worker: usize,
    },
    /// Its backend answers.
    Answer {
        connection: usize,
        worker: usize,
    },
    /// The client or the backend resets it.
    Reset {
        connection: usize,
        worker: usize,
    },
    Change(Change),
    /// Milliseconds without packets.
    Wait(u16),
}

#[derive(Clone, Debug)]
enum Change {
    Add { service: usize, host: u8 },
    Remove { service: usize, host: u8 },
    Drain { service: usize, host: u8, seconds: u8 },
    Down { service: usize, host: u8 },
    Activate { service: usize, host: u8 },
    Weight { service: usize, host: u8, weight: u8 },
    RemoveService { service: usize },
    AddService { service: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let service = || 0..SERVICES.len();
    let host = || 1..=HOSTS;
    let change = prop_oneof![
        3 => (service(), host()).prop_map(|(service, host)| Change::Add { service, host }),
        3 => (service(), host()).prop_map(|(service, host)| Change::Remove { service, host }),
        2 => (service(), host(), 0..20_u8).prop_map(|(service, host, seconds)| Change::Drain { service, host, seconds }),
        1 => (service(), host()).prop_map(|(service, host)| Change::Down { service, host }),
        2 => (service(), host()).prop_map(|(service, host)| Change::Activate { service, host }),
        1 => (service(), host(), 0..5_u8).prop_map(|(service, host, weight)| Change::Weight { service, host, weight }),
        1 => service().prop_map(|service| Change::RemoveService { service }),
        2 => service().prop_map(|service| Change::AddService { service }),
    ];
    let packet = || (any::<usize>(), 0..2_usize);
    prop_oneof![
        5 => (service(), 0..2_usize).prop_map(|(service, worker)| Step::Open { service, worker }),
        6 => packet().prop_map(|(connection, worker)| Step::Send { connection, worker }),
        3 => packet().prop_map(|(connection, worker)| Step::Answer { connection, worker }),
        1 => packet().prop_map(|(connection, worker)| Step::Reset { connection, worker }),
        6 => change.prop_map(Step::Change),
        2 => (0..3000_u16).prop_map(Step::Wait),
    ]
}

fn request(change: &Change) -> String {
    let of = |verb: &str, service: usize, host: u8, more: &str| {
        let (name, port) = (SERVICES[service].name, SERVICES[service].backend_port);
        format!(r#"{{"command":"backend {verb}","service":"{name}","backend":"10.0.0.{host}:{port}"{more}}}"#)
    };
    match *change {
        Change::Add { service, host } => of("add", service, host, ""),
        Change::Remove { service, host } => of("remove", service, host, ""),
        Change::Drain { service, host, seconds } => {
            of("drain", service, host, &format!(r#","deadline":"{seconds}s""#))
        }
        Change::Down { service, host } => of("down", service, host, ""),
        Change::Activate { service, host } => of("activate", service, host, ""),
        Change::Weight { service, host, weight } => {
            of("weight", service, host, &format!(r#","weight":{weight}"#))
        }
        Change::RemoveService { service } => {
            format!(r#"{{"command":"service remove","service":"{}"}}"#, SERVICES[service].name)
        }
        Change::AddService { service } => {
            let rig::Service { name, vip, mode, backend_port } = SERVICES[service];
            format!(
                r#"{{"command":"service add","service":"{name}","vip":"{vip}","protocol":"tcp","mode":"{mode}","maglev_table":31,"backends":[{{"address":"10.0.0.1:{backend_port}"}}]}}"#
            )
        }
    }
}

fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut rig = Rig::new();
    for step in steps {
        match *step {
            Step::Open { service, worker } => rig.open(service, worker)?,
            Step::Send { connection, worker } => rig.send(connection, worker)?,
            Step::Answer { connection, worker } => rig.answer(connection, worker)?,
            Step::Reset { connection, worker } => rig.reset(connection, worker)?,
            Step::Change(ref change) => rig.change(&request(change)),
            Step::Wait(millis) => rig.wait(millis),
        }
    }
    rig.check_accounts()
}

proptest! {
    #[test]
    fn connections_stay_where_they_are(steps in proptest::collection::vec(step(), 1..120)) {
        run(&steps)?;
    }
}

/// A drain without a deadline lets a backend have its flows again, but not those that it lost while it was down.
#[test]
fn a_dsr_flow_that_met_no_backend_is_not_bound_to_the_old_one() {
    let (service, worker, connection) = (2, 0, 0);
    let steps = [
        Step::Change(Change::Remove { service, host: 1 }),
        Step::Open { service, worker },
        Step::Change(Change::Down { service, host: 2 }),
        Step::Send { connection, worker },
        Step::Change(Change::Add { service, host: 3 }),
        Step::Change(Change::Drain { service, host: 2, seconds: 0 }),
        Step::Send { connection, worker },
    ];
    run(&steps).unwrap();
}
