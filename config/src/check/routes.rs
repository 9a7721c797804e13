//! Checks of `[[service.route]]`.

use std::collections::{HashMap, HashSet};

use super::l7::known_pool;
use super::refuse_duplicates;
use crate::finding::Finding;
use crate::limits;
use crate::model::Service;
use crate::site::{By, Change, Http, PathPattern, Redirect, Rewrite, SiteRoute};

pub(super) fn check(path: &str, service: &Service, findings: &mut Vec<Finding>) {
    let routes = || service.site.routes.iter().enumerate();
    refuse_duplicates(
        findings,
        routes().map(|(i, route)| (&route.name, format!("{path}.route[{i}].name"))),
        |name| format!("service `{}` has two routes called `{name}`", service.name),
    );
    let known: HashSet<&str> = service.site.pool_names().collect();
    let by_pool: HashMap<&str, &By> =
        service.site.pools.iter().filter_map(|pool| Some((pool.name.as_str(), pool.by.as_ref()?))).collect();
    let by = |pool: &str| by_pool.get(pool).copied();
    let mut by_host = ByHost::default();
    for (index, route) in routes() {
        let at = format!("{path}.route[{index}]");
        if let Some(pattern) = &route.path {
            let (key, text) = pattern.key_and_text();
            let at = format!("{at}.{key}");
            can_fit(&at, path, &service.site.http, pattern, findings);
            by_host.insert(&at, route, pattern, text, findings);
        }
        if let Some(pool) = &route.to {
            known_pool(format!("{at}.to"), path, &known, pool, findings);
        }
        split(&at, path, &known, by, route, findings);
        action(&at, route, findings);
    }
}

fn split<'c>(
    at: &str,
    service: &str,
    known: &HashSet<&str>,
    by: impl Fn(&str) -> Option<&'c By>,
    route: &SiteRoute,
    findings: &mut Vec<Finding>,
) {
    let shares = || route.split.iter().enumerate();
    for (index, share) in shares() {
        known_pool(format!("{at}.split[{index}].pool"), service, known, &share.pool, findings);
    }
    refuse_duplicates(
        findings,
        shares().map(|(i, share)| (&share.pool, format!("{at}.split[{i}].pool"))),
        |pool| format!("the pool `{pool}` has two parts of one split"),
    );
    if !route.split.is_empty() && shares().all(|(_, share)| share.weight == 0) {
        findings.push(
            Finding::error(
                format!("{at}.split"),
                format!("no part of the split of route `{}` weighs", route.name),
            )
            .label("expected a weight above 0"),
        );
    }
    let keys: HashSet<_> = shares().filter_map(|(_, share)| by(&share.pool)).collect();
    if keys.len() > 1 {
        findings.push(
            Finding::error(
                format!("{at}.split"),
                format!("the pools of route `{}` go by different things", route.name),
            )
            .label("expected one `by` for all of them")
            .rests_on(&[&format!("{service}.pool")]),
        );
    }
    if route.sticky.is_some() && route.split.is_empty() {
        findings.push(
            Finding::error(format!("{at}.sticky"), format!("route `{}` splits nothing", route.name))
                .label("expected only with `split`")
                .rests_on(&[&format!("{at}.split")]),
        );
    }
}

fn action(at: &str, route: &SiteRoute, findings: &mut Vec<Finding>) {
    let has_prefix = matches!(route.path, None | Some(PathPattern::Prefix(_)));
    let Rewrite { host: _, prefix } = &route.rewrite;
    let redirected = route.redirect.as_ref().and_then(|redirect| redirect.prefix.as_ref());
    let prefixes = [("rewrite", prefix.is_some()), ("redirect", redirected.is_some())];
    for (key, _) in prefixes.iter().filter(|(_, is_there)| *is_there && !has_prefix) {
        findings.push(
            Finding::error(
                format!("{at}.{key}.prefix"),
                format!("route `{}` has no prefix to replace", route.name),
            )
            .label("expected only beside `path_prefix`")
            .rests_on(&[&format!("{at}.path_prefix")]),
        );
    }
    let is_rewritten = route.rewrite != Rewrite::default();
    let of_backends = [("rewrite", is_rewritten), ("request_headers", !route.request_headers.is_empty())];
    for (key, _) in of_backends.iter().filter(|(_, is_there)| *is_there && !route.is_forwarded()) {
        findings.push(
            Finding::error(
                format!("{at}.{key}"),
                format!("requests of route `{}` go to no backend", route.name),
            )
            .label("expected only where they do"),
        );
    }
    for (key, edits) in
        [("request_headers", &route.request_headers), ("response_headers", &route.response_headers)]
    {
        for (index, edit) in edits.iter().enumerate() {
            if matches!(edit.change, Change::Remove(_)) && !edit.value.is_empty() {
                findings.push(
                    Finding::error(format!("{at}.{key}[{index}].value"), "what is removed has no value")
                        .label("expected only with `set` or `add`")
                        .rests_on(&[
                            &format!("{at}.{key}[{index}].set"),
                            &format!("{at}.{key}[{index}].add"),
                        ]),
                );
            }
        }
    }
    let Some(Redirect { status, scheme, host, path, prefix }) = &route.redirect else { return };
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        findings.push(
            Finding::error(format!("{at}.redirect.status"), format!("{status} is no status of a redirect"))
                .label("expected 301, 302, 303, 307 or 308"),
        );
    }
    if scheme.is_none() && host.is_none() && path.is_none() && prefix.is_none() {
        findings.push(
            Finding::error(
                format!("{at}.redirect"),
                format!("route `{}` sends clients where they are", route.name),
            )
            .label("expected `scheme`, `host`, `path` or `prefix`"),
        );
    }
}

