//! `[service.http]`, `[[service.pool]]` and `[[service.route]]`.

use std::time::Duration;

use super::within;
use crate::limits;
use crate::model::Prefix;
use crate::patterns;
use crate::read::Fields;
use crate::site::{
    Budget, CertificateFiles, Change, Condition, Edit, Ejection, Http, PathPattern, Pool, PoolTls, Redirect,
    Retries, Rewrite, RouteRespond, RouteTimeouts, Share, Site, SiteRoute, Tells, Test, Tls,
};
use crate::units::{self, Parsed};

pub(super) fn site(fields: &mut Fields<'_, '_>) -> Site {
    Site {
        tls: fields.table_if_there("tls", "service.tls", tls),
        http: fields.table_if_there("http", "service.http", http).unwrap_or_default(),
        trusted: prefixes(fields, "trusted"),
        proxy_protocol_from: prefixes(fields, "proxy_protocol_from"),
        tells: fields.table_if_there("tells", "service.tells", tells).unwrap_or_default(),
        pools: fields.tables("pool", "service.pool", limits::POOLS, pool),
        routes: fields.tables("route", "service.route", limits::SITE_ROUTES, route),
    }
}

fn tls(fields: &mut Fields<'_, '_>) -> Tls {
    fields.require("certificates", "[{ chain = \"FILE\", key = \"FILE\" }]");
    Tls {
        minimum: fields.word("minimum").unwrap_or_default(),
        client: fields.word("client").unwrap_or_default(),
        ca: fields.text("ca", units::file_path),
        crl: fields.text("crl", units::file_path),
        certificates: fields.tables(
            "certificates",
            "service.tls.certificates",
            limits::CERTIFICATES,
            certificate,
        ),
    }
}

fn certificate(fields: &mut Fields<'_, '_>) -> CertificateFiles {
    fields.require("chain", "\"/etc/evenkeel/shop.pem\"");
    fields.require("key", "\"/etc/evenkeel/shop.key\"");
    CertificateFiles {
        chain: fields.text("chain", units::file_path).unwrap_or_default(),
        key: fields.text("key", units::file_path).unwrap_or_default(),
    }
}

fn pool_tls(fields: &mut Fields<'_, '_>) -> PoolTls {
    fields.require("sni", "\"backend.example.com\"");
    fields.require("ca", "\"/etc/evenkeel/ca.pem\"");
    PoolTls {
        sni: fields.text("sni", patterns::host).unwrap_or_default(),
        ca: fields.text("ca", units::file_path).unwrap_or_default(),
        crl: fields.text("crl", units::file_path),
        certificate: fields.text("certificate", units::file_path),
        key: fields.text("key", units::file_path),
    }
}

