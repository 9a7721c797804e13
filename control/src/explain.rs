//! Where a request would go, and why: the question of whoever writes routes, put to the routes that are in force.

use evenkeel_config::{self as config, SiteRoute};
use evenkeel_l7::http::{Request as Head, Scratch};
use evenkeel_l7::proxy::Site;
use evenkeel_l7::proxy::site::{Action, Destination, Salt};
use evenkeel_l7::route::{Explanation, Facts, Reason, normal_host};

use crate::desired::Service;
use crate::protocol::{
    ExplainedRoute, PoolShare, Refusal, RefusalKind, RouteOutcome, RouteReport, RouteVerdict,
};

/// Routes that are told of, beside the one that is taken.
const TOLD: usize = 100;

/// A request that is asked about.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    /// `Name: value`, each.
    pub(crate) headers: &'a [String],
}

/// What becomes of the request at a service of this site.
pub(crate) fn explain(service: &Service, site: &Site, asked: &Asked<'_>) -> Result<RouteReport, Refusal> {
    let head = head(asked)?;
    let mut report = RouteReport {
        service: service.name.clone(),
        method: asked.method.to_owned(),
        host: String::new(),
        path: String::new(),
        outcome: RouteOutcome::Respond { status: 404, text: "No route leads there.".to_owned() },
        taken: None,
        routes: Vec::new(),
        omitted: 0,
    };
    let mut scratch = Scratch::new();
    let (mut path_room, mut host_room) = (String::new(), String::new());
    let request = match Head::parse(head.as_bytes(), &site.limits, &mut scratch) {
        Ok(request) => request,
        Err(refusal) => {
            report.outcome = refused(refusal.status(), refusal.sentence());
            return Ok(report);
        }
    };
    let path = match site.paths.normalize(request.target.path, &mut path_room) {
        Ok(path) => path,
        Err(refusal) => {
            report.outcome = refused(refusal.status(), refusal.sentence());
            return Ok(report);
        }
    };
    let facts = Facts {
        host: normal_host(request.host.map_or("", |host| host.host), &mut host_room),
        path,
        query: request.target.query,
        method: request.method.text(),
        fields: request.fields,
    };
    facts.host.clone_into(&mut report.host);
    path.clone_into(&mut report.path);
    let explanations = site.routes.explain(&facts);
    report.omitted = explanations.len().saturating_sub(TOLD);
    for (place, Explanation { route, reason }) in explanations.iter().enumerate() {
        let is_taken = *reason == Reason::Taken;
        let Some(known) = site.routes.routes().get(*route) else { continue };
        if is_taken {
            report.taken = Some(known.name.clone());
            let written = service.site.routes.get(*route);
            report.outcome = outcome(service, site, *route, written, &facts);
        }
        if is_taken || place < TOLD {
            let condition = match reason {
                Reason::Condition(index) => known.conditions.get(*index).map(ToString::to_string),
                _ => None,
            };
            let verdict = verdict(reason);
            report.routes.push(ExplainedRoute { route: known.name.clone(), verdict, condition });
        }
    }
    Ok(report)
}

fn refused(status: u16, sentence: &str) -> RouteOutcome {
    RouteOutcome::Refused { status, text: sentence.to_owned() }
}

const fn verdict(reason: &Reason) -> RouteVerdict {
    match reason {
        Reason::Taken => RouteVerdict::Taken,
        Reason::LessSpecific => RouteVerdict::LessSpecific,
        Reason::Hidden => RouteVerdict::Hidden,
        Reason::Host => RouteVerdict::Host,
        Reason::Path => RouteVerdict::Path,
        Reason::Method => RouteVerdict::Method,
        Reason::Condition(_) => RouteVerdict::Condition,
    }
}

fn outcome(
    service: &Service,
    site: &Site,
    route: usize,
    written: Option<&SiteRoute>,
    facts: &Facts<'_>,
) -> RouteOutcome {
    if let Some(config::Redirect { status, scheme, host, path, prefix }) =
        written.and_then(|route| route.redirect.as_ref())
    {
        let (scheme, host, path, prefix) =
            (scheme.map(|scheme| scheme.to_string()), host.clone(), path.clone(), prefix.clone());
        return RouteOutcome::Redirect { status: *status, scheme, host, path, prefix };
    }
    let (parts, chosen): (Vec<(usize, u32)>, Option<usize>) = match site.actions.get(route) {
        Some(Action::Respond { status, text, .. }) => {
            return RouteOutcome::Respond { status: *status, text: text.clone() };
        }
        Some(Action::Page(_)) => {
            let status = service.respond.as_ref().map_or(200, |respond| respond.status);
            return RouteOutcome::Respond { status, text: String::new() };
        }
        Some(Action::Forward(forward)) => match &forward.to {
            Destination::Cluster(cluster) => (vec![(*cluster, 1)], Some(*cluster)),
            Destination::Split { split, clusters, by } => {
                let weights = written.into_iter().flat_map(|route| &route.split).map(|share| share.weight);
                let hash = by.as_ref().and_then(|key| key.hash(Salt::Split, facts, None));
                let chosen = hash.and_then(|hash| clusters.get(split.part(hash)).copied());
                (clusters.iter().copied().zip(weights).collect(), chosen)
            }
        },
        _ => (Vec::new(), None),
    };
    let share = |(index, weight): (usize, u32)| {
        let cluster = site.clusters.get(index)?;
        let addresses = cluster.backends.iter().map(|backend| backend.address);
        let mut backends: Vec<_> = addresses.collect();
        // In the order in which the service lists them.
        let place = |address| service.backends.iter().position(|backend| backend.address == address);
        backends.sort_by_key(|address| place(*address));
        Some(PoolShare { pool: cluster.name.clone(), weight, chosen: chosen == Some(index), backends })
    };
    RouteOutcome::Forward { pools: parts.into_iter().filter_map(share).collect() }
}

/// The head that a client would send.
fn head(asked: &Asked<'_>) -> Result<String, Refusal> {
    let bad = |field: &str, message: String| Refusal::new(RefusalKind::BadValue, message).field(field);
    let has_space = |text: &str| text.chars().any(|c| c.is_whitespace() || c.is_control());
    if asked.method.is_empty() || has_space(asked.method) {
        return Err(bad("method", format!("{:?} is not a method", asked.method)));
    }
    let without_scheme = ["http://", "https://"].iter().find_map(|scheme| asked.url.strip_prefix(scheme));
    let Some(rest) = without_scheme.filter(|rest| !has_space(rest)) else {
        let expected = "expected a URL, such as \"https://example.com/path\"".to_owned();
        return Err(bad("url", expected));
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut head = format!("{} {slash}{target} HTTP/1.1\r\nHost: {host}\r\n", asked.method);
    for (at, header) in asked.headers.iter().enumerate() {
        let field = format!("headers[{at}]");
        match header.split_once(':') {
            Some((name, _)) if !header.contains(['\r', '\n', '\0']) && !name.is_empty() => {
                head.push_str(header);
                head.push_str("\r\n");
            }
            _ => return Err(bad(&field, format!("{header:?} is not a field, such as \"Name: value\""))),
        }
    }
    head.push_str("\r\n");
    Ok(head)
}
