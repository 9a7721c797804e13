use std::net::SocketAddr;

use evenkeel_config::Config;
use evenkeel_datapath::time::Time;
use evenkeel_l7::http::{Limits, Request, Scratch};
use evenkeel_l7::proxy::site::{Action, Destination};
use evenkeel_l7::route::Facts;
use proptest::prelude::*;

use super::*;
use crate::desired::DesiredState;

/// A balancer of two workers with this service.
fn service(text: &str) -> Service {
    let head = "[balancer]\nworkers = [0, 1]\n[full_nat]\nlocal_addresses = [\"10.0.0.9\"]\n[[port]]\nname = \"wan\"\n\
                device = \"net_null0\"\nkernel = \"ek0\"\naddresses = [\"10.0.0.1/24\"]\n[[service]]\nname = \"shop\"\n\
                vip = \"192.0.2.10:8080\"\nprotocol = \"tcp\"\nmode = \"l7\"\n";
    let config =
        Config::parse(&format!("{head}{text}"), "f").map_err(|errors| panic!("{errors}")).unwrap().config;
    DesiredState::new(config, Time(0)).services.remove(0)
}

/// All backends of a service, each in the slot of its place.
fn everybody(service: &Service) -> Vec<Member> {
    let slots = 0u16..;
    let member = |(slot, backend): (u16, &crate::desired::Backend)| {
        Member::new(&backend.pool, backend.address, u64::from(slot) + 100, backend.weight, slot)
    };
    slots.zip(&service.backends).map(member).collect()
}

fn made(text: &str) -> Arc<Site> {
    let service = service(text);
    let members = everybody(&service);
    Sites::default().of(&service, members, Tls::default(), 2, &Sites::default())
}

/// The route that a request takes.
fn taken(site: &Site, head: &str) -> Option<usize> {
    let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
    let mut scratch = Scratch::new();
    let request = Request::parse(head.as_bytes(), &Limits::default(), &mut scratch).unwrap();
    site.routes.find(&Facts {
        host: request.host.unwrap().host,
        path: request.target.path,
        query: request.target.query,
        method: request.method.text(),
        fields: request.fields,
    })
}

const ROUTES: &str = r#"
[[service.backend]]
address = "10.0.0.5:80"
[[service.backend]]
address = "10.0.0.6:80"
weight = 3
[[service.backend]]
address = "10.0.0.7:80"
pool = "canary"
[[service.pool]]
name = "canary"
balance = "maglev"
by = "cookie session"
connections = 7
queue = 1
[[service.route]]
name = "testers"
hosts = ["shop.example.com", "shop.example.com.", "*.Example.org"]
path_prefix = "/basket"
methods = ["GET", "POST"]
headers = [{ name = "X-Env", is = "beta" }, { name = "X-Old", present = false }]
query = [{ name = "try", begins = "new" }]
cookies = [{ name = "tester", fits = "^[0-9]+$" }]
to = "canary"
[[service.route]]
name = "split"
path = "/split"
split = [{ pool = "default", weight = 9 }, { pool = "canary", weight = 1 }]
sticky = "source"
[[service.route]]
name = "regex"
path_regex = "/v[0-9]+"
respond = { status = 410, text = "gone" }
[[service.route]]
name = "item"
path_template = "/items/{id}"
redirect = { scheme = "https" }
response_headers = [{ set = "X-A", value = "b" }]
[[service.route]]
name = "rest"
connect_timeout = "1s"
rewrite = { prefix = "/below", host = "inside:81" }
"#;

#[test]
fn routes_are_as_they_are_written() {
    let site = made(ROUTES);
    let tester = "GET /basket/1?try=newest HTTP/1.1\nHost: shop.example.com\nX-Env: beta\nCookie: tester=12";
    assert_eq!(taken(&site, tester), Some(0));
    assert_eq!(taken(&site, &tester.replace("shop.example.com", "a.b.example.org")), Some(0));
    for (from, to) in [
        ("shop.example.com", "example.org"),
        ("/basket/", "/baskets/"),
        ("GET", "PUT"),
        ("beta", "gamma"),
        ("newest", "old"),
        ("=12", "=x"),
        ("X-Env: beta", "X-Env: beta\nX-Old: 1"),
    ] {
        assert_eq!(taken(&site, &tester.replace(from, to)), Some(4), "{from} {to}");
    }
    for (path, route) in [("/split", 1), ("/v12", 2), ("/v12/", 4), ("/items/7", 3), ("/items/7/8", 4)] {
        assert_eq!(taken(&site, &format!("GET {path} HTTP/1.1\nHost: a")), Some(route), "{path}");
    }
}