fn prefixes(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<Prefix> {
    let nowhere = Prefix { addr: super::NOWHERE, length: 32 };
    fields.texts(key, limits::PREFIXES, &nowhere, units::prefix).unwrap_or_default()
}

fn tells(fields: &mut Fields<'_, '_>) -> Tells {
    let default = Tells::default();
    Tells {
        x_forwarded: fields.boolean("x_forwarded").unwrap_or(default.x_forwarded),
        forwarded: fields.boolean("forwarded").unwrap_or(default.forwarded),
        request_id: fields.boolean("request_id").unwrap_or(default.request_id),
        via: fields.text("via", patterns::token_or_nothing).unwrap_or(default.via),
    }
}

fn http(fields: &mut Fields<'_, '_>) -> Http {
    let default = Http::default();
    Http {
        head: fields.text("head", head).unwrap_or(default.head),
        line: fields.text("line", line).unwrap_or(default.line),
        fields: fields.number("fields", limits::FIELDS).unwrap_or(default.fields),
        head_timeout: fields.text("head_timeout", head_timeout).unwrap_or(default.head_timeout),
        idle: fields.text("idle", rest).unwrap_or(default.idle),
        default_host: fields.text("default_host", patterns::host),
        resolve_dots: fields.boolean("resolve_dots").unwrap_or(default.resolve_dots),
        decode: fields.boolean("decode").unwrap_or(default.decode),
        merge_slashes: fields.boolean("merge_slashes").unwrap_or(default.merge_slashes),
        encoded_slashes: fields.word("encoded_slashes").unwrap_or(default.encoded_slashes),
    }
}

fn pool(fields: &mut Fields<'_, '_>) -> Pool {
    let default = Pool::default();
    fields.require("name", "\"canary\"");
    Pool {
        name: fields.text("name", units::pool_name).unwrap_or_default(),
        balance: fields.word("balance").unwrap_or(default.balance),
        by: fields.text("by", patterns::by),
        connections: fields.number("connections", limits::POOL_CONNECTIONS).unwrap_or(default.connections),
        queue: fields.number("queue", limits::QUEUE).unwrap_or(default.queue),
        queue_timeout: fields.text("queue_timeout", queue_timeout).unwrap_or(default.queue_timeout),
        idle: fields.text("idle", rest).unwrap_or(default.idle),
        slow_start: fields.text("slow_start", slow_start).unwrap_or(default.slow_start),
        pending: fields.number("pending", limits::PENDING).unwrap_or(default.pending),
        tunnels: fields.number("tunnels", limits::PENDING).unwrap_or(default.tunnels),
        proxy_protocol: fields.word("proxy_protocol"),
        tls: fields.table_if_there("tls", "service.pool.tls", pool_tls),
        retries: fields.table_if_there("retries", "service.pool.retries", budget).unwrap_or_default(),
        ejection: fields.table_if_there("ejection", "service.pool.ejection", ejection).unwrap_or_default(),
    }
}

fn budget(fields: &mut Fields<'_, '_>) -> Budget {
    let default = Budget::default();
    Budget {
        percent: fields.number("percent", limits::PERCENT).unwrap_or(default.percent),
        per_second: fields.number("per_second", limits::RETRIES).unwrap_or(default.per_second),
        burst: fields.number("burst", limits::RETRIES).unwrap_or(default.burst),
        at_once: fields.number("at_once", limits::RETRIES).unwrap_or(default.at_once),
    }
}

fn ejection(fields: &mut Fields<'_, '_>) -> Ejection {
    let default = Ejection::default();
    Ejection {
        enabled: fields.boolean("enabled").unwrap_or(default.enabled),
        consecutive: fields.number("consecutive", limits::JUDGED).unwrap_or(default.consecutive),
        percent: fields.number("percent", limits::PERCENT).unwrap_or(default.percent),
        window: fields.text("window", rest).unwrap_or(default.window),
        least: fields.number("least", limits::JUDGED).unwrap_or(default.least),
        quarantine: fields.text("quarantine", rest).unwrap_or(default.quarantine),
    }
}

fn route(fields: &mut Fields<'_, '_>) -> SiteRoute {
    fields.require("name", "\"api\"");
    fields.at_most_one(&PathPattern::KEYS);
    fields.at_most_one(&["to", "split", "respond", "redirect"]);
    SiteRoute {
        name: fields.text("name", route_name).unwrap_or_default(),
        hosts: fields
            .texts("hosts", limits::HOSTS, &String::new(), patterns::host_pattern)
            .unwrap_or_default(),
        path: path(fields),
        methods: fields
            .texts("methods", limits::METHODS, &String::new(), patterns::method)
            .unwrap_or_default(),
        headers: conditions(fields, "headers", patterns::token),
        query: conditions(fields, "query", patterns::value),
        cookies: conditions(fields, "cookies", patterns::token),
        to: fields.text("to", units::pool_name),
        split: fields.tables("split", "service.route.split", limits::SHARES, share),
        sticky: fields.text("sticky", patterns::by),
        respond: fields.table_if_there("respond", "service.route.respond", respond),
        redirect: fields.table_if_there("redirect", "service.route.redirect", redirect),
        rewrite: fields.table_if_there("rewrite", "service.route.rewrite", rewrite).unwrap_or_default(),
        request_headers: edits(fields, "request_headers"),
        response_headers: edits(fields, "response_headers"),
        timeouts: timeouts(fields),
        retries: fields.table_if_there("retries", "service.route.retries", retries).unwrap_or_default(),
        upgrades: fields
            .texts("upgrades", limits::UPGRADES, &String::new(), patterns::protocol)
            .unwrap_or_else(|| vec![SiteRoute::UPGRADE.to_owned()]),
    }
}

fn retries(fields: &mut Fields<'_, '_>) -> Retries {
    let default = Retries::default();
    Retries {
        attempts: fields.number("attempts", limits::ATTEMPTS).unwrap_or(default.attempts),
        statuses: fields.numbers("statuses", limits::METHODS, limits::STATUS).unwrap_or_default(),
    }
}

fn path(fields: &mut Fields<'_, '_>) -> Option<PathPattern> {
    let [exact, prefix, template, regex] = PathPattern::KEYS;
    // All of them are asked for, so that what is wrong with each is said.
    let exact = fields.text(exact, patterns::path).map(PathPattern::Exact);
    let prefix = fields.text(prefix, patterns::path).map(PathPattern::Prefix);
    let template = fields.text(template, patterns::path_template).map(PathPattern::Template);
    let regex = fields.regex(regex).map(PathPattern::Regex);
    exact.or(prefix).or(template).or(regex)
}

fn conditions(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    name: fn(&str) -> Parsed<String>,
) -> Vec<Condition> {
    let header = format!("service.route.{key}");
    fields.tables(key, &header, limits::CONDITIONS, |fields| condition(fields, name))
}

fn condition(fields: &mut Fields<'_, '_>, name: fn(&str) -> Parsed<String>) -> Condition {
    fields.require("name", "\"X-Env\"");
    fields.at_most_one(&Test::KEYS);
    let name = fields.text("name", name).unwrap_or_default();
    let is = fields.text("is", patterns::value).map(Test::Is);
    let begins = fields.text("begins", patterns::value).map(Test::Begins);
    let fits = fields.regex("fits").map(Test::Fits);
    let present = fields.boolean("present").unwrap_or(true);
    Condition { name, test: is.or(begins).or(fits).unwrap_or(Test::Present(present)) }
}

fn respond(fields: &mut Fields<'_, '_>) -> RouteRespond {
    RouteRespond {
        status: fields.number("status", limits::STATUS).unwrap_or(200),
        text: fields.text("text", patterns::line).unwrap_or_default(),
    }
}

fn redirect(fields: &mut Fields<'_, '_>) -> Redirect {
    fields.at_most_one(&["path", "prefix"]);
    Redirect {
        status: fields.number("status", limits::REDIRECT_STATUS).unwrap_or(Redirect::STATUS),
        scheme: fields.word("scheme"),
        host: fields.text("host", patterns::authority),
        path: fields.text("path", patterns::path),
        prefix: fields.text("prefix", patterns::path),
    }
}

fn rewrite(fields: &mut Fields<'_, '_>) -> Rewrite {
    Rewrite { host: fields.text("host", patterns::authority), prefix: fields.text("prefix", patterns::path) }
}

fn edits(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<Edit> {
    let header = format!("service.route.{key}");
    fields.tables(key, &header, limits::EDITS, edit)
}

fn edit(fields: &mut Fields<'_, '_>) -> Edit {
    fields.at_most_one(&Change::KEYS);
    let [set, add, remove] = Change::KEYS;
    let set = fields.text(set, patterns::changeable).map(Change::Set);
    let add = fields.text(add, patterns::changeable).map(Change::Add);
    let remove = fields.text(remove, patterns::changeable).map(Change::Remove);
    let change = set.or(add).or(remove);
    if change.is_none() {
        fields.require_one(&Change::KEYS, "set = \"X-Env\"");
    }
    if matches!(change, Some(Change::Set(_) | Change::Add(_))) {
        fields.require("value", "\"beta\"");
    }
    Edit {
        change: change.unwrap_or(Change::Remove(String::new())),
        value: fields.text("value", patterns::value).unwrap_or_default(),
    }
}

fn share(fields: &mut Fields<'_, '_>) -> Share {
    fields.require("pool", "\"canary\"");
    fields.require("weight", "5");
    Share {
        pool: fields.text("pool", units::pool_name).unwrap_or_default(),
        weight: fields.number("weight", limits::WEIGHT).unwrap_or_default(),
    }
}

fn timeouts(fields: &mut Fields<'_, '_>) -> RouteTimeouts {
    let default = RouteTimeouts::default();
    let mut timeout = |key, default| fields.text(key, request_timeout).unwrap_or(default);
    RouteTimeouts {
        connect: timeout("connect_timeout", default.connect),
        response: timeout("response_timeout", default.response),
        idle: timeout("idle_timeout", default.idle),
        whole: fields.text("request_timeout", request_timeout),
    }
}

fn route_name(text: &str) -> Parsed<String> {
    units::name(text, limits::SERVICE_NAME, "api")
}

fn head(text: &str) -> Parsed<u64> {
    units::size_within(text, &limits::HEAD)
}

fn line(text: &str) -> Parsed<u64> {
    units::size_within(text, &limits::LINE)
}

fn head_timeout(text: &str) -> Parsed<Duration> {
    within(units::duration(text)?, &limits::HEAD_TIMEOUT)
}

fn rest(text: &str) -> Parsed<Duration> {
    within(units::duration(text)?, &limits::REST)
}

fn queue_timeout(text: &str) -> Parsed<Duration> {
    within(units::duration(text)?, &limits::QUEUE_TIMEOUT)
}

fn slow_start(text: &str) -> Parsed<Duration> {
    within(units::duration(text)?, &limits::SLOW_START)
}

fn request_timeout(text: &str) -> Parsed<Duration> {
    within(units::duration(text)?, &limits::REQUEST_TIMEOUT)
}
