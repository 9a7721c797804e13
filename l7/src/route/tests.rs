//! Which route is taken, by cases and against a look at every route.

use proptest::prelude::*;

use super::*;
use crate::http::{Limits, Request, Scratch};

fn route(name: &str, hosts: &[&str], path: Path) -> Route {
    let hosts = hosts.iter().map(|host| Host::parse(host).unwrap()).collect();
    Route { name: name.to_owned(), hosts, path, methods: Vec::new(), conditions: Vec::new() }
}

fn exact(path: &str) -> Path {
    Path::Exact(path.to_owned())
}

fn prefix(path: &str) -> Path {
    Path::Prefix(path.to_owned())
}

fn template(path: &str) -> Path {
    Path::Template(path.to_owned())
}

fn header(name: &str, test: Test) -> Condition {
    Condition { source: Source::Header(name.to_owned()), test }
}

/// What `of` says of the request with this method, target and further lines of its head.
fn ask<T>(method: &str, host: &str, target: &str, lines: &str, of: impl FnOnce(&Facts<'_>) -> T) -> T {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
    let mut scratch = Scratch::new();
    let request = Request::parse(head.as_bytes(), &Limits::default(), &mut scratch).unwrap();
    of(&Facts {
        host: request.host.unwrap().host,
        path: request.target.path,
        query: request.target.query,
        method: request.method.text(),
        fields: request.fields,
    })
}

fn taken<'r>(routes: &'r Routes, host: &str, target: &str) -> Option<&'r str> {
    let found = ask("GET", host, target, "", |facts| routes.find(facts));
    found.map(|index| routes.routes()[index].name.as_str())
}

#[test]
fn hosts_come_first_and_the_longest_wildcard_before_others() {
    let routes = Routes::compile(vec![
        route("any", &[], exact("/p")),
        route("below com", &["*.com"], Path::Any),
        route("below example", &["*.example.com"], prefix("/p")),
        route("name", &["www.example.com", "other.org"], Path::Any),
    ])
    .unwrap();
    assert_eq!(taken(&routes, "www.example.com", "/p"), Some("name"));
    assert_eq!(taken(&routes, "other.org", "/p"), Some("name"));
    assert_eq!(taken(&routes, "a.b.example.com", "/p/q"), Some("below example"));
    // What no route of a host fits may take one of a wider pattern.
    assert_eq!(taken(&routes, "a.example.com", "/q"), Some("below com"));
    assert_eq!(taken(&routes, "example.com", "/q"), Some("below com"));
    assert_eq!(taken(&routes, "example.net", "/p"), Some("any"));
    assert_eq!(taken(&routes, "example.net", "/q"), None);
}

