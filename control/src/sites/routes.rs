//! From routes of the configuration to those of the proxy, and what becomes of their requests.

use evenkeel_config::{self as config, Change, PathPattern, SiteRoute};
use evenkeel_l7::proxy::site::{
    Action, Destination, Edit, Edits, Forward, Key, Prefix, Redirect, Retries, Rewrite, Scheme, Timeouts,
};
use evenkeel_l7::route::{Condition, Host, Path, Route, Source, Split, Test};

/// The routes, and by the index of each its action. Without any, everything goes to the default pool.
pub(super) fn compiled(wanted: &config::Site) -> (Vec<Route>, Vec<Action>) {
    let pools: Vec<&str> = wanted.pool_names().collect();
    let of = |route: &SiteRoute| (self::route(route), action(wanted, &pools, route));
    if wanted.routes.is_empty() {
        let every = Route {
            name: config::Site::DEFAULT_POOL.to_owned(),
            hosts: Vec::new(),
            path: Path::Any,
            methods: Vec::new(),
            conditions: Vec::new(),
        };
        let forward = Forward { balance_by: balance_by(wanted, &pools, &[0]), ..Forward::to(0) };
        return (vec![every], vec![Action::Forward(Box::new(forward))]);
    }
    wanted.routes.iter().map(of).unzip()
}

fn route(wanted: &SiteRoute) -> Route {
    let mut hosts: Vec<Host> = wanted.hosts.iter().filter_map(|host| Host::parse(host).ok()).collect();
    let mut seen = Vec::new();
    hosts.retain(|host| {
        let is_new = !seen.contains(host);
        seen.push(host.clone());
        is_new
    });
    let conditions = [
        (&wanted.headers, Source::Header as fn(String) -> Source),
        (&wanted.query, Source::Query),
        (&wanted.cookies, Source::Cookie),
    ];
    Route {
        name: wanted.name.clone(),
        hosts,
        path: path(wanted.path.as_ref()),
        methods: wanted.methods.clone(),
        conditions: conditions
            .into_iter()
            .flat_map(|(conditions, of)| {
                conditions.iter().map(move |condition| self::condition(condition, of))
            })
            .collect(),
    }
}

fn path(pattern: Option<&PathPattern>) -> Path {
    match pattern {
        None => Path::Any,
        Some(PathPattern::Exact(path)) => Path::Exact(path.clone()),
        Some(PathPattern::Prefix(path)) => Path::Prefix(path.clone()),
        Some(PathPattern::Template(template)) => Path::Template(template.clone()),
        // The configuration has compiled it by the same bounds; a path that no request has stands for one that does not.
        Some(PathPattern::Regex(text)) => Path::regex(text).unwrap_or_else(|_| Path::Exact(String::new())),
    }
}

fn condition(wanted: &config::Condition, of: fn(String) -> Source) -> Condition {
    let test = match &wanted.test {
        config::Test::Present(true) => Test::Present,
        config::Test::Present(false) => Test::Absent,
        config::Test::Is(text) => Test::Is(text.clone()),
        config::Test::Begins(text) => Test::Begins(text.clone()),
        // As for paths: what the configuration has compiled compiles.
        config::Test::Fits(text) => Test::fits(text).unwrap_or_else(|_| Test::Is(String::new())),
    };
    Condition { source: of(wanted.name.clone()), test }
}

fn action(wanted: &config::Site, pools: &[&str], route: &SiteRoute) -> Action {
    let prefix = |to: &Option<String>| {
        let from = match &route.path {
            Some(PathPattern::Prefix(from)) => from,
            _ => "/",
        };
        Prefix::new(from, to.as_deref()?).ok()
    };
    if let Some(respond) = &route.respond {
        let fields = edits(&route.response_headers);
        return Action::Respond { status: respond.status, text: respond.text.clone(), fields };
    }
    if let Some(config::Redirect { status, scheme, host, path, prefix: to }) = &route.redirect {
        return Action::Redirect(Box::new(Redirect {
            scheme: scheme.map(|scheme| match scheme {
                config::Scheme::Http => Scheme::Http,
                config::Scheme::Https => Scheme::Https,
            }),
            host: host.clone(),
            path: path.clone(),
            prefix: prefix(to),
            fields: edits(&route.response_headers),
            ..Redirect::new(*status)
        }));
    }
    let place = |name: &str| pools.iter().position(|pool| *pool == name).unwrap_or(usize::MAX);
    let shares: Vec<usize> = route.split.iter().map(|share| place(&share.pool)).collect();
    let weights: Vec<u32> = route.split.iter().map(|share| share.weight).collect();
    let single = place(route.to.as_deref().unwrap_or(config::Site::DEFAULT_POOL));
    let to = match Split::new(&weights) {
        Some(split) => {
            Destination::Split { split, clusters: shares.clone(), by: route.sticky.as_ref().map(key) }
        }
        None => Destination::Cluster(single),
    };
    let used = if shares.is_empty() { vec![single] } else { shares };
    Action::Forward(Box::new(Forward {
        to,
        balance_by: balance_by(wanted, pools, &used),
        rewrite: Rewrite { prefix: prefix(&route.rewrite.prefix), host: route.rewrite.host.clone() },
        request: edits(&route.request_headers),
        response: edits(&route.response_headers),
        timeouts: timeouts(&route.timeouts),
        retries: Retries { attempts: route.retries.attempts, statuses: route.retries.statuses.clone() },
        upgrades: route.upgrades.clone(),
        ..Forward::to(single)
    }))
}

/// What requests to these pools are balanced by; of those that balance by something, all go by the same.
fn balance_by(wanted: &config::Site, pools: &[&str], used: &[usize]) -> Option<Key> {
    used.iter().filter_map(|index| pools.get(*index)).find_map(|name| {
        let pool = wanted.pools.iter().find(|pool| pool.name == *name)?;
        pool.by.as_ref().map(key)
    })
}

fn key(by: &config::By) -> Key {
    match by {
        config::By::Source => Key::Client,
        config::By::Header(name) => Key::Of(Source::Header(name.clone())),
        config::By::Cookie(name) => Key::Of(Source::Cookie(name.clone())),
    }
}

fn edits(wanted: &[config::Edit]) -> Edits {
    let edit = |edit: &config::Edit| match &edit.change {
        Change::Set(name) => Edit::Set(name.clone(), edit.value.clone()),
        Change::Add(name) => Edit::Add(name.clone(), edit.value.clone()),
        Change::Remove(name) => Edit::Remove(name.clone()),
    };
    // The configuration lets none through that the proxy refuses.
    Edits::new(wanted.iter().map(edit).collect()).unwrap_or_default()
}

fn timeouts(wanted: &config::RouteTimeouts) -> Timeouts {
    Timeouts { connect: wanted.connect, response: wanted.response, idle: wanted.idle, whole: wanted.whole }
}
