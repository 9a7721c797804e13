//! What is seen of requests: records for the access log, and counters.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_l7::http::Refusal;
use evenkeel_l7::proxy::Cause;
use evenkeel_l7::proxy::seen::{Format, Log, Record};

use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_l7::{About, Survey};
use evenkeel_tcp::{Config, Time};

use crate::front::{Balancer, site};
use crate::hosts::Host;
use crate::network::Network;
use crate::world::{Visit, World};
use crate::{BACKENDS, Everything, quick, visit};

fn logged(room: usize, visits: Vec<Visit>) -> (Everything, Arc<Log>) {
    let log = Arc::new(Log::new(room));
    let mut site = site(&BACKENDS, 100, 10);
    site.name = "shop".to_owned();
    let mut balancer = Balancer::new(site);
    balancer.proxy.proxy_mut().log_to(Arc::clone(&log));
    let mut network = visit(quick(), 1, balancer, &BACKENDS, visits);
    // Clients that close are seen to.
    network.run_until(network.now() + 100_000_000_000, |_, balancer, _| balancer.stack.connections() == 0);
    (network, log)
}

fn records(log: &Log) -> Vec<Record> {
    std::iter::from_fn(|| log.pop()).collect()
}

#[test]
fn each_request_has_a_record() {
    let post = "POST /echo/?secret HTTP/1.1\r\nHost: A.example\r\nX-Request-Id: mine\r\nContent-Length: 3\r\n\r\nabc";
    let (_, log) = logged(
        100,
        vec![
            Visit::to(&["/length/5000", "/fixed/a"]),
            Visit::raw(post),
            Visit::to(&["/reset"]),
            Visit::raw("GET / HTTP/1.1\r\n\r\n"),
            Visit::raw("GET / HT"),
        ],
    );
    let records = records(&log);
    let of = |path: &str| *records.iter().find(|record| record.path.octets() == path.as_bytes()).unwrap();
    assert_eq!(records.len(), 6, "{records:?}");
    let get = of("/length/5000");
    assert_eq!((get.status, get.received, get.sent, get.retries, get.cause), (200, 0, 5000, 0, None));
    assert_eq!((get.method.octets(), get.host.octets()), (&b"GET"[..], &b"a.example"[..]));
    assert_eq!((get.site.octets(), get.route.octets()), (&b"shop"[..], &b"/"[..]));
    assert_eq!(get.client.unwrap().to_string(), "198.51.100.7:40000");
    assert!(BACKENDS.contains(&&*get.backend.unwrap().to_string()));
    assert_eq!(get.id.octets().len(), 32);
    // A delay of 100 us each way, to the client's side, and to the backend's.
    let (connect, first) = (get.times.connect.unwrap(), get.times.first.unwrap());
    assert!(
        connect >= Duration::from_micros(200) && first >= connect + Duration::from_micros(200),
        "{:?}",
        get.times
    );
    assert!(get.times.total >= first);
    let fixed = of("/fixed/a");
    assert_eq!((fixed.status, fixed.backend, fixed.cause), (418, None, None));
    let echo = of("/echo/");
    assert_eq!((echo.received, echo.sent, echo.method.octets()), (3, 3, &b"POST"[..]));
    assert_ne!(echo.id.octets(), b"mine", "whom nobody trusts names nothing");
    let reset = of("/reset");
    assert_eq!((reset.status, reset.cause, reset.times.first), (502, Some(Cause::NoResponse), None));
    let causes: Vec<_> = records
        .iter()
        .filter(|record| record.method.octets().is_empty())
        .map(|record| (record.status, record.cause))
        .collect();
    assert!(
        causes.contains(&(400, Some(Cause::Malformed))) && causes.contains(&(408, Some(Cause::HeadTime)))
    );
    let mut line = String::new();
    Format::parse("{client} {method} {path} {status} {sent}").unwrap().write(&get, Duration::ZERO, &mut line);
    assert_eq!(line, "198.51.100.7:40000 GET /length/5000 200 5000\n");
}

