//! What backends are told of clients, and what routes make of requests and responses.

use std::collections::BTreeSet;

use evenkeel_datapath::fib::Prefix;
use evenkeel_datapath::key::Addr;
use evenkeel_l7::balance::Policy;
use evenkeel_l7::proxy::Site;
use evenkeel_l7::proxy::site::{
    self, Action, Destination, Edit, Edits, Forward, Key, Prefixes, Redirect, Rewrite, Scheme, Seal, Sticky,
};
use evenkeel_l7::proxy_protocol::{Addresses, Header, Version};
use evenkeel_l7::route::{Source, Split};

use crate::front::{Balancer, cluster, group, route, site_of};
use crate::world::{Visit, World};
use crate::{BACKENDS, Everything, quick, run, statuses, visit};

const CLIENT: [u8; 4] = [198, 51, 100, 7];

fn clients() -> Prefixes {
    Prefixes::new(vec![Prefix::new(Addr::from_v4(CLIENT), 128)])
}

fn forward(change: impl FnOnce(&mut Forward)) -> Action {
    let mut forward = Forward::to(0);
    change(&mut forward);
    Action::Forward(Box::new(forward))
}

fn one_site(change: impl FnOnce(&mut Forward)) -> Site {
    site_of(vec![route("/", forward(change))], vec![cluster("all", 0, &BACKENDS)])
}

fn ask(site: Site, visits: Vec<Visit>) -> Everything {
    visit(quick(), 1, Balancer::new(site), &BACKENDS, visits)
}

/// The fields of the first head that a backend got.
fn fields(network: &Everything) -> Vec<&str> {
    network.left.application.heads[0].1.lines().skip(1).filter(|line| !line.is_empty()).collect()
}

fn head_of(network: &Everything, visit: usize, number: usize) -> &str {
    &network.left.application.outcomes[visit].as_ref().unwrap().got[number].head
}

const FORGED: &str = "GET /length/1 HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: b.example\r\nx_forwarded_port: 1\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\
    X-Request-Id: mine\r\nVia: 1.0 other\r\nX-Forwarded-Server: me\r\nX-Forward: yes\r\n\r\n";