#[test]
fn actions_are_as_they_are_written() {
    let site = made(ROUTES);
    let forward = |route: usize| site.forward(route).unwrap();
    assert!(matches!(forward(0).to, Destination::Cluster(1)));
    assert!(forward(0).balance_by.is_some());
    let Destination::Split { split, clusters, by } = &forward(1).to else { panic!() };
    assert_eq!((clusters.as_slice(), by.is_some()), (&[0, 1][..], true));
    assert_eq!((split.part(0), split.part(u64::MAX)), (0, 1));
    assert!(matches!(&site.actions[2], Action::Respond { status: 410, text, .. } if text == "gone"));
    assert!(matches!(&site.actions[3], Action::Redirect(redirect) if redirect.status == 308));
    assert!(matches!(forward(4).to, Destination::Cluster(0)));
    assert!(forward(4).balance_by.is_none());
    assert_eq!(forward(4).timeouts.connect.as_millis(), 1000);
    assert_eq!(forward(4).rewrite.host.as_deref(), Some("inside:81"));
    assert!(forward(4).rewrite.prefix.is_some());
}

#[test]
fn pools_are_clusters_and_workers_share_what_they_may() {
    let site = made(ROUTES);
    let [default, canary] = site.clusters.as_slice() else { panic!() };
    let addresses = |cluster: &evenkeel_l7::proxy::site::Cluster| -> Vec<SocketAddr> {
        cluster.backends.iter().map(|backend| backend.address).collect()
    };
    let expected: Vec<SocketAddr> = vec!["10.0.0.5:80".parse().unwrap(), "10.0.0.6:80".parse().unwrap()];
    assert_eq!((default.name.as_str(), addresses(default)), ("default", expected));
    assert_eq!((canary.name.as_str(), addresses(canary)), ("canary", vec!["10.0.0.7:80".parse().unwrap()]));
    assert_eq!((default.connections, default.queue), (50, 50));
    // Never less than what was asked for, and never nothing.
    assert_eq!((canary.connections, canary.queue), (4, 1));
}

#[test]
fn without_routes_everything_goes_to_the_default_pool() {
    let text = "[[service.pool]]\nname = \"default\"\nbalance = \"maglev\"\nby = \"source\"\n\
                [[service.backend]]\naddress = \"10.0.0.5:80\"\n";
    let site = made(text);
    assert_eq!(taken(&site, "DELETE /a HTTP/1.1\nHost: b"), Some(0));
    let forward = site.forward(0).unwrap();
    assert!(matches!(forward.to, Destination::Cluster(0)) && forward.balance_by.is_some());
    assert_eq!(site.default_host, "192.0.2.10:8080");
}

#[test]
fn heads_and_trust_are_as_they_are_written() {
    let text = "trusted = [\"10.0.0.0/8\"]\nproxy_protocol_from = [\"2001:db8::/32\"]\n\
                [service.http]\nhead = \"32K\"\nline = \"1K\"\nfields = 5\nhead_timeout = \"1s\"\nidle = \"2s\"\n\
                default_host = \"a.example\"\nresolve_dots = false\nencoded_slashes = \"refuse\"\n\
                [service.tells]\nvia = \"\"\nforwarded = false\n\
                [[service.backend]]\naddress = \"10.0.0.5:80\"\n";
    let site = made(text);
    assert_eq!(site.limits, Limits { head: 32 << 10, line: 1 << 10, fields: 5 });
    assert_eq!((site.head_time.as_secs(), site.rest_time.as_secs()), (1, 2));
    assert_eq!(site.default_host, "a.example");
    assert!(!site.paths.resolve_dots && site.paths.decode && site.paths.merge_slashes);
    assert_eq!(site.paths.encoded_slash, EncodedSlash::Refuse);
    assert!(site.trusted.contain("10.1.2.3".parse().unwrap()));
    assert!(!site.trusted.contain("11.1.2.3".parse().unwrap()));
    let announced_by = site.announced_by.as_ref().unwrap();
    assert!(announced_by.contain("2001:db8::1".parse().unwrap()));
    assert!(!announced_by.contain("10.1.2.3".parse().unwrap()));
    assert!(site.tells.via.is_empty() && !site.tells.forwarded && site.tells.x_forwarded);
}

#[test]
fn a_site_stays_what_it_is_until_something_changes() {
    let service = service(ROUTES);
    let remade = |members: Vec<Member>, before: &Sites| {
        let mut sites = Sites::default();
        let site = sites.of(&service, members, Tls::default(), 2, before);
        sites.retire(before);
        (sites, site)
    };
    let (first, site) = remade(everybody(&service), &Sites::default());
    let (second, same) = remade(everybody(&service), &first);
    assert!(Arc::ptr_eq(&site, &same));
    let (_, other) = remade(everybody(&service).split_off(1), &second);
    assert!(!Arc::ptr_eq(&site, &other));
    assert_eq!(other.clusters[0].backends.len(), 1, "who gets no new requests is not in it");
}