#[test]
fn a_full_log_loses_records_and_nothing_else() {
    let (network, log) = logged(4, vec![Visit::to(&["/length/1"; 10])]);
    assert_eq!(network.left.application.heads.len(), 10);
    assert_eq!((records(&log).len(), log.lost()), (4, 6));
}

#[test]
fn routes_and_backends_are_counted() {
    let (network, _) = logged(
        1,
        vec![
            Visit::to(&["/length/100", "/status/404", "/status/500", "/garbage", "/fixed"]),
            Visit::raw("GET / HTTP/1.1\r\n\r\n"),
            Visit {
                closes: true,
                ..Visit::raw("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
            },
        ],
    );
    let balancer = &network.right.application;
    let route = balancer.served.route(1).unwrap();
    assert_eq!((route.requests, route.classes), (5, [0, 1, 0, 1, 2]));
    assert_eq!((route.of(Cause::BadResponse), route.of(Cause::ClientGone)), (1, 1));
    assert_eq!((route.sent, route.latency.as_ref().unwrap().len()), (100, 5));
    assert_eq!(balancer.served.route(0).unwrap().classes, [0, 0, 0, 1, 0]);
    assert_eq!(balancer.served.refused(Refusal::NoHost), 1);
    let backends = [0, 1].map(|slot| balancer.proxy.proxy().backend(slot).unwrap());
    assert_eq!(backends.iter().map(|backend| backend.requests).sum::<u64>(), 5);
    assert_eq!(backends.iter().map(|backend| backend.of(Cause::BadResponse)).sum::<u64>(), 1);
    assert_eq!(backends.iter().map(|backend| backend.sent).sum::<u64>(), 100);
}

#[test]
fn a_survey_shows_pools_and_routes_page_by_page_and_takes_no_memory() {
    let (network, _) =
        logged(1, vec![Visit::to(&["/length/100", "/length/1", "/fixed"]), Visit::to(&["/length/7"])]);
    let (balancer, now) = (&network.right.application, Time(network.now()));
    let proxy = balancer.proxy.proxy();
    let served = &balancer.served;
    let mut backends = Survey::new(1, About::Backends, 1);
    let mut routes = Survey::new(2, About::Routes(ServiceSlot(0)), 8);
    let mut seen = Vec::new();
    let measured = allocation_counter::measure(|| {
        backends.see_backends(proxy, now);
        routes.see_routes(served);
    });
    assert_eq!(measured.count_total, 0);
    seen.push((backends.rows()[0].index, backends.rows()[0].tally.requests));
    assert_eq!(backends.next, Some(1), "there was room for one");
    backends.again(1);
    backends.see_backends(proxy, now);
    seen.push((backends.rows()[0].index, backends.rows()[0].tally.requests));
    assert_eq!((seen.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), backends.next), (vec![0, 1], None));
    assert_eq!(seen.iter().map(|(_, requests)| requests).sum::<u64>(), 3);
    let counts: Vec<_> = routes.rows().iter().map(|row| (row.index, row.tally.requests)).collect();
    assert_eq!(counts, [(0, 1), (1, 3)]);
    assert_eq!(routes.rows()[1].tally.latency.as_ref().unwrap().len(), 3);
}

#[test]
fn a_survey_shows_what_waits() {
    let log = Arc::new(Log::new(1));
    let mut balancer = Balancer::new(site(&BACKENDS[..1], 1, 10));
    balancer.proxy.proxy_mut().log_to(log);
    let world = World::new(&BACKENDS, vec![Visit::to(&["/never"]); 3]);
    let now = evenkeel_tcp::Time(crate::SECOND);
    let world = Host::new(&Config::default(), 1, now, world);
    let balancer = Host::new(&Config::default(), 2, now, balancer);
    let mut network = Network::new(world, balancer, quick(), 1);
    network.skip_to(now.0);
    network.run_until(2 * crate::SECOND, |_, _, _| false);
    let pool = network.right.application.proxy.proxy().pool(0, Time(network.now())).unwrap();
    assert_eq!((pool.open, pool.idle, pool.waiting, pool.under_way, pool.tunnels), (1, 0, 2, 1, 0));
}