#[test]
fn what_untrusted_clients_say_of_their_origin_is_taken_off() {
    let network = ask(one_site(|_| {}), vec![Visit::raw(FORGED)]);
    let fields = fields(&network);
    let id = fields.iter().find_map(|field| field.strip_prefix("X-Request-Id: ")).unwrap();
    assert_ne!(id, "mine");
    let expected = [
        "Host: a.example",
        "X-Forward: yes",
        "X-Forwarded-For: 198.51.100.7",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: a.example",
        "X-Forwarded-Port: 80",
        "Forwarded: for=198.51.100.7;host=\"a.example\";proto=http",
        &format!("X-Request-Id: {id}"),
        "Via: 1.1 evenkeel",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn what_trusted_clients_say_of_it_is_kept() {
    let site = Site { trusted: clients(), ..one_site(|_| {}) };
    let network = ask(site, vec![Visit::raw(FORGED)]);
    let expected = [
        "Host: a.example",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: b.example",
        "X_forwarded_port: 1",
        "X-Real-Ip: 1.2.3.4",
        "X-Forwarded-Server: me",
        "X-Forward: yes",
        "X-Forwarded-For: 1.2.3.4, 5.6.7.8, 198.51.100.7",
        "X-Forwarded-Port: 80",
        "Forwarded: for=1.2.3.4, for=198.51.100.7;host=\"a.example\";proto=http",
        "X-Request-Id: mine",
        "Via: 1.0 other, 1.1 evenkeel",
    ];
    assert_eq!(fields(&network), expected);
}

#[test]
fn nothing_is_told_that_is_not_to_be() {
    let tells = site::Tells { x_forwarded: false, forwarded: false, request_id: false, via: String::new() };
    let network = ask(Site { tells, ..one_site(|_| {}) }, vec![Visit::raw(FORGED)]);
    assert_eq!(fields(&network), ["Host: a.example", "X-Forward: yes"]);
}

#[test]
fn fields_are_set_added_and_removed_both_ways() {
    let edits = |edits: &[Edit]| Edits::new(edits.to_vec()).unwrap();
    let [set, add, remove] = [
        |name: &str, value: &str| Edit::Set(name.to_owned(), value.to_owned()),
        |name: &str, value: &str| Edit::Add(name.to_owned(), value.to_owned()),
        |name: &str, _: &str| Edit::Remove(name.to_owned()),
    ];
    let site = one_site(|forward| {
        forward.request = edits(&[
            set("x-a", "new"),
            add("X-B", "other"),
            remove("Forwarded", ""),
            remove("x-forwarded-for", ""),
            set("Via", "x"),
        ]);
        forward.response = edits(&[remove("X-Kind", ""), set("Strict-Transport-Security", "max-age=1")]);
    });
    let request = "GET /length/1 HTTP/1.1\r\nHost: a\r\nX-A: old\r\nX-B: one\r\nx-a: older\r\n\r\n";
    let network = ask(site, vec![Visit::raw(request)]);
    let fields = fields(&network);
    let named = |name: &str| -> Vec<&str> {
        fields
            .iter()
            .filter_map(|field| field.split_once(": "))
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    };
    assert_eq!((named("X-A"), named("X-B")), (vec!["new"], vec!["one", "other"]));
    assert_eq!((named("Forwarded"), named("X-Forwarded-For"), named("Via")), (vec![], vec![], vec!["x"]));
    let head = head_of(&network, 0, 0);
    assert!(
        !head.contains("X-Kind") && head.contains("\r\nStrict-Transport-Security: max-age=1\r\n"),
        "{head}"
    );
}

#[test]
fn paths_and_hosts_are_rewritten() {
    let site = site_of(
        vec![route(
            "/api",
            forward(|forward| {
                let prefix = Some(site::Prefix::new("/api", "/").unwrap());
                forward.rewrite = Rewrite { prefix, host: Some("inside:81".to_owned()) };
            }),
        )],
        vec![cluster("all", 0, &BACKENDS)],
    );
    let network =
        ask(site, vec![Visit::raw("GET /api//length/3?a=/api HTTP/1.1\r\nHost: Out.example\r\n\r\n")]);
    let (_, head) = &network.left.application.heads[0];
    assert!(head.starts_with("GET /length/3?a=/api HTTP/1.1\r\nHost: inside:81\r\n"), "{head}");
    assert!(head.contains("\r\nX-Forwarded-Host: Out.example\r\n"), "{head}");
}

#[test]
fn clients_are_sent_elsewhere() {
    let fields = Edits::new(vec![Edit::Set("X-A".to_owned(), "b".to_owned())]).unwrap();
    let secure = Redirect { scheme: Some(Scheme::Https), fields, ..Redirect::new(308) };
    let site = site_of(vec![route("/", Action::Redirect(Box::new(secure)))], vec![]);
    let network = ask(site, vec![Visit::to(&["//evil.example/%2e%2e/a?q", "/"])]);
    assert_eq!(statuses(&network, 0), [308, 308]);
    let head = head_of(&network, 0, 0);
    assert!(head.contains("\r\nLocation: https://a.example/a?q\r\nX-A: b\r\n"), "{head}");
}

fn cookie(value: &str) -> Visit {
    Visit::raw(format!("GET /length/1 HTTP/1.1\r\nHost: a\r\nCookie: other=1; user={value}\r\n\r\n"))
}

/// By visit: the backend that it came to.
fn came_to(network: &Everything) -> Vec<usize> {
    let heads = &network.left.application.heads;
    let of = |user: String| heads.iter().find(|(_, head)| head.contains(&user)).map(|(backend, _)| *backend);
    (0..40).filter_map(|user| of(format!("user=u{user}\r"))).collect()
}

#[test]
fn canaries_get_their_share_and_keep_it() {
    let site = |weights: &[u32]| {
        let split = Split::new(weights).unwrap();
        let by = Some(Key::Of(Source::Cookie("user".to_owned())));
        let to = Destination::Split { split, clusters: vec![0, 1], by };
        let clusters = vec![cluster("stable", 0, &BACKENDS[..1]), cluster("canary", 1, &BACKENDS[1..])];
        site_of(vec![route("/", forward(|forward| forward.to = to))], clusters)
    };
    let visits = || (0..40).map(|user| cookie(&format!("u{user}"))).collect::<Vec<_>>();
    let small = came_to(&ask(site(&[80, 20]), visits()));
    let again = came_to(&visit(quick(), 77, Balancer::new(site(&[80, 20])), &BACKENDS, visits()));
    let large = came_to(&ask(site(&[50, 50]), visits()));
    let count = |all: &[usize]| all.iter().filter(|backend| **backend == 1).count();
    assert_eq!((small.len(), &small), (40, &again));
    assert!((3..=14).contains(&count(&small)) && (13..=27).contains(&count(&large)), "{small:?} {large:?}");
    assert!(small.iter().zip(&large).all(|(small, large)| small <= large), "who is in it stays in it");
}

#[test]
fn requests_are_balanced_by_what_the_route_names() {
    let hashed = |key| {
        let mut cluster = cluster("all", 0, &BACKENDS);
        cluster.group = group(Policy::Maglev, &cluster.backends);
        site_of(vec![route("/", forward(|forward| forward.balance_by = Some(key)))], vec![cluster])
    };
    let visits = || (0..40).map(|user| cookie(&format!("u{}", user % 20))).collect::<Vec<_>>();
    let by_cookie = ask(hashed(Key::Of(Source::Cookie("user".to_owned()))), visits());
    let pairs: BTreeSet<(usize, &str)> = by_cookie
        .left
        .application
        .heads
        .iter()
        .map(|(backend, head)| (*backend, head.lines().find(|line| line.contains("user=")).unwrap()))
        .collect();
    let used: BTreeSet<usize> = pairs.iter().map(|(backend, _)| *backend).collect();
    assert_eq!((pairs.len(), used.len()), (20, 2), "each user at one backend, and not all at the same");
    let by_source = ask(hashed(Key::Client), visits());
    let used: BTreeSet<usize> =
        by_source.left.application.heads.iter().map(|(backend, _)| *backend).collect();
    assert_eq!(used.len(), 1, "one address, one backend");
}

#[test]
fn a_sticky_cookie_keeps_a_client_at_its_backend() {
    let sticky = |secret| Sticky {
        cookie: "at".to_owned(),
        max_age: None,
        is_secure: false,
        seal: Seal::new(&[secret; 32]),
    };
    let site = |secret| one_site(|forward| forward.sticky = Some(sticky(secret)));
    let asked =
        |cookie: &str| Visit::raw(format!("GET /ill/9 HTTP/1.1\r\nHost: a\r\nCookie: at={cookie}\r\n\r\n"));
    let given = |network: &Everything, visit| -> Option<String> {
        let cookie =
            head_of(network, visit, 0).lines().find_map(|line| line.strip_prefix("Set-Cookie: at="))?;
        cookie.split(';').next().map(str::to_owned)
    };
    let body = |network: &Everything, visit: usize| {
        network.left.application.outcomes[visit].as_ref().unwrap().got[0].body.clone()
    };
    let first = ask(site(1), vec![asked("")]);
    let value = given(&first, 0).expect("whoever has none is given one");
    let again = ask(site(1), vec![asked(&value); 10]);
    assert!((0..10).all(|visit| body(&again, visit) == body(&first, 0) && given(&again, visit).is_none()));
    let forged = ask(site(2), vec![asked(&value); 10]);
    assert!((0..10).all(|visit| given(&forged, visit).is_some_and(|new| new != value)));
    let used: BTreeSet<Vec<u8>> = (0..10).map(|visit| body(&forged, visit)).collect();
    assert_eq!(used.len(), 2, "it binds nobody");
}

#[test]
fn a_sticky_backend_that_is_gone_is_replaced() {
    let sticky =
        Sticky { cookie: "at".to_owned(), max_age: None, is_secure: false, seal: Seal::new(&[1; 32]) };
    let site = || one_site(|forward| forward.sticky = Some(sticky.clone()));
    let first = ask(site(), vec![Visit::to(&["/ill/9"])]);
    let cookie = head_of(&first, 0, 0).lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let number: usize =
        String::from_utf8(first.left.application.outcomes[0].as_ref().unwrap().got[0].body.clone())
            .unwrap()
            .parse()
            .unwrap();
    let request = format!("GET /length/1 HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
    let other = &BACKENDS[1 - number..2 - number];
    let network = visit(quick(), 1, Balancer::new(site()), other, vec![Visit::raw(request)]);
    assert_eq!(statuses(&network, 0), [200]);
    assert!(head_of(&network, 0, 0).contains("Set-Cookie: at="), "and the client is told");
}

#[test]
fn connections_may_begin_with_who_they_are_from() {
    let site = |prefixes| Site { announced_by: Some(prefixes), ..one_site(|_| {}) };
    let told = |header: &[u8]| Visit::raw([header, b"GET /length/1 HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    let network = ask(
        site(clients()),
        vec![
            told(b"PROXY TCP4 203.0.113.9 192.0.2.99 4000 8443\r\n"),
            told(b"PROXY UNKNOWN\r\n"),
            told(b""),
            told(b"PROXY TCP4 203.0.113.9 nonsense 4000 8443\r\n"),
        ],
    );
    assert_eq!(statuses(&network, 0), [200]);
    let heads = &network.left.application.heads;
    assert_eq!(heads.len(), 2, "who does not say who it is gets nowhere");
    let of = |text| heads.iter().filter(|(_, head)| head.contains(text)).count();
    assert_eq!(of("X-Forwarded-For: 203.0.113.9\r\n"), 1);
    assert_eq!(of("X-Forwarded-Port: 8443\r\n"), 1);
    assert_eq!(of("X-Forwarded-For: 198.51.100.7\r\n"), 1);
    assert!(statuses(&network, 2).is_empty() && statuses(&network, 3).is_empty());
    assert_eq!(network.right.application.served.unannounced(), 2);
    let others = ask(site(Prefixes::default()), vec![told(b"PROXY UNKNOWN\r\n")]);
    assert!(statuses(&others, 0).is_empty() && others.left.application.heads.is_empty());
}

#[test]
fn backends_may_be_told_first_whom_a_connection_is_for() {
    for version in [Version::V1, Version::V2] {
        let mut told = cluster("all", 0, &BACKENDS);
        told.announce = Some(version);
        let site = site_of(vec![route("/", forward(|_| {}))], vec![told]);
        let world = World::new(
            &BACKENDS,
            vec![
                Visit::to(&["/length/1", "/length/2"]),
                Visit { after: Some(0), ..Visit::to(&["/length/3"]) },
            ],
        );
        let network = run(quick(), 1, Balancer::new(site), world);
        assert_eq!((statuses(&network, 0), statuses(&network, 1)), (vec![200; 2], vec![200]));
        let world = &network.left.application;
        assert_eq!((world.accepted, world.announced.len()), (3, 3), "no connection serves two");
        let source = |header: &Header| match header {
            Header::Proxied(Addresses { source, destination }) => {
                assert_eq!(destination.to_string(), "192.0.2.10:80");
                source.to_string()
            }
            Header::Local => String::new(),
        };
        let sources: BTreeSet<String> = world.announced.iter().map(source).collect();
        assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["198.51.100.7:40000", "198.51.100.7:40001"]);
    }
}