#[test]
fn a_service_that_answers_by_itself_keeps_its_page_and_its_limits() {
    let service = service("respond = { body = \"a\" }\n[service.http]\nfields = 7\n");
    let (mut first, mut second) = (Sites::default(), Sites::default());
    let site = first.of(&service, Vec::new(), Tls::default(), 2, &Sites::default());
    let again = second.of(&service, Vec::new(), Tls::default(), 2, &first);
    assert!(Arc::ptr_eq(&site, &again));
    assert!(matches!(site.actions.as_slice(), [Action::Page(_)]));
    assert_eq!((site.limits.fields, taken(&site, "GET / HTTP/1.1\nHost: b")), (7, Some(0)));
}

#[test]
fn ten_thousand_routes_are_found_like_ten() {
    let mut text = "[[service.backend]]\naddress = \"10.0.0.5:80\"\n".to_owned();
    for number in 0..10_000 {
        text.push_str(&format!(
            "[[service.route]]\nname = \"r{number}\"\nhosts = [\"h{}.example.com\"]\npath_template = \"/a/{{b}}/{number}\"\n",
            number % 100
        ));
    }
    let site = made(&text);
    for number in [0, 4_321, 9_999] {
        let head = format!("GET /a/x/{number} HTTP/1.1\nHost: h{}.example.com", number % 100);
        assert_eq!(taken(&site, &head), Some(number));
    }
}

/// Texts that come near to what a route may say.
fn near() -> impl Strategy<Value = String> {
    let hosts = "hosts = \\[\"(\\*\\.)?[a-zA-Z0-9._\\[\\]:-]{1,12}\"\\]\n";
    let paths = "(path|path_prefix|path_template|path_regex) = '/[a-b/{}*%.x0-9|()\\[\\]+?\\\\-]{0,12}'\n";
    let headers = "request_headers = \\[\\{ set = '[!-~&&[^']]{1,8}', value = '[ -~&&[^']]{1,8}' \\}\\]\n";
    let conditions = "headers = \\[\\{ name = '[!-~&&[^']]{1,4}', fits = '[ -~&&[^']]{1,8}' \\}\\]\n";
    let rewrites = "(rewrite|redirect) = \\{ prefix = '/[!-~&&[^']]{0,6}' \\}\n";
    prop::collection::vec(prop_oneof![hosts, paths, headers, conditions, rewrites], 1..4).prop_map(|lines| {
        let mut lines = lines;
        lines.sort();
        // A key stands once.
        lines.dedup_by_key(|line| line.split_once(' ').map(|(key, _)| key.to_owned()));
        lines.concat()
    })
}

proptest! {
    /// What the configuration lets through is compiled as it stands, with nothing in its place.
    #[test]
    fn what_is_valid_compiles(routes in prop::collection::vec(near(), 1..4)) {
        let mut text = "[[service.backend]]\naddress = \"10.0.0.5:80\"\n".to_owned();
        for (number, route) in routes.iter().enumerate() {
            text.push_str(&format!("[[service.route]]\nname = \"r{number}\"\n{route}"));
        }
        let head = "[balancer]\nworkers = [0]\n[full_nat]\nlocal_addresses = [\"10.0.0.9\"]\n[[port]]\nname = \"wan\"\n\
                    device = \"net_null0\"\nkernel = \"ek0\"\naddresses = [\"10.0.0.1/24\"]\n[[service]]\nname = \"shop\"\n\
                    vip = \"192.0.2.10:80\"\nprotocol = \"tcp\"\nmode = \"l7\"\n";
        let Ok(parsed) = Config::parse(&format!("{head}{text}"), "f") else { return Ok(()) };
        let wanted = &parsed.config.services[0].site;
        let (routes, actions) = routes::compiled(wanted);
        for ((route, action), written) in routes.iter().zip(&actions).zip(&wanted.routes) {
            let mut hosts: Vec<&String> = written.hosts.iter().collect();
            hosts.dedup();
            prop_assert_eq!(route.hosts.len(), hosts.len(), "{:?}", written);
            prop_assert!(!matches!(&route.path, evenkeel_l7::route::Path::Exact(path) if path.is_empty()), "{:?}", written);
            if let Action::Forward(forward) = action {
                prop_assert_eq!(forward.request == Default::default(), written.request_headers.is_empty());
                prop_assert_eq!(forward.rewrite.prefix.is_some(), written.rewrite.prefix.is_some(), "{:?}", written);
            }
            for (condition, wanted) in route.conditions.iter().zip(&written.headers) {
                let is_regex = matches!(condition.test, evenkeel_l7::route::Test::Fits(_));
                prop_assert_eq!(is_regex, matches!(wanted.test, config::Test::Fits(_)), "{:?}", written);
            }
        }
        let compiled = Routes::compile(routes);
        prop_assert!(compiled.is_ok(), "{:?} {}", compiled.err(), text);
    }
}
