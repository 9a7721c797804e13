//! What becomes of a request, and why.

use evenkeel_control::protocol::{ExplainedRoute, PoolShare, RouteOutcome, RouteReport, RouteVerdict};

use crate::exit::Failure;
use crate::output::{Output, Table};

/// Writes where a request goes, then what is to be said of every route.
pub(super) fn write(output: &mut Output, report: &RouteReport) -> Result<(), Failure> {
    let RouteReport { service, method, host, path, outcome, taken, routes, omitted } = report;
    if let RouteOutcome::Refused { status, text } = outcome {
        return output.line(&format!("{service} refuses it with {status}: {text}"));
    }
    let taken = taken.as_ref().map_or_else(|| "no route".to_owned(), |route| format!("route {route}"));
    output.line(&format!("{method} {host}{path} takes {taken} of {service}: {}", text(outcome)))?;
    if let RouteOutcome::Forward { pools } = outcome {
        for pool in pools {
            output.line(&format!("  {}", self::pool(pool, pools)))?;
        }
    }
    output.line("")?;
    let mut table = Table::new(&["route", "taken", "why"]);
    for route in routes {
        let is_taken = if route.verdict == RouteVerdict::Taken { "yes" } else { "no" };
        table.row([route.route.clone(), is_taken.to_owned(), why(route)]);
    }
    output.table(&table, "no routes")?;
    if *omitted > 0 {
        output.line(&format!("and {omitted} less specific ones"))?;
    }
    Ok(())
}

fn text(outcome: &RouteOutcome) -> String {
    match outcome {
        RouteOutcome::Forward { pools } if pools.len() > 1 => "it goes to one of several pools".to_owned(),
        RouteOutcome::Forward { .. } => "it goes to a pool".to_owned(),
        RouteOutcome::Respond { status, text } if text.is_empty() => format!("it is answered with {status}"),
        RouteOutcome::Respond { status, text } => format!("it is answered with {status}, {text:?}"),
        RouteOutcome::Redirect { status, scheme, host, path, prefix } => {
            let parts = [("scheme", scheme), ("host", host), ("path", path), ("prefix", prefix)];
            let parts: Vec<String> =
                parts.iter().filter_map(|(name, part)| Some(format!("{name} {}", part.as_ref()?))).collect();
            format!("the client is sent elsewhere with {status}: {}", parts.join(", "))
        }
        RouteOutcome::Refused { status, text } => format!("it is refused with {status}: {text}"),
    }
}

fn pool(share: &PoolShare, all: &[PoolShare]) -> String {
    let sum: u32 = all.iter().map(|share| share.weight).sum();
    let part = match all {
        [_] => String::new(),
        _ if share.chosen => " (this request)".to_owned(),
        _ => format!(" ({:.1} %)", f64::from(share.weight) * 100.0 / f64::from(sum.max(1))),
    };
    let backends: Vec<String> = share.backends.iter().map(ToString::to_string).collect();
    let backends = if backends.is_empty() { "no backends".to_owned() } else { backends.join(", ") };
    format!("{}{part}: {backends}", share.pool)
}

fn why(route: &ExplainedRoute) -> String {
    match route.verdict {
        RouteVerdict::Taken => "the most specific one that fits".to_owned(),
        RouteVerdict::LessSpecific => "fits, but less specifically".to_owned(),
        RouteVerdict::Hidden => "fits, but another template fits the path better".to_owned(),
        RouteVerdict::Host => "for another host".to_owned(),
        RouteVerdict::Path => "for another path".to_owned(),
        RouteVerdict::Method => "for another method".to_owned(),
        RouteVerdict::Condition => match &route.condition {
            Some(condition) => format!("not met: {condition}"),
            None => "a condition is not met".to_owned(),
        },
    }
}
