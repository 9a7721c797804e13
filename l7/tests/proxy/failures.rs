//! What is tried again and what is not, backends that are left alone, limits of time, and drains.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_l7::proxy::site::{Action, Budget, Cluster, Ejection, Forward, Retries, Timeouts};
use evenkeel_l7::proxy::{Cause, Site};

use crate::front::{Balancer, cluster, route, site_of};
use crate::world::Visit;
use crate::{BACKENDS, Everything, quick, statuses, visit};

fn one_site(change: impl FnOnce(&mut Forward, &mut Cluster)) -> Site {
    let (mut forward, mut cluster) = (Forward::to(0), cluster("all", 0, &BACKENDS));
    change(&mut forward, &mut cluster);
    site_of(vec![route("/", Action::Forward(Box::new(forward)))], vec![cluster])
}

fn ask(site: Site, listening: &[&str], visits: Vec<Visit>) -> Everything {
    visit(quick(), 1, Balancer::new(site), listening, visits)
}

/// How often attempts at a backend came to nothing for a cause.
fn failed(network: &Everything, slot: u16, cause: Cause) -> u64 {
    network.right.application.proxy.proxy().backend(slot).unwrap().of(cause)
}

fn one_after_the_other(target: &str, count: usize) -> Visit {
    Visit::to(&vec![target; count])
}

#[test]
fn a_connection_that_had_died_is_no_loss() {
    // Nothing else may be sent once more.
    let site = one_site(|_, cluster| (cluster.budget.burst, cluster.budget.at_once) = (0, 0));
    let network = ask(site, &BACKENDS[..], vec![one_after_the_other("/once", 20)]);
    assert_eq!(statuses(&network, 0), [200; 20]);
    let tally = network.right.application.served.route(0).unwrap();
    assert!(tally.retries >= 9, "{}", tally.retries);
    assert_eq!(
        failed(&network, 0, Cause::NoResponse) + failed(&network, 1, Cause::NoResponse),
        0,
        "nobody's fault"
    );
}

#[test]
fn what_cannot_be_done_twice_is_not() {
    let post = b"POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_vec();
    let visit = Visit { pieces: vec![post; 4], ..Visit::default() };
    let network = ask(one_site(|_, _| {}), &BACKENDS[..], vec![visit]);
    assert_eq!(statuses(&network, 0), [200, 200, 502, 502]);
    assert_eq!(network.left.application.heads.len(), 4);
}

#[test]
fn what_is_safe_goes_elsewhere_if_a_backend_says_nothing() {
    let requests = |method: &str| {
        let request = format!("{method} /mute/0 HTTP/1.1\r\nHost: a\r\n\r\n");
        Visit { pieces: vec![request.into_bytes(); 8], ..Visit::default() }
    };
    for (method, fine) in [("GET", true), ("PUT", false), ("POST", false)] {
        let network = ask(one_site(|_, _| {}), &BACKENDS[..], vec![requests(method)]);
        let statuses = statuses(&network, 0);
        assert_ne!(failed(&network, 0, Cause::NoResponse), 0, "{method}: the first one is asked, too");
        assert_eq!(statuses == [200; 8], fine, "{method}: {statuses:?}");
        assert!(statuses.iter().all(|status| [200, 502].contains(status)), "{method}: {statuses:?}");
    }
}

#[test]
fn statuses_that_a_route_names_are_tried_elsewhere() {
    let site = |statuses: &[u16]| {
        one_site(|forward, cluster| {
            forward.retries = Retries { statuses: statuses.to_vec(), ..Retries::default() };
            cluster.ejection = None;
        })
    };
    let network = ask(site(&[503]), &BACKENDS[..], vec![one_after_the_other("/ill/0", 10)]);
    assert_eq!(statuses(&network, 0), [200; 10]);
    assert_eq!(failed(&network, 0, Cause::Unwelcome), 5);
    let without = ask(site(&[500]), &BACKENDS[..], vec![one_after_the_other("/ill/0", 10)]);
    assert_eq!(statuses(&without, 0).iter().filter(|status| **status == 503).count(), 5);
    let all = ask(site(&[503]), &BACKENDS[..], vec![Visit::to(&["/status/503"])]);
    assert_eq!(statuses(&all, 0), [503], "the last answer is passed on");
    let delete = Visit::raw("DELETE /ill/0 HTTP/1.1\r\nHost: a\r\n\r\n");
    let unsafe_one = ask(site(&[503]), &BACKENDS[..], vec![delete.clone(), delete]);
    let both = [statuses(&unsafe_one, 0)[0], statuses(&unsafe_one, 1)[0]];
    assert!(both.contains(&503), "what changes something was done already: {both:?}");
}

#[test]
fn retries_have_a_budget() {
    let budget = Budget { percent: 20, per_second: 0, burst: 3, at_once: 100 };
    let site = |budget| {
        one_site(|_, cluster| {
            cluster.budget = budget;
            cluster.ejection = None;
        })
    };
    // Every second request comes to a backend that is not there.
    let network = ask(site(budget), &BACKENDS[1..], vec![one_after_the_other("/length/1", 40)]);
    let all = statuses(&network, 0);
    let refused = all.iter().filter(|status| **status == 502).count();
    let tally = network.right.application.served.route(0).unwrap();
    assert_eq!((tally.retries, tally.retries_refused), (40 - 20 - refused as u64, refused as u64), "{all:?}");
    // What was saved, and a fifth of 40.
    assert!((9..=11).contains(&tally.retries), "{}", tally.retries);
    let none =
        ask(site(Budget { burst: 0, ..budget }), &BACKENDS[1..], vec![one_after_the_other("/length/1", 10)]);
    assert_eq!(statuses(&none, 0).iter().filter(|status| **status == 502).count(), 5);
}