#[test]
fn paths_by_kind_and_length() {
    let routes = Routes::compile(vec![
        route("any", &[], Path::Any),
        route("api", &[], prefix("/api")),
        route("api v1", &[], prefix("/api/v1/")),
        route("root", &[], exact("/")),
        route("regex", &[], Path::regex(r"/api/v1/\d+").unwrap()),
        route("user", &[], template("/api/v1/users/{id}")),
        route("me", &[], exact("/api/v1/users/me")),
        route("files", &[], template("/files/{*rest}")),
    ])
    .unwrap();
    for (path, name) in [
        ("/", "root"),
        ("/x", "any"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/apis", "any"),
        ("/api/v1", "api v1"),
        ("/api/v1/", "api v1"),
        ("/api/v12", "api"),
        ("/api/v1/12", "regex"),
        ("/api/v1/12/", "api v1"),
        ("/api/v1/users/12", "user"),
        ("/api/v1/users/me", "me"),
        ("/files/a/b", "files"),
    ] {
        assert_eq!(taken(&routes, "a", path), Some(name), "{path}");
    }
}

#[test]
fn more_conditions_before_fewer_and_then_the_first() {
    let with = |name: &str, methods: &[&str], conditions: Vec<Condition>| Route {
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        conditions,
        ..route(name, &[], prefix("/"))
    };
    let regex = |text: &str| regex::Regex::new(text).unwrap();
    let query = |name: &str, test| Condition { source: Source::Query(name.to_owned()), test };
    let cookie = |name: &str, test| Condition { source: Source::Cookie(name.to_owned()), test };
    let routes = Routes::compile(vec![
        with("all", &[], vec![]),
        with("second", &[], vec![]),
        with("post", &["POST", "PUT"], vec![]),
        with("tester", &[], vec![header("X-Test", Test::Is("1".to_owned()))]),
        with("post by tester", &["POST"], vec![header("x-test", Test::Present)]),
        with(
            "canary",
            &[],
            vec![cookie("canary", Test::Begins("y".to_owned())), query("v", Test::Fits(regex("^2$")))],
        ),
        with(
            "no agent",
            &[],
            vec![header("User-Agent", Test::Absent), query("agent", Test::Is(String::new()))],
        ),
    ])
    .unwrap();
    for (method, target, lines, name) in [
        ("GET", "/", "", "all"),
        ("PUT", "/", "", "post"),
        ("put", "/", "", "all"),
        ("GET", "/", "x-TEST: 1\r\n", "tester"),
        ("GET", "/", "X-Test: 0\r\nX-Test: 1\r\n", "tester"),
        ("GET", "/", "X-Test: 10\r\n", "all"),
        ("POST", "/", "X-Test: 0\r\n", "post by tester"),
        ("GET", "/?v=2", "Cookie: a=b; canary=yes\r\n", "canary"),
        ("GET", "/?u=1&v=2&v=3", "Cookie: a=b\r\nCookie: canary=y\r\n", "canary"),
        ("GET", "/?v=22", "Cookie: canary=yes\r\n", "all"),
        ("GET", "/?v=2", "Cookie: xcanary=yes\r\n", "all"),
        ("GET", "/?agent", "", "no agent"),
        ("GET", "/?agent=", "", "no agent"),
        ("GET", "/?agent", "User-Agent: x\r\n", "all"),
    ] {
        let found = ask(method, "a", target, lines, |facts| routes.find(facts));
        assert_eq!(
            found.map(|index| routes.routes()[index].name.as_str()),
            Some(name),
            "{method} {target} {lines}"
        );
    }
}

#[test]
fn templates_of_one_shape_are_one() {
    let mut tested = route("tested", &[], template("/u/{name}"));
    tested.conditions.push(header("T", Test::Present));
    let routes = Routes::compile(vec![route("plain", &[], template("/u/{id}")), tested]).unwrap();
    let find = |lines: &str| ask("GET", "a", "/u/1", lines, |facts| routes.find(facts));
    assert_eq!((find(""), find("T: 1\r\n")), (Some(0), Some(1)));
    let clash =
        Routes::compile(vec![route("a", &[], template("/u/{a}-x")), route("b", &[], template("/u/{"))]);
    assert_eq!(clash.unwrap_err().route, "b");
}

#[test]
fn there_are_limits() {
    let regexes = |count: usize| {
        (0..count)
            .map(|n| route(&n.to_string(), &[], Path::regex(&n.to_string()).unwrap()))
            .collect::<Vec<_>>()
    };
    assert!(Routes::compile(regexes(MOST_REGEXES)).is_ok());
    assert!(Routes::compile(regexes(MOST_REGEXES + 1)).is_err());
    assert!(Path::regex(r"(\w{100}){1000}").is_err());
    assert!(Path::regex("(").is_err());
}

#[test]
fn what_is_taken_is_explained() {
    let mut tested = route("tested", &["a.b"], prefix("/p"));
    tested.conditions = vec![header("A", Test::Present), header("B", Test::Present)];
    let mut posted = route("posted", &["a.b"], prefix("/p"));
    posted.methods.push("POST".to_owned());
    let routes = Routes::compile(vec![
        route("any", &[], Path::Any),
        route("other host", &["c"], Path::Any),
        route("other path", &["a.b"], exact("/q")),
        tested,
        posted,
        route("this", &["*.b"], prefix("/p/")),
    ])
    .unwrap();
    let explained = ask("GET", "a.b", "/p/x", "A: 1\r\n", |facts| routes.explain(facts));
    let told: Vec<_> = explained
        .iter()
        .map(|said| (routes.routes()[said.route].name.as_str(), said.reason.clone()))
        .collect();
    assert_eq!(
        told,
        [
            ("other path", Reason::Path),
            ("tested", Reason::Condition(1)),
            ("posted", Reason::Method),
            ("this", Reason::Taken),
            ("any", Reason::LessSpecific),
            ("other host", Reason::Host),
        ]
    );
}

fn any_route() -> impl Strategy<Value = Route> {
    let hosts = prop::collection::vec(prop::sample::select(&["a.b", "b", "*.b", "*.a.b"][..]), 0..3);
    let segments = || prop::collection::vec(prop::sample::select(&["p", "q"][..]), 0..3);
    let path = prop_oneof![
        Just(Path::Any),
        segments().prop_map(|segments| exact(&format!("/{}", segments.join("/")))),
        segments().prop_map(|segments| prefix(&format!("/{}", segments.join("/")))),
        Just(Path::regex("/p.*").unwrap()),
    ];
    (hosts, path, any::<bool>(), any::<bool>()).prop_map(|(hosts, path, post, tested)| {
        let mut route = route("", &hosts, path);
        if post {
            route.methods.push("POST".to_owned());
        }
        if tested {
            route.conditions.push(header("T", Test::Present));
        }
        route
    })
}

proptest! {
    /// The tables lead to the first of those that fit, in the order of [`Routes::explain`].
    #[test]
    fn the_tables_say_what_a_look_at_every_route_says(
        routes in prop::collection::vec(any_route(), 0..12),
        host in prop::sample::select(&["a.b", "b", "c.a.b", "c"][..]),
        path in prop::sample::select(&["/", "/p", "/p/q", "/q/q/q", "/pp"][..]),
        method in prop::sample::select(&["GET", "POST"][..]),
        tested in any::<bool>(),
    ) {
        let routes = Routes::compile(routes).unwrap();
        let lines = if tested { "T: 1\r\n" } else { "" };
        ask(method, host, path, lines, |facts| {
            let fitting = routes.explain(facts).into_iter().find(|said| {
                matches!(said.reason, Reason::Taken | Reason::LessSpecific | Reason::Hidden)
            });
            prop_assert_eq!(fitting.map(|said| said.route), routes.find(facts));
            Ok(())
        })?;
    }
}