/// Refuses paths that no request has, since those are brought to their normal form before routes are looked at.
fn can_fit(at: &str, service: &str, http: &Http, pattern: &PathPattern, findings: &mut Vec<Finding>) {
    let (PathPattern::Exact(text) | PathPattern::Prefix(text)) = pattern else { return };
    let reason = if http.merge_slashes && text.contains("//") {
        Some("slashes in a row are one (`merge_slashes`)")
    } else if http.resolve_dots && text.split('/').any(|segment| matches!(segment, "." | "..")) {
        Some("dots are resolved (`resolve_dots`)")
    } else if http.decode && has_needless_escape(text) {
        Some("what needs no percent-encoding is decoded, and its digits are capitals (`decode`)")
    } else if !has_whole_escapes(text) {
        Some("a percent sign has two hexadecimal digits behind it")
    } else {
        None
    };
    if let Some(reason) = reason {
        findings.push(
            Finding::error(at, "no request has this path when routes are looked at")
                .label(format!("expected its normal form: {reason}"))
                .rests_on(&[&format!("{service}.http")]),
        );
    }
}

fn escapes(text: &str) -> impl Iterator<Item = Option<u8>> {
    text.match_indices('%').map(|(at, _)| {
        let digits = text.get(at + 1..at + 3)?;
        u8::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    })
}

fn has_whole_escapes(text: &str) -> bool {
    escapes(text).all(|octet| octet.is_some_and(|octet| !octet.is_ascii_control()))
}

fn has_needless_escape(text: &str) -> bool {
    let is_small = |at: usize| {
        text.get(at + 1..at + 3).is_some_and(|digits| digits.bytes().any(|digit| digit.is_ascii_lowercase()))
    };
    let needs_none = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    text.match_indices('%').any(|(at, _)| is_small(at)) || escapes(text).flatten().any(needs_none)
}

/// What the routes of each host have that is compiled together. Any host is the empty one.
#[derive(Default)]
struct ByHost<'c> {
    templates: HashMap<&'c str, Templates<'c>>,
    regexes: HashMap<&'c str, usize>,
}

#[derive(Default)]
struct Templates<'c> {
    router: matchit::Router<&'c str>,
    shapes: HashSet<String>,
}

impl<'c> ByHost<'c> {
    fn insert(
        &mut self,
        at: &str,
        route: &'c SiteRoute,
        pattern: &PathPattern,
        text: &'c str,
        findings: &mut Vec<Finding>,
    ) {
        let any = route.hosts.is_empty().then_some("");
        let hosts: HashSet<&str> = route.hosts.iter().map(String::as_str).chain(any).collect();
        for host in hosts {
            match pattern {
                PathPattern::Template(_) => {
                    let templates = self.templates.entry(host).or_default();
                    if !templates.shapes.insert(shape(text)) {
                        continue;
                    }
                    if let Err(matchit::InsertError::Conflict { with }) = templates.router.insert(text, text)
                    {
                        findings.push(
                            Finding::error(at, format!("this template cannot be told from `{with}`"))
                                .label("the same paths would fit both"),
                        );
                        return;
                    }
                }
                PathPattern::Regex(_) => {
                    let count = self.regexes.entry(host).or_default();
                    *count += 1;
                    if *count > limits::REGEXES {
                        let of = if host.is_empty() { "any host" } else { host };
                        findings.push(
                            Finding::error(at, format!("too many regular expressions for `{of}`")).label(
                                format!("expected {} at most: they are tried one by one", limits::REGEXES),
                            ),
                        );
                        return;
                    }
                }
                PathPattern::Exact(_) | PathPattern::Prefix(_) => {}
            }
        }
    }
}

/// A template without the names of its parameters: two of one shape are for the same paths.
fn shape(template: &str) -> String {
    let mut shape = String::new();
    let mut is_name = false;
    for character in template.chars() {
        is_name &= character != '}';
        if !is_name || character == '*' {
            shape.push(character);
        }
        is_name |= character == '{';
    }
    shape
}