#[test]
fn a_backend_that_fails_is_left_alone_and_comes_back() {
    let ejection = |change: fn(&mut Ejection)| {
        let mut ejection = Ejection::default();
        change(&mut ejection);
        one_site(|_, cluster| cluster.ejection = Some(ejection))
    };
    let count = |network: &Everything| {
        network.left.application.heads.iter().filter(|(backend, _)| *backend == 0).count()
    };
    let consecutive = ask(ejection(|_| {}), &BACKENDS[..], vec![one_after_the_other("/ill/0", 40)]);
    assert_eq!(count(&consecutive), 5, "five failures, and no request more");
    let ejections = |slot| consecutive.right.application.proxy.proxy().backend(slot).unwrap().ejections;
    assert_eq!((ejections(0), ejections(1)), (1, 0));
    let by_rate = ask(
        ejection(|ejection| (ejection.consecutive, ejection.least) = (u32::MAX, 10)),
        &BACKENDS[..],
        vec![one_after_the_other("/ill/0", 40)],
    );
    assert_eq!(count(&by_rate), 10, "as many as say something");
    let briefly = ask(
        ejection(|ejection| ejection.quarantine = Duration::from_millis(2)),
        &BACKENDS[..],
        vec![one_after_the_other("/ill/0", 100)],
    );
    assert!(count(&briefly) > 10, "{}", count(&briefly));
}

#[test]
fn no_more_than_half_is_left_alone() {
    let network = ask(one_site(|_, _| {}), &BACKENDS[..], vec![one_after_the_other("/status/503", 40)]);
    assert_eq!(statuses(&network, 0), [503; 40]);
    let heads = &network.left.application.heads;
    assert_eq!(heads.len(), 40, "who is left answers");
    let of = |slot| network.right.application.proxy.proxy().backend(slot).unwrap().ejections;
    assert_eq!(of(0) + of(1), 8, "they take turns");
}

#[test]
fn clients_cannot_have_a_backend_left_alone() {
    let slow = Visit::raw("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    let network = ask(one_site(|_, _| {}), &BACKENDS[..], vec![slow; 30]);
    assert!((0..30).all(|index| statuses(&network, index) == [408]));
    let of = |slot| network.right.application.proxy.proxy().backend(slot).unwrap().ejections;
    assert_eq!((of(0), of(1)), (0, 0));
}

#[test]
fn a_request_takes_no_longer_than_it_may_as_a_whole() {
    let timeouts = Timeouts { whole: Some(Duration::from_secs(3)), ..Timeouts::default() };
    let site = || one_site(|forward, _| forward.timeouts = timeouts);
    let network = ask(site(), &BACKENDS[..], vec![Visit::to(&["/never", "/length/1"])]);
    assert_eq!(statuses(&network, 0), [504, 200]);
    assert!(network.now() < 6_000_000_000, "{}", network.now());
    assert_eq!(network.right.application.served.route(0).unwrap().of(Cause::WholeTime), 1);
    let slow = Visit {
        deaf: false,
        ..Visit::raw("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    };
    let network = ask(site(), &BACKENDS[..], vec![slow]);
    assert_eq!(statuses(&network, 0), [504]);
}

#[test]
fn too_many_that_wait_are_refused_at_once() {
    let site = one_site(|_, cluster| (cluster.connections, cluster.queue, cluster.pending) = (1, 100, 3));
    let network = ask(site, &BACKENDS[..], vec![Visit::to(&["/never"]); 9]);
    let tally = network.right.application.served.route(0).unwrap();
    assert_eq!((tally.of(Cause::Busy), tally.of(Cause::QueueTime), tally.of(Cause::ResponseTime)), (4, 3, 2));
    let busy =
        network.left.application.outcomes.iter().flatten().find(|outcome| outcome.got[0].status == 503);
    assert!(busy.unwrap().got[0].head.contains("\r\nRetry-After: "));
}

#[test]
fn who_is_to_go_is_told_with_the_next_answer() {
    let visits = || vec![Visit::to(&["/length/1", "/length/1"]), Visit::to(&["/status/404", "/length/1"])];
    let service = ask(Site { is_draining: true, ..one_site(|_, _| {}) }, &BACKENDS[..], visits());
    let mut balancer = Balancer::new(one_site(|_, _| {}));
    balancer.proxy.proxy_mut().drain();
    let worker = visit(quick(), 1, balancer, &BACKENDS, visits());
    for network in [service, worker] {
        for (index, status) in [(0, 200), (1, 404)] {
            let outcome = network.left.application.outcomes[index].as_ref().unwrap();
            assert_eq!(statuses(&network, index), [status]);
            assert!(outcome.has_ended && outcome.got[0].head.contains("\r\nConnection: close\r\n"));
        }
    }
}

#[test]
fn clients_go_on_with_a_new_configuration_between_requests() {
    let mut balancer = Balancer::new(one_site(|_, _| {}));
    let text = "Gone.".to_owned();
    let gone = Action::Respond { status: 410, text, fields: Default::default() };
    // The first request is read from a client that had connected before.
    balancer.next_site = Some((2, Arc::new(site_of(vec![route("/", gone)], vec![]))));
    let network = visit(quick(), 1, balancer, &BACKENDS, vec![one_after_the_other("/length/1", 4)]);
    assert_eq!(statuses(&network, 0), [200, 200, 410, 410]);
    assert_eq!(network.right.application.served.route(0).unwrap().requests, 4, "routes of a name count on");
}
